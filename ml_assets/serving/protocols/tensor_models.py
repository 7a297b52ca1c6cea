"""Models of the Open Inference Protocol's tensors: what a model takes and gives, as metadata and as a description."""

from collections.abc import Sequence
from functools import reduce
from operator import or_
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from ml_assets.scoring.predictor import Predictor
from ml_assets.serving.protocols.adapter import DescribedModel, Interface
from ml_assets.serving.protocols.fields import ABSENT, Closed, Open, feature_type, output_type, record
from ml_assets.training.tasks.columns import PREDICTION, PROBABILITY

BINARY = "application/octet-stream"
"""Media type of JSON with tensors behind it."""

Datatype = Literal[
    "BYTES", "BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64", "FP32", "FP64",
]  # fmt: skip
DATATYPES: Sequence[str] = Datatype.__args__

_OF_FEATURE: dict[str, Datatype] = {"number": "FP64", "boolean": "BOOL", "category": "BYTES"}
_OF_VALUE: dict[type, Datatype] = {bool: "BOOL", int: "INT64", float: "FP64", str: "BYTES"}


class TensorMetadata(Closed):
    """A tensor that a model takes or gives, of as many values as there are rows."""

    name: str
    datatype: Datatype
    shape: Annotated[list[Literal[-1]], Field(min_length=1, max_length=1)]


class ModelMetadata(Closed):
    """What a model takes and gives."""

    name: str
    versions: list[str]
    platform: str
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]


def datatype_of(values: Sequence[Any]) -> Datatype:
    """Return the datatype of a column of plain values."""
    return _OF_VALUE[type(values[0])] if values else "FP64"


def metadata(name: str, versions: list[str], predictor: Predictor) -> ModelMetadata:
    """Describe a model by its features and the columns of its predictions."""
    outputs = predictor.predict(np.full((1, len(predictor.features)), np.nan, dtype=np.float32))
    return ModelMetadata(
        name=name,
        versions=versions,
        platform=f"ml_assets_{predictor.model.kind}",
        inputs=[
            TensorMetadata(name=each.name, datatype=_OF_FEATURE[each.kind], shape=[-1]) for each in predictor.features
        ],
        outputs=[
            TensorMetadata(name=column, datatype=datatype_of(values), shape=[-1]) for column, values in outputs.items()
        ],
    )


def describe_tensors(model: DescribedModel, most: int) -> Interface:
    """Describe requests and responses of a model as tensors.

    Args:
        most: rows of a request.
    """
    return Interface(
        summary=f"Ask {model.name} with tensors",
        description="One input for each feature, of shape [rows] or [rows, 1]. Tensors may follow the JSON in binary, "
        "as Triton's clients send them, and do so in a response where binary_data or binary_data_output wants it: "
        "the header Inference-Header-Content-Length says where the JSON ends. With the classification extension "
        "prediction is answered as the most probable classes of each row: texts of probability, index and class.",
        request=_request(model, most),
        example=_example(model),
        response=_response(model),
        refusals=(400, 404, 408, 413, 503),
        response_texts=(BINARY,),
    )


def _request(model: DescribedModel, most: int) -> Any:
    rows = Annotated[int, Field(ge=0, le=most)]
    shape = Annotated[list[rows], Field(min_length=1, max_length=1)] | tuple[rows, Literal[1]]
    tensors = [
        record(
            f"{model.name}_input_{at}",
            {
                "name": Literal[feature.name],
                "datatype": Datatype,
                "shape": shape,
                "data": Annotated[list[feature_type(feature)], Field(max_length=most)],
            },
            base=Open,
            parameters=(dict[str, Any], ABSENT),
        )
        for at, feature in enumerate(model.features)
    ]
    inputs = Annotated[list[_either(tensors)], Field(min_length=len(tensors), max_length=len(tensors))]
    wanted = record(
        f"{model.name}_wanted_as",
        {},
        base=Open,
        classification=(Annotated[int, Field(ge=1)], ABSENT),
        binary_data=(bool, ABSENT),
    )
    every = record(f"{model.name}_all_wanted_as", {}, base=Open, binary_data_output=(bool, ABSENT))
    names = Literal[tuple(model.outputs)]
    output = record(f"{model.name}_wanted", {"name": names}, base=Open, parameters=(wanted, ABSENT))
    outputs = Annotated[list[output], Field(json_schema_extra={"uniqueItems": True})]
    return record(
        f"{model.name}_tensors",
        {"inputs": inputs},
        base=Open,
        id=(str, ABSENT),
        parameters=(every | None, ABSENT),
        outputs=(outputs, ABSENT),
    )


def _response(model: DescribedModel) -> Any:
    shape = Annotated[list[Annotated[int, Field(ge=1)]], Field(min_length=1, max_length=1)]
    outputs = [
        record(
            f"{model.name}_output_{at}",
            {"name": Literal[name], "datatype": Literal[datatype], "shape": shape, "data": list[output_type(datatype)]},
        )
        for at, (name, datatype) in enumerate(model.outputs.items())
    ]
    if has_classes(model):
        shape = Annotated[list[Annotated[int, Field(ge=1)]], Field(min_length=2, max_length=2)]
        classes = {"name": Literal[PREDICTION], "datatype": Literal["BYTES"], "shape": shape, "data": list[str]}
        outputs.append(record(f"{model.name}_classes", classes))
    return record(
        f"{model.name}_answer",
        {"model_name": Literal[model.name], "model_version": str, "outputs": list[_either(outputs)]},
        id=(str, ABSENT),
    )


def has_classes(model: DescribedModel) -> bool:
    """Return whether a model tells classes apart, which can be asked for by their probability."""
    return model.outputs.get(PREDICTION) == "BOOL" or any(name.startswith(PROBABILITY) for name in model.outputs)


def _either(kinds: Sequence[Any]) -> Any:
    return reduce(or_, kinds)


def _example(model: DescribedModel) -> dict[str, Any]:
    rows = list(model.known_rows[:2]) or [dict.fromkeys(feature.name for feature in model.features)]
    return {
        "inputs": [
            {
                "name": feature.name,
                "datatype": _OF_FEATURE[feature.kind],
                "shape": [len(rows)],
                "data": [row[feature.name] for row in rows],
            }
            for feature in model.features
        ]
    }
