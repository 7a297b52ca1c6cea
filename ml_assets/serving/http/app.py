"""The server: rows of a spine, Open Inference Protocol v2, MLflow's scoring protocol and Prometheus metrics.

Requests for predictions are answered on ASGI itself, as a framework's request and response objects would take as long
as the prediction; Starlette has the rest.
"""

import asyncio
import hashlib
import hmac
import logging
import time
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

import orjson
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from ml_assets.online.stores.protocol import OnlineStore
from ml_assets.serving.declared import Declarations
from ml_assets.serving.errors import BadRequest
from ml_assets.serving.http.body import BodyReader, Receive
from ml_assets.serving.http.docs_page import POLICY, ask_for_key, render_docs
from ml_assets.serving.http.measured import Measured
from ml_assets.serving.http.openapi import DescribedServer, describe, described
from ml_assets.serving.http.telemetry import Finished, request_id, telling, write_line
from ml_assets.serving.http.together import Together
from ml_assets.serving.http.tracing import Tracing
from ml_assets.serving.log.keeping import Keeping, OpenLog
from ml_assets.serving.prediction.exchange import Exchange, Handler, Post
from ml_assets.serving.prediction.feature_answers import FeatureAnswers
from ml_assets.serving.prediction.row_answers import RowAnswers
from ml_assets.serving.protocols.open_inference import metadata
from ml_assets.serving.rollout.challenger import CHAMPION
from ml_assets.serving.rollout.champions import Champions
from ml_assets.serving.rollout.choice import Choosing

log = logging.getLogger(__name__)

Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

FREE = ("/v2/health/live", "/v2/health/ready", "/ping", "/health")
"""Routes that need no key."""

INVOCATIONS = "/invocations"
INFER, INFER_VERSION = "/v2/models/{model}/infer", "/v2/models/{model}/versions/{version}/infer"
PREDICT, PREDICT_VERSION = "/v1/models/{model}/predict", "/v1/models/{model}/versions/{version}/predict"
PUSH = "/v1/push/{view}"

FEATURES_AT_ONCE, ROWS_AT_ONCE = 32 << 10, 4 << 10
"""Bytes of a body up to which it is answered on the event loop: a dozen rows, which take about a millisecond. Handing
them to a thread would take longer."""

_KEPT_AT_ONCE = 64  # rows that take a fraction of a millisecond

NO_KEY = hashlib.sha256(b"").hexdigest()

