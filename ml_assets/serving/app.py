"""The server: Open Inference Protocol v2, MLflow's scoring protocol and Prometheus metrics over one Starlette app."""

import asyncio
import hashlib
import hmac
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ml_assets.serving.champions import Champions, Served
from ml_assets.serving.errors import BadRequest
from ml_assets.serving.mlflow_scoring import encode_request
from ml_assets.serving.open_inference import HEADER_LENGTH, metadata, read_json, read_request, write_response

log = logging.getLogger(__name__)

AT_ONCE = 64
"""Rows up to which a request is answered on the event loop: handing it to a thread would take longer."""

LATENCY = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 1.0)


@dataclass(frozen=True)
class Limits:
    """What the server takes on.

    Attributes:
        body: bytes of a request.
        rows: rows of a request.
        waiting: requests answered at the same time; further ones are turned away with 503.
        look_every: seconds between two looks for a new champion.
        keys: SHA-256 of the API keys, in hex; empty lets everybody in.
    """

    body: int = 8 << 20
    rows: int = 10_000
    waiting: int = 256
    look_every: float = 5.0
    keys: tuple[str, ...] = ()


class _Measured:
    """Prometheus metrics of one app."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.seconds = Histogram(
            "ml_assets_request_seconds",
            "Time to answer or refuse.",
            ["model", "route"],
            buckets=LATENCY,
            registry=self.registry,
        )
        self.answers = Counter("ml_assets_answers", "Answers by status.", ["route", "status"], registry=self.registry)
        self.rows = Counter("ml_assets_rows", "Rows predicted.", ["model", "version"], registry=self.registry)
        self.missing = Counter(
            "ml_assets_missing_values", "Feature values that were null.", ["model"], registry=self.registry
        )
        self.version = Gauge("ml_assets_model_version", "Version that serves.", ["model"], registry=self.registry)


class Server:
    """Routes over the champions of some models."""

    def __init__(self, champions: Champions, limits: Limits) -> None:
        self._champions = champions
        self._limits = limits
        self._measured = _Measured()
        self._answering = 0
        self._tell_versions()

    def app(self) -> Starlette:
        """The ASGI application."""
        model = "/v2/models/{model}"
        # Routes are tried in order: those that are asked for all the time come first.
        routes = [
            ("POST", "/invocations", self._invocations),
            ("POST", model + "/infer", self._infer),
            ("GET", "/v2", self._about),
            ("GET", "/v2/health/live", self._ok),
            ("GET", "/v2/health/ready", self._ok),
            *(
                ("GET", f"{prefix}{path}", handler)
                for prefix in (model, model + "/versions/{version}")
                for path, handler in (("", self._metadata), ("/ready", self._model_ready))
            ),
            ("POST", model + "/versions/{version}/infer", self._infer),
            ("GET", "/ping", self._ok),
            ("GET", "/health", self._ok),
            ("GET", "/version", self._version),
            ("GET", "/metrics", self._metrics),
        ]
        return Starlette(
            routes=[Route(path, self._guarded(path, handler), methods=[method]) for method, path, handler in routes],
            lifespan=self._lifespan,
        )

    @asynccontextmanager
    async def _lifespan(self, app: Starlette):  # noqa: ARG002
        looking = asyncio.create_task(self._look_for_champions())
        yield
        looking.cancel()
        with suppress(asyncio.CancelledError):
            await looking

    async def _look_for_champions(self) -> None:
        while True:
            await asyncio.sleep(self._limits.look_every)
            try:
                changed = await asyncio.to_thread(self._champions.refresh)
            except Exception:
                # A registry out of reach must not end the looking.
                log.exception("no look for champions: those that serve go on")
                continue
            if changed:
                self._tell_versions()

    def _tell_versions(self) -> None:
        for served in self._champions:
            self._measured.version.labels(served.name).set(int(served.version))

    def _guarded(self, route: str, handler: Callable[[Request], Awaitable[Response]]):
        free = route in ("/v2/health/live", "/v2/health/ready", "/ping", "/health")

        async def answer(request: Request) -> Response:
            began = time.perf_counter()
            if not free and not self._may(request):
                response = _refusal(401, "give an API key: Authorization: Bearer KEY")
            elif self._answering >= self._limits.waiting:
                response = _refusal(503, "too many requests at once: try again")
            else:
                self._answering += 1
                try:
                    response = await handler(request)
                except BadRequest as error:
                    response = _refusal(error.status, str(error))
                finally:
                    self._answering -= 1
            self._measured.answers.labels(route, response.status_code).inc()
            self._measured.seconds.labels(self._label(request), route).observe(time.perf_counter() - began)
            return response

        return answer

    def _may(self, request: Request) -> bool:
        if not self._limits.keys:
            return True
        given = request.headers.get("authorization", "").removeprefix("Bearer ")
        digest = hashlib.sha256(given.encode()).hexdigest()
        # Every key is compared, so that the time tells nothing.
        return sum(hmac.compare_digest(digest, key) for key in self._limits.keys) > 0

    async def _ok(self, request: Request) -> Response:  # noqa: ARG002
        return Response()

    async def _about(self, request: Request) -> Response:  # noqa: ARG002
        from ml_assets import __version__

        return _json({"name": "ml_assets", "version": __version__, "extensions": ["binary_tensor_data"]})

    async def _version(self, request: Request) -> Response:  # noqa: ARG002
        from importlib.metadata import version

        return Response(version("mlflow"), media_type="text/plain")

    async def _metrics(self, request: Request) -> Response:  # noqa: ARG002
        return Response(generate_latest(self._measured.registry), media_type=CONTENT_TYPE_LATEST)

    async def _model_ready(self, request: Request) -> Response:
        self._asked_for(request)
        return Response()

    async def _metadata(self, request: Request) -> Response:
        served = self._asked_for(request)
        return _json(metadata(served.name, [served.version], served.predictor))

    async def _infer(self, request: Request) -> Response:
        served = self._asked_for(request)
        asked, tensors = read_request(await self._body(request), request.headers.get(HEADER_LENGTH))
        answer = await self._predict(served, served.predictor.encode_columns(tensors))
        return _json(write_response(served.name, served.version, asked, answer))

    async def _invocations(self, request: Request) -> Response:
        served = self._only()
        kind = request.headers.get("content-type", "").partition(";")[0].strip()
        if kind != "application/json":
            raise BadRequest(f"content-type must be application/json, not {kind[:60]!r}", 415)
        matrix = encode_request(served.predictor, read_json(await self._body(request)))
        answer = await self._predict(served, matrix)
        rows = [dict(zip(answer, row, strict=True)) for row in zip(*answer.values(), strict=True)]
        response = _json({"predictions": rows})
        response.headers["x-model-version"] = served.version
        return response

    def _asked_for(self, request: Request) -> Served:
        name, version = request.path_params["model"], request.path_params.get("version")
        served = self._champions.find(name)
        if served is None:
            raise BadRequest(f"model {name[:60]!r} is not served; there are {self._names()}", 404)
        if version not in (None, served.version):
            raise BadRequest(f"version {version[:20]!r} of {name} is not served; there is {served.version}", 404)
        return served

    def _only(self) -> Served:
        served = list(self._champions)
        if len(served) != 1:
            raise BadRequest(f"/invocations names no model: of {self._names()} ask /v2/models/NAME/infer", 404)
        return served[0]

    def _names(self) -> str:
        return ", ".join(served.name for served in self._champions)

    def _label(self, request: Request) -> str:
        """The served model that a request is for; empty if it is for none."""
        served = [one.name for one in self._champions]
        named = request.path_params.get("model", served[0] if len(served) == 1 else "")
        return named if named in served else ""

    async def _body(self, request: Request) -> bytes:
        body = bytearray()
        async for chunk in request.stream():
            body += chunk
            if len(body) > self._limits.body:
                raise BadRequest(f"the body is larger than {self._limits.body} bytes: send fewer rows at once", 413)
        return bytes(body)

    async def _predict(self, served: Served, matrix: np.ndarray) -> dict[str, list]:
        rows = len(matrix)
        if rows > self._limits.rows:
            raise BadRequest(f"{rows} rows are more than {self._limits.rows}: send fewer at once", 413)
        if rows == 0:
            raise BadRequest("there is no row to predict")
        ask = served.predictor.predict
        answer = ask(matrix) if rows <= AT_ONCE else await asyncio.to_thread(ask, matrix)
        self._measured.rows.labels(served.name, served.version).inc(rows)
        self._measured.missing.labels(served.name).inc(int(np.isnan(matrix).sum()))
        return answer


def _json(content: Any) -> Response:
    return Response(orjson.dumps(content), media_type="application/json")


def _refusal(status: int, message: str) -> Response:
    return Response(orjson.dumps({"error": message}), status_code=status, media_type="application/json")


def hashed_keys(text: str) -> tuple[str, ...]:
    """The SHA-256 digests in a comma-separated list.

    Raises:
        ValueError: one is no SHA-256 in hex.
    """
    keys = tuple(key.strip().lower() for key in text.split(",") if key.strip())
    if wrong := [key for key in keys if len(key) != 64 or set(key) - set("0123456789abcdef")]:
        raise ValueError(
            f"ML_ASSETS_API_KEYS: entry {keys.index(wrong[0]) + 1} is no SHA-256 in hex: give the digests of the keys, "
            "such as from `printf %s KEY | sha256sum`, never the keys"
        )
    return keys


def make_app(registry, names: Sequence[str], limits: Limits) -> Starlette:
    """The app over a registry's champions; raises LookupError for a model without one."""
    return Server(Champions(registry, names), limits).app()
