"""Bodies that are JSON objects."""

import re
from typing import Any

import orjson

from ml_assets.serving.errors import BadRequest

_TEXT_OR_NAN = re.compile(rb'"(?:[^"\\]+|\\.)*+"?|\bNaN\b', re.DOTALL)


def read_json(body: bytes, *, nan: bool = False) -> dict[str, Any]:
    """Parse the object in a body.

    Args:
        nan: whether `NaN`, which Python writes into JSON, stands for null.

    Raises:
        BadRequest: there is none.
    """
    request = read_json_value(body, nan=nan)
    if not isinstance(request, dict):
        raise BadRequest("the body must be a JSON object")
    return request


def read_json_value(body: bytes, *, nan: bool = False) -> Any:
    """Parse the JSON value in a body; raises BadRequest if there is none."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        if nan and b"NaN" in body:
            return read_json_value(_TEXT_OR_NAN.sub(_null, body))
        raise BadRequest(f"the body is no JSON: {error}") from error


def _null(found: re.Match[bytes]) -> bytes:
    return b"null" if found[0] == b"NaN" else found[0]
