"""What a request protocol is: bytes to a request, a response to bytes; and how HTTP and gRPC carry it."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, ClassVar, Literal

from pydantic import BaseModel

from ml_assets.serving.access.scopes import Scope
from ml_assets.serving.declared import ServedModel
from ml_assets.serving.prediction.messages import PredictionRequest, PredictionResponse
from ml_assets.serving.rollout.champions import Served
from ml_assets.training.encoding import FeatureEncoding

JSON = "application/json"
_NOTHING: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True)
class ProtocolLimits:
    """What a server takes on that a protocol must know.

    Attributes:
        rows: rows of a request.
        replay: whether each request carries its own moment.
    """

    rows: int = 10_000
    replay: bool = False


@dataclass(frozen=True)
class HttpBinding:
    """How HTTP carries a protocol.

    Attributes:
        paths: routes that take its requests; `{model}` and `{version}` name the version that is to answer,
            `{label}` names it by its alias, of which there is `champion`.
        tag: chapter of the description that its routes stand in.
        methods: by which its requests come.
        media_types: media types that a body may have, in lower case, others are refused (415); empty for any.
        at_once: bytes of a body up to which it is answered on the event loop, about a dozen rows; handing it to a
            thread would take longer.
        parameters: the protocol's parameter -> header that carries it, of requests and of responses.
        slow: what stands in a body that takes long to answer, however small it is; such a body goes to a thread too.
        version_header: response header that names the version that answered; None for none.
    """

    paths: Sequence[str]
    tag: str
    methods: Sequence[Literal["POST", "PUT"]] = ("POST",)
    media_types: Sequence[str] = ()
    at_once: int = 32 << 10
    parameters: Mapping[str, bytes] = field(default_factory=dict)
    slow: bytes | None = None
    version_header: bytes | None = None


@dataclass(frozen=True)
class GrpcRead:
    """A call by which clients read what a path of HTTP tells.

    Attributes:
        path: of the call, such as `/package.Service/Method`.
        ask: message of the request -> method and path that tell it; raises BadRequest.
        write: body of the path's answer -> message of the response.
        unready: message of the response where the path answers 503; None where the call fails then.
    """

    path: str
    ask: Callable[[bytes], tuple[str, str]]
    write: Callable[[bytes], bytes]
    unready: Callable[[], bytes | None]


@dataclass(frozen=True)
class GrpcWatch:
    """A call that answers what another reads, and again whenever that has changed, until the client or the server ends.

    Attributes:
        path: of the call.
        read: what is watched: a path of HTTP that needs no key, and has a message for 503.
        unknown: message of the response where `read.ask` knows nothing of this name (404), which may yet come to be.
    """

    path: str
    read: GrpcRead
    unknown: bytes


@dataclass(frozen=True)
class GrpcBinding:
    """How gRPC carries a protocol: a body is a message, which names the model.

    Attributes:
        unary: path of the call that takes one request.
        stream: path of the call that takes a stream of them, and answers each in turn.
        streamed: message of a response -> what stands for it in a stream.
        failed: why a request is refused -> what stands for that in a stream, which goes on.
        at_once: as of `HttpBinding`.
        reads: calls by which clients read what HTTP tells.
        watches: calls by which they see it change.
        refused: paths that clients know and that are not offered -> why.
    """

    unary: str
    stream: str
    streamed: Callable[[bytes], bytes]
    failed: Callable[[str], bytes]
    at_once: int = 32 << 10
    reads: Sequence[GrpcRead] = ()
    watches: Sequence[GrpcWatch] = ()
    refused: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class InService:
    """A version that serves, and what it has done since the server began.

    Attributes:
        rows: rows that it predicted.
        answers: requests that it answered.
        seconds: that these took together.
        last: moment of the last of them, microseconds; 0 for none.
        limits: what the server takes on.
        unready: why the model was not ready at the last look; empty if it was.
    """

    served: Served
    rows: int
    answers: int
    seconds: float
    last: int
    limits: ProtocolLimits
    unready: str = ""


@dataclass(frozen=True)
class Resource:
    """What a protocol's clients read of the models that are served, beside predictions.

    Attributes:
        path: with `{model}` it is about that model, with `{version}` or `{label}` about this version of it; without any
            it is about all of them.
        summary: of the path, in the description; `{model}` stands for the model's name.
        response: model of the body.
        render: the versions that the path is about -> the body.
        method: GET, or POST where clients ask by it.
        open: whether it needs no key and is not logged, as probes of health.
        ready: whether it is refused with 503 and the reason while no requests should come here.
        scope: what a key must allow to read it, unless it is open.
    """

    path: str
    summary: str
    response: type[BaseModel]
    render: Callable[[Sequence[InService]], BaseModel]
    method: Literal["GET", "POST"] = "GET"
    open: bool = False
    ready: bool = False
    scope: Scope = "read"


@dataclass(frozen=True)
class DescribedModel:
    """A served model, as far as a description of its requests needs it.

    Attributes:
        outputs: column of a response -> FP64, INT64, BOOL or BYTES.
        declared: what rows of its spine hold; None where it takes features alone.
        known_rows: features of some rows, for examples.
    """

    name: str
    version: str
    features: Sequence[FeatureEncoding]
    outputs: Mapping[str, str]
    declared: ServedModel | None = None
    known_rows: Sequence[Mapping[str, Any]] = ()


@dataclass(frozen=True)
class Interface:
    """Requests and responses of one model, described.

    Attributes:
        request: model of a request's body.
        example: a body that fits it.
        response: model of a response's body.
        refusals: statuses with which a request may be refused.
        texts: media types of requests beside JSON, each with a body that fits.
        response_texts: media types of responses beside JSON.
    """

    summary: str
    description: str
    request: type[BaseModel]
    example: Mapping[str, Any]
    response: type[BaseModel]
    refusals: Sequence[int]
    texts: Mapping[str, str] = field(default_factory=dict)
    response_texts: Sequence[str] = ()


class RequestProtocol(ABC):
    """A form of requests and responses. Subclass it, and register the class in the group
    `ml_assets.request_protocols`: what answers, logs and counts requests does not change.

    It holds no state of a request, and is called from several threads at once.
    """

    http: ClassVar[HttpBinding | None] = None
    """How HTTP carries it; None for a protocol that another transport carries."""

    grpc: ClassVar[GrpcBinding | None] = None
    """How gRPC carries it; None where it does not."""

    resources: ClassVar[Sequence[Resource]] = ()
    """What HTTP gives its clients to read."""

    refused: ClassVar[Mapping[str, str]] = MappingProxyType({})
    """Paths that its clients know and that are not offered -> why."""

    def __init__(self, limits: ProtocolLimits) -> None:
        self.limits = limits

    @abstractmethod
    def read(self, body: bytes, parameters: Mapping[str, str]) -> PredictionRequest:
        """Parse a request.

        Args:
            parameters: what the transport carries beside the body, by the protocol's own names.

        Raises:
            BadRequest: it is not of this form.
        """

    @abstractmethod
    def write(self, response: PredictionResponse) -> bytes:
        """Render a response; raises BadRequest where the request wants what the response does not have."""

    def media_type(self, request: PredictionRequest) -> str:  # noqa: ARG002
        """Return the media type of what `write` has rendered for a request."""
        return JSON

    def reply_parameters(self, request: PredictionRequest) -> Mapping[str, str]:  # noqa: ARG002
        """Return what the transport carries beside the body that `write` has rendered, by the protocol's own names."""
        return _NOTHING

    def describe(self, model: DescribedModel) -> Interface | None:  # noqa: ARG002
        """Describe requests about a model; None where the model takes none by this protocol."""
        return None
