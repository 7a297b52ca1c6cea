"""MLflow's scoring protocol: dataframe_split, dataframe_records, instances or inputs in, predictions by row out.

And SageMaker's, which has the same path: CSV and lines of JSON, in and out.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import orjson
from pydantic import BaseModel, Field

from ml_assets.serving.errors import BadRequest
from ml_assets.serving.prediction.messages import FeatureColumns, GivenFeatures, PredictionRequest, PredictionResponse
from ml_assets.serving.protocols.adapter import (
    JSON,
    DescribedModel,
    HttpBinding,
    Interface,
    RequestProtocol,
    Resource,
)
from ml_assets.serving.protocols.feature_forms import (
    column_types,
    example_rows,
    one_form,
    read_columns,
    read_rows,
    row_types,
)
from ml_assets.serving.protocols.fields import Closed, Open, list_of, output_fields, record
from ml_assets.serving.protocols.json_body import read_json
from ml_assets.serving.protocols.text_rows import read_csv, read_lines, write_csv, write_lines

CSV, LINES = "text/csv", "application/jsonlines"

CONTENT_TYPE, ACCEPT = "content_type", "accept"
"""Parameters: the media types of the request and of the response that is wanted."""

_ANY = "*/*"

FORMS = ("dataframe_split", "dataframe_records", "instances", "inputs")


class Health(Closed):
    """That the server runs; the word is TorchServe's, other clients read the status alone."""

    status: Literal["Healthy"] = "Healthy"


class MlflowScoring(RequestProtocol):
    """The request forms of MLflow's scoring server, which names no model."""

    http = HttpBinding(
        paths=("/invocations",),
        tag="mlflow",
        media_types=(JSON, CSV, LINES),
        parameters={CONTENT_TYPE: b"content-type", ACCEPT: b"accept"},
        version_header=b"x-model-version",
    )
    resources = tuple(
        Resource(
            path,
            "Whether the server runs, as MLflow, SageMaker and TorchServe ask",
            Health,
            lambda _: Health(),
            open=True,
        )
        for path in ("/ping", "/health")
    )

    def read(self, body: bytes, parameters: Mapping[str, str]) -> PredictionRequest:
        """Parse whichever of the forms the body has; in JSON, NaN is a missing value."""
        accepted = parameters.get(ACCEPT, _ANY)
        wanted = JSON if accepted == _ANY else _wanted(accepted)
        given = parameters.get(CONTENT_TYPE, JSON)
        kind = given if given == JSON else media_type_of(given)
        if kind == CSV:
            features: GivenFeatures = read_csv(body, _header(given), self.limits.rows)
        elif kind == LINES:
            features = read_lines(body)
        else:
            features = read_features(read_json(body, nan=True))
        return PredictionRequest(features, context=wanted)

    def write(self, response: PredictionResponse) -> bytes:
        """Render the predictions by row, in the form that the request accepts: JSON unless it names another."""
        rows = response.by_row()
        match response.request.context:
            case "text/csv":
                return write_csv(rows)
            case "application/jsonlines":
                return write_lines(rows)
        return orjson.dumps({"predictions": rows})

    def media_type(self, request: PredictionRequest) -> str:
        """Return the media type that the request accepts."""
        return request.context

    def describe(self, model: DescribedModel) -> Interface:
        """Describe the four forms by the model's features."""
        prediction = record(f"{model.name}_prediction", output_fields(model.outputs))
        return Interface(
            summary=f"Ask {model.name} as MLflow's scoring server is asked",
            description="Exactly one of dataframe_split, dataframe_records, instances and inputs, in which NaN is a "
            "missing value as null is; or CSV or lines of JSON, as SageMaker's clients send them. Responses have the "
            "form that Accept names, JSON unless it names another.",
            request=_forms(model, self.limits.rows),
            example={"dataframe_records": example_rows(model)},
            response=record(f"{model.name}_predictions", {"predictions": list[prediction]}),
            refusals=(400, 408, 413, 415, 503),
            texts={CSV: _example_csv(model), LINES: write_lines(example_rows(model)).decode()},
            response_texts=(CSV, LINES),
        )


def media_type_of(content_type: str) -> str:
    """Return the media type of a header, in lower case and without its parameters."""
    return content_type.partition(";")[0].strip().lower()


def _wanted(accepted: str) -> str:
    """Return the first media type of a header that responses may have; JSON if it names none of them."""
    return next((kind for each in accepted.split(",") if (kind := media_type_of(each)) in (JSON, CSV, LINES)), JSON)


def _header(content_type: str) -> bool | None:
    """Return whether CSV begins with a header, if its content type says so (RFC 4180).

    Raises:
        BadRequest: it is in another charset than UTF-8 (415).
    """
    texts = [each.lower().partition("=") for each in content_type.split(";")[1:]]
    parameters = {name.strip(): value.strip().strip('"') for name, _, value in texts}
    charset = parameters.get("charset", "utf-8")
    if charset not in ("utf-8", "utf8", "us-ascii"):
        raise BadRequest(f"charset must be utf-8, not {charset[:40]!r}", 415)
    return {"present": True, "absent": False}.get(parameters.get("header", ""))


def _example_csv(model: DescribedModel) -> str:
    rows = example_rows(model)
    return ",".join(rows[0]) + "\n" + write_csv(rows).decode()


def _forms(model: DescribedModel, most: int) -> type[BaseModel]:
    names = tuple(feature.name for feature in model.features)
    width = len(names)
    named = Annotated[
        list[Literal[names]], Field(min_length=width, max_length=width, json_schema_extra={"uniqueItems": True})
    ]
    values = list_of(Annotated[list, Field(min_length=width, max_length=width)], most)
    split = record(f"{model.name}_split", {"columns": named, "data": values}, base=Open)
    rows = row_types(model, most, lists=True) | column_types(model)
    return one_form(f"{model.name}_invocation", {form: split if form == "dataframe_split" else rows for form in FORMS})


def read_features(request: Mapping[str, Any]) -> GivenFeatures:
    """Take the features out of a request.

    Raises:
        BadRequest: it has none of the four forms or several, or what is in it is neither rows nor columns.
    """
    given = [form for form in FORMS if form in request]
    if len(given) != 1:
        raise BadRequest(f"the body must have exactly one of {', '.join(FORMS)}")
    content = request[given[0]]
    if given[0] == "dataframe_split":
        return FeatureColumns(_split(content))
    if isinstance(content, Mapping):
        return read_columns(given[0], content)
    return read_rows(given[0], content)


def _split(content: Any) -> dict[str, list]:
    if not isinstance(content, Mapping) or not all(isinstance(content.get(part), list) for part in ("columns", "data")):
        raise BadRequest("dataframe_split: must be an object with the lists columns and data")
    columns, data = content["columns"], content["data"]
    if not all(isinstance(name, str) for name in columns) or len(set(columns)) < len(columns):
        raise BadRequest("dataframe_split: columns must be names, each one once")
    for at, row in enumerate(data):
        if not isinstance(row, list) or len(row) != len(columns):
            raise BadRequest(f"dataframe_split: row {at} must be a list of {len(columns)} values")
    return {name: [row[at] for row in data] for at, name in enumerate(columns)}
