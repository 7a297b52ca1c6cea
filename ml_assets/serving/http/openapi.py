"""The OpenAPI 3.1 description of a server: its routes for the models it serves, with the fields of each."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import product
from types import MappingProxyType
from typing import Any

from pydantic import BaseModel

from ml_assets import __version__
from ml_assets.serving.declared import OnlineTable, OnlineView, ServedModel
from ml_assets.serving.http.limits import Limits
from ml_assets.serving.http.push import describe_push, describe_table_push
from ml_assets.serving.protocols.adapter import JSON, DescribedModel, HttpBinding, Interface, RequestProtocol
from ml_assets.serving.protocols.fields import Closed, json_schema
from ml_assets.serving.protocols.tensor_models import metadata
from ml_assets.serving.rollout.challenger import CHAMPION
from ml_assets.serving.rollout.champions import Served

REFUSALS = {
    400: "The body is no JSON, or not of this form.",
    401: "No API key, or one that is not known.",
    403: "The API key does not allow this.",
    404: "No such model, view or version is served here.",
    408: "The body did not arrive in time.",
    409: "The model cannot be asked about rows, or the view has no build yet; the error says what to do.",
    413: "More bytes or rows than are taken at once.",
    415: "The content type or encoding is another.",
    422: "A value breaks the contract of its column.",
    429: "The API key has made too many requests: wait as long as Retry-After says.",
    503: "Too many requests at once, or the server is about to stop: try again.",
}


class Refusal(Closed):
    """Why a request is refused, and what to do."""

    error: str


Method = tuple[str, str, dict[str, Any], DescribedModel | None]
"""A path, a method, its operation and the model that the path is about."""


def described_model(served: Served, declared: ServedModel | None) -> DescribedModel:
    """Gather what the description of a version that serves needs.

    Args:
        declared: what rows of its spine hold; None if it takes features alone.
    """
    known = served.predictor.model.known
    return DescribedModel(
        name=served.name,
        version=served.version,
        features=served.predictor.features,
        outputs={
            output.name: output.datatype for output in metadata(served.name, [served.version], served.predictor).outputs
        },
        declared=declared,
        known_rows=known.rows if known is not None else (),
    )


def describe(
    models: Sequence[DescribedModel],
    protocols: Sequence[RequestProtocol],
    online: Mapping[str, OnlineView],
    limits: Limits,
    tables: Mapping[str, OnlineTable] = MappingProxyType({}),
    *,
    keys: bool = False,
) -> dict[str, Any]:
    """Describe a server as JSON values; paths name each model, since each takes other fields.

    Args:
        protocols: what requests for predictions come by.
        online: views that facts may be pushed to.
        tables: tables that rows may be pushed to.
        keys: whether a request needs a key.
    """
    description: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {
            "title": "ml_assets",
            "version": __version__,
            "description": f"Champions over HTTP. A request has at most {limits.body:,} bytes, {limits.rows:,} rows. "
            "It may be compressed by gzip or deflate, as large responses are where Accept-Encoding names one of them.",
        },
        "paths": {},
        "components": {"schemas": {"Refusal": json_schema(Refusal)}},
    }
    for path, method, operation, model in (
        *_predictions(models, protocols, keys),
        *(
            (f"/v1/push/{view}", "post", _post("v1", describe_push(view, declared, limits), keys), None)
            for view, declared in online.items()
        ),
        *(
            (f"/v1/push/table/{table}", "post", _post("v1", describe_table_push(declared, limits), keys), None)
            for table, declared in tables.items()
        ),
        *_resources(models, protocols, keys),
        *_about(keys),
    ):
        item = description["paths"].setdefault(path, {})
        item[method] = operation
        if model is not None and (parameters := _parameters(path, model)):
            item["parameters"] = parameters
    if keys:
        description["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
        description["security"] = [{"key": []}]
    return description


def _predictions(
    models: Sequence[DescribedModel], protocols: Sequence[RequestProtocol], keys: bool
) -> Iterator[Method]:
    for model in models:
        for protocol in protocols:
            binding, interface = protocol.http, protocol.describe(model)
            if binding is None or interface is None:
                continue
            operation = _post(binding.tag, interface, keys)
            for path, method in product(_paths_of(binding, len(models)), binding.methods):
                yield path.replace("{model}", model.name), method.lower(), operation, model


def _paths_of(binding: HttpBinding, models: int) -> list[str]:
    """Return a protocol's paths; one without a model's name is there for a single model."""
    return [path for path in binding.paths if "{model}" in path or models == 1]


def _resources(models: Sequence[DescribedModel], protocols: Sequence[RequestProtocol], keys: bool) -> Iterator[Method]:
    for protocol in protocols:
        tag = "health" if protocol.http is None else protocol.http.tag
        for resource in protocol.resources:
            named = "{model}" in resource.path
            for model in models if named else (None,):
                name = "" if model is None else model.name
                operation = _operation(
                    "health" if resource.open else tag,
                    resource.summary.replace("{model}", name),
                    keys and not resource.open,
                    (404, 503) if named else (503,),
                    response=resource.response,
                )
                if keys and resource.open:
                    operation["security"] = []
                yield resource.path.replace("{model}", name), resource.method.lower(), operation, model


def _parameters(path: str, model: DescribedModel) -> list[dict[str, Any]]:
    """Describe what a path names beside the model: a version of it, or a version's label."""
    values = {"version": model.version, "label": CHAMPION}
    return [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string", "enum": [value]}}
        for name, value in values.items()
        if f"{{{name}}}" in path
    ]


def _about(keys: bool) -> Iterator[Method]:
    text = {"text/plain": {"schema": {"type": "string"}}}
    yield "/version", "get", _operation("mlflow", "Version of MLflow", keys, (503,), content=text), None
    yield "/metrics", "get", _operation("health", "Prometheus metrics", keys, (503,), content=text), None
    anything = {JSON: {"schema": {"type": "object"}}}
    yield "/openapi.json", "get", _operation("health", "This description", keys, (503,), content=anything), None


def _post(tag: str, interface: Interface, keys: bool) -> dict[str, Any]:
    operation = _operation(tag, interface.summary, keys, {*interface.refusals, 415}, response=interface.response)
    content = {JSON: {"schema": json_schema(interface.request), "example": interface.example}}
    text = {"type": "string"}
    content |= {kind: {"schema": text, "example": example} for kind, example in interface.texts.items()}
    for kind in interface.response_texts:
        operation["responses"]["200"]["content"][kind] = {"schema": text}
    return operation | {
        "description": interface.description,
        "requestBody": {"required": True, "content": content},
    }


def _operation(
    tag: str,
    summary: str,
    keys: bool,
    refusals: Collection[int],
    *,
    response: type[BaseModel] | None = None,
    content: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    answered: dict[str, Any] = {"description": "Answered."}
    if response is not None:
        content = {JSON: {"schema": json_schema(response)}}
    if content is not None:
        answered["content"] = content
    refusal = {JSON: {"schema": {"$ref": "#/components/schemas/Refusal"}}}
    codes = {*refusals, 401, 403, 429} if keys else {*refusals}
    refused = {str(code): {"description": REFUSALS[code], "content": refusal} for code in sorted(codes)}
    return {"tags": [tag], "summary": summary, "responses": {"200": answered, **refused}}
