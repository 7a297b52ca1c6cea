"""TensorFlow Serving's REST API: instances in rows or inputs in columns, and the state and signature of each model.

KServe's first protocol has the same path and the same rows; its clients read `ready` beside what TensorFlow's read.
"""

import base64
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal

import orjson
from pydantic import BaseModel, Field

from ml_assets.serving.errors import BadRequest
from ml_assets.serving.prediction.messages import FeatureRows, GivenFeatures, PredictionRequest, PredictionResponse
from ml_assets.serving.protocols.adapter import (
    DescribedModel,
    HttpBinding,
    InService,
    Interface,
    RequestProtocol,
    Resource,
)
from ml_assets.serving.protocols.feature_forms import (
    column_types,
    example_rows,
    one_form,
    one_of,
    read_columns,
    read_rows,
    row_types,
)
from ml_assets.serving.protocols.fields import ABSENT, Closed, output_fields, record
from ml_assets.serving.protocols.json_body import read_json
from ml_assets.serving.protocols.tensor_models import Datatype, TensorMetadata, metadata

SIGNATURE = "serving_default"
_WRAPPING = (list, dict)

_DTYPES: dict[Datatype, str] = {"FP64": "DT_DOUBLE", "INT64": "DT_INT64", "BOOL": "DT_BOOL", "BYTES": "DT_STRING"}
BASES = ("/v1/models/{model}", "/v1/models/{model}/versions/{version}", "/v1/models/{model}/labels/{label}")


class Healthy(Closed):
    """That nothing is wrong with a version."""

    error_code: Literal["OK"] = "OK"
    error_message: Literal[""] = ""


class VersionStatus(Closed):
    """That a version serves."""

    version: str
    state: Literal["AVAILABLE"] = "AVAILABLE"
    status: Healthy = Healthy()


class StatusOfVersions(Closed):
    """The version of a model that serves; `name` and `ready` are what KServe's clients read."""

    name: str
    ready: bool
    model_version_status: list[VersionStatus]


class Dimension(Closed):
    """Size of a tensor in one direction: -1, as many as there are rows."""

    size: Literal["-1"] = "-1"
    name: Literal[""] = ""


class Shape(Closed):
    """Shape of a tensor: as many values as there are rows."""

    dim: list[Dimension] = Field(default_factory=lambda: [Dimension()], min_length=1, max_length=1)
    unknown_rank: Literal[False] = False


class SignatureTensor(Closed):
    """A tensor that a model takes or gives."""

    dtype: Literal["DT_DOUBLE", "DT_INT64", "DT_BOOL", "DT_STRING"]
    tensor_shape: Shape = Shape()
    name: str


class Signature(Closed):
    """What a model takes and gives, by name."""

    inputs: dict[str, SignatureTensor]
    outputs: dict[str, SignatureTensor]
    method_name: Literal["tensorflow/serving/predict"] = "tensorflow/serving/predict"


class SignatureDef(Closed):
    """The signatures of a model, of which there is one."""

    signature_def: dict[str, Signature]


class SignatureMetadata(Closed):
    """Metadata by kind, of which there is one."""

    signature_def: SignatureDef


class SignedVersion(Closed):
    """Which version the metadata are about."""

    name: str
    signature_name: Literal[""] = ""
    version: str


class SignedModel(Closed):
    """What a version takes and gives, in TensorFlow's words."""

    model_spec: SignedVersion
    metadata: SignatureMetadata


def _status(versions: Sequence[InService]) -> StatusOfVersions:
    served = versions[0].served
    status = [VersionStatus(version=served.version)]
    return StatusOfVersions(name=served.name, ready=not versions[0].unready, model_version_status=status)


def _signature(versions: Sequence[InService]) -> SignedModel:
    served = versions[0].served
    known = metadata(served.name, [served.version], served.predictor)
    signature = Signature(inputs=_signed(known.inputs), outputs=_signed(known.outputs))
    return SignedModel(
        model_spec=SignedVersion(name=served.name, version=served.version),
        metadata=SignatureMetadata(signature_def=SignatureDef(signature_def={SIGNATURE: signature})),
    )


def _signed(tensors: Sequence[TensorMetadata]) -> dict[str, SignatureTensor]:
    return {
        each.name: SignatureTensor.model_validate({"dtype": _DTYPES[each.datatype], "name": each.name})
        for each in tensors
    }


def _of_version(
    rest: str, summary: str, response: type[BaseModel], render: Callable[[Sequence[InService]], BaseModel]
) -> Iterator[Resource]:
    for base in BASES:
        yield Resource(base + rest, summary, response, render)


