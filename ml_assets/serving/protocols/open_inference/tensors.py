"""Tensors of the Open Inference Protocol: values as lists or bytes, of shape [rows] or [rows, 1]."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ml_assets.serving.errors import BadRequest

NUMPY = {
    "BOOL": np.bool_, "UINT8": np.uint8, "UINT16": np.uint16, "UINT32": np.uint32, "UINT64": np.uint64,
    "INT8": np.int8, "INT16": np.int16, "INT32": np.int32, "INT64": np.int64, "FP32": np.float32, "FP64": np.float64,
}  # fmt: skip
"""Datatype -> NumPy's; BYTES, which has none, is text."""


def row_count(name: str, shape: Any) -> int:
    """Return the rows of a tensor; raises BadRequest for a shape that is none."""
    sizes = [whole(size) for size in shape] if isinstance(shape, list) else []
    if (
        not all(type(size) is int and size >= 0 for size in sizes)
        or len(sizes) not in (1, 2)
        or sizes[1:] not in ([], [1])
    ):
        raise BadRequest(f"inputs.{name}: shape must be [rows] or [rows, 1], not {str(shape)[:40]}")
    return sizes[0]


def whole(size: Any) -> Any:
    """Return a whole number written with a decimal point as the integer that it is."""
    return int(size) if type(size) is float and size.is_integer() else size


def from_bytes(name: str, datatype: str, data: bytes, rows: int) -> np.ndarray | list[str]:
    """Decode values, little-endian, texts each behind its length in four bytes; raises BadRequest."""
    if datatype == "BYTES":
        values = _texts(name, data)
    else:
        if len(data) % np.dtype(NUMPY[datatype]).itemsize:
            raise BadRequest(f"inputs.{name}: {len(data)} bytes are no whole number of {datatype}")
        values = np.frombuffer(data, dtype=np.dtype(NUMPY[datatype]).newbyteorder("<"))
        if datatype == "BOOL" and np.any(values.view(np.uint8) > 1):
            raise BadRequest(f"inputs.{name}: a BOOL is a byte of 0 or 1")
    if len(values) != rows:
        raise BadRequest(f"inputs.{name}: data has {len(values)} values, shape says {rows}")
    return values


def _texts(name: str, data: bytes) -> list[str]:
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


def to_bytes(datatype: str, values: Sequence[Any]) -> bytes:
    """Encode values as `from_bytes` decodes them."""
    if datatype != "BYTES":
        return np.asarray(values, dtype=np.dtype(NUMPY[datatype]).newbyteorder("<")).tobytes()
    texts = [value.encode() for value in values]
    return b"".join(len(text).to_bytes(4, "little") + text for text in texts)


def datatype_of(values: list) -> str:
    """Return the datatype of a column of plain values."""
    kinds = {bool: "BOOL", int: "INT64", float: "FP64", str: "BYTES"}
    return kinds[type(values[0])] if values else "FP64"
