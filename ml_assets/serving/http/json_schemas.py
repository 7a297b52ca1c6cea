"""JSON Schemas (2020-12) of what requests hold and answers give."""

from collections.abc import Mapping, Sequence
from typing import Any

from ml_assets.serving.declared import RequestField
from ml_assets.training.encoding import FeatureEncoding

FLOAT32 = 3.4028235677973366e38
"""Numbers below this size have a float32, which is what a model takes; those from it on are rounded to infinity."""

_INTEGERS = {
    f"{prefix}Int{bits}": (0 if prefix else -(2 ** (bits - 1)), 2 ** (bits - (not prefix)) - 1)
    for prefix in ("", "U")
    for bits in (8, 16, 32, 64)
}
_FORMATS = {"moment": "date-time", "date": "date"}
_BELOW = {"exclusiveMinimum": -FLOAT32, "exclusiveMaximum": FLOAT32}
_OUTPUTS = {"FP64": "number", "INT64": "integer", "BOOL": "boolean", "BYTES": "string"}


def record(
    required: Mapping[str, Any], optional: Mapping[str, Any] | None = None, *, closed: bool = True
) -> dict[str, Any]:
    """An object with these properties, and no others if it is closed."""
    schema = {"type": "object", "properties": {**required, **(optional or {})}, "required": list(required)}
    return {**schema, "additionalProperties": False} if closed else schema


def rows_of(row: Mapping[str, Any], most: int) -> dict[str, Any]:
    """A list of at least one row."""
    return {"type": "array", "items": row, "minItems": 1, "maxItems": most}


def nullable(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The schema, or null."""
    allowed = {**schema, "type": [schema["type"], "null"]}
    return {**allowed, "enum": [*schema["enum"], None]} if "enum" in schema else allowed


def feature_schema(feature: FeatureEncoding) -> dict[str, Any]:
    """A feature as it is given: a text that training has not seen is taken as missing, so any text may be given."""
    kinds: dict[str, dict[str, Any]] = {
        "number": {"type": "number", **_BELOW},
        "boolean": {"type": "boolean"},
        "category": {"type": "string"},
    }
    return nullable(kinds[feature.kind])


def output_schema(datatype: str) -> dict[str, Any]:
    """A column of an answer, by its datatype in the Open Inference Protocol."""
    return {"type": _OUTPUTS[datatype]}


def field_schema(field: RequestField) -> dict[str, Any]:
    """A column of a request, with what its contract says."""
    schema: dict[str, Any] = {"type": field.kind if field.kind in ("integer", "number", "boolean") else "string"}
    if field.description:
        schema["description"] = field.description
    least, most = _INTEGERS.get(field.dtype, (None, None)) if field.kind == "integer" else (None, None)
    if field.dtype == "Float32":
        schema |= _BELOW
    for name, own, declared, narrower in (
        ("minimum", least, field.minimum, max),
        ("maximum", most, field.maximum, min),
    ):
        limits = [limit for limit in (own, declared) if limit is not None]
        if limits and field.kind in ("integer", "number"):
            schema[name] = narrower(limits)
    if field.kind in _FORMATS:
        schema["format"] = _FORMATS[field.kind]
    if field.choices is not None:
        schema["enum"] = list(field.choices)
    if field.pattern is not None:
        schema["pattern"] = f"^(?:{field.pattern})"
    return nullable(schema) if field.nullable else schema


def example_row(fields: Sequence[RequestField]) -> dict[str, Any]:
    """A row that shows the form of each value."""
    return {field.name: _example(field) for field in fields}


def _example(field: RequestField) -> Any:
    if field.kind in ("integer", "number"):
        least = field.minimum if field.minimum is not None else min(0.0, field.maximum or 0.0)
        return int(least) if field.kind == "integer" else least
    if field.kind == "boolean":
        return False
    if field.kind in _FORMATS:
        return {"moment": "2024-01-31T12:00:00Z", "date": "2024-01-31"}[field.kind]
    if field.choices:
        return field.choices[0]
    return None if field.pattern and field.nullable else "text"
