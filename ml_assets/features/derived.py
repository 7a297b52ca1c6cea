"""Derived features: expressions over the other features of a view, one row at a time."""

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import lru_cache
from io import StringIO
from typing import Any

import polars as pl

from ml_assets.features.errors import FeatureError
from ml_assets.features.expressions import evaluate, parse

_ACROSS_ROWS = {"Agg", "Over", "Len", "Shift", "Rank", "Range"}
"""Nodes of an expression's tree whose value depends on other rows."""

_DIVISIONS = ("Div", "IntDiv", "Rem")
_DIVISOR = "__divisor__"


def derived_problems(view: str, derived: Mapping[str, str], features: Collection[str]) -> list[str]:
    """List what is wrong with the derived features of a view.

    Args:
        derived: feature -> expression.
        features: the view's other features.
    """
    return [problem for name, text in derived.items() for problem in _problems(view, name, text, derived, features)]


def _problems(view: str, name: str, text: str, derived: Mapping[str, str], features: Collection[str]) -> Iterator[str]:
    try:
        read = dict.fromkeys(parse(view, text).meta.root_names())
    except FeatureError as error:
        yield f"derived.{name}: {error}"
        return
    if strange := [column for column in read if column not in features]:
        others = [column for column in strange if column in derived]
        advice = "derived features read none of their kind: write it out" if others else f"it has {', '.join(features)}"
        yield f"derived.{name}: `{text}` reads {', '.join(strange)}, which is no feature of the view; {advice}"
    elif not read:
        yield f"derived.{name}: `{text}` reads no feature of the view"
    if _reaches_across_rows(json.loads(parse(view, text).meta.serialize(format="json"))):
        yield f"derived.{name}: `{text}` reaches across rows; use an expression of one row's features"


def _reaches_across_rows(node: Any) -> bool:
    if isinstance(node, Mapping):
        return bool(_ACROSS_ROWS & {*node}) or any(
            _reaches_across_rows(part) for kind, part in node.items() if kind not in ("Column", "Literal")
        )
    if isinstance(node, list):
        return any(_reaches_across_rows(part) for part in node)
    return node in _ACROSS_ROWS if isinstance(node, str) else False


@lru_cache(maxsize=1024)
def parse_derived(view: str, text: str) -> pl.Expr:
    """Parse an expression of the named view so that each of its divisions gives null where it divides by zero.

    Raises:
        FeatureError: it is no valid Polars SQL expression.
    """
    tree = json.loads(parse(view, text).meta.serialize(format="json"))
    return pl.Expr.deserialize(StringIO(json.dumps(_safe(tree))), format="json")


def derived_features(view: str, derived: Mapping[str, str], features: pl.DataFrame) -> pl.DataFrame:
    """Evaluate the derived features of a view on rows of its other features, of which NaN is as missing as null.

    Raises:
        FeatureError: an expression fails or reaches across rows.
    """
    if not derived:
        return pl.DataFrame()
    return finite(evaluate(view, nan_as_null(features), derived, parse_derived))


def nan_as_null(values: pl.DataFrame) -> pl.DataFrame:
    """Turn NaN into null, which is what online stores keep of it and all that a model sees."""
    floats = [name for name, dtype in values.schema.items() if dtype.is_float()]
    return values.with_columns(pl.col(name).fill_nan(None) for name in floats)


def finite(values: pl.DataFrame) -> pl.DataFrame:
    """Turn numbers that are infinite or NaN into null."""
    floats = [name for name, dtype in values.schema.items() if dtype.is_float()]
    return values.with_columns(pl.when(pl.col(name).is_finite()).then(pl.col(name)) for name in floats)


def derived_from(view: str, derived: Mapping[str, str]) -> dict[str, Sequence[str]]:
    """Return the features that each derived feature reads, each once."""
    return {name: list(dict.fromkeys(parse(view, text).meta.root_names())) for name, text in derived.items()}


def _safe(node: Any) -> Any:
    """Replace each divisor in an expression's tree by NULLIF(divisor, 0)."""
    if isinstance(node, list):
        return [_safe(part) for part in node]
    if not isinstance(node, Mapping):
        return node
    safe = {kind: _safe(part) for kind, part in node.items()}
    called = safe.get("Function")
    if isinstance(called, Mapping) and called.get("function") in [{"Sql": {"Binary": kind}} for kind in _DIVISIONS]:
        numerator, divisor = called["input"]
        safe["Function"] = {**called, "input": [numerator, _in_place(_null_if_zero(), divisor)]}
    return safe


@lru_cache(maxsize=1)
def _null_if_zero() -> Any:
    return json.loads(pl.sql_expr(f"NULLIF({_DIVISOR}, 0)").meta.serialize(format="json"))


def _in_place(node: Any, divisor: Any) -> Any:
    """Put a divisor into the tree of NULLIF(__divisor__, 0)."""
    if node == {"Column": _DIVISOR}:
        return divisor
    if isinstance(node, list):
        return [_in_place(part, divisor) for part in node]
    if isinstance(node, Mapping):
        return {kind: _in_place(part, divisor) for kind, part in node.items()}
    return node
