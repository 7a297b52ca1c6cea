"""Routes that are read: what protocols tell of models, metrics, the description of the interface and its page."""

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from importlib.metadata import version
from typing import Any

import orjson
from starlette.convertors import StringConvertor, register_url_convertor
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from ml_assets.serving.access.admission import NOBODY, Admission, credential
from ml_assets.serving.access.scopes import Scope
from ml_assets.serving.declared import Declarations
from ml_assets.serving.errors import BadRequest
from ml_assets.serving.http.compression import COMPRESSED_FROM, accepted_encoding, compress
from ml_assets.serving.http.docs import ASSETS, POLICY, page, read_asset
from ml_assets.serving.http.limits import Limits
from ml_assets.serving.http.observability.measured import Answers
from ml_assets.serving.http.observability.telemetry import Finished, request_id
from ml_assets.serving.http.observation import Observation
from ml_assets.serving.http.openapi import describe, described_model
from ml_assets.serving.prediction.answering import Answering
from ml_assets.serving.prediction.readiness import Readiness
from ml_assets.serving.protocols.adapter import InService, ProtocolLimits, RequestProtocol, Resource
from ml_assets.serving.rollout.champions import Champions, Served

_DOCS = "/docs"

_Answer = Callable[[Request], Awaitable[Response]]


class _NameConvertor(StringConvertor):
    """What a path names, without a verb behind it."""

    regex = "[^/:]+"


register_url_convertor("name", _NameConvertor())


class Information:
    """Answers GET.

    Attributes:
        scopes: path and method -> what the route needs of a key, None for nothing; known once there are `routes`.
    """

    def __init__(
        self,
        champions: Champions,
        answering: Answering,
        protocols: Sequence[RequestProtocol],
        declared: Declarations,
        limits: Limits,
        observation: Observation,
        *,
        admission: Admission,
        readiness: Readiness,
        look: Callable[[], Awaitable[None]],
        unready: Callable[[], str],
    ) -> None:
        """Take what is told about.

        Args:
            admission: who is let in.
            readiness: of each model, as of the last look.
            look: looks again.
            unready: why no requests should come here now; empty if they may.
        """
        self.scopes: dict[tuple[str, str], Scope | None] = {}
        self._admission = admission
        self._readiness = readiness
        self._look = look
        self._unready = unready
        self._champions = champions
        self._answering = answering
        self._protocols = protocols
        self._declared = declared
        self._limits = limits
        self._observation = observation
        self._description: tuple[tuple[bool, list[tuple[str, str]]], bytes] | None = None

    def routes(self, elsewhere: Mapping[str, Sequence[str]]) -> list[Route]:
        """Make the routes; those that take a body are among them, so that another method is refused with the right one.

        Args:
            elsewhere: paths that are answered elsewhere -> their methods.
        """
        handlers: list[tuple[str, _Answer, Scope]] = [
            ("/version", _version, "read"),
            ("/metrics", self._metrics, "read"),
            ("/openapi.json", self._openapi, "read"),
            (_DOCS, self._docs, "read"),
        ]
        return [
            *(self._guarded(path, handler, scope, ["GET"]) for path, handler, scope in handlers),
            *(self._route(resource) for protocol in self._protocols for resource in protocol.resources),
            *(
                self._guarded(path, _refusing(why), "admin", ["GET", "POST"])
                for protocol in self._protocols
                for path, why in protocol.refused.items()
            ),
            *(self._asset(f"{_DOCS}/{name}") for name in ASSETS),
            *(Route(path, _ok, methods=methods) for path, methods in elsewhere.items()),
        ]

    def _route(self, resource: Resource) -> Route:
        async def read(request: Request) -> Response:
            if resource.ready:
                await self._require_ready(request.path_params.get("model"))
            content = resource.render(self._in_service(resource, request.path_params))
            return json_response(content.model_dump(by_alias=True))

        return self._guarded(resource.path, read, None if resource.open else resource.scope, [resource.method])

    async def _require_ready(self, model: str | None) -> None:
        """Raise BadRequest (503) while no requests should come here, or to a model."""
        await self._look()
        if reason := self._unready() if model is None else self._readiness.reason(model):
            raise BadRequest(reason, 503)

    def _asset(self, path: str) -> Route:
        self.scopes[path, "GET"] = None
        return Route(path, _asset, methods=["GET"])

    def _in_service(self, resource: Resource, named: Mapping[str, str]) -> list[InService]:
        versions: Iterable[Served] = self._champions
        if "{model}" in resource.path:
            versions = [self._answering.find(named["model"], named.get("version"), named.get("label"))]
        return [self._shown(served) for served in versions]

    def _shown(self, served: Served) -> InService:
        measured, version = self._observation.measured, (served.name, served.version)
        answers = measured.answered.get(version) or Answers()
        limits = ProtocolLimits(self._limits.rows, self._limits.replay)
        unready = self._readiness.reason(served.name)
        return InService(
            served, int(measured.of_rows.rows[version]), answers.count, answers.seconds, answers.last, limits, unready
        )

    def _guarded(self, route: str, handler: _Answer, scope: Scope | None, methods: Sequence[str]) -> Route:
        async def answer(request: Request) -> Response:
            began, key = time.perf_counter(), NOBODY
            try:
                if scope is not None:
                    key = self._admission.admit(credential(request.scope["headers"]), scope)
                response = await handler(request)
            except BadRequest as error:
                response = _unauthorised() if error.status == 401 and route == _DOCS else refusal(error)
            await _compress(response, request.headers.get("accept-encoding", ""))
            seconds = time.perf_counter() - began
            model = self._observation.got(route, request.path_params.get("model"), response.status_code, seconds)
            if scope is not None:
                response.headers["x-request-id"] = identity = request_id(request.headers.get("x-request-id", ""))
                parent = request.headers.get("traceparent", "")
                self._observation.tell(
                    Finished(
                        identity,
                        request.method,
                        route,
                        response.status_code,
                        seconds * 1e3,
                        model,
                        key=key,
                        parent=parent,
                    )
                )
            return response

        self.scopes |= {(route, method): scope for method in methods}
        # What stands behind a colon is asked of the model, as in :predict.
        return Route(re.sub(r"{(\w+)}", r"{\1:name}", route), answer, methods=methods)

    async def _metrics(self, request: Request) -> Response:
        text, media_type = self._observation.measured.render(request.headers.get("accept", ""))
        return Response(text, headers={"content-type": media_type, "vary": "accept"})

    async def _openapi(self, request: Request) -> Response:  # noqa: ARG002
        serving = self._admission.required, [(served.name, served.version) for served in self._champions]
        if self._description is None or self._description[0] != serving:
            # Models of many features take a while to describe, in which others are answered.
            self._description = serving, await asyncio.to_thread(self._describe, serving[0])
        return Response(self._description[1], media_type="application/json")

    def _describe(self, keys: bool) -> bytes:
        ready = {name: model for name, model in self._declared.models.items() if self._answering.ready(name)}
        models = [described_model(served, ready.get(served.name)) for served in self._champions]
        return orjson.dumps(
            describe(models, self._protocols, self._declared.online, self._limits, self._declared.tables, keys=keys)
        )

    async def _docs(self, request: Request) -> Response:  # noqa: ARG002
        return HTMLResponse(page(), headers={"content-security-policy": POLICY})


