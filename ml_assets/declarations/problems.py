"""What is wrong with a declaration, in lines of the form `file:line: field: what, and what is allowed`."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

Path = tuple[str | int, ...]

# The convention of every message about a declaration: it begins with the path of the field that has to change.
_FIELD = re.compile(r"([a-z_][a-z0-9_]*(?:\.[a-z_][a-z0-9_]*)*): ")

_MUST_BE = {
    "bool_parsing": "true or false",
    "bool_type": "true or false",
    "dict_type": "a mapping",
    "float_parsing": "a number",
    "float_type": "a number",
    "int_from_float": "a whole number",
    "int_parsing": "a whole number",
    "int_type": "a whole number",
    "list_type": "a list",
    "model_attributes_type": "a mapping of its fields",
    "model_type": "a mapping of its fields",
    "string_type": "text, in quotes where YAML takes it for something else",
}


class DeclarationError(ValueError):
    """A declaration that cannot be meant: one line per problem, each with file, line and field.

    Attributes:
        by_use_case: the same by the use case that it lies in; None where it lies in none, or that is not known.
    """

    def __init__(self, message: str, by_use_case: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.by_use_case = by_use_case


@dataclass(frozen=True)
class FieldProblem:
    """One thing that is wrong. ``path`` leads to the field; empty where no single field is to blame."""

    path: Path
    text: str

    def describe(self, where: Callable[[Path], str]) -> str:
        """Return the problem on one line; ``where`` gives file and line of a path."""
        field = ".".join(str(part) for part in self.path)
        return " ".join(f"{where(self.path)}: {field + ': ' if field else ''}{self.text}".split())


def problems_of(error: ValueError, declared: type[BaseModel], given: Mapping[str, Any] | None) -> list[FieldProblem]:
    """Return the problems of a declaration that an error describes, raised while its component was made.

    Args:
        declared: the component's class.
        given: its attributes as written, validated once more by themselves: the class that Dagster validates with has
            a second form of every field, for templates, and says of each mistake that it breaks both.
    """
    if isinstance(error, ValidationError) and given is not None:
        try:
            declared.model_validate(given)
        except ValidationError as again:
            error = again
    if isinstance(error, ValidationError):
        return [_of_pydantic(each, declared) for each in error.errors(include_url=False)]
    return [problem_of(str(error))]


def problem_of(message: str, within: Path = ()) -> FieldProblem:
    """Return a message that begins with the path of a field, relative to ``within``, and a colon."""
    match = _FIELD.match(message)
    if match is None:
        return FieldProblem(within, message)
    named = tuple(match[1].split("."))
    # What a nested field says of itself may begin with its own name.
    path = within if within and named == within[-1:] else (*within, *named)
    return FieldProblem(path, message[match.end() :])


def _of_pydantic(error: Mapping[str, Any], declared: type[BaseModel]) -> FieldProblem:
    path: Path = tuple(error["loc"])
    kind = error["type"]
    if kind == "value_error":
        return problem_of(str(error["ctx"]["error"]), path)
    if kind == "missing":
        return FieldProblem(path, "is missing")
    if kind == "extra_forbidden":
        return FieldProblem(path, _unknown(str(path[-1]), sorted(_fields_at(declared, path[:-1]))))
    if kind == "literal_error":
        return FieldProblem(path, f"{error['input']!r} is not allowed; choose from {_listed(error['ctx']['expected'])}")
    if kind in _MUST_BE:
        return FieldProblem(path, f"must be {_MUST_BE[kind]}")
    return FieldProblem(path, error["msg"][0].lower() + error["msg"][1:])


def _unknown(name: str, fields: list[str]) -> str:
    close = get_close_matches(name, fields, n=1)
    return f"there is no such field; {f'did you mean {close[0]}?' if close else 'there are ' + ', '.join(fields)}"


def _listed(expected: str) -> str:
    return ", ".join(re.findall(r"'([^']*)'", expected))


def _fields_at(declared: type[BaseModel], path: Path) -> Iterator[str]:
    """Yield the fields of the model that a path leads to."""
    model: Any = declared
    for part in path:
        if isinstance(model, type) and issubclass(model, BaseModel) and part in (fields := fields_of(model)):
            model = fields[str(part)].annotation
        else:
            model = getattr(model, "__args__", (None,))[-1]
        model = next((part for part in getattr(model, "__args__", ()) if _is_model(part)), model)
    yield from fields_of(model) if _is_model(model) else ()


def fields_of(model: type[BaseModel]) -> dict[str, FieldInfo]:
    """Return the fields of a declared model by the names that are written for them."""
    return {field.alias or name: field for name, field in model.model_fields.items()}


def _is_model(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)
