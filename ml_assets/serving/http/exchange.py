"""One HTTP request that is being answered, and the path that it came by."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from ml_assets.serving.access.scopes import Scope
from ml_assets.serving.errors import BadRequest
from ml_assets.serving.http.observability.row_counts import RowCounts
from ml_assets.serving.prediction.answering import Question
from ml_assets.serving.prediction.messages import PredictionResponse
from ml_assets.serving.protocols.adapter import JSON
from ml_assets.serving.rollout.champions import Served, Serving

_JSON = JSON.encode()


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A path that takes requests with a body.

    Attributes:
        route: as it is declared, such as ``/v2/models/{model}/infer``.
        handler: answers it.
        at_once: bytes of a body up to which it is answered on the event loop: handing it to a thread costs more.
        slow: what stands in a body that goes to a thread whatever its size; None for nothing.
        name: the model or view that the path names; empty if it names none.
        version: the version that it names.
        label: the alias by which it names a version.
        methods: by which the requests come.
        scope: what a request's key must allow; where none is declared, only that of an administrator is let in.
    """

    route: str
    handler: "Handler"
    at_once: int
    slow: bytes | None = None
    name: str = ""
    version: str | None = None
    label: str | None = None
    methods: Sequence[str] = ("POST",)
    scope: Scope = "admin"


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """What is to be told of a request that another process answered or refused.

    Attributes:
        name: model that the request began with.
        version: its version.
        roles: who has answered; empty where nobody has.
    """

    name: str
    version: str
    roles: Collection[str] = ()


class Exchange:
    """A request on its way through a handler, which leaves here what is to be counted and logged.

    Attributes:
        at: moment of the request, microseconds.
        method: by which it came.
        path: as the request names it.
        began: when its head was there, by `time.perf_counter`.
        key: name of the key that let it in; empty where none was needed.
        served: the version that the request began with; None where none was asked.
        response: what models predicted, once it is rendered; None for none.
        elsewhere: what stands for both where another process has answered.
        counts: of the rows, where they are counted already.
        media_type: of the body of an answer.
        reply_headers: of the response.
    """

    __slots__ = (
        "at", "began", "body", "counts", "elsewhere", "endpoint", "headers", "key", "media_type", "method", "path",
        "reply_headers", "request_id", "response", "served",
    )  # fmt: skip

    def __init__(
        self,
        endpoint: Endpoint,
        headers: Mapping[bytes, bytes],
        request_id: str,
        at: int,
        method: str = "POST",
        *,
        path: str = "",
        began: float = 0.0,
    ) -> None:
        """Begin the exchange of a request.

        Args:
            headers: of the request, names in lower case.
            at: the moment of the request, microseconds.
        """
        self.endpoint = endpoint
        self.headers = headers
        self.request_id = request_id
        self.at = at
        self.method = method
        self.path = path
        self.began = began
        self.body = b""
        self.key = ""
        self.served: Served | None = None
        self.response: PredictionResponse | None = None
        self.elsewhere: Elsewhere | None = None
        self.counts: RowCounts | None = None
        self.media_type = JSON
        self.reply_headers: list[tuple[bytes, bytes]] = []

    def header(self, name: bytes) -> str | None:
        """Return a header of the request; None if it is missing."""
        value = self.headers.get(name)
        return None if value is None else value.decode("latin-1")

    def require_media_type(self, known: Sequence[str]) -> None:
        """Raise BadRequest (415) for a body that is declared as none of these media types, which are in lower case."""
        if self.headers.get(b"content-type") == _JSON and JSON in known:
            return  # which most are
        kind = (self.header(b"content-type") or "").partition(";")[0].strip()
        if kind.lower() not in known:
            raise BadRequest(f"content-type must be {' or '.join(known)}, not {kind[:60]!r}", 415)


class Handler(Protocol):
    """Answers the requests of a route. Its methods may run on another thread than the event loop's."""

    def begin(self, exchange: Exchange) -> Question | bytes:
        """Read a request into a question, or answer it if no model is needed; raises BadRequest."""
        ...

    def finish(self, exchange: Exchange, response: PredictionResponse) -> bytes:
        """Render the response of a request that `begin` read into a question; raises BadRequest."""
        ...


class LargeRequests(Protocol):
    """Answers large requests without holding up this process."""

    @property
    def fault(self) -> str:
        """Why its answers cannot be logged now; empty while they can."""
        ...

    def counted(self, name: str) -> float:
        """Return what it adds to a counter of the log."""
        ...

    async def answer(self, exchange: Exchange, serving: Serving) -> bytes | None:
        """Answer a request whose body is whole; raises BadRequest.

        Args:
            serving: the versions that are to answer.

        Returns:
            The body of the answer; None where it cannot be had now.
        """
        ...

    def look(self) -> None:
        """Have a look, now and then, at what it has counted; waits for nothing."""
        ...

    def close(self) -> None:
        """Let what is being answered be answered, and end."""
        ...


Counters = Mapping[str, tuple[str, Callable[[], float]]]
"""Name -> help, and what to ask for the count."""


def summed(counters: Counters, further: LargeRequests) -> dict[str, tuple[str, Callable[[], float]]]:
    """Return counters that add what another process has counted under the same name."""

    def sum_of(name: str, own: Callable[[], float]) -> Callable[[], float]:
        return lambda: own() + further.counted(name)

    return {name: (text, sum_of(name, own)) for name, (text, own) in counters.items()}


def answer_at_once(exchange: Exchange) -> bytes:
    """Answer a request in this thread, and count its rows; raises BadRequest."""
    handler = exchange.endpoint.handler
    question = handler.begin(exchange)
    if isinstance(question, bytes):
        return question
    body = handler.finish(exchange, question.predict())
    if exchange.response is not None:
        exchange.counts = RowCounts()
        exchange.counts.count(exchange.response.champion.name, exchange.response)
    return body
