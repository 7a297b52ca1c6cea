"""The pages that there are: packages of `ml_assets.console.pages`."""

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass

from starlette.routing import Route

from ml_assets.console.links import Link
from ml_assets.console.stores import Stores

PAGES = "ml_assets.console.pages"


@dataclass(frozen=True)
class Pages:
    """Routes of all pages, what the navigation leads to, and what is read ahead."""

    routes: list[Route]
    links: list[Link]
    warm: list[Callable[[Stores], object]]


def find_pages() -> Pages:
    """Import the module `page` of each package of pages: its `ROUTES`, and and of those that have them
    `LINKS` for the navigation and `WARM`, which reads ahead what takes long."""
    routes: list[Route] = []
    links: list[Link] = []
    warm: list[Callable[[Stores], object]] = []
    for found in pkgutil.iter_modules(importlib.import_module(PAGES).__path__):
        module = importlib.import_module(f"{PAGES}.{found.name}.page")
        routes += module.ROUTES
        links += getattr(module, "LINKS", [])
        warm += [module.WARM] if hasattr(module, "WARM") else []
    return Pages(routes, sorted(links, key=lambda link: link.place), warm)
