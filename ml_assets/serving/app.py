"""The server: Open Inference Protocol v2, MLflow's scoring protocol and Prometheus metrics over one Starlette app."""

import asyncio
import hashlib
import hmac
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from ml_assets.serving.body import BodyReader
from ml_assets.serving.champions import Champions, Served
from ml_assets.serving.declared import ServedModel
from ml_assets.serving.docs_page import POLICY, ask_for_key, render_docs
from ml_assets.serving.errors import BadRequest
from ml_assets.serving.mlflow_scoring import encode_request
from ml_assets.serving.open_inference import HEADER_LENGTH, metadata, read_json, read_request, write_response
from ml_assets.serving.openapi import DescribedServer, describe, described
from ml_assets.serving.rollout import CHAMPION
from ml_assets.serving.telemetry import Finished, request_id, write_line
from ml_assets.serving.tracing import Tracing

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
        reading: requests whose bodies are on their way at the same time; further ones are turned away too.
        body_seconds: seconds that a body may take to arrive.
        look_every: seconds between two looks for a new champion.
        keys: SHA-256 of the API keys, in hex; empty lets everybody in.
    """

    body: int = 8 << 20
    rows: int = 10_000
    waiting: int = 256
    reading: int = 1024
    body_seconds: float = 20.0
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
        self.refused = Gauge(
            "ml_assets_refused_versions", "Versions that failed their check.", ["model"], registry=self.registry
        )


class Server:
    """Routes over the champions of some models."""

    def __init__(
        self,
        champions: Champions,
        limits: Limits,
        declared: Mapping[str, ServedModel] | None = None,
        tracing: Tracing | None = None,
    ) -> None:
        self._champions = champions
        self._limits = limits
        self._declared = declared or {}
        self._tracing = tracing
        self._bodies = BodyReader(limits.body, limits.body_seconds, limits.reading)
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
            ("GET", "/openapi.json", self._openapi),
            ("GET", "/docs", self._docs),
        ]
        return Starlette(
            routes=[Route(path, self._guarded(path, handler), methods=[method]) for method, path, handler in routes],
            lifespan=self._lifespan,
            exception_handlers={HTTPException: _no_such_route},
        )

    @asynccontextmanager
    async def _lifespan(self, app: Starlette):  # noqa: ARG002
        looking = asyncio.create_task(self._look_for_champions())
        yield
        looking.cancel()
        with suppress(asyncio.CancelledError):
            await looking
        if self._tracing is not None:
            await asyncio.to_thread(self._tracing.close)

    async def _look_for_champions(self) -> None:
        while True:
            await asyncio.sleep(self._limits.look_every)
            try:
                await asyncio.to_thread(self._champions.refresh)
            except Exception:
                # A registry out of reach must not end the looking.
                log.exception("no look for champions: those that serve go on")
                continue
            self._tell_versions()

    def _tell_versions(self) -> None:
        for served in self._champions:
            self._measured.version.labels(served.name).set(int(served.version))
            refused = sum(name == served.name for name, _ in self._champions.refused)
            self._measured.refused.labels(served.name).set(refused)

    def _guarded(self, route: str, handler: Callable[[Request], Awaitable[Response]]):
        free = route in ("/v2/health/live", "/v2/health/ready", "/ping", "/health")

        async def answer(request: Request) -> Response:
            began = time.perf_counter()
            if not free and not self._may(request):
                response = _unauthorised(route)
            else:
                try:
                    request.state.body = await self._bodies.read(request) if request.method == "POST" else b""
                    response = await self._answer(handler, request)
                except BadRequest as error:
                    response = _refusal(error.status, str(error))
            seconds = time.perf_counter() - began
            self._measured.answers.labels(route, response.status_code).inc()
            self._measured.seconds.labels(self._label(request), route).observe(seconds)
            if not free:
                self._tell(request, route, response, seconds)
            return response

        return answer

    async def _answer(self, handler: Callable[[Request], Awaitable[Response]], request: Request) -> Response:
        """Only now that its body is whole does a request take the place of another."""
        if self._answering >= self._limits.waiting:
            raise BadRequest("too many requests at once: try again", 503)
        self._answering += 1
        try:
            return await handler(request)
        finally:
            self._answering -= 1

    def _tell(self, request: Request, route: str, response: Response, seconds: float) -> None:
        served: Served | None = getattr(request.state, "served", None)
        finished = Finished(
            request_id=request_id(request.headers.get("x-request-id")),
            method=request.method,
            route=route,
            status=response.status_code,
            milliseconds=seconds * 1e3,
            model=served.name if served is not None else self._label(request),
            version=served.version if served is not None else "",
            role=CHAMPION if served is not None else "",
            parent=request.headers.get("traceparent", ""),
        )
        write_line(finished)
        if self._tracing is not None:
            self._tracing.record(finished)

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

    async def _openapi(self, request: Request) -> Response:  # noqa: ARG002
        return _json(self._description())

    async def _docs(self, request: Request) -> Response:  # noqa: ARG002
        return HTMLResponse(render_docs(self._description()), headers={"content-security-policy": POLICY})

    def _description(self) -> dict[str, Any]:
        from ml_assets import __version__

        limits = self._limits
        server = DescribedServer(__version__, limits.body, limits.rows, keys=bool(limits.keys))
        return describe(server, [described(one, self._declared.get(one.name)) for one in self._champions])

    async def _model_ready(self, request: Request) -> Response:
        self._asked_for(request)
        return Response()

    async def _metadata(self, request: Request) -> Response:
        served = self._asked_for(request)
        return _json(metadata(served.name, [served.version], served.predictor))

    async def _infer(self, request: Request) -> Response:
        served = self._asked_for(request)
        asked, tensors = read_request(request.state.body, request.headers.get(HEADER_LENGTH))
        answer = await self._predict(served, served.predictor.encode_columns(tensors))
        return _json(write_response(served.name, served.version, asked, answer))

    async def _invocations(self, request: Request) -> Response:
        served = request.state.served = self._only()
        kind = request.headers.get("content-type", "").partition(";")[0].strip()
        if kind != "application/json":
            raise BadRequest(f"content-type must be application/json, not {kind[:60]!r}", 415)
        matrix = encode_request(served.predictor, read_json(request.state.body))
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
        request.state.served = served
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
    # What is left of a body that was given up must not be taken for the next request.
    headers = {"connection": "close"} if status in (408, 413) else None
    return Response(
        orjson.dumps({"error": message}), status_code=status, media_type="application/json", headers=headers
    )


def _unauthorised(route: str) -> Response:
    if route == "/docs":
        return HTMLResponse(ask_for_key(), status_code=401, headers={"content-security-policy": POLICY})
    return _refusal(401, "give an API key: Authorization: Bearer KEY")


async def _no_such_route(request: Request, error: HTTPException) -> Response:
    method = f"{request.method} is not answered here" if error.status_code == 405 else "there is no such path"
    response = _refusal(error.status_code, f"{method}: see /docs")
    response.headers.update(error.headers or {})
    return response


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


def make_app(
    registry,
    names: Sequence[str],
    limits: Limits,
    declared: Mapping[str, ServedModel] | None = None,
    tracing: Tracing | None = None,
) -> Starlette:
    """The app over a registry's champions; raises LookupError for a model without one."""
    return Server(Champions(registry, names), limits, declared, tracing).app()
