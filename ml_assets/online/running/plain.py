"""Expressions over one fact in Python, where that is sure to give what Polars gives: columns, and what compares them.

All others are evaluated by Polars, which takes longer for one fact than all that follows.
"""

import operator
from collections.abc import Callable, Mapping
from typing import Any

import orjson
import polars as pl

from ml_assets.online.facts.plain import PlainFact, is_plain

Plain = Callable[[PlainFact], Any]

_COMPARED = {
    "Gt": operator.gt, "GtEq": operator.ge, "Lt": operator.lt, "LtEq": operator.le,
    "Eq": operator.eq, "NotEq": operator.ne,
}  # fmt: skip
_EXACT = 1 << 31
"""Whole numbers below it are the same in every type of numbers but the narrowest."""


def plain_expression(expression: pl.Expr, types: Mapping[str, pl.DataType]) -> tuple[Plain, pl.DataType] | None:
    """Return what computes an expression of a fact, and the type that its column has; None for what Polars computes.

    Args:
        types: of the fact's columns.
    """
    return _plain(orjson.loads(expression.meta.serialize(format="json")), types)


def _plain(node: Any, types: Mapping[str, pl.DataType]) -> tuple[Plain, pl.DataType] | None:
    match node:
        case {"Column": str(name)} if name in types and is_plain(types[name]):
            return operator.itemgetter(name), types[name]
        case {"Function": {"input": [negated], "function": {"Boolean": "Not"}}}:
            return _negated(_plain(negated, types))
        case {"BinaryExpr": {"left": left, "op": "And", "right": right}}:
            return _both(_plain(left, types), _plain(right, types))
        case {"BinaryExpr": {"left": left, "op": str(symbol), "right": {"Literal": literal}}} if symbol in _COMPARED:
            return _compared(_plain(left, types), _COMPARED[symbol], literal)
    return None


def _compared(
    left: tuple[Plain, pl.DataType] | None, compare: Callable[[Any, Any], bool], literal: Any
) -> tuple[Plain, pl.DataType] | None:
    if left is None:
        return None
    of, dtype = left
    match literal:
        case {"Dyn": {"Int": int(bound)}} if dtype in (pl.Float64, pl.Int64, pl.Int32) and abs(bound) < _EXACT:
            pass
        case {"Scalar": {"String": str(bound)}} if dtype == pl.String:
            pass
        case _:
            return None

    def compared(fact: PlainFact) -> bool | None:
        value = of(fact)
        return None if value is None else compare(value, bound)

    return compared, pl.Boolean()


def _negated(plain: tuple[Plain, pl.DataType] | None) -> tuple[Plain, pl.DataType] | None:
    if plain is None or plain[1] != pl.Boolean:
        return None
    of = plain[0]
    return lambda fact: None if (value := of(fact)) is None else not value, pl.Boolean()


def _both(
    left: tuple[Plain, pl.DataType] | None, right: tuple[Plain, pl.DataType] | None
) -> tuple[Plain, pl.DataType] | None:
    if left is None or right is None or left[1] != pl.Boolean or right[1] != pl.Boolean:
        return None
    first, second = left[0], right[0]

    def both(fact: PlainFact) -> bool | None:
        values = first(fact), second(fact)
        return False if False in values else None if None in values else True

    return both, pl.Boolean()
