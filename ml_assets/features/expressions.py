"""Declared SQL expressions: parsed, evaluated, and held to one row each."""

from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache

import numpy as np
import polars as pl

from ml_assets.features.errors import FeatureError

# Rows evaluated a second time on their own. Cheap (about 0.2 ms a row), and enough to notice any expression
# whose value moves with the rows around it.
_PROBES = 12
_ROUNDING = 1e-9


@lru_cache(maxsize=1024)
def parse(view: str, text: str) -> pl.Expr:
    """Turn a Polars SQL expression of the named view into a Polars one.

    Raises:
        FeatureError: it is no valid Polars SQL expression.
    """
    try:
        expr = pl.sql_expr(text)
    except pl.exceptions.PolarsError as error:
        raise FeatureError(
            f"feature view {view!r}: `{text}` is no Polars SQL expression ({error}); "
            "a column that is named like a SQL word needs double quotes"
        ) from error
    if expr.meta.has_multiple_outputs():
        raise FeatureError(f"feature view {view!r}: `{text}` gives several columns: declare one feature for each")
    return expr


def columns_read(view: str, texts: Iterable[str]) -> list[str]:
    """List the columns that the expressions of the named view read, each once, in order of appearance."""
    return list(dict.fromkeys(name for text in texts for name in parse(view, text).meta.root_names()))


def evaluate(
    view: str,
    frame: pl.DataFrame,
    expressions: Mapping[str, str],
    parser: Callable[[str, str], pl.Expr] = parse,
) -> pl.DataFrame:
    """Evaluate named expressions on every row of `frame`: one column per expression, as many rows as `frame`.

    Args:
        parser: turns an expression of the named view into a Polars one.

    Raises:
        FeatureError: an expression is invalid, fails, or gives a row a value that depends on other rows
            (an aggregate or a window function), which would let the future into a feature.
    """
    if not expressions:
        return pl.DataFrame()
    parsed = {name: parser(view, text).alias(name) for name, text in expressions.items()}
    values = pl.DataFrame([_evaluate_expression(view, frame, expressions[name], expr) for name, expr in parsed.items()])
    if frame.height:
        _refuse_across_rows(view, frame, values, expressions, list(parsed.values()))
    return values


def _evaluate_expression(view: str, frame: pl.DataFrame, text: str, expr: pl.Expr) -> pl.Series:
    name = expr.meta.output_name()
    try:
        values = frame.select(expr).to_series()
    except pl.exceptions.PolarsError as error:
        raise FeatureError(
            f"feature view {view!r}, {name!r}: `{text}` cannot be evaluated: {error} (of {frame.schema})"
        ) from error
    if len(values) == frame.height:
        return values
    if expr.meta.root_names() or len(values) != 1:
        raise _across_rows(view, name, text)
    return values.new_from_index(0, frame.height)


def _refuse_across_rows(
    view: str,
    frame: pl.DataFrame,
    values: pl.DataFrame,
    expressions: Mapping[str, str],
    parsed: list[pl.Expr],
) -> None:
    probes = np.unique(np.linspace(0, frame.height - 1, _PROBES).astype(int))
    alone = pl.concat([frame.slice(row, 1).select(parsed) for row in probes], how="vertical_relaxed")
    for name, among_others in values[probes].to_dict().items():
        same = alone[name].eq_missing(among_others)
        if among_others.dtype.is_float():
            # Polars multiplies a long column by the reciprocal where it divides a single value.
            same |= ((alone[name] - among_others).abs() <= _ROUNDING * among_others.abs()).fill_null(False)
        if not same.all():
            raise _across_rows(view, name, expressions[name])


def _across_rows(view: str, name: str, text: str) -> FeatureError:
    return FeatureError(
        f"feature view {view!r}, {name!r}: `{text}` gives a row a value that depends on other rows, so the "
        "future could reach the past; use an expression of one row's columns, and aggregates for the rest"
    )
