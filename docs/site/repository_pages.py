"""Documents of the repository's root as pages of the site, their links made to fit."""

import posixpath
import re
from pathlib import Path, PurePosixPath

import api_pages

ROOT = Path(__file__).parents[2]
DOCUMENTS = {
    "README.md": "index.md",
    "ARCHITECTURE.md": "architecture.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "SECURITY.md": "security.md",
    "benchmarks/README.md": "benchmarks.md",
}
API = api_pages.pages()
LINK = re.compile(r"\[([^\[\]]*)\]\(([^)\s]+)\)")


def pages() -> dict[str, str]:
    """Return the text of each page by its address on the site."""
    return {uri: fit((ROOT / name).read_text(), PurePosixPath(name).parent) for name, uri in DOCUMENTS.items()}


def fit(text: str, folder: PurePosixPath) -> str:
    """Point the links of a document in a folder of the repository at pages, those to modules at the API's.

    Links to other code become its name alone.
    """
    return LINK.sub(lambda link: _fit_link(link, folder), text)


def _fit_link(link: re.Match[str], folder: PurePosixPath) -> str:
    label, address = link.groups()
    path, _, anchor = address.partition("#")
    if "://" in address or not path:
        return link[0]
    place = posixpath.normpath(folder / path)
    page = DOCUMENTS.get(place) or (place.removeprefix("docs/") if place.startswith("docs/") else None)
    module = place.removesuffix(".py").replace("/", ".")
    package = f"api/{module.rpartition('.')[0]}.md"
    if page is None and place.endswith(".py") and package in API:
        return f"[{label}]({package}#{module})"
    return f"[{label}]({page}{'#' + anchor if anchor else ''})" if page else label
