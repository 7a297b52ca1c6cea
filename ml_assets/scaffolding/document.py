"""A declaration as YAML text: every field of a pydantic model with its description, optional ones commented out.

Nothing about a field is written down here: names, descriptions, defaults and allowed values are read from the model,
so the text cannot fall behind it.
"""

import json
import re
import textwrap
from collections.abc import Mapping
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from ml_assets.declarations.problems import fields_of
from ml_assets.scaffolding.errors import ScaffoldError

WIDTH = 110
LEGEND = (
    "Each field has its explanation above it. A field that begins with # shows its default: take the # away, and that "
    "of the field it lies in, to change it."
)

_PLAIN = re.compile(r"[A-Za-z_][\w ./()%+-]*|\d+[smhdw]")
_PROSE = re.compile(r"[A-Za-z][^#:{}\[\]&*!|>'\"%@`]*")


def render_document(
    type_name: str, model: type[BaseModel], values: Mapping[str, Any], notes: Mapping[str, str] | None = None
) -> str:
    """Return one YAML document that declares a `type_name` with these values.

    Args:
        model: the spec; its required fields must be in `values`.
        values: field -> plain value; the value of a nested model is a mapping of the fields to be set.
        notes: path of a field, such as `label.known_at` -> what to say about its value, below its description.

    Raises:
        ScaffoldError: a required field has no value, or a value is of a field that does not exist.
    """
    lines = _fields(model, values, dict(notes or {}), "", active=True)
    return "\n".join([f"type: {type_name}", "attributes:", *("  " + line if line else "" for line in lines)]) + "\n"


def render_fields(type_name: str, model: type[BaseModel]) -> str:
    """Return one YAML document with every field of a type explained: required ones to be filled in, the others
    commented out with their defaults."""
    return render_document(type_name, model, _required(model))


def _required(model: type[BaseModel]) -> dict[str, Any]:
    """Return placeholders for the required fields of a model, and of those that lie in them."""
    required = {name: field.annotation for name, field in fields_of(model).items() if field.is_required()}
    nested = {name: None if _is_mapping(annotation) else _model_in(annotation) for name, annotation in required.items()}
    return {
        name: _placeholder(annotation) if (inner := nested[name]) is None else _required(inner)
        for name, annotation in required.items()
    }


def render_comment(text: str) -> str:
    """Return the text as comment lines of at most 110 characters."""
    return "".join(f"{line}\n" for line in _comment(text, WIDTH))


def _fields(
    model: type[BaseModel], values: Mapping[str, Any], notes: dict[str, str], path: str, *, active: bool
) -> list[str]:
    unknown = sorted(set(values) - set(fields_of(model)))
    if unknown:
        raise ScaffoldError(f"{path or model.__name__} has no field {', '.join(unknown)}")
    lines: list[str] = []
    for name, field in fields_of(model).items():
        here = f"{path}{name}"
        depth = here.count(".") + 1
        for text in (_explanation(field), notes.get(here)):
            lines += _comment(text, WIDTH - 2 * depth) if text else []
        if name in values:
            lines += _entry(name, field.annotation, values[name], notes, here)
        elif active and field.is_required():
            raise ScaffoldError(f"{here}: nothing to write into this required field")
        else:
            entry = _entry(name, field.annotation, _default(field), notes, here, active=False)
            lines += _commented(entry) if active else entry
    return lines


def _entry(
    name: str, annotation: Any, value: Any, notes: dict[str, str], path: str, *, active: bool = True
) -> list[str]:
    """Render `name: value` and, of a nested model or a mapping of such, the lines below it."""
    model = _model_in(annotation)
    if not model:
        return _value(name, value)
    if _is_mapping(annotation):
        # The fields of an entry are explained even where there is none.
        entries = dict(value or {}) or ({} if active else {"name": {}})
        nested = _mapping(model, entries, notes, path, active=active)
        return [f"{_scalar(name)}:", *nested] if nested else [f"{_scalar(name)}: {{}}"]
    inner = _fields(model, _given(value or {}), notes, f"{path}.", active=active)
    return [f"{_scalar(name)}:", *("  " + line for line in inner)]