def _refusing(why: str) -> _Answer:
    async def refuse(request: Request) -> Response:  # noqa: ARG001
        raise BadRequest(why, 501)

    return refuse


async def _ok(request: Request) -> Response:  # noqa: ARG001
    return Response()


async def _version(request: Request) -> Response:  # noqa: ARG001
    return Response(version("mlflow"), media_type="text/plain")


async def _asset(request: Request) -> Response:
    body, kind = read_asset(request.url.path.rpartition("/")[2])
    return Response(body, media_type=kind, headers={"cache-control": "max-age=3600"})


async def _compress(response: Response, accepted: str) -> None:
    """Compress a large response where the client takes that."""
    encoding = accepted_encoding(accepted) if len(response.body) >= COMPRESSED_FROM else None
    if encoding is not None:
        response.body = await asyncio.to_thread(compress, bytes(response.body), encoding)
        response.headers.update(
            {"content-encoding": encoding, "content-length": str(len(response.body)), "vary": "accept-encoding"}
        )


def json_response(content: Any) -> Response:
    """Render a value as a JSON response."""
    return Response(orjson.dumps(content), media_type="application/json")


def refusal_body(error: BadRequest) -> bytes:
    """Render the body that states why a request is refused."""
    return orjson.dumps({"error": str(error)})


def refusal(error: BadRequest) -> Response:
    """Render the response that refuses a request."""
    body, kind = refusal_body(error), "application/json"
    return Response(body, status_code=error.status, media_type=kind, headers=dict(error.headers))


def _unauthorised() -> Response:
    """Refuse with the page, which takes a key and reads the description with it."""
    headers = {"content-security-policy": POLICY, "www-authenticate": "Bearer"}
    return HTMLResponse(page(), status_code=401, headers=headers)


async def no_such_route(request: Request, error: Exception) -> Response:
    """Refuse a path that does not exist, or a method that it does not take."""
    assert isinstance(error, HTTPException)
    method = f"{request.method} is not answered here" if error.status_code == 405 else "there is no such path"
    response = refusal(BadRequest(f"{method}: see /docs", error.status_code))
    response.headers.update(error.headers or {})
    return response
