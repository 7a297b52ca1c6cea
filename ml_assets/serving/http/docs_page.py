"""The server's routes as a page to read and to try them on, made from their OpenAPI description alone."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from ml_assets.serving.http.docs_template import ASKS_FOR_KEY, PAGE

TAGS = {
    "v1": "Predictions and facts",
    "v2": "Open Inference Protocol",
    "mlflow": "MLflow's scoring protocol",
    "health": "Health and description",
}

POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; img-src data:; "
    "form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
)
"""Content-Security-Policy of the page: nothing is loaded, and only this server is asked."""


@dataclass(frozen=True)
class _Row:
    """A property on its line: how deep, its name, what it holds, whether it may be left out."""

    depth: int
    name: str
    kind: str
    limits: str
    needed: bool
    description: str


def render_docs(description: Mapping[str, Any]) -> str:
    """The page, in one piece: no script, style, font or image comes from elsewhere."""
    operations = [
        {
            "id": f"{method}{path}".replace("/", "-").replace("{", "").replace("}", ""),
            "tag": operation["tags"][0],
            "method": method.upper(),
            "path": path,
            "parameters": item.get("parameters", []),
            **operation,
            **_body_of(operation),
            "answer": _answer_of(operation),
        }
        for path, item in description["paths"].items()
        for method, operation in item.items()
        if method != "parameters"
    ]
    tags = [(title, own) for tag, title in TAGS.items() if (own := [one for one in operations if one["tag"] == tag])]
    return _template().render(info=description["info"], tags=tags, keys="security" in description)


def ask_for_key() -> str:
    """A page for who came without an API key: it takes one and shows the routes with it."""
    return ASKS_FOR_KEY


@lru_cache(maxsize=1)
def _template():
    from jinja2 import Environment

    return Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(PAGE)


def _body_of(operation: Mapping[str, Any]) -> dict[str, Any]:
    if "requestBody" not in operation:
        return {"fields": [], "example": None}
    content = operation["requestBody"]["content"]["application/json"]
    return {"fields": list(_rows(content["schema"])), "example": json.dumps(content["example"], indent=2)}


def _answer_of(operation: Mapping[str, Any]) -> list[_Row]:
    content = operation["responses"]["200"].get("content", {})
    return list(_rows(content["application/json"]["schema"])) if "application/json" in content else []


def _rows(schema: Mapping[str, Any], depth: int = 0) -> Iterator[_Row]:
    """The properties of an object, those of inner objects and lists beneath; of alternatives, each in turn."""
    for one in schema.get("oneOf", schema.get("anyOf", [])):
        yield from _rows(one, depth)
    if schema.get("type") == "array" and isinstance(schema.get("items"), Mapping):
        yield from _rows(schema["items"], depth)
    for name, inner in schema.get("properties", {}).items():
        if name == "name" and "const" in inner:
            yield _Row(depth, str(inner["const"]), "tensor", "", True, "")
            for other in ("datatype", "data"):
                if other in schema["properties"]:
                    yield _row(depth + 1, other, schema["properties"][other], True)
            return
        yield _row(depth, name, inner, name in schema.get("required", ()))
        yield from _rows(inner, depth + 1)


def _row(depth: int, name: str, schema: Mapping[str, Any], needed: bool) -> _Row:
    return _Row(depth, name, _kind(schema), _limits(schema), needed, schema.get("description", ""))


def _kind(schema: Mapping[str, Any]) -> str:
    kinds = schema.get("type", "")
    told = [str(one) for one in (kinds if isinstance(kinds, list) else [kinds]) if one]
    if not told:
        alternatives = [_kind(one) for one in schema.get("anyOf", schema.get("oneOf", []))]
        told = alternatives or ["value"]
    if "array" in told and isinstance(schema.get("items"), Mapping):
        told = [f"list of {_kind(schema['items'])}s"]
    if schema.get("format") == "date-time":
        told = [one.replace("string", "moment") for one in told]
    return " or ".join(dict.fromkeys(told))


def _limits(schema: Mapping[str, Any]) -> str:
    if schema.get("type") == "array" and isinstance(schema.get("items"), Mapping):
        size = _range(schema, "minItems", "maxItems")
        return ", ".join(part for part in (f"{size} of them" if size else "", _limits(schema["items"])) if part)
    if "const" in schema:
        return json.dumps(schema["const"])
    if "enum" in schema:
        shown = [json.dumps(value) for value in schema["enum"] if value is not None]
        return ", ".join(shown[:12]) + (f", ... {len(shown)} in all" if len(shown) > 12 else "")
    pattern = f"matches {schema['pattern']}" if "pattern" in schema else ""
    return ", ".join(part for part in (_range(schema, "minimum", "maximum"), pattern) if part)


def _range(schema: Mapping[str, Any], least: str, most: str) -> str:
    low, high = _number(schema.get(least)), _number(schema.get(most))
    if low and high:
        return f"{low} to {high}"
    return f"at least {low}" if low else f"at most {high}" if high else ""


def _number(limit: float | None) -> str:
    """A limit as it is written; empty for none, and for what only says that a number has its type's size."""
    if limit is None or abs(limit) > 1e15:
        return ""
    return f"{limit:g}" if isinstance(limit, float) else str(limit)
