"""The page on which the routes are read and tried: Swagger UI as an installed package ships it, and nothing else."""

from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

_PAGES = Path(__file__).parent / "pages"
_SWAGGER_UI = "fastapi_swagger"  # never imported: its files are served, its code would load FastAPI

ASSETS = {
    "swagger-ui-bundle.js": "text/javascript",
    "swagger-ui.css": "text/css",
    "docs.js": "text/javascript",
    "docs.css": "text/css",
}
"""Files that the page loads, by name -> media type. Nothing in them depends on the server: they need no key."""

POLICY = (
    "default-src 'none'; style-src 'self' 'unsafe-inline'; script-src 'self'; connect-src 'self'; "
    "img-src 'self' data:; form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
)
"""Content-Security-Policy of the page: nothing is loaded from elsewhere, and only this server is called."""


def page() -> str:
    """Return the page; it reads the description of the routes itself, after a key where one is needed."""
    return (_PAGES / "docs.html").read_text()


@lru_cache(maxsize=len(ASSETS))
def read_asset(name: str) -> tuple[bytes, str]:
    """Return a file that the page loads, and its media type."""
    own = _PAGES / name
    return (own if own.exists() else _swagger_ui() / name).read_bytes(), ASSETS[name]


def _swagger_ui() -> Path:
    package = find_spec(_SWAGGER_UI)
    if package is None or not package.submodule_search_locations:
        raise ModuleNotFoundError(f"{_SWAGGER_UI} is not installed: the page of routes is made of its files")
    return Path(package.submodule_search_locations[0]) / "resources"
