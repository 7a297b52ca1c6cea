"""The paths that take a body, each with what answers it."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from ml_assets.serving.http.exchange import Endpoint
from ml_assets.serving.http.predict import MessageHandler, PredictionHandler
from ml_assets.serving.http.push import PushHandler, TablePushHandler
from ml_assets.serving.prediction.answering import Answering
from ml_assets.serving.protocols.adapter import RequestProtocol

PUSH = "/v1/push/{view}"
PUSH_TABLE = "/v1/push/table/"
"""What comes before the key of a table, which may have slashes."""


class Endpoints:
    """Finds the endpoint of a path.

    Attributes:
        routes: the paths as they are declared, each with its methods.
        scopes: path and method -> what the route needs of a key.
    """

    def __init__(
        self,
        answering: Answering,
        protocols: Sequence[RequestProtocol],
        push: PushHandler,
        push_table: TablePushHandler,
    ) -> None:
        self._declared: list[tuple[list[str], Endpoint]] = []
        self._known: dict[str, Endpoint] = {}
        self._messages: dict[str, Endpoint] = {}
        for protocol in protocols:
            binding = protocol.http
            if binding is not None:
                handler = PredictionHandler(answering, protocol, binding)
                for path in binding.paths:
                    self._declare(
                        Endpoint(path, handler, binding.at_once, binding.slow, methods=binding.methods, scope="predict")
                    )
            carried = protocol.grpc
            if carried is not None:
                handler = MessageHandler(answering, protocol)
                self._messages[carried.unary] = Endpoint(carried.unary, handler, carried.at_once, scope="predict")
        self._declare(Endpoint(PUSH, push, 0, scope="push"))
        self._table = Endpoint(PUSH_TABLE + "{table}", push_table, 0, scope="push")
        self.routes = {endpoint.route: endpoint.methods for _, endpoint in self._declared}
        self.routes[PUSH_TABLE + "{table:path}"] = self._table.methods
        endpoints = [*(endpoint for _, endpoint in self._declared), self._table]
        self.scopes = {(each.route, method): each.scope for each in endpoints for method in each.methods}

    def remember(self, names: Iterable[str]) -> None:
        """Look up the paths of models and views beforehand, as they are requested all the time."""
        for name in ("", *names):
            for segments, endpoint in self._declared:
                if "{version" not in endpoint.route and "{label" not in endpoint.route:
                    path = "/".join(_filled(segment, name) for segment in segments)
                    matched = _matched(segments, path.split("/"), endpoint)
                    if matched is not None:
                        self._known[path] = matched

    def find_message(self, path: str) -> Endpoint:
        """Return the endpoint of messages that a call takes."""
        return self._messages[path]

    def find_any(self, path: str) -> Endpoint | None:
        """Return the endpoint of a path or of a call's messages."""
        return self._messages.get(path) or self.find(path)

    def find(self, path: str) -> Endpoint | None:
        """Return the endpoint of a path; None if nothing takes POST there."""
        known = self._known.get(path)
        if known is not None:
            return known
        if path.startswith(PUSH_TABLE) and len(path) > len(PUSH_TABLE):
            return replace(self._table, name=path[len(PUSH_TABLE) :])
        given = path.split("/")
        matches = (_matched(segments, given, endpoint) for segments, endpoint in self._declared)
        return next((endpoint for endpoint in matches if endpoint is not None), None)

    def _declare(self, endpoint: Endpoint) -> None:
        self._declared.append((endpoint.route.split("/"), endpoint))


def _filled(segment: str, name: str) -> str:
    """Put a name in the place of the model or view in a part of a path, which may go on behind it."""
    return name + segment.partition("}")[2] if segment[:1] == "{" else segment


def _matched(segments: Sequence[str], given: Sequence[str], endpoint: Endpoint) -> Endpoint | None:
    """Return the endpoint with what the path names; None for another path."""
    if len(segments) != len(given):
        return None
    named: dict[str, str] = {}
    for segment, text in zip(segments, given, strict=True):
        if segment[:1] != "{":
            if segment != text:
                return None
            continue
        field, _, rest = segment[1:].partition("}")
        value = text.removesuffix(rest)
        if not value or len(value) + len(rest) != len(text):
            return None
        named[field] = value
    return replace(
        endpoint,
        name=named.get("model") or named.get("view") or "",
        version=named.get("version"),
        label=named.get("label"),
    )
