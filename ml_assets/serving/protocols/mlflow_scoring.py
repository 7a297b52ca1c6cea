"""MLflow's scoring protocol: dataframe_split, dataframe_records, instances or inputs in, predictions by row out."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import orjson
from pydantic import BaseModel, Field

from ml_assets.serving.errors import BadRequest
from ml_assets.serving.prediction.messages import FeatureColumns, Features, PredictionRequest, PredictionResponse
from ml_assets.serving.protocols.adapter import DescribedModel, HttpBinding, Interface, RequestProtocol, Resource
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

FORMS = ("dataframe_split", "dataframe_records", "instances", "inputs")


class Health(Closed):
    """That the server runs; the word is TorchServe's, other clients read the status alone."""

    status: Literal["Healthy"] = "Healthy"


class MlflowScoring(RequestProtocol):
    """The request forms of MLflow's scoring server, which names no model."""

    http = HttpBinding(paths=("/invocations",), tag="mlflow", json_only=True, version_header=b"x-model-version")
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

    def read(self, body: bytes, parameters: Mapping[str, str]) -> PredictionRequest:  # noqa: ARG002
        """Parse whichever of the forms the body has."""
        return PredictionRequest(read_features(read_json(body)))

    def write(self, response: PredictionResponse) -> bytes:
        """Render the predictions by row."""
        return orjson.dumps({"predictions": response.by_row()})

    def describe(self, model: DescribedModel) -> Interface:
        """Describe the four forms by the model's features."""
        prediction = record(f"{model.name}_prediction", output_fields(model.outputs))
        return Interface(
            summary=f"Ask {model.name} as MLflow's scoring server is asked",
            description="Exactly one of dataframe_split, dataframe_records, instances and inputs.",
            request=_forms(model, self.limits.rows),
            example={"dataframe_records": example_rows(model)},
            response=record(f"{model.name}_predictions", {"predictions": list[prediction]}),
            refusals=(400, 408, 413, 415, 503),
        )


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


def read_features(request: Mapping[str, Any]) -> Features:
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
