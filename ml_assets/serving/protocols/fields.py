"""Types of what requests and responses hold, made of declarations: models of pydantic, and their JSON Schemas."""

import math
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, WithJsonSchema, create_model
from pydantic.json_schema import GenerateJsonSchema

from ml_assets.serving.declared import RequestField
from ml_assets.serving.prediction.request_rows import FLOAT32, integer_bounds
from ml_assets.training.encoding import FeatureEncoding

ABSENT = object()
"""Default of a field that may be left out and then has no value."""

Float32 = Annotated[float, Field(gt=-FLOAT32, lt=FLOAT32)]
"""A number that has a float32, which is what a model takes: those beyond are rounded to infinity."""

_OptionalFloat32 = Annotated[float | None, Field(gt=-FLOAT32, lt=FLOAT32)]
_FEATURES: dict[str, Any] = {"number": _OptionalFloat32, "boolean": bool | None, "category": str | None}
_OUTPUTS: dict[str, Any] = {"FP64": float, "INT64": int, "BOOL": bool, "BYTES": str}
_EXAMPLES = {"moment": "2024-01-31T12:00:00Z", "date": "2024-01-31"}


class Open(BaseModel):
    """An object that may hold more than its fields."""


class Closed(BaseModel):
    """An object that holds its fields and nothing else."""

    model_config = ConfigDict(extra="forbid")


def record(
    name: str, required: Mapping[str, Any], *, base: type[BaseModel] = Closed, **optional: tuple[Any, Any]
) -> type[BaseModel]:
    """Make the model of an object with these fields.

    Args:
        required: field -> its type, or its type and description.
        base: Closed or Open.
        optional: field -> its type and default, which may be ABSENT.
    """
    return _model(name, required, optional, base)


def partial_record(name: str, fields: Mapping[str, Any]) -> type[BaseModel]:
    """Make the model of an object that has some of these fields, and no others.

    Args:
        fields: field -> its type.
    """
    return _model(name, {}, {field: (kind, ABSENT) for field, kind in fields.items()}, Closed)


def _model(
    name: str, required: Mapping[str, Any], optional: Mapping[str, tuple[Any, Any]], base: type[BaseModel]
) -> type[BaseModel]:
    fields: dict[str, Any] = {}
    # By alias: a column may bear a name that is no name of Python's, or that the base class has.
    for alias, kind in required.items():
        inner, description = kind if isinstance(kind, tuple) else (kind, None)
        fields[f"field_{len(fields)}"] = (inner, Field(alias=alias, description=description))
    for alias, (kind, default) in optional.items():
        field = (
            Field(alias=alias, default_factory=_nothing) if default is ABSENT else Field(alias=alias, default=default)
        )
        fields[f"field_{len(fields)}"] = (kind, field)
    return create_model(name, __base__=base, **fields)


def _nothing() -> None:
    """Return nothing: a default that the schema does not show."""


def row_record(name: str, fields: Sequence[RequestField]) -> type[BaseModel]:
    """Make the model of a row with these columns."""
    return record(name, {field.name: (field_type(field), field.description or None) for field in fields})


def list_of(kind: Any, most: int) -> Any:
    """Make the type of a list of at least one item."""
    return Annotated[list[kind], Field(min_length=1, max_length=most)]


def feature_type(feature: FeatureEncoding) -> Any:
    """Return a feature's type in a request: text that training has not seen counts as missing, so any fits."""
    return _FEATURES[feature.kind]


def output_fields(outputs: Mapping[str, str]) -> dict[str, Any]:
    """Return the types of a prediction's columns, by their datatypes in the Open Inference Protocol."""
    return {name: _OUTPUTS[datatype] for name, datatype in outputs.items()}


def output_type(datatype: str) -> Any:
    """Return the type of values of a datatype of the Open Inference Protocol."""
    return _OUTPUTS[datatype]


def field_type(field: RequestField) -> Any:
    """Return the type of a column of a request, as narrow as its contract."""
    kind = _plain_type(field)
    return kind | None if field.nullable else kind


def _plain_type(field: RequestField) -> Any:
    match field.kind:
        case "integer":
            low, high = integer_bounds(field)
            return Annotated[int, Field(ge=low, le=high)]
        case "number":
            kind = Float32 if field.dtype == "Float32" else float
            return Annotated[kind, Field(ge=field.minimum, le=field.maximum)]
        case "boolean":
            return bool
        case "moment":
            return AwareDatetime
        case "date":
            return date
    if field.choices:
        return Literal[tuple(field.choices)]
    # As a schema alone: not every expression of Python's is one of pydantic's.
    pattern = {} if field.pattern is None else {"pattern": f"^(?:{field.pattern})"}
    return Annotated[str, WithJsonSchema({"type": "string", **pattern})]


def example_row(fields: Sequence[RequestField]) -> dict[str, Any]:
    """Make a row that shows the form of each value."""
    return {field.name: _example(field) for field in fields}


def _example(field: RequestField) -> Any:
    if field.kind in ("integer", "number"):
        least = field.minimum if field.minimum is not None else min(0.0, field.maximum or 0.0)
        return math.ceil(least) if field.kind == "integer" else least
    if field.kind == "boolean":
        return False
    if field.kind in _EXAMPLES:
        return _EXAMPLES[field.kind]
    if field.choices:
        return field.choices[0]
    return None if field.pattern and field.nullable else "text"


class _Untitled(GenerateJsonSchema):
    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002
        return False


def json_schema(kind: type[BaseModel]) -> dict[str, Any]:
    """Render the JSON Schema (2020-12) of a model in one piece, without references.

    Parts have no titles: makers of clients name classes by them, and a part may come twice.
    """
    schema = kind.model_json_schema(schema_generator=_Untitled)
    return _inlined(schema, schema.pop("$defs", {}))


def _inlined(part: Any, named: Mapping[str, Any]) -> Any:
    if isinstance(part, list):
        return [_inlined(item, named) for item in part]
    if not isinstance(part, dict):
        return part
    if "$ref" in part:
        rest = {name: value for name, value in part.items() if name != "$ref"}
        target = dict(named[part["$ref"].removeprefix("#/$defs/")])
        target.pop("title", None)
        return _inlined({**target, **rest}, named)
    return {name: _inlined(value, named) for name, value in part.items()}
