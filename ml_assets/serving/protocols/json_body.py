"""Bodies that are JSON objects."""

from typing import Any

import orjson

from ml_assets.serving.errors import BadRequest


def read_json(body: bytes) -> dict[str, Any]:
    """Parse the object in a body; raises BadRequest if there is none."""
    try:
        request = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise BadRequest(f"the body is no JSON: {error}") from error
    if not isinstance(request, dict):
        raise BadRequest("the body must be a JSON object")
    return request