class TensorFlowServing(RequestProtocol):
    """Rows under `instances`, answered by row, or columns under `inputs`, answered by column."""

    http = HttpBinding(paths=[f"{base}:predict" for base in BASES], tag="tensorflow_serving")
    resources = (
        *_of_version("", "State of {model}", StatusOfVersions, _status),
        *_of_version("/metadata", "Signature of {model}", SignedModel, _signature),
    )

    def read(self, body: bytes, parameters: Mapping[str, str]) -> PredictionRequest:  # noqa: ARG002
        """Parse whichever of the forms the body has."""
        form, features = read_instances(body)
        return PredictionRequest(features, context=form)

    def write(self, response: PredictionResponse) -> bytes:
        """Render the predictions as the request has its features: by row or by column."""
        if response.request.context == "inputs":
            return orjson.dumps({"outputs": response.by_column()})
        return orjson.dumps({"predictions": response.by_row()})

    def describe(self, model: DescribedModel) -> Interface:
        """Describe both forms by the model's features."""
        prediction = record(f"{model.name}_instance_prediction", output_fields(model.outputs))
        columns = {name: list[kind] for name, kind in output_fields(model.outputs).items()}
        rows = record(f"{model.name}_instance_predictions", {"predictions": list[prediction]})
        response = record(f"{model.name}_output_columns", {"outputs": record(f"{model.name}_outputs", columns)})
        return Interface(
            summary=f"Ask {model.name} as TensorFlow Serving and KServe's first protocol are asked",
            description="Rows under instances or columns under inputs. A row may be a list in the order of the "
            "features; a value may stand in a list of one, and a text as base64 under b64. NaN is a missing value, as "
            "null is.",
            request=instances_model(model, self.limits.rows),
            example={"instances": example_rows(model)},
            response=one_of(f"{model.name}_instances_answer", (rows, response)),
            refusals=(400, 404, 408, 413, 503),
        )


def read_instances(body: bytes) -> tuple[str, GivenFeatures]:
    """Take the features out of a request, and by which form it has them.

    Raises:
        BadRequest: it has neither rows nor columns or both, or names a signature that there is none of.
    """
    request = read_signed(body)
    given = [form for form in ("instances", "inputs") if form in request]
    if len(given) != 1:
        raise BadRequest("the body must have either instances or inputs")
    (form,) = given
    content = request[form]
    if isinstance(content, dict) and form == "inputs":
        columns = {
            name: [_plain(value) for value in values] if isinstance(values, list) else values
            for name, values in content.items()
        }
        return form, read_columns(form, columns)
    features = read_rows(form, content)
    return form, plain_rows(features) if isinstance(features, FeatureRows) else features


def read_signed(body: bytes) -> dict[str, Any]:
    """Parse the JSON object of a request.

    Raises:
        BadRequest: it is none, or names a signature that there is none of.
    """
    request = read_json(body, nan=True)
    signature = request.get("signature_name", SIGNATURE)
    if signature != SIGNATURE:
        raise BadRequest(f"signature_name: there is {SIGNATURE} and not {str(signature)[:40]!r}")
    return request


def plain_rows(features: FeatureRows) -> FeatureRows:
    """Take values out of lists of one and out of base64; raises BadRequest."""
    if not any(_wraps(row) for row in features.rows):
        return features
    rows = [{name: _plain(value) for name, value in row.items()} if _wraps(row) else row for row in features.rows]
    return FeatureRows(rows)


def instances_model(model: DescribedModel, most: int) -> type[BaseModel]:
    """Make the model of a request with rows or columns.

    Args:
        most: rows of a request.
    """
    rows = row_types(model, most, lists=True, wrapping=True)
    return one_form(
        f"{model.name}_instances",
        {"instances": rows, "inputs": rows | column_types(model, wrapping=True)},
        signature_name=(Literal[SIGNATURE], ABSENT),
    )


def _plain(value: Any) -> Any:
    """Take a value out of a list of one, which is how tensors with two dimensions have it, and a text out of base64."""
    value = value[0] if type(value) is list and len(value) == 1 else value
    return _decoded(value["b64"]) if type(value) is dict and value.keys() == {"b64"} else value


def _decoded(text: Any) -> str:
    try:
        return base64.b64decode(text, validate=True).decode()
    except (TypeError, ValueError) as error:  # the latter of base64 and of UTF-8
        raise BadRequest(f"b64: {str(text)[:40]!r} is no text in base64") from error


def _wraps(row: Any) -> bool:
    return type(row) is dict and any(type(value) in _WRAPPING for value in row.values())