_JSON = (b"content-type", b"application/json")
_CLOSE = (b"connection", b"close")


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
        replay: whether each request says its own moment.
    """

    body: int = 8 << 20
    rows: int = 10_000
    waiting: int = 256
    reading: int = 1024
    body_seconds: float = 20.0
    look_every: float = 5.0
    keys: tuple[str, ...] = ()
    replay: bool = False


class Server:
    """The ASGI application over the champions of some models.

    Args:
        clock: microseconds since the epoch; asked once a request.
        open_log: makes the log of what was answered; None for none.
        tracing: is told of each request.
    """

    def __init__(
        self,
        champions: Champions,
        limits: Limits,
        declared: Declarations,
        store: OnlineStore | None,
        *,
        clock: Callable[[], int],
        open_log: OpenLog | None = None,
        tracing: Tracing | None = None,
    ) -> None:
        self._champions = champions
        self._limits = limits
        self._declared = declared
        self._tracing = tracing
        self._clock = clock
        self._bodies = BodyReader(limits.body, limits.body_seconds, limits.reading)
        self._measured = Measured()
        self._keeping = None if open_log is None else Keeping(champions, declared, open_log)
        self._together = Together()
        self._answering = 0
        choosing = Choosing(champions)
        self._choosing = choosing
        self._features = FeatureAnswers(choosing, limits.rows, kept=self._keeping is not None)
        self._rows = RowAnswers(choosing, declared, store, most=limits.rows, replay=limits.replay)
        self._posts = self._known_posts()
        self._rest = self._starlette()
        if self._keeping is not None:
            self._measured.counters |= self._keeping.counters
        self._tell_versions()

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] == "http" and scope["method"] == "POST":
            path = self._posts.get(scope["path"]) or self._find_post(scope["path"])
            if path is not None:
                await self._post(path, scope, receive, send)
                return
        await self._rest(scope, receive, send)

    def _known_posts(self) -> dict[str, Post]:
        """The paths that are asked for all the time."""
        posts = {INVOCATIONS: Post(INVOCATIONS, self._features.invocations, FEATURES_AT_ONCE)}
        for served in self._champions:
            for path in (f"/v2/models/{served.name}/infer", f"/v1/models/{served.name}/predict"):
                posts[path] = self._find_post(path)
        for view in self._declared.online:
            posts[f"/v1/push/{view}"] = self._find_post(f"/v1/push/{view}")
        return posts

    def _find_post(self, path: str) -> Post | None:
        infer, predict = self._features.infer, self._rows.predict
        match path.split("/")[1:]:
            case ["v2", "models", name, "infer"]:
                return Post(INFER, infer, FEATURES_AT_ONCE, name)
            case ["v1", "models", name, "predict"]:
                return Post(PREDICT, predict, ROWS_AT_ONCE, name)
            case ["v1", "push", name]:
                return Post(PUSH, self._rows.push, 0, name)
            case ["v2", "models", name, "versions", version, "infer"]:
                return Post(INFER_VERSION, infer, FEATURES_AT_ONCE, name, version)
            case ["v1", "models", name, "versions", version, "predict"]:
                return Post(PREDICT_VERSION, predict, ROWS_AT_ONCE, name, version)
        return None

    async def _post(self, path: Post, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        began = time.perf_counter()
        headers: dict[bytes, bytes] = dict(scope["headers"])
        asked = Exchange(path, headers, request_id(headers.get(b"x-request-id", b"").decode("latin-1")), self._clock())
        try:
            self._require_key(headers.get(b"authorization", b"").decode("latin-1"))
            asked.body = await self._bodies.read(receive)
            status, body = 200, await self._answer(path.handler, asked)
        except BadRequest as error:
            status, body = error.status, _refused(error)
        except Exception:
            # Whatever went wrong with one request, its client is told so and the others are answered.
            log.exception("%s %s failed", path.route, asked.request_id)
            status, body = 500, _refused(BadRequest(f"the server failed; its log tells of {asked.request_id}"))
        seconds = time.perf_counter() - began
        reply = [_JSON, (b"content-length", b"%d" % len(body)), (b"x-request-id", asked.request_id.encode())]
        if status in (408, 413):
            # What is left of a body that was given up must not be taken for the next request.
            reply.append(_CLOSE)
        await send({"type": "http.response.start", "status": status, "headers": reply + asked.reply_headers})
        await send({"type": "http.response.body", "body": body})
        self._count(asked, status, seconds)
        self._tell_post(asked, status, seconds)
        if self._keeping is None or not asked.scored:
            return
        if len(asked.scored) <= _KEPT_AT_ONCE:
            self._keeping.keep(asked, seconds)
        else:
            await asyncio.to_thread(self._keeping.keep, asked, seconds)

    async def _answer(self, handler: Handler, asked: Exchange) -> bytes:
        """Only now that its body is whole does a request take the place of another."""
        if self._answering >= self._limits.waiting:
            raise BadRequest("too many requests at once: try again", 503)
        self._answering += 1
        try:
            # Contributions take milliseconds, however small the body.
            if len(asked.body) > asked.path.at_once or b'"contributions"' in asked.body:
                return await asyncio.to_thread(_answer_at_once, handler, asked)
            question = handler(asked)
            if isinstance(question, bytes):
                return question
            return question.finish([await self._together.predict(one.predictor, rows) for one, rows in question.parts])
        finally:
            self._answering -= 1

    def _count(self, asked: Exchange, status: int, seconds: float) -> None:
        measured, route = self._measured, asked.path.route
        model = asked.served.name if asked.served is not None else self._only_name()
        measured.answers[route, str(status)] += 1
        measured.seconds[model, route].add(seconds)
        for served, rows in asked.rows.items():
            measured.rows[served] += rows
        if asked.missing:
            measured.missing[(model,)] += asked.missing
        for one in asked.scored:
            if one.fetched is not None:
                for view, state in one.fetched.states.items():
                    measured.states[model, view, state] += 1
                    known_at = one.fetched.known_at[view]
                    if known_at is not None:
                        measured.ages[(view,)].add((asked.at - known_at) / 1e6)

    def _tell_post(self, asked: Exchange, status: int, seconds: float) -> None:
        if self._tracing is None and not telling(status):
            return
        served = asked.served
        # Features are answered by the champion, and not kept row by row where nobody logs them.
        roles = {one.role for one in asked.scored} or ({CHAMPION} if served is not None and status == 200 else set())
        self._tell(
            Finished(
                request_id=asked.request_id,
                method="POST",
                route=asked.path.route,
                status=status,
                milliseconds=seconds * 1e3,
                model=served.name if served is not None else self._only_name(),
                version=served.version if served is not None else "",
                role=",".join(sorted(roles)),
                parent=asked.header(b"traceparent") or "",
            )
        )

    def _tell(self, finished: Finished) -> None:
        write_line(finished)
        if self._tracing is not None:
            self._tracing.record(finished)

    def _only_name(self) -> str:
        """The model that a path without a name is about; empty if there are several."""
        served = list(self._champions)
        return served[0].name if len(served) == 1 else ""

    def _require_key(self, authorization: str) -> None:
        if not self._limits.keys:
            return
        scheme, _, key = authorization.partition(" ")
        digest = hashlib.sha256(key.strip().encode()).hexdigest() if scheme.lower() == "bearer" else ""
        # Every key is compared, so that the time tells nothing.
        if sum(hmac.compare_digest(digest, key) for key in self._limits.keys) == 0:
            raise BadRequest("give an API key: Authorization: Bearer KEY", 401)

    def _starlette(self) -> Starlette:
        """What is not asked for all the time."""
        model = "/v2/models/{model}"
        routes = [
            ("/v2", self._about),
            *((path, self._ok) for path in FREE),
            *(
                (f"{prefix}{path}", handler)
                for prefix in (model, model + "/versions/{version}")
                for path, handler in (("", self._metadata), ("/ready", self._model_ready))
            ),
            ("/version", self._version),
            ("/metrics", self._metrics),
            ("/openapi.json", self._openapi),
            ("/docs", self._docs),
        ]
        posts = (INVOCATIONS, INFER, INFER_VERSION, PREDICT, PREDICT_VERSION, PUSH)
        return Starlette(
            routes=[
                *(Route(path, self._guarded(path, handler), methods=["GET"]) for path, handler in routes),
                # Never reached, so that another method is told which one it must be.
                *(Route(path, self._ok, methods=["POST"]) for path in posts),
            ],
            lifespan=self._lifespan,
            exception_handlers={HTTPException: _no_such_route},
        )

    @asynccontextmanager
    async def _lifespan(self, app: Starlette):  # noqa: ARG002
        behind = [asyncio.create_task(one) for one in (self._look_for_champions(), self._bodies.give_up_late())]
        yield
        for task in behind:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        for closing in (self._keeping, self._tracing):
            if closing is not None:
                await asyncio.to_thread(closing.close)

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
        gauges = {name: values for name, (_, values) in self._measured.gauges.items()}
        for served in self._champions:
            challenger = self._champions.challenger(served.name)
            gauges["model_version"][(served.name,)] = int(served.version)
            gauges["challenger_version"][(served.name,)] = 0 if challenger is None else int(challenger.version)
            refused = sum(name == served.name for name, _ in self._champions.refused)
            gauges["refused_versions"][(served.name,)] = refused

    def _guarded(self, route: str, handler: Callable[[Request], Awaitable[Response]]):
        async def answer(request: Request) -> Response:
            began = time.perf_counter()
            try:
                if route not in FREE:
                    self._require_key(request.headers.get("authorization", ""))
                response = await handler(request)
            except BadRequest as error:
                response = _unauthorised(route) if error.status == 401 else _refusal(error)
            seconds, name = time.perf_counter() - began, request.path_params.get("model", self._only_name())
            model = name if self._champions.find(name) is not None else ""
            self._measured.answers[route, str(response.status_code)] += 1
            self._measured.seconds[model, route].add(seconds)
            if route not in FREE:
                told = request_id(request.headers.get("x-request-id", ""))
                response.headers["x-request-id"] = told
                parent = request.headers.get("traceparent", "")
                self._tell(
                    Finished(told, "GET", route, response.status_code, seconds * 1e3, model=model, parent=parent)
                )
            return response

        return answer

    async def _ok(self, request: Request) -> Response:  # noqa: ARG002
        return Response()

    async def _about(self, request: Request) -> Response:  # noqa: ARG002
        from ml_assets import __version__

        return _json({"name": "ml_assets", "version": __version__, "extensions": ["binary_tensor_data"]})

    async def _version(self, request: Request) -> Response:  # noqa: ARG002
        from importlib.metadata import version

        return Response(version("mlflow"), media_type="text/plain")

    async def _metrics(self, request: Request) -> Response:  # noqa: ARG002
        return Response(self._measured.text(), media_type=CONTENT_TYPE_LATEST)

    async def _openapi(self, request: Request) -> Response:  # noqa: ARG002
        return _json(self._description())

    async def _docs(self, request: Request) -> Response:  # noqa: ARG002
        return HTMLResponse(render_docs(self._description()), headers={"content-security-policy": POLICY})

    def _description(self) -> dict[str, Any]:
        from ml_assets import __version__

        limits = self._limits
        server = DescribedServer(
            __version__,
            limits.body,
            limits.rows,
            keys=bool(limits.keys),
            replay=limits.replay,
            pushes={name: one.fields for name, one in self._declared.online.items()},
        )
        ready = {name: model for name, model in self._declared.models.items() if self._rows.ready(name)}
        return describe(server, [described(one, ready.get(one.name)) for one in self._champions])

    async def _model_ready(self, request: Request) -> Response:
        self._asked_for(request)
        return Response()

    async def _metadata(self, request: Request) -> Response:
        served = self._asked_for(request)
        return _json(metadata(served.name, [served.version], served.predictor))

    def _asked_for(self, request: Request):
        return self._choosing.named(request.path_params["model"], request.path_params.get("version"))


def _answer_at_once(handler: Handler, asked: Exchange) -> bytes:
    question = handler(asked)
    return question if isinstance(question, bytes) else question.answer()


def _json(content: Any) -> Response:
    return Response(orjson.dumps(content), media_type="application/json")


def _refused(error: BadRequest) -> bytes:
    return orjson.dumps({"error": str(error)})


def _refusal(error: BadRequest) -> Response:
    return Response(_refused(error), status_code=error.status, media_type="application/json")


def _unauthorised(route: str) -> Response:
    if route == "/docs":
        return HTMLResponse(ask_for_key(), status_code=401, headers={"content-security-policy": POLICY})
    return _refusal(BadRequest("give an API key: Authorization: Bearer KEY", 401))


async def _no_such_route(request: Request, error: HTTPException) -> Response:
    method = f"{request.method} is not answered here" if error.status_code == 405 else "there is no such path"
    response = _refusal(BadRequest(f"{method}: see /docs", error.status_code))
    response.headers.update(error.headers or {})
    return response


def hashed_keys(text: str) -> tuple[str, ...]:
    """The SHA-256 digests in a comma-separated list.

    Raises:
        ValueError: one is no SHA-256 in hex, or that of an empty key; or there is nothing but commas.
    """
    keys = tuple(key.strip().lower() for key in text.split(",") if key.strip())
    if text and not keys:
        raise ValueError("ML_ASSETS_API_KEYS holds no digest: unset it to let everybody in")
    if NO_KEY in keys:
        raise ValueError(f"ML_ASSETS_API_KEYS: entry {keys.index(NO_KEY) + 1} is the digest of an empty key")
    if wrong := [key for key in keys if len(key) != 64 or set(key) - set("0123456789abcdef")]:
        raise ValueError(
            f"ML_ASSETS_API_KEYS: entry {keys.index(wrong[0]) + 1} is no SHA-256 in hex: give the digests of the keys, "
            "such as from `printf %s KEY | sha256sum`, never the keys"
        )
    return keys


def now() -> int:
    """The machine's clock: microseconds since the epoch."""
    return time.time_ns() // 1000


def make_app(
    registry,
    names: Sequence[str],
    limits: Limits,
    declared: Declarations | None = None,
    store: OnlineStore | None = None,
    *,
    clock: Callable[[], int] = now,
    open_log: OpenLog | None = None,
    tracing: Tracing | None = None,
) -> Server:
    """The app over a registry's champions; raises LookupError for a model without one."""
    declared = declared or Declarations()
    trying = [name for name, one in declared.models.items() if one.serving.canary or one.serving.shadow]
    champions = Champions(registry, names, trying)
    return Server(champions, limits, declared, store, clock=clock, open_log=open_log, tracing=tracing)
