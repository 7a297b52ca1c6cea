"""The OpenAPI 3.1 description of a server: its routes for the models it serves, with the fields of each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ml_assets.serving.declared import RequestField, ServedModel
from ml_assets.serving.http.json_schemas import (
    example_row,
    feature_schema,
    field_schema,
    output_schema,
    record,
    rows_of,
)
from ml_assets.serving.protocols.open_inference import metadata
from ml_assets.serving.rollout.champions import Served
from ml_assets.training.columns import PROBABILITY
from ml_assets.training.encoding import FeatureEncoding

JSON = "application/json"
STATES = ("fresh", "unseen", "expired", "missing")
ROLES = ("champion", "canary")
DATATYPES = (
    "BYTES", "BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64", "FP32", "FP64",
)  # fmt: skip

REFUSALS = {
    400: "The body is no JSON, or not of this form.",
    401: "No API key, or one that is not known.",
    404: "No such model, view or version is served here.",
    408: "The body did not arrive in time.",
    409: "The model cannot be asked about rows, or the view has no build yet; the error says what to do.",
    413: "More bytes or rows than are taken at once.",
    415: "The content type is another.",
    422: "A value breaks the contract of its column.",
    503: "Too many requests at once, or the server is about to stop: try again.",
}


@dataclass(frozen=True)
class DescribedModel:
    """A served model.

    Attributes:
        outputs: column of an answer -> FP64, INT64, BOOL or BYTES.
        declared: what it is asked with by ``/v1``; None if it only takes features.
        known_rows: features of some rows, for examples.
    """

    name: str
    version: str
    features: Sequence[FeatureEncoding]
    outputs: Mapping[str, str]
    declared: ServedModel | None = None
    known_rows: Sequence[Mapping[str, Any]] = ()


@dataclass(frozen=True)
class DescribedServer:
    """What a server takes on.

    Attributes:
        version: of ml_assets.
        body: bytes of a request.
        rows: rows of a request.
        keys: whether an API key is needed.
        replay: whether a request says its own moment, ``as_of``.
        pushes: view -> columns of the facts that may be pushed to it.
    """

    version: str
    body: int
    rows: int
    keys: bool = False
    replay: bool = False
    pushes: Mapping[str, Sequence[RequestField]] = field(default_factory=dict)


def describe(server: DescribedServer, models: Sequence[DescribedModel]) -> dict[str, Any]:
    """The description as JSON values; paths name each model, since each takes other fields."""
    paths: dict[str, Any] = {}
    for model in models:
        if model.declared is not None:
            paths |= _predict_paths(server, model)
    for view, columns in server.pushes.items():
        paths[f"/v1/push/{view}"] = {"post": _push(server, view, columns)}
    for model in models:
        paths |= _open_inference(server, model)
    if len(models) == 1:
        paths["/invocations"] = {"post": _invocations(server, models[0])}
    paths |= _about(server)
    description: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {
            "title": "ml_assets",
            "version": server.version,
            "description": f"Champions over HTTP. A request has at most {server.body:,} bytes, {server.rows:,} rows.",
        },
        "paths": paths,
        "components": {"schemas": {"Refusal": record({"error": {"type": "string"}})}},
    }
    if server.keys:
        description["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
        description["security"] = [{"key": []}]
    return description


def _predict_paths(server: DescribedServer, model: DescribedModel) -> dict[str, Any]:
    base, asked = f"/v1/models/{model.name}", {"post": _predict(server, model)}
    return {
        f"{base}/predict": asked,
        base + "/versions/{version}/predict": {"parameters": [_version(model)], **asked},
    }


def _version(model: DescribedModel) -> dict[str, Any]:
    return {"name": "version", "in": "path", "required": True, "schema": {"enum": [model.version]}}


def _predict(server: DescribedServer, model: DescribedModel) -> dict[str, Any]:
    declared = model.declared
    views = [view.name for view in declared.views if view.table is not None]
    age = record({"state": {"enum": list(STATES)}, "age_seconds": {"type": ["number", "null"]}})
    prediction = record(
        {**_outputs(model), "features": record(dict.fromkeys(views, age))},
        optional={
            "contributions": _contributions(model),
            "version": {"type": "string"},
            "role": {"enum": list(ROLES)},
        },
    )
    answer = record(
        {
            "model": {"const": model.name},
            "version": {"type": "string"},
            "role": {"enum": list(ROLES)},
            "request_id": {"type": "string"},
            "as_of": {"type": "string", "format": "date-time"},
            "predictions": {"type": "array", "items": prediction, "minItems": 1},
        }
    )
    body = _rows_body(server, declared.fields, {"contributions": {"type": "boolean", "default": False}})
    return _operation(
        server,
        "v1",
        f"Predict with {model.name}",
        "Each row is told by its key, entities and what features read of it; the server looks the other features up.",
        body=body,
        example=_rows_example(server, declared.fields, {"contributions": False}),
        answer=answer,
        refused=(400, 404, 408, 409, 413, 415, 422, 503),
    )


def _contributions(model: DescribedModel) -> dict[str, Any]:
    """Base and features add up to the margin; of several classes each has its own."""
    number = {"type": "number"}
    one = record({"base": number, "features": record({feature.name: number for feature in model.features})})
    classes = [name.removeprefix(PROBABILITY) for name in model.outputs if name.startswith(PROBABILITY)]
    return record(dict.fromkeys(classes, one)) if classes else one


def _push(server: DescribedServer, view: str, columns: Sequence[RequestField]) -> dict[str, Any]:
    count = {"type": "integer", "minimum": 0}
    return _operation(
        server,
        "v1",
        f"Push facts to {view}",
        "The features of the entities that the facts are about are up to date when the answer is there.",
        body=_rows_body(server, columns, {}),
        example=_rows_example(server, columns, {}),
        answer=record({"view": {"const": view}, "rows": count, "entities": count, "seq": count}),
        refused=(400, 408, 409, 413, 415, 422, 503),
    )


def _rows_body(server: DescribedServer, fields: Sequence[RequestField], optional: Mapping[str, Any]) -> dict[str, Any]:
    row = record({one.name: field_schema(one) for one in fields})
    moment = {"as_of": {"type": "string", "format": "date-time"}} if server.replay else {}
    return record({"rows": rows_of(row, server.rows), **moment}, optional=optional)


def _rows_example(server: DescribedServer, fields: Sequence[RequestField], more: Mapping[str, Any]) -> dict[str, Any]:
    moment = {"as_of": "2024-01-31T12:00:00Z"} if server.replay else {}
    return {"rows": [example_row(fields)], **moment, **more}


def _open_inference(server: DescribedServer, model: DescribedModel) -> dict[str, Any]:
    base, paths = f"/v2/models/{model.name}", {}
    for prefix, parameters in ((base, []), (base + "/versions/{version}", [_version(model)])):
        about = _operation(server, "v2", f"What {model.name} takes and gives", answer=_METADATA, refused=(404, 503))
        ready = _operation(server, "v2", f"Whether {model.name} is ready", refused=(404, 503))
        infer = _operation(
            server,
            "v2",
            f"Ask {model.name} with tensors",
            "One input for each feature, of shape [rows] or [rows, 1]. Tensors may follow the JSON in binary, "
            "as Triton's clients send them.",
            body=_tensors(server, model),
            example=_tensors_example(model),
            answer=_tensors_answer(model),
            refused=(400, 404, 408, 413, 503),
        )
        for path, method, operation in (("/infer", "post", infer), ("", "get", about), ("/ready", "get", ready)):
            paths[prefix + path] = {method: operation, **({"parameters": parameters} if parameters else {})}
    return paths


def _tensors(server: DescribedServer, model: DescribedModel) -> dict[str, Any]:
    shape = {
        "type": "array",
        "prefixItems": [{"type": "integer", "minimum": 0, "maximum": server.rows}, {"const": 1}],
        "items": False,
        "minItems": 1,
    }
    tensors = [
        record(
            {
                "name": {"const": feature.name},
                "datatype": {"enum": list(DATATYPES)},
                "shape": shape,
                "data": {"type": "array", "items": feature_schema(feature), "maxItems": server.rows},
            },
            optional={"parameters": {"type": "object"}},
            closed=False,
        )
        for feature in model.features
    ]
    return record(
        {
            "inputs": {
                "type": "array", "items": {"anyOf": tensors}, "minItems": len(tensors), "maxItems": len(tensors)
            }
        },
        optional={
            "id": {"type": "string"},
            "parameters": {"type": "object"},
            "outputs": {
                "type": "array",
                "items": record({"name": {"enum": list(model.outputs)}}, closed=False),
                "uniqueItems": True,
            },
        },
        closed=False,
    )  # fmt: skip


def _tensors_example(model: DescribedModel) -> dict[str, Any]:
    rows = list(model.known_rows[:2]) or [dict.fromkeys(feature.name for feature in model.features)]
    datatype = {"number": "FP64", "boolean": "BOOL", "category": "BYTES"}
    return {
        "inputs": [
            {
                "name": feature.name,
                "datatype": datatype[feature.kind],
                "shape": [len(rows)],
                "data": [row[feature.name] for row in rows],
            }
            for feature in model.features
        ]
    }


def _tensors_answer(model: DescribedModel) -> dict[str, Any]:
    outputs = [
        record(
            {
                "name": {"const": name},
                "datatype": {"const": datatype},
                "shape": {"type": "array", "items": {"type": "integer", "minimum": 1}, "minItems": 1, "maxItems": 1},
                "data": {"type": "array", "items": output_schema(datatype)},
            }
        )
        for name, datatype in model.outputs.items()
    ]
    return record(
        {
            "model_name": {"const": model.name},
            "model_version": {"type": "string"},
            "outputs": {"type": "array", "items": {"anyOf": outputs}},
        },
        optional={"id": {"type": "string"}},
    )


_TENSOR = record({"name": {"type": "string"}, "datatype": {"enum": list(DATATYPES)}, "shape": {"const": [-1]}})
_METADATA = record(
    {
        "name": {"type": "string"},
        "versions": {"type": "array", "items": {"type": "string"}},
        "platform": {"type": "string"},
        "inputs": {"type": "array", "items": _TENSOR},
        "outputs": {"type": "array", "items": _TENSOR},
    }
)


def _invocations(server: DescribedServer, model: DescribedModel) -> dict[str, Any]:
    features = {feature.name: feature_schema(feature) for feature in model.features}
    rows = rows_of(record(features), server.rows)
    columns = record({name: {"type": "array", "items": one, "minItems": 1} for name, one in features.items()})
    split = record(
        {
            "columns": {
                "type": "array", "items": {"enum": list(features)}, "uniqueItems": True,
                "minItems": len(features), "maxItems": len(features),
            },
            "data": {
                "type": "array", "minItems": 1, "maxItems": server.rows,
                "items": {"type": "array", "minItems": len(features), "maxItems": len(features)},
            },
        },
        closed=False,
    )  # fmt: skip
    either = {"anyOf": [rows, columns]}
    forms = {"dataframe_split": split, "dataframe_records": either, "instances": either, "inputs": either}
    one_of = [
        record({form: content}, closed=False)
        | {"not": {"anyOf": [{"required": [other]} for other in forms if other != form]}}
        for form, content in forms.items()
    ]
    prediction = record(_outputs(model))
    known = list(model.known_rows[:2]) or [dict.fromkeys(features)]
    return _operation(
        server,
        "mlflow",
        f"Ask {model.name} as MLflow's scoring server is asked",
        "Exactly one of dataframe_split, dataframe_records, instances and inputs.",
        body={"type": "object", "oneOf": one_of},
        example={"dataframe_records": known},
        answer=record({"predictions": {"type": "array", "items": prediction}}),
        refused=(400, 408, 413, 415, 503),
    )


def _about(server: DescribedServer) -> dict[str, Any]:
    text = {"text/plain": {"schema": {"type": "string"}}}
    named = record(
        {
            "name": {"const": "ml_assets"},
            "version": {"type": "string"},
            "extensions": {"type": "array", "items": {"type": "string"}},
        }
    )
    free = {
        "/v2/health/live": "Whether the server runs",
        "/v2/health/ready": "Whether the server answers",
        "/ping": "Whether the server runs, as MLflow asks",
        "/health": "Whether the server runs, as MLflow asks",
    }
    paths = {
        path: {"get": _operation(server, "health", summary, refused=(503,), free=True)}
        for path, summary in free.items()
    }
    paths["/v2"] = {"get": _operation(server, "v2", "What the server is", answer=named, refused=(503,))}
    for path, tag, summary in (
        ("/version", "mlflow", "Version of MLflow"),
        ("/metrics", "health", "Prometheus metrics"),
    ):
        paths[path] = {"get": _operation(server, tag, summary, content=text, refused=(503,))}
    paths["/openapi.json"] = {
        "get": _operation(server, "health", "This description", answer={"type": "object"}, refused=(503,))
    }
    return paths


def _outputs(model: DescribedModel) -> dict[str, Any]:
    return {name: output_schema(datatype) for name, datatype in model.outputs.items()}


def _operation(
    server: DescribedServer,
    tag: str,
    summary: str,
    description: str = "",
    *,
    body: Mapping[str, Any] | None = None,
    example: Any = None,
    answer: Mapping[str, Any] | None = None,
    content: Mapping[str, Any] | None = None,
    refused: Sequence[int] = (),
    free: bool = False,
) -> dict[str, Any]:
    answered: dict[str, Any] = {"description": "Answered."}
    if answer is not None:
        answered["content"] = {JSON: {"schema": answer}}
    elif content is not None:
        answered["content"] = content
    codes = sorted({*refused, *([401] if server.keys and not free else [])})
    refusal = {JSON: {"schema": {"$ref": "#/components/schemas/Refusal"}}}
    operation: dict[str, Any] = {
        "tags": [tag],
        "summary": summary,
        **({"description": description} if description else {}),
        "responses": {
            "200": answered,
            **{str(code): {"description": REFUSALS[code], "content": refusal} for code in codes},
        },
        **({"security": []} if server.keys and free else {}),
    }
    if body is not None:
        operation["requestBody"] = {"required": True, "content": {JSON: {"schema": body, "example": example}}}
    return operation


def described(served: Served, declared: ServedModel | None) -> DescribedModel:
    """A version that serves, as its description needs it."""
    outputs = metadata(served.name, [served.version], served.predictor)["outputs"]
    known = served.predictor.model.known
    return DescribedModel(
        name=served.name,
        version=served.version,
        features=served.predictor.features,
        outputs={one["name"]: one["datatype"] for one in outputs},
        declared=declared,
        known_rows=known.rows if known is not None else (),
    )
