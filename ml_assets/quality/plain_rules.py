"""Rules of a contract for a few rows in plain Python: Pandera takes a millisecond for each, whatever the rows."""

import re
from collections.abc import Callable, Iterable
from math import isfinite
from typing import TYPE_CHECKING, Any

import polars as pl

from ml_assets.quality.rules import unique_sets

if TYPE_CHECKING:
    from ml_assets.quality.contracts import Contract

MOST = 16
"""Rows up to which values are looked at one by one."""

Holds = Callable[[Any], bool]

_INTEGERS = (pl.Int8, pl.Int16, pl.Int32, pl.Int64)

_EXACT = 2**53
"""Whole numbers up to which floats are exact."""

_SYMBOL = r"(?:[A-Za-z0-9 _:/-]|\[\^?(?:[A-Za-z0-9]-[A-Za-z0-9]|[A-Za-z0-9 _])+\])"
_PATTERN = re.compile(rf"\^?(?:{_SYMBOL}(?:[+*?]|\{{\d+\}})?)+\$?")
"""Patterns that mean the same to Python and to Polars, of texts that are printable ASCII."""


class PlainRules:
    """Says of a few rows whether they surely satisfy a contract; Pandera judges all others, and says what they broke.

    Args:
        values: column -> what each of its values that is not null has to satisfy.
        needed: columns without nulls.
        across: rules over a row's columns, each Boolean.
        unique: sets of columns of which no two rows have the same values.
    """

    def __init__(
        self,
        values: dict[str, list[Holds]],
        needed: list[str],
        across: list[pl.Expr],
        unique: list[tuple[str, ...]],
    ) -> None:
        self._values = values
        self._needed = needed
        self._across = across
        self._unique = unique

    def hold(self, rows: pl.DataFrame) -> bool:
        """Return whether rows in the contract's types satisfy all rules; False also where that is not sure."""
        if rows.height > (1 if self._across else MOST):
            return False
        if any(rows[name].null_count() for name in self._needed):
            return False
        for name, rules in self._values.items():
            if not all(value is None or all(rule(value) for rule in rules) for value in rows[name].to_list()):
                return False
        if rows.height > 1 and any(_repeats(rows.select(names).rows()) for names in self._unique):
            return False
        # What a rule says nothing about is left to Pandera too.
        return not self._across or all(verdict is True for row in rows.select(self._across).rows() for verdict in row)


def plain_rules(contract: "Contract", key_columns: list[str]) -> PlainRules | None:
    """Compile the rules of a contract and its key; None where one of them is none that can be."""
    schema = contract.to_schema()
    values: dict[str, list[Holds]] = {}
    needed = []
    for name, column in schema.columns.items():
        dtype = column.dtype.type
        if dtype == pl.Duration:  # leaves as another type
            return None
        rules = [_compile(check, dtype) for check in column.checks]
        if None in rules:
            return None
        required = name in key_columns or not column.nullable
        needed += [name] * required
        if dtype in (pl.Float32, pl.Float64) and (required or rules):
            rules.insert(0, isfinite)
        if rules:
            values[name] = [rule for rule in rules if rule is not None]
    across = []
    for number, check in enumerate(schema.checks or []):
        expression = (check.statistics or {}).get("expression")
        if expression is None:
            return None
        across.append(expression(contract).alias(str(number)))
    return PlainRules(values, needed, across, unique_sets(schema, key_columns))


def _repeats(rows: list[tuple[Any, ...]]) -> bool:
    return len(set(rows)) < len(rows)


def _compile(check: Any, dtype: Any) -> Holds | None:
    """Return a check of a field as a function of a value that is not null; None where it cannot be."""
    make = _CHECKS.get(check.name)
    # A check of a contract's own may have such a name too.
    if make is None or check._check_fn is not type(check).CHECK_FUNCTION_REGISTRY.get(check.name):
        return None
    if check.groupby is not None or check.element_wise or not check.ignore_na:
        return None
    return make(dtype, **check._check_kwargs)


def _comparable(dtype: Any, bounds: Iterable[Any]) -> bool:
    if dtype in _INTEGERS:
        return all(type(bound) is int and abs(bound) < 2**63 for bound in bounds)
    return dtype == pl.Float64 and all(
        (type(bound) is float and isfinite(bound)) or (type(bound) is int and abs(bound) <= _EXACT) for bound in bounds
    )


def _at_least(dtype: Any, min_value: Any) -> Holds | None:
    return (lambda value: value >= min_value) if _comparable(dtype, [min_value]) else None


def _more(dtype: Any, min_value: Any) -> Holds | None:
    return (lambda value: value > min_value) if _comparable(dtype, [min_value]) else None


def _at_most(dtype: Any, max_value: Any) -> Holds | None:
    return (lambda value: value <= max_value) if _comparable(dtype, [max_value]) else None


def _less(dtype: Any, max_value: Any) -> Holds | None:
    return (lambda value: value < max_value) if _comparable(dtype, [max_value]) else None


def _in_range(
    dtype: Any, min_value: Any, max_value: Any, include_min: bool = True, include_max: bool = True
) -> Holds | None:
    low = (_at_least if include_min else _more)(dtype, min_value)
    high = (_at_most if include_max else _less)(dtype, max_value)
    return None if low is None or high is None else lambda value: low(value) and high(value)


def _is_in(dtype: Any, allowed_values: Iterable[Any]) -> Holds | None:
    allowed = list(allowed_values)
    kind = str if dtype == pl.String else int if dtype in _INTEGERS else None
    if kind is None or not all(type(value) is kind for value in allowed):
        return None
    return frozenset(allowed).__contains__


def _length(dtype: Any, min_value: Any = None, max_value: Any = None, exact_value: Any = None) -> Holds | None:
    if dtype != pl.String:
        return None
    low, high = (min_value, max_value) if exact_value is None else (exact_value, exact_value)
    return lambda value: (low is None or len(value) >= low) and (high is None or len(value) <= high)


def _matches(dtype: Any, pattern: Any) -> Holds | None:
    if dtype != pl.String or not isinstance(pattern, str) or not _PATTERN.fullmatch(pattern):
        return None
    match = re.compile(pattern).match
    return lambda value: value.isascii() and value.isprintable() and match(value) is not None


_CHECKS: dict[str, Callable[..., Holds | None]] = {
    "greater_than_or_equal_to": _at_least,
    "greater_than": _more,
    "less_than_or_equal_to": _at_most,
    "less_than": _less,
    "in_range": _in_range,
    "isin": _is_in,
    "str_length": _length,
    "str_matches": _matches,
}
