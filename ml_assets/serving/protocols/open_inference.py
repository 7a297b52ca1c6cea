"""The Open Inference Protocol, version 2 (KServe's predict protocol): tensors in, tensors out.

One input per feature, of shape [rows] or [rows, 1]: FP64 or any number type, BOOL, or BYTES for text. JSON, or with
tensors behind it in binary (Triton's extension, which its own client uses by default). Answers are JSON.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import orjson

from ml_assets.scoring.predictor import Predictor
from ml_assets.serving.errors import BadRequest

HEADER_LENGTH = b"inference-header-content-length"
_DATATYPE = {"number": "FP64", "boolean": "BOOL", "category": "BYTES"}
_NUMPY = {
    "BOOL": np.bool_, "UINT8": np.uint8, "UINT16": np.uint16, "UINT32": np.uint32, "UINT64": np.uint64,
    "INT8": np.int8, "INT16": np.int16, "INT32": np.int32, "INT64": np.int64, "FP32": np.float32, "FP64": np.float64,
}  # fmt: skip
_DATATYPES = ("BYTES", *_NUMPY)


def metadata(name: str, versions: list[str], predictor: Predictor) -> dict[str, Any]:
    """What a model takes and gives."""
    outputs = predictor.predict(np.full((1, len(predictor.features)), np.nan, dtype=np.float32))
    return {
        "name": name,
        "versions": versions,
        "platform": f"ml_assets_{predictor.model.kind}",
        "inputs": [
            {"name": feature.name, "datatype": _DATATYPE[feature.kind], "shape": [-1]} for feature in predictor.features
        ],
        "outputs": [
            {"name": column, "datatype": _datatype_of(values), "shape": [-1]} for column, values in outputs.items()
        ],
    }


def read_request(body: bytes, header_length: str | None) -> tuple[dict[str, Any], dict[str, Any]]:
    """The request, and its tensors by name: NumPy arrays, lists of text, or lists with nulls.

    Raises:
        BadRequest: it is no JSON object, or a tensor is not what it says.
    """
    length = len(body) if header_length is None else _length(header_length, body)
    request = read_json(body[:length])
    inputs = request.get("inputs")
    if not isinstance(inputs, list) or not all(isinstance(one, dict) for one in inputs):
        raise BadRequest("inputs: must be a list of tensors")
    rest, tensors = body[length:], {}
    for one in inputs:
        name = one.get("name")
        if not isinstance(name, str) or name in tensors:
            raise BadRequest(f"inputs: each tensor needs a name of its own, not {name!r}")
        if _is_one_value(one):
            tensors[name] = one["data"]
            continue
        rows = _rows(name, one.get("shape"))
        datatype, size = one.get("datatype"), _binary_size(name, one, len(rest))
        if datatype not in _DATATYPES:
            raise BadRequest(f"inputs.{name}: datatype must be one of {', '.join(_DATATYPES)}")
        if size is None:
            tensors[name] = _from_json(name, one, rows)
        else:
            tensors[name], rest = _from_bytes(name, datatype, rest[:size], rows), rest[size:]
    if rest:
        raise BadRequest(f"{len(rest)} bytes follow the last tensor")
    return request, tensors


def write_response(name: str, version: str, request: Mapping[str, Any], answer: Mapping[str, list]) -> dict[str, Any]:
    """The answer as tensors, all of them or those that the request asks for.

    Raises:
        BadRequest: it asks for an output that there is none of.
    """
    asked = request.get("outputs") or []
    if not isinstance(asked, list) or not all(isinstance(one, dict) for one in asked):
        raise BadRequest("outputs: must be a list of tensors")
    names = [str(one.get("name")) for one in asked] or list(answer)
    unknown = [one for one in names if one not in answer]
    if unknown:
        raise BadRequest(f"outputs: there is no {unknown[0]!r}; there are {', '.join(answer)}")
    response = {
        "model_name": name,
        "model_version": version,
        "outputs": [
            {"name": one, "datatype": _datatype_of(answer[one]), "shape": [len(answer[one])], "data": answer[one]}
            for one in names
        ],
    }
    return {"id": request["id"], **response} if "id" in request else response


def read_json(body: bytes) -> dict[str, Any]:
    """The object in a body; raises BadRequest if there is none."""
    try:
        request = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise BadRequest(f"the body is no JSON: {error}") from error
    if not isinstance(request, dict):
        raise BadRequest("the body must be a JSON object")
    return request


def _is_one_value(tensor: Mapping[str, Any]) -> bool:
    """Whether a tensor is right and holds a value alone, which most do: the checks of all others take longer."""
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
        raise BadRequest(f"{HEADER_LENGTH.decode()}: {text[:20]!r} is no length within the body")
    return int(text)


def _binary_size(name: str, tensor: Mapping[str, Any], available: int) -> int | None:
    """The bytes that the tensor takes behind the header; None if its values stand in the header."""
    parameters = tensor.get("parameters") or {}
    if not isinstance(parameters, dict):
        raise BadRequest(f"inputs.{name}: parameters must be an object")
    size = parameters.get("binary_data_size")
    if size is not None and (type(size) is not int or not 0 <= size <= available):
        raise BadRequest(f"inputs.{name}: binary_data_size is not what follows the header")
    return size


def _rows(name: str, shape: Any) -> int:
    whole = isinstance(shape, list) and all(type(size) is int and size >= 0 for size in shape)
    if not whole or len(shape) not in (1, 2) or (len(shape) == 2 and shape[1] != 1):
        raise BadRequest(f"inputs.{name}: shape must be [rows] or [rows, 1], not {str(shape)[:40]}")
    return shape[0]


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
    """Each text behind its length in four bytes, little-endian."""
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


def _datatype_of(values: list) -> str:
    kinds = {bool: "BOOL", int: "INT64", float: "FP64", str: "BYTES"}
    return kinds[type(values[0])] if values else "FP64"
