"""What a form of a page sends."""

from collections.abc import Mapping
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.types import Receive

from ml_assets.serving.errors import BadRequest

LARGEST = 64 << 10
"""Bytes of a form."""
_FORM = "application/x-www-form-urlencoded"


async def read_form(request: Request, receive: Receive) -> Mapping[str, str]:
    """Read the fields of a form; of a field that is there twice the last value.

    Raises:
        BadRequest: it is no form (415), too large (413), or no text.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != _FORM:
        raise BadRequest(f"send the fields of a form: Content-Type {_FORM}", 415)
    body = bytearray()
    while True:
        message = await receive()
        body += message.get("body", b"")
        if len(body) > LARGEST:
            raise BadRequest(f"a form must have at most {LARGEST} bytes", 413)
        if not message.get("more_body", False):
            break
    try:
        return dict(parse_qsl(body.decode(), keep_blank_values=True, errors="strict"))
    except UnicodeDecodeError:
        raise BadRequest("a form must be UTF-8") from None
