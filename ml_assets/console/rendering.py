"""What a page answers: its template filled in, or the same values as JSON."""

import hashlib
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import jinja2
import orjson
import polars as pl
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from ml_assets.console import formats
from ml_assets.console.sparklines import sparkline
from ml_assets.console.static_files import read_file

_HERE = Path(__file__).parent


def render(request: Request, template: str, status: int = 200, **values: Any) -> Response:
    """Answer a request with a page, or with `?format=json` with its values alone.

    Args:
        template: such as ``fleet/fleet.html``, in the folder of its page.
        values: what the template shows: typed records, frames, plain values.
    """
    if request.query_params.get("format") == "json":
        return Response(to_json(values), status, media_type="application/json")
    state = request.state
    around = {
        "path": request.url.path,
        "links": request.app.state.links,
        "csrf": getattr(state, "csrf", ""),
        "key": getattr(state, "key", ""),
        "signed_in": getattr(state, "signed_in", False),
        "theme": request.cookies.get("theme", "") if request.cookies.get("theme") in ("light", "dark") else "",
        "now": request.app.state.stores.clock(),
        "as_json": f"{request.url.path}?{urlencode([*request.query_params.multi_items(), ('format', 'json')])}",
    }
    text = _environment().get_template(template).render(**around, **values)
    return HTMLResponse(text, status)


def to_json(values: Any) -> bytes:
    """Write typed records, frames and plain values as JSON."""
    return orjson.dumps(values, default=_plain, option=orjson.OPT_NON_STR_KEYS | orjson.OPT_SERIALIZE_NUMPY)


def path_of(*parts: object) -> str:
    """Join names to the path of a page: what they hold of slashes, quotes and the like is quoted."""
    return "/" + "/".join(quote(str(part), safe="") for part in parts)


def _plain(value: Any) -> Any:
    if isinstance(value, pl.DataFrame):
        return value.to_dicts()
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, set | frozenset):
        return sorted(value)
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, timedelta):
        return value.total_seconds()
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")


def static(name: str) -> str:
    """Return the address of a file of the console, another one when the file has changed."""
    return f"/static/{name}?v={_digest(name)}"


@cache
def _digest(name: str) -> str:
    return hashlib.sha256(read_file(name)).hexdigest()[:12]


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader([_HERE / "templates", _HERE / "pages"]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    # `tojson` escapes <, > and &, so that nothing in it ends the element that it stands in.
    environment.policies["json.dumps_function"] = lambda value, **_: to_json(value).decode()
    environment.filters |= {
        "number": formats.number,
        "percent": formats.percent,
        "day": formats.day,
        "minute": formats.minute,
        "ago": formats.ago,
        "value": formats.value,
        "signed": formats.signed,
        "compact": formats.compact,
        "duration": formats.duration,
        "indented": lambda given: orjson.dumps(given, default=str, option=orjson.OPT_INDENT_2).decode(),
    }
    environment.globals |= {"static": static, "path_of": path_of, "sparkline_of": sparkline, "NOTHING": formats.NOTHING}
    return environment
