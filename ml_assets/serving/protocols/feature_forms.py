"""Features in JSON, as rows or as columns: read from requests, and described for each model."""

from collections.abc import Iterable, Mapping, Sequence
from functools import reduce
from operator import or_
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, JsonValue, RootModel, create_model

from ml_assets.serving.errors import BadRequest
from ml_assets.serving.prediction.messages import FeatureColumns, FeatureLists, FeatureRows
from ml_assets.serving.protocols.adapter import DescribedModel
from ml_assets.serving.protocols.fields import Open, feature_type, list_of, record


def read_rows(where: str, rows: Any) -> FeatureRows | FeatureLists:
    """Read rows with their features by name, or as lists in the order of the model's features.

    Args:
        where: what holds them, for the error.
    """
    if not isinstance(rows, list):
        raise BadRequest(f"{where}: must be a list of rows")
    return FeatureLists(rows) if rows and type(rows[0]) is list else FeatureRows(rows)


def read_columns(where: str, columns: Mapping[str, Any]) -> FeatureColumns:
    """Read lists of values by feature.

    Args:
        where: what holds them, for the error.
    """
    for name, values in columns.items():
        if not isinstance(values, list):
            raise BadRequest(f"{where}.{name[:60]}: must be a list of values")
    return FeatureColumns(columns)


def example_rows(model: DescribedModel) -> list[dict[str, Any]]:
    """Return some rows that a model knows, or one without values."""
    known = [dict(row) for row in model.known_rows[:2]]
    return known or [dict.fromkeys(feature.name for feature in model.features)]


def wrapped(kind: Any) -> Any:
    """Return the type of a value, alone or in a list of one."""
    return kind | Annotated[list[kind], Field(min_length=1, max_length=1)]


def row_types(model: DescribedModel, most: int, *, lists: bool, wrapping: bool = False) -> Any:
    """Return the type of rows with every feature.

    Args:
        most: rows of a request.
        lists: whether a row may also be a list in the order of the features.
        wrapping: whether a value may stand in a list of one.
    """
    features = {each.name: feature_type(each) for each in model.features}
    named = {name: wrapped(kind) if wrapping else kind for name, kind in features.items()}
    suffix = "wrapped_features" if wrapping else "features"
    rows = list_of(record(f"{model.name}_{suffix}", named), most)
    if not lists:
        return rows
    return rows | list_of(Annotated[list, Field(min_length=len(features), max_length=len(features))], most)


def column_types(model: DescribedModel, *, wrapping: bool = False) -> Any:
    """Return the type of lists of values by feature.

    Args:
        wrapping: whether a value may stand in a list of one.
    """
    features = {each.name: feature_type(each) for each in model.features}
    columns = {
        name: Annotated[list[wrapped(kind) if wrapping else kind], Field(min_length=1)]
        for name, kind in features.items()
    }
    return record(f"{model.name}_{'wrapped_columns' if wrapping else 'columns'}", columns)


def row_type(model: DescribedModel) -> type[BaseModel]:
    """Make the model of a row with every feature."""
    return record(f"{model.name}_row_alone", {each.name: feature_type(each) for each in model.features})


def either(name: str, kinds: Sequence[Any]) -> type[BaseModel]:
    """Make the model of a value that is of one of several types."""
    return create_model(name, __base__=RootModel, root=(reduce(or_, kinds), ...))


class _EitherObject(RootModel):
    """One of several forms."""

    model_config = ConfigDict(json_schema_extra={"type": "object"})
    root: Any


def one_form(name: str, forms: Mapping[str, Any], **optional: tuple[Any, Any]) -> type[BaseModel]:
    """Make the model of an object that has exactly one of these fields.

    Args:
        forms: field -> its type.
        optional: further fields -> type and default.
    """
    return one_of(name, [_alone(f"{name}_{form}", form, kind, forms, optional) for form, kind in forms.items()])


def one_of(name: str, kinds: Sequence[type[BaseModel]]) -> type[BaseModel]:
    """Make the model of an object that is one of several."""
    return create_model(name, __base__=_EitherObject, root=(reduce(or_, kinds), ...))


def _alone(
    name: str, form: str, kind: Any, forms: Iterable[str], optional: Mapping[str, tuple[Any, Any]]
) -> type[BaseModel]:
    """Make the model of an object that has this form and none of the others."""
    others: list[JsonValue] = [{"required": [other]} for other in forms if other != form]

    class Alone(Open):
        model_config = ConfigDict(json_schema_extra={"not": {"anyOf": others}})

    return record(name, {form: kind}, base=Alone, **optional)
