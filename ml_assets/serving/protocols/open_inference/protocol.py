"""The Open Inference Protocol, version 2 (KServe's predict protocol): tensors in, tensors out.

One input per feature, of shape [rows] or [rows, 1]: FP64 or any number type, BOOL, or BYTES for text. JSON, or with
tensors behind it in binary (Triton's extension, which its own client uses by default), in requests and in responses.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from ml_assets.serving.errors import BadRequest
from ml_assets.serving.prediction.messages import FeatureColumns, PredictionRequest, PredictionResponse
from ml_assets.serving.protocols.adapter import JSON, DescribedModel, HttpBinding, Interface, RequestProtocol
from ml_assets.serving.protocols.json_body import read_json
from ml_assets.serving.protocols.open_inference.classification import class_count, classify
from ml_assets.serving.protocols.open_inference.resources import REFUSED, RESOURCES
from ml_assets.serving.protocols.open_inference.tensors import (
    NUMPY,
    datatype_of,
    from_bytes,
    row_count,
    to_bytes,
    whole,
)
from ml_assets.serving.protocols.tensor_models import BINARY, DATATYPES, describe_tensors

HEADER_LENGTH = "header_length"
"""Parameter: bytes of the JSON before binary tensors."""

_DIGITS = 19
"""Of the largest length that is read."""


@dataclass(slots=True)
class _Request:
    """A request as it came.

    Attributes:
        content: its JSON.
        header_length: bytes of the JSON of the response, where tensors follow it in binary; None until it is rendered,
            and where none do.
    """

    content: dict[str, Any]
    header_length: int | None = None


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
        return PredictionRequest(FeatureColumns(tensors), context=_Request(request))

    def write(self, response: PredictionResponse) -> bytes:
        """Render all columns of the predictions, or those that the request asks for, in JSON or behind it."""
        champion, request = response.champion, response.request.context
        answer = write_tensors(champion.name, champion.version, request.content, response.by_column())
        behind = take_binary(request.content, answer["outputs"])
        header = orjson.dumps(answer)
        if not behind:
            return header
        request.header_length = len(header)
        return b"".join((header, *behind))

    def media_type(self, request: PredictionRequest) -> str:
        """Return that of bytes where tensors follow the JSON."""
        return JSON if request.context.header_length is None else BINARY

    def reply_parameters(self, request: PredictionRequest) -> Mapping[str, str]:
        """Return where the JSON of the response ends and tensors begin, if any follow it."""
        length = request.context.header_length
        return {} if length is None else {HEADER_LENGTH: str(length)}

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
    length = len(body) if header_length is None else _length(header_length, len(body))
    request = read_json(body[:length])
    inputs = request.get("inputs")
    if not isinstance(inputs, list) or not all(isinstance(tensor, dict) for tensor in inputs):
        raise BadRequest("inputs: must be a list of tensors")
    at, tensors = length, {}
    for tensor in inputs:
        name = tensor.get("name")
        if not isinstance(name, str) or name in tensors:
            raise BadRequest(f"inputs: each tensor needs a name of its own, not {name!r}")
        if _is_single_value(tensor):
            tensors[name] = tensor["data"]
            continue
        rows = row_count(name, tensor.get("shape"))
        datatype = tensor.get("datatype")
        if datatype not in DATATYPES:
            raise BadRequest(f"inputs.{name}: datatype must be one of {', '.join(DATATYPES)}")
        size = _binary_size(name, tensor)
        if size is None:
            tensors[name] = _from_json(name, tensor, rows)
        else:
            if size > len(body) - at:
                raise BadRequest(_too_short(name, size, len(body) - at, header_length))
            tensors[name], at = from_bytes(name, datatype, body[at : at + size], rows), at + size
    if at < len(body):
        raise BadRequest(f"{len(body) - at} bytes follow the last tensor")
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


def take_binary(request: Mapping[str, Any], outputs: Sequence[dict[str, Any]]) -> list[bytes]:
    """Take the values out of tensors that are wanted in binary, and return them in the order of the tensors.

    Args:
        request: says which: `binary_data` of an output, or else `binary_data_output` of all of them.
        outputs: as `write_tensors` renders them; those that are taken have the size instead.

    Raises:
        BadRequest: it says neither true nor false.
    """
    parameters = request.get("parameters")
    wanted = request.get("outputs")
    if parameters is None and not wanted:
        return []  # as most requests have it
    if parameters is not None and not isinstance(parameters, dict):
        raise BadRequest("parameters: must be an object")
    every = _flag("parameters.binary_data_output", (parameters or {}).get("binary_data_output", False))
    behind: list[bytes] = []
    for place, tensor in enumerate(outputs):
        own = (wanted[place].get("parameters") or {}) if wanted else {}
        if _flag(f"outputs.{tensor['name']}: binary_data", own.get("binary_data", every)):
            values = to_bytes(tensor["datatype"], tensor.pop("data"))
            tensor["parameters"] = {"binary_data_size": len(values)}
            behind.append(values)
    return behind


def _flag(name: str, value: Any) -> bool:
    if type(value) is not bool:
        raise BadRequest(f"{name} must be true or false")
    return value


def _is_single_value(tensor: Mapping[str, Any]) -> bool:
    """Return whether a tensor is right and holds a value alone, which most do: the checks of all others take longer."""
    data, datatype = tensor.get("data"), tensor.get("datatype")
    return (
        tensor.get("shape") == [1]
        and type(data) is list
        and len(data) == 1
        and type(data[0]) is not list
        and type(datatype) is str
        and (datatype in NUMPY or datatype == "BYTES")
        and "parameters" not in tensor
    )


def _length(text: str, most: int) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= _DIGITS) or int(text) > most:
        raise BadRequest(f"inference-header-content-length: {text[:20]!r} is no length within the body of {most} bytes")
    return int(text)


def _binary_size(name: str, tensor: Mapping[str, Any]) -> int | None:
    """Return the bytes that the tensor takes behind the header; None if its values are in the header."""
    parameters = tensor.get("parameters") or {}
    if not isinstance(parameters, dict):
        raise BadRequest(f"inputs.{name}: parameters must be an object")
    if "shared_memory_region" in parameters:
        raise BadRequest(f"inputs.{name}: there is no shared memory here: send the values")
    size = whole(parameters.get("binary_data_size"))
    if size is None:
        return None
    if type(size) is not int or size < 0:
        raise BadRequest(f"inputs.{name}: binary_data_size must be a number of bytes")
    if "data" in tensor:
        raise BadRequest(f"inputs.{name}: has data beside binary_data_size: send one of them")
    return size


def _too_short(name: str, size: int, left: int, header_length: str | None) -> str:
    if header_length is None:
        return f"inputs.{name}: binary_data_size needs the header Inference-Header-Content-Length"
    return f"inputs.{name}: binary_data_size is {size}, and {left} bytes are left behind the JSON"


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
