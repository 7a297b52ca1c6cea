"""What an application replies to a call, and how gRPC says it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson

_CODES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    405: "UNIMPLEMENTED",
    408: "DEADLINE_EXCEEDED",
    409: "FAILED_PRECONDITION",
    413: "RESOURCE_EXHAUSTED",
    415: "INVALID_ARGUMENT",
    422: "INVALID_ARGUMENT",
    429: "RESOURCE_EXHAUSTED",
    501: "UNIMPLEMENTED",
    503: "UNAVAILABLE",
}
"""Status of HTTP -> status code of gRPC; INTERNAL for any other."""

_SHOWN = (b"x-request-id", b"retry-after")
"""Headers of the response that become metadata."""


@dataclass(frozen=True)
class CallReply:
    """A response of the application."""

    status: int
    headers: Sequence[tuple[bytes, bytes]]
    body: bytes

    def reason(self) -> str:
        """Return why it is refused."""
        return str(orjson.loads(self.body)["error"])

    def metadata(self) -> tuple[tuple[str, str], ...]:
        """Return the headers that become metadata."""
        return tuple((name.decode(), value.decode("latin-1")) for name, value in self.headers if name in _SHOWN)


def status_code(status: int) -> Any:
    """Return the code of a status of HTTP."""
    import grpc

    return getattr(grpc.StatusCode, _CODES.get(status, "INTERNAL"))
