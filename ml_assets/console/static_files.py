"""Files that pages load: the console's own, and plotly.js as the installed package ships it."""

from functools import cache
from importlib.util import find_spec
from pathlib import Path

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

_OWN = Path(__file__).parent / "static"
_PLOTLY = "plotly.min.js"
_TYPES = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
_FOREVER = "public, max-age=31536000, immutable"
"""Addresses have a digest of the file: what is kept under one never changes."""


@cache
def read_file(name: str) -> bytes:
    """Return a file that pages load.

    Raises:
        FileNotFoundError: there is none of that name.
        ModuleNotFoundError: plotly is not installed.
    """
    if name == _PLOTLY:
        return _find_plotly().read_bytes()
    if name not in names():
        raise FileNotFoundError(name)
    return (_OWN / name).read_bytes()


def names() -> set[str]:
    """Return the names of the console's own files."""
    return {file.name for file in _OWN.iterdir() if file.suffix in _TYPES}


def _find_plotly() -> Path:
    # The package is looked for, never imported: that takes a second.
    package = find_spec("plotly")
    if package is None or not package.submodule_search_locations:
        raise ModuleNotFoundError("plotly is not installed: charts are drawn by the script that it ships")
    return Path(package.submodule_search_locations[0]) / "package_data" / _PLOTLY


def _serve(request: Request) -> Response:
    name = request.path_params["name"]
    if name != _PLOTLY and name not in names():
        raise HTTPException(404, f"there is no file {name}")
    return Response(read_file(name), media_type=_TYPES[Path(name).suffix], headers={"cache-control": _FOREVER})


ROUTES = [Route("/static/{name}", _serve)]
