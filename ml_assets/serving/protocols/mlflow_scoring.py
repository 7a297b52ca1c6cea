"""MLflow's scoring protocol: dataframe_split, dataframe_records, instances or inputs in, predictions by row out."""

from collections.abc import Mapping
from functools import reduce
from operator import or_
from typing import Annotated, Any, Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field, JsonValue, RootModel, create_model

from ml_assets.serving.errors import BadRequest
from ml_assets.serving.prediction.messages import (
    FeatureColumns,
    FeatureRows,
    Features,
    PredictionRequest,
    PredictionResponse,
)
from ml_assets.serving.protocols.adapter import DescribedModel, HttpBinding, Interface, RequestProtocol
from ml_assets.serving.protocols.fields import Open, feature_type, list_of, output_fields, record
from ml_assets.serving.protocols.json_body import read_json

FORMS = ("dataframe_split", "dataframe_records", "instances", "inputs")


class MlflowScoring(RequestProtocol):
    """The request forms of MLflow's scoring server, which names no model."""

    http = HttpBinding(paths=("/invocations",), tag="mlflow", json_only=True, version_header=b"x-model-version")

    def read(self, body: bytes, parameters: Mapping[str, str]) -> PredictionRequest:  # noqa: ARG002
        """Parse whichever of the forms the body has."""
        return PredictionRequest(read_features(read_json(body)))

    def write(self, response: PredictionResponse) -> bytes:
        """Render the predictions by row."""
        return orjson.dumps({"predictions": response.by_row()})

    def describe(self, model: DescribedModel) -> Interface:
        """Describe the four forms by the model's features."""
        known = list(model.known_rows[:2]) or [dict.fromkeys(feature.name for feature in model.features)]
        prediction = record(f"{model.name}_prediction", output_fields(model.outputs))
        return Interface(
            summary=f"Ask {model.name} as MLflow's scoring server is asked",
            description="Exactly one of dataframe_split, dataframe_records, instances and inputs.",
            request=_forms(model, self.limits.rows),
            example={"dataframe_records": known},
            response=record(f"{model.name}_predictions", {"predictions": list[prediction]}),
            refusals=(400, 408, 413, 415, 503),
        )


def _forms(model: DescribedModel, most: int) -> type[BaseModel]:
    features = {feature.name: feature_type(feature) for feature in model.features}
    width = len(features)
    rows = list_of(record(f"{model.name}_features", features), most)
    columns = record(
        f"{model.name}_columns",
        {name: Annotated[list[kind], Field(min_length=1)] for name, kind in features.items()},
    )
    names = Annotated[
        list[Literal[tuple(features)]],
        Field(min_length=width, max_length=width, json_schema_extra={"uniqueItems": True}),
    ]
    values = list_of(Annotated[list, Field(min_length=width, max_length=width)], most)
    split = record(f"{model.name}_split", {"columns": names, "data": values}, base=Open)
    contents = {form: split if form == "dataframe_split" else rows | columns for form in FORMS}
    alternatives = [_alone(f"{model.name}_{form}", form, content) for form, content in contents.items()]

    return create_model(f"{model.name}_invocation", __base__=_Invocation, root=(reduce(or_, alternatives), ...))


class _Invocation(RootModel):
    """One of the forms."""

    model_config = ConfigDict(json_schema_extra={"type": "object"})
    root: Any


def _alone(name: str, form: str, content: Any) -> type[BaseModel]:
    """Make the model of an object that has this form and none of the others."""
    others: list[JsonValue] = [{"required": [other]} for other in FORMS if other != form]

    class Alone(Open):
        model_config = ConfigDict(json_schema_extra={"not": {"anyOf": others}})

    return record(name, {form: content}, base=Alone)


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
        return FeatureColumns({name: _listed(given[0], name, values) for name, values in content.items()})
    if not isinstance(content, list):
        raise BadRequest(f"{given[0]}: must be a list of rows")
    return FeatureRows(content)


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


def _listed(form: str, name: str, values: Any) -> list:
    if not isinstance(values, list):
        raise BadRequest(f"{form}.{name}: must be a list of values")
    return values
