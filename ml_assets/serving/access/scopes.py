"""What a key allows."""

from typing import Literal, get_args

Scope = Literal["predict", "push", "read", "admin"]

SCOPES: dict[Scope, str] = {
    "predict": "ask models for predictions",
    "push": "push facts",
    "read": "read what is told of models, metrics, and the description of the interface",
    "admin": "all of it, and what changes what is served",
}
"""Each scope with what it allows."""

assert set(SCOPES) == set(get_args(Scope))


def allows(scopes: frozenset[Scope], scope: Scope) -> bool:
    """Return whether some scopes allow what needs this one: it is among them, or admin is."""
    return scope in scopes or "admin" in scopes
