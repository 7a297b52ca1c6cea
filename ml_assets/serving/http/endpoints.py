"""The paths that take POST, each with what answers it."""

from collections.abc import Iterable, Sequence

from ml_assets.serving.http.exchange import Endpoint, Handler
from ml_assets.serving.http.predict import PredictionHandler
from ml_assets.serving.http.push import PushHandler
from ml_assets.serving.prediction.answering import Answering
from ml_assets.serving.protocols.adapter import RequestProtocol

PUSH = "/v1/push/{view}"


class Endpoints:
    """Finds the endpoint of a path.

    Attributes:
        routes: the paths as they are declared.
    """

    def __init__(self, answering: Answering, protocols: Sequence[RequestProtocol], push: PushHandler) -> None:
        self._declared: list[tuple[list[str], Endpoint]] = []
        self._known: dict[str, Endpoint] = {}
        for protocol in protocols:
            binding = protocol.http
            if binding is not None:
                handler = PredictionHandler(answering, protocol, binding)
                for path in binding.paths:
                    self._declare(path, handler, binding.at_once, binding.slow)
        self._declare(PUSH, push, 0, None)
        self.routes = [endpoint.route for _, endpoint in self._declared]

    def remember(self, names: Iterable[str]) -> None:
        """Look up the paths of models and views beforehand, as they are requested all the time."""
        for name in ("", *names):
            for segments, endpoint in self._declared:
                if "{version}" not in segments:
                    path = "/".join(name if segment[:1] == "{" else segment for segment in segments)
                    matched = _matched(segments, path.split("/"), endpoint)
                    if matched is not None:
                        self._known[path] = matched

    def find(self, path: str) -> Endpoint | None:
        """Return the endpoint of a path; None if nothing takes POST there."""
        known = self._known.get(path)
        if known is not None:
            return known
        given = path.split("/")
        matches = (_matched(segments, given, endpoint) for segments, endpoint in self._declared)
        return next((endpoint for endpoint in matches if endpoint is not None), None)

    def _declare(self, route: str, handler: Handler, at_once: int, slow: bytes | None) -> None:
        self._declared.append((route.split("/"), Endpoint(route, handler, at_once, slow)))


def _matched(segments: Sequence[str], given: Sequence[str], endpoint: Endpoint) -> Endpoint | None:
    """Return the endpoint with what the path names; None for another path."""
    if len(segments) != len(given):
        return None
    name, version = "", None
    for segment, text in zip(segments, given, strict=True):
        if segment == "{version}" and text:
            version = text
        elif segment in ("{model}", "{view}") and text:
            name = text
        elif segment != text:
            return None
    return Endpoint(endpoint.route, endpoint.handler, endpoint.at_once, endpoint.slow, name, version)
