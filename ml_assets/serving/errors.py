"""What can be wrong with a request."""

from collections.abc import Mapping
from types import MappingProxyType


class BadRequest(ValueError):
    """A request that cannot be answered as it is; the text names the field and says what it must be.

    Attributes:
        status: HTTP status, 400 unless something more fitting is given.
        headers: of the response, names in lower case.
    """

    def __init__(self, message: str, status: int = 400, headers: Mapping[str, str] = MappingProxyType({})) -> None:
        super().__init__(message)
        self.status = status
        self.headers = headers


class FeaturesUnavailable(BadRequest):
    """The store of a request's features is out of reach (503)."""

    def __init__(self, message: str) -> None:
        super().__init__(message, 503)


def failed(request_id: str) -> BadRequest:
    """Return what a client is told where answering its request went wrong; the log has the reason."""
    return BadRequest(f"the server failed; its log tells of {request_id}", 500)