def _mapping(
    model: type[BaseModel], entries: Mapping[str, Any], notes: dict[str, str], path: str, *, active: bool
) -> list[str]:
    """Return the entries of a mapping of models, the fields of the first one explained."""
    lines: list[str] = []
    for name, fields in entries.items():
        if lines:
            lines.append(f"  {_scalar(name)}: {_flow(fields)}")
        else:
            inner = _fields(model, _given(fields), notes, f"{path}.{name}.", active=active)
            lines = [f"  {_scalar(name)}:", *("    " + line for line in inner)]
    return lines


def _value(name: str, value: Any) -> list[str]:
    line = f"{_scalar(name)}: {_flow(value)}"
    if len(line) <= WIDTH - 10 or not value or not isinstance(value, list | Mapping):
        return [line]
    if isinstance(value, Mapping):
        return [f"{_scalar(name)}:", *(f"  {_scalar(key)}: {_flow(item)}" for key, item in value.items())]
    return [f"{_scalar(name)}:", *(f"  - {_flow(item)}" for item in value)]


def _commented(lines: list[str]) -> list[str]:
    return ["#" + line for line in lines]


def _comment(text: str, width: int) -> list[str]:
    # `#` and a blank begin an explanation; `#` and a letter a field that is commented out.
    return ["# " + line for line in textwrap.wrap(" ".join(text.split()), max(width - 2, 40), break_on_hyphens=False)]


def _explanation(field: FieldInfo) -> str:
    """Return the field's description, whether it is required, and the values it may have where they are few."""
    parts = [field.description or ""]
    allowed = _choices(field.annotation)
    if allowed:
        parts.append(f"One of: {', '.join(map(str, allowed))}.")
    if field.is_required():
        parts.append("Required.")
    return " ".join(part for part in parts if part)


def _default(field: FieldInfo) -> Any:
    if field.is_required():
        return _placeholder(field.annotation)
    value = field.get_default(call_default_factory=True)
    return None if value is PydanticUndefined else value


def _placeholder(annotation: Any) -> Any:
    """Return the commented-out text for a required field inside of an optional one."""
    if allowed := _choices(annotation):
        return [allowed[0]] if get_origin(_bare(annotation)) is list else allowed[0]
    kinds: dict[Any, Any] = {int: 0, float: 0.0, bool: False, list: [], dict: {}}
    bare = _bare(annotation)
    return kinds.get(get_origin(bare) or bare, "...")


def _given(value: Any) -> dict[str, Any]:
    """Return a nested value as a mapping of the fields that differ from the model's defaults or have none."""
    if isinstance(value, BaseModel):
        return value.model_dump(exclude_defaults=True, by_alias=True)
    return dict(value)


def _flow(value: Any) -> str:
    if isinstance(value, BaseModel):
        value = _given(value)
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_scalar(key)}: {_flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_scalar(item, inside=True) for item in value) + "]"
    return _scalar(value)


def _scalar(value: Any, *, inside: bool = False) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        text = repr(value)
        return text if "." in text or "e" not in text else text.replace("e", ".0e")
    if not isinstance(value, str):
        return str(value)
    plain = _PLAIN if inside else _PROSE
    safe = (_PLAIN.fullmatch(value) or plain.fullmatch(value)) and not value.endswith(" ")
    return value if safe and yaml.safe_load(value) == value else json.dumps(value, ensure_ascii=False)


def _bare(annotation: Any) -> Any:
    """Return the annotation without `Annotated` and `None`."""
    if get_origin(annotation) is Annotated:
        return _bare(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        parts = [part for part in get_args(annotation) if part is not NoneType]
        return _bare(parts[0]) if len(parts) == 1 else annotation
    return annotation


def _is_mapping(annotation: Any) -> bool:
    return get_origin(_bare(annotation)) is dict


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """Return the nested model of a field, or that of the values of its mapping."""
    bare = _bare(annotation)
    if _is_mapping(bare):
        bare = _bare(get_args(bare)[1])
    return bare if isinstance(bare, type) and issubclass(bare, BaseModel) else None


def _choices(annotation: Any) -> tuple:
    """Return the values of a Literal, also of a list of such."""
    bare = _bare(annotation)
    if get_origin(bare) in (list, dict):
        bare = _bare(get_args(bare)[0])
    return get_args(bare) if get_origin(bare) is Literal else ()
