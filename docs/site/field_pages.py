"""The reference of declarations: every field of every type that a `defs.yaml` can declare, from its specification."""

import types
import typing
from collections.abc import Iterator
from typing import Any, Literal, Union

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from ml_assets.declarations.specs import SPECS

ABOUT = """# Declarations

A `defs.yaml` holds one or more of these, each as `type: ml_assets.<name>` with its fields under `attributes:`; the same
can be declared in Python. Durations are written like `7d` or `3h`. `dg check defs` answers a wrong field by a line with
file, line, field, what is wrong and what is allowed."""


def render() -> str:
    """Return the page's Markdown."""
    parts, shown = [ABOUT], set()
    for name, spec in sorted(SPECS.items()):
        parts += [f"## {name} {{#{name.lower()}}}", _about(spec), _table(spec)]
        for nested in _nested(spec, shown):
            parts += [f"### {nested.__name__} {{#{_anchor(nested)}}}", _about(nested), _table(nested)]
    return "\n\n".join(parts)


def _nested(spec: type[BaseModel], shown: set[type]) -> Iterator[type[BaseModel]]:
    """The models that a spec's fields hold, and theirs, each once."""
    for field in spec.model_fields.values():
        for model in _models(field.annotation):
            if model not in shown:
                shown.add(model)
                yield model
                yield from _nested(model, shown)


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in typing.get_args(annotation):
        yield from _models(argument)


def _about(spec: type[BaseModel]) -> str:
    return (spec.__doc__ or "").split("\n\n")[0].replace("\n", " ").strip()


def _table(spec: type[BaseModel]) -> str:
    rows = []
    for name, field in spec.model_fields.items():
        cells = [f"`{field.alias or name}`", _type(field.annotation), _default(field), _cell(field.description or "")]
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(["| field | type | default | what |", "|---|---|---|---|", *rows])


def _default(field: Any) -> str:
    if field.is_required():
        return "required"
    value = field.default if field.default is not PydanticUndefined else field.default_factory()
    if value is None:
        return ""
    if isinstance(value, BaseModel):
        given = value.model_dump(exclude_defaults=True)
        return f"`{given}`" if given else "its defaults"
    return f"`{_cell(str(value) or repr(value))}`"


def _type(annotation: Any) -> str:
    """The type as people say it; a model is a link to its own table."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return f"[{annotation.__name__}](#{_anchor(annotation)})"
    if origin in (Union, types.UnionType):
        return " or ".join(_type(each) for each in arguments if each is not type(None))
    if origin is Literal:
        return ", ".join(f"`{value}`" for value in arguments)
    if origin is typing.Annotated:
        return _type(arguments[0])
    if origin in (list, tuple, set, frozenset):
        return f"list of {_type(arguments[0])}"
    if arguments and len(arguments) == 2:
        return f"{_type(arguments[0])} -> {_type(arguments[1])}"
    return {str: "text", int: "whole number", float: "number", bool: "true or false"}.get(
        annotation, _cell(getattr(annotation, "__name__", str(annotation)))
    )


def _anchor(model: type[BaseModel]) -> str:
    return f"{model.__name__.lower()}-fields"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
