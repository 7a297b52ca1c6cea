"""The Open Inference Protocol, version 2 (KServe's predict protocol): tensors in, tensors out.

One input per feature, of shape [rows] or [rows, 1]: FP64 or any number type, BOOL, or BYTES for text. JSON, or with
tensors behind it in binary (Triton's extension, which its own client uses by default). Responses are JSON.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import orjson

from ml_assets.serving.errors import BadRequest
from ml_assets.serving.prediction.messages import FeatureColumns, PredictionRequest, PredictionResponse
from ml_assets.serving.protocols.adapter import DescribedModel, HttpBinding, Interface, RequestProtocol
from ml_assets.serving.protocols.json_body import read_json
from ml_assets.serving.protocols.open_inference.classification import class_count, classify
from ml_assets.serving.protocols.open_inference.resources import REFUSED, RESOURCES
from ml_assets.serving.protocols.tensor_models import DATATYPES, describe_tensors

HEADER_LENGTH = "header_length"
"""Parameter: bytes of the JSON before binary tensors."""

_NUMPY = {
    "BOOL": np.bool_, "UINT8": np.uint8, "UINT16": np.uint16, "UINT32": np.uint32, "UINT64": np.uint64,
    "INT8": np.int8, "INT16": np.int16, "INT32": np.int32, "INT64": np.int64, "FP32": np.float32, "FP64": np.float64,
}  # fmt: skip


class OpenInference(RequestProtocol):
    """Tensors in, tensors out, one for each feature and each column of the prediction."""

    http = HttpBinding(
        paths=("/v2/models/{model}/infer", "/v2/models/{model}/versions/{version}/infer"),
        tag="v2",
        parameters={HEADER_LENGTH: b"inference-header-content-length"},
    )
    resources = RESOURCES
    refused = REFUSED

    def read(self, body: bytes, parameters: Mapping[str, str]) -> PredictionRequest:
        """Parse the tensors, as JSON or behind it."""
        request, tensors = read_tensors(body, parameters.get(HEADER_LENGTH))
        return PredictionRequest(FeatureColumns(tensors), context=request)

    def write(self, response: PredictionResponse) -> bytes:
        """Render all columns of the predictions, or those that the request asks for."""
        champion = response.champion
        return orjson.dumps(
            write_tensors(champion.name, champion.version, response.request.context, response.by_column())
        )

    def describe(self, model: DescribedModel) -> Interface:
        """Describe a tensor for each feature."""
        return describe_tensors(model, self.limits.rows)


def read_tensors(body: bytes, header_length: str | None) -> tuple[dict[str, Any], dict[str, Any]]:
    """Parse a request, and its tensors by name: NumPy arrays, lists of text, or lists with nulls.

    Args:
        header_length: bytes of the JSON that stands before binary tensors; None where there is nothing but JSON.

    Raises:
        BadRequest: it is no JSON object, or a tensor is not what it says.
    """
    length = len(body) if header_length is None else _length(header_length, body)
    request = read_json(body[:length])
    inputs = request.get("inputs")
    if not isinstance(inputs, list) or not all(isinstance(tensor, dict) for tensor in inputs):
        raise BadRequest("inputs: must be a list of tensors")
    rest, tensors = body[length:], {}
    for tensor in inputs:
        name = tensor.get("name")
        if not isinstance(name, str) or name in tensors:
            raise BadRequest(f"inputs: each tensor needs a name of its own, not {name!r}")
        if _is_single_value(tensor):
            tensors[name] = tensor["data"]
            continue
        rows = _rows(name, tensor.get("shape"))
        datatype, size = tensor.get("datatype"), _binary_size(name, tensor, len(rest))
        if datatype not in DATATYPES:
            raise BadRequest(f"inputs.{name}: datatype must be one of {', '.join(DATATYPES)}")
        if size is None:
            tensors[name] = _from_json(name, tensor, rows)
        else:
            tensors[name], rest = _from_bytes(name, datatype, rest[:size], rows), rest[size:]
    if rest:
        raise BadRequest(f"{len(rest)} bytes follow the last tensor")
    return request, tensors


def write_tensors(name: str, version: str, request: Mapping[str, Any], answer: Mapping[str, list]) -> dict[str, Any]:
    """Render predictions as tensors, all of them or those that the request asks for.

    Raises:
        BadRequest: it asks for an output that there is none of.
    """
    wanted = request.get("outputs") or []
    if not isinstance(wanted, list) or not all(isinstance(tensor, dict) for tensor in wanted):
        raise BadRequest("outputs: must be a list of tensors")
    names = [str(tensor.get("name")) for tensor in wanted] or list(answer)
    unknown = [each for each in names if each not in answer]
    if unknown:
        raise BadRequest(f"outputs: there is no {unknown[0]!r}; there are {', '.join(answer)}")
    outputs = [
        {"name": each, "datatype": datatype_of(answer[each]), "shape": [len(answer[each])], "data": answer[each]}
        for each in names
    ]
    for at, tensor in enumerate(wanted):
        count = class_count(tensor)
        if count is not None:
            outputs[at] = classify(names[at], answer, count)
    response = {"model_name": name, "model_version": version, "outputs": outputs}
    return {"id": request["id"], **response} if "id" in request else response


def _is_single_value(tensor: Mapping[str, Any]) -> bool:
    """Return whether a tensor is right and holds a value alone, which most do: the checks of all others take longer."""
    data, datatype = tensor.get("data"), tensor.get("datatype")
    return (
        tensor.get("shape") == [1]
        and type(data) is list
        and len(data) == 1
        and type(data[0]) is not list
        and type(datatype) is str
        and (datatype in _NUMPY or datatype == "BYTES")
        and "parameters" not in tensor
    )


def _length(text: str, body: bytes) -> int:
    if not (text.isascii() and text.isdigit()) or int(text) > len(body):
        raise BadRequest(f"inference-header-content-length: {text[:20]!r} is no length within the body")
    return int(text)


def _binary_size(name: str, tensor: Mapping[str, Any], available: int) -> int | None:
    """Return the bytes that the tensor takes behind the header; None if its values are in the header."""
    parameters = tensor.get("parameters") or {}
    if not isinstance(parameters, dict):
        raise BadRequest(f"inputs.{name}: parameters must be an object")
    if "shared_memory_region" in parameters:
        raise BadRequest(f"inputs.{name}: there is no shared memory here: send the values")
    size = parameters.get("binary_data_size")
    if size is not None and (type(size) is not int or not 0 <= size <= available):
        raise BadRequest(f"inputs.{name}: binary_data_size is not what follows the header")
    return size


def _rows(name: str, shape: Any) -> int:
    sizes = [_whole(size) for size in shape] if isinstance(shape, list) else []
    if (
        not all(type(size) is int and size >= 0 for size in sizes)
        or len(sizes) not in (1, 2)
        or sizes[1:] not in ([], [1])
    ):
        raise BadRequest(f"inputs.{name}: shape must be [rows] or [rows, 1], not {str(shape)[:40]}")
    return sizes[0]


def _whole(size: Any) -> Any:
    """Return a whole number written with a decimal point as the integer that it is."""
    return int(size) if type(size) is float and size.is_integer() else size


def _from_json(name: str, tensor: Mapping[str, Any], rows: int) -> list:
    data = tensor.get("data")
    if not isinstance(data, list):
        raise BadRequest(f"inputs.{name}: data must be a list")
    flat = (
        [value for item in data for value in item]
        if data and isinstance(data[0], list) and all(isinstance(item, list) for item in data)
        else data
    )
    if len(flat) != rows:
        raise BadRequest(f"inputs.{name}: data has {len(flat)} values, shape says {rows}")
    return flat


def _from_bytes(name: str, datatype: str, data: bytes, rows: int) -> np.ndarray | list[str]:
    if datatype == "BYTES":
        values = _texts(name, data)
    else:
        if len(data) % np.dtype(_NUMPY[datatype]).itemsize:
            raise BadRequest(f"inputs.{name}: {len(data)} bytes are no whole number of {datatype}")
        values = np.frombuffer(data, dtype=_NUMPY[datatype])
    if len(values) != rows:
        raise BadRequest(f"inputs.{name}: data has {len(values)} values, shape says {rows}")
    return values


def _texts(name: str, data: bytes) -> list[str]:
    """Decode texts, each behind its length in four bytes, little-endian."""
    texts, at = [], 0
    while at < len(data):
        size = int.from_bytes(data[at : at + 4], "little")
        if at + 4 + size > len(data):
            raise BadRequest(f"inputs.{name}: a text is cut off")
        try:
            texts.append(data[at + 4 : at + 4 + size].decode())
        except UnicodeDecodeError as error:
            raise BadRequest(f"inputs.{name}: a text is no UTF-8") from error
        at += 4 + size
    return texts


def datatype_of(values: list) -> str:
    """Return the datatype of a column of plain values."""
    kinds = {bool: "BOOL", int: "INT64", float: "FP64", str: "BYTES"}
    return kinds[type(values[0])] if values else "FP64"
