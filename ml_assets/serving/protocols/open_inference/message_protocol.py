"""The Open Inference Protocol, version 2, over gRPC: the same tensors as over HTTP, in messages."""

from collections.abc import Mapping, Sequence
from typing import Any

from ml_assets.serving.errors import BadRequest
from ml_assets.serving.prediction.messages import FeatureColumns, PredictionRequest, PredictionResponse
from ml_assets.serving.protocols.adapter import GrpcBinding, RequestProtocol
from ml_assets.serving.protocols.open_inference.messages import SERVICE, message_classes, parse
from ml_assets.serving.protocols.open_inference.protocol import write_tensors
from ml_assets.serving.protocols.open_inference.rpcs import READS, REFUSED, WATCHES
from ml_assets.serving.protocols.open_inference.tensors import from_bytes, row_count, to_bytes
from ml_assets.serving.protocols.tensor_models import DATATYPES

_REQUEST = "ModelInferRequest"
_CONTENTS = {
    "BOOL": "bool_contents",
    "UINT8": "uint_contents",
    "UINT16": "uint_contents",
    "UINT32": "uint_contents",
    "UINT64": "uint64_contents",
    "INT8": "int_contents",
    "INT16": "int_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}
"""Datatype -> the field of a tensor's contents that has its values."""


def _streamed(answer: bytes) -> bytes:
    messages = message_classes()
    response = messages["ModelInferResponse"].FromString(answer)
    return messages["ModelStreamInferResponse"](infer_response=response).SerializeToString()


def _failed(reason: str) -> bytes:
    return message_classes()["ModelStreamInferResponse"](error_message=reason).SerializeToString()


class OpenInferenceMessages(RequestProtocol):
    """Tensors in, tensors out, as messages: values raw or in lists, and answered as they came."""

    grpc = GrpcBinding(
        unary=f"/{SERVICE}/ModelInfer",
        stream=f"/{SERVICE}/ModelStreamInfer",
        streamed=_streamed,
        failed=_failed,
        reads=READS,
        watches=WATCHES,
        refused=REFUSED,
    )

    def read(self, body: bytes, parameters: Mapping[str, str]) -> PredictionRequest:  # noqa: ARG002
        """Parse the message and its tensors."""
        message = parse(_REQUEST, body)
        return PredictionRequest(
            FeatureColumns(_tensors(message)),
            model=message.model_name,
            version=message.model_version or None,
            context=message,
        )

    def write(self, response: PredictionResponse) -> bytes:
        """Render all columns of the predictions, or those that the request asks for."""
        champion, message = response.champion, response.request.context
        wanted = [{"name": each.name, "parameters": _parameters(each.parameters)} for each in message.outputs]
        asked = {"outputs": wanted} | ({"id": message.id} if message.id else {})
        answer = write_tensors(champion.name, champion.version, asked, response.by_column())
        raw = bool(message.raw_input_contents)
        return _rendered(answer, raw=raw).SerializeToString()


def _tensors(message: Any) -> dict[str, Any]:
    """Return the tensors of a request by name: NumPy arrays or lists of text; raises BadRequest."""
    raw, tensors = message.raw_input_contents, {}
    if raw and len(raw) != len(message.inputs):
        raise BadRequest(f"raw_input_contents: has {len(raw)} entries for {len(message.inputs)} inputs")
    for at, tensor in enumerate(message.inputs):
        name, datatype = tensor.name, tensor.datatype
        if not name or name in tensors:
            raise BadRequest(f"inputs: each tensor needs a name of its own, not {name!r}")
        if "shared_memory_region" in tensor.parameters:
            raise BadRequest(f"inputs.{name}: there is no shared memory here: send the values")
        if datatype not in DATATYPES:
            raise BadRequest(f"inputs.{name}: datatype must be one of {', '.join(DATATYPES)}")
        rows = row_count(name, list(tensor.shape))
        if raw:
            if tensor.HasField("contents"):
                raise BadRequest(f"inputs.{name}: has contents beside raw_input_contents: send one of them")
            tensors[name] = from_bytes(name, datatype, raw[at], rows)
        else:
            tensors[name] = _listed(name, datatype, tensor.contents, rows)
    return tensors


def _listed(name: str, datatype: str, contents: Any, rows: int) -> Sequence[Any]:
    """Return the values that a tensor's contents list; raises BadRequest."""
    field = _CONTENTS[datatype]
    other = [each.name for each, _ in contents.ListFields() if each.name != field]
    if other:
        raise BadRequest(f"inputs.{name}: {datatype} stands in {field}, not in {other[0]}")
    values = list(getattr(contents, field))
    if len(values) != rows:
        raise BadRequest(f"inputs.{name}: {field} has {len(values)} values, shape says {rows}")
    if datatype != "BYTES":
        return values
    try:
        return [value.decode() for value in values]
    except UnicodeDecodeError as error:
        raise BadRequest(f"inputs.{name}: a text is no UTF-8") from error


def _parameters(given: Any) -> dict[str, Any]:
    """Return parameters as plain values."""
    return {name: getattr(value, value.WhichOneof("parameter_choice") or "bool_param") for name, value in given.items()}


def _rendered(answer: Mapping[str, Any], *, raw: bool) -> Any:
    """Turn an answer as JSON has it into a message."""
    response = message_classes()["ModelInferResponse"](
        model_name=answer["model_name"], model_version=answer["model_version"], id=str(answer.get("id", ""))
    )
    for tensor in answer["outputs"]:
        datatype, data = tensor["datatype"], tensor["data"]
        output = response.outputs.add(name=tensor["name"], datatype=datatype, shape=tensor["shape"])
        if raw:
            response.raw_output_contents.append(to_bytes(datatype, data))
        else:
            values = [value.encode() for value in data] if datatype == "BYTES" else data
            getattr(output.contents, _CONTENTS[datatype]).extend(values)
    return response
