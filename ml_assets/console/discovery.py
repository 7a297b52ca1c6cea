"""The pages that there are: packages of `ml_assets.console.pages`."""

import importlib
import pkgutil
from dataclasses import dataclass

from starlette.routing import Route

from ml_assets.console.links import Link

PAGES = "ml_assets.console.pages"


@dataclass(frozen=True)
class Pages:
    """Routes of all pages, and what the navigation leads to."""

    routes: list[Route]
    links: list[Link]


def find_pages() -> Pages:
    """Import the module `page` of each package of pages: its `ROUTES`, and its `LINK` or `LINKS` where it has any."""
    routes: list[Route] = []
    links: list[Link] = []
    for found in pkgutil.iter_modules(importlib.import_module(PAGES).__path__):
        module = importlib.import_module(f"{PAGES}.{found.name}.page")
        routes += module.ROUTES
        links += getattr(module, "LINKS", [])
    return Pages(routes, sorted(links, key=lambda link: link.place))
