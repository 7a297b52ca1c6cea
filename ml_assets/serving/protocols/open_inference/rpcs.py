"""What gRPC clients of the Open Inference Protocol read: each call tells what a path of HTTP does."""

from collections.abc import Callable, Mapping
from typing import Any

import orjson

from ml_assets.serving.errors import BadRequest
from ml_assets.serving.protocols.adapter import GrpcRead, GrpcWatch
from ml_assets.serving.protocols.open_inference.messages import SERVICE, message_classes, parse
from ml_assets.serving.protocols.open_inference.resources import LOADING, LOGGING, MEMORY, TRACING

Content = Any


def _read(
    name: str,
    path: Callable[[Any], str],
    *,
    method: str = "GET",
    content: Callable[[Content], Content] = lambda content: content,
    unready: Mapping[str, Any] | None = None,
) -> GrpcRead:
    """Declare a call.

    Args:
        name: of the call.
        path: message of the request -> the path that tells it.
        content: what the path tells -> the message, as JSON.
        unready: the message, as JSON, where the path answers 503; None for a call that fails then.
    """

    def ask(body: bytes) -> tuple[str, str]:
        return method, path(parse(f"{name}Request", body))

    def write(body: bytes) -> bytes:
        return _message(name, content(orjson.loads(body)))

    def not_ready() -> bytes | None:
        return None if unready is None else _message(name, unready)

    return GrpcRead(f"/{SERVICE}/{name}", ask, write, not_ready)


def _message(name: str, content: Content) -> bytes:
    from google.protobuf.json_format import ParseDict

    return ParseDict(content, message_classes()[f"{name}Response"](), ignore_unknown_fields=True).SerializeToString()


def _model(rest: str = "") -> Callable[[Any], str]:
    def path(request: Any) -> str:
        if strange := next((name for name in (request.name, request.version) if "/" in name), ""):
            raise BadRequest(f"there is no model or version {strange[:60]!r}", 404)
        version = f"/versions/{request.version}" if request.version else ""
        return f"/v2/models/{request.name}{version}{rest}"

    return path


def _statistics(request: Any) -> str:
    return _model("/stats")(request) if request.name else "/v2/models/stats"


def _ask_health(body: bytes) -> tuple[str, str]:
    """Read which service is asked about, the only field: none for the server, or the one of predictions."""
    service = body[2:].decode(errors="replace")
    if service not in ("", SERVICE):
        raise BadRequest(f"there is no service {service[:60]!r}", 404)
    return "GET", "/v2/health/ready"


# grpc.health.v1, which Kubernetes asks; the status alone is answered: 1 serving, 2 not, 3 no such service.
_CHECK = GrpcRead("/grpc.health.v1.Health/Check", _ask_health, lambda _: b"\x08\x01", lambda: b"\x08\x02")
WATCHES = (GrpcWatch("/grpc.health.v1.Health/Watch", _CHECK, b"\x08\x03"),)

READS = (
    _read("ServerLive", lambda _: "/v2/health/live"),
    _read("ServerReady", lambda _: "/v2/health/ready", unready={"ready": False}),
    _read("ServerMetadata", lambda _: "/v2"),
    _read("ModelReady", _model("/ready"), unready={"ready": False}),
    _read("ModelMetadata", _model()),
    _read("ModelConfig", _model("/config"), content=lambda config: {"config": config}),
    _read("ModelStatistics", _statistics),
    _read(
        "RepositoryIndex",
        lambda _: "/v2/repository/index",
        method="POST",
        content=lambda models: {"models": models},
    ),
    _CHECK,
)

REFUSED = {
    f"/{SERVICE}/{name}": why
    for why, names in {
        LOADING: ("RepositoryModelLoad", "RepositoryModelUnload"),
        TRACING: ("TraceSetting",),
        MEMORY: tuple(
            f"{kind}SharedMemory{verb}" for kind in ("System", "Cuda") for verb in ("Status", "Register", "Unregister")
        ),
        LOGGING: ("LogSettings",),
    }.items()
    for name in names
}
