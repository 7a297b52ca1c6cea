"""Which column is the outcome, and what task it makes."""

import polars as pl

from ml_assets.scaffolding.columns import Column
from ml_assets.scaffolding.declared import named
from ml_assets.scaffolding.errors import ScaffoldError

MOST_CLASSES = 20
"""Distinct whole numbers up to which they are taken for classes."""


def find_label(columns: list[Column]) -> Column | None:
    """Return the column that the contract calls the label, else the only Boolean one; None if there is none."""
    marked = [column for column in columns if column.role == "label"]
    truths = [column for column in columns if column.dtype == pl.Boolean]
    candidates = marked or truths
    return candidates[0] if len(candidates) == 1 else None


def the_label(columns: list[Column], table: str) -> Column:
    """Return the same; raise ScaffoldError naming the columns where it cannot be inferred."""
    if label := find_label(columns):
        return label
    truths = [column for column in columns if column.dtype == pl.Boolean]
    reason = f"{len(truths)} columns of {table} are" if truths else f"no column of {table} is"
    raise ScaffoldError(f"{reason} true or false: give --label, one of {named(truths or columns)}")


def task_of(label: Column, values: pl.Series | None) -> str | None:
    """Return the task that fits the label; None where whole numbers without values to look at leave it open.

    Args:
        values: the label's values where rows are at hand.
    """
    if label.dtype == pl.Boolean:
        return "binary"
    if label.dtype == pl.String:
        return "multiclass"
    if not label.dtype.is_integer():
        return "regression"
    distinct = values.drop_nulls().unique() if values is not None else None
    if distinct is None or distinct.is_empty():
        return None
    if distinct.is_in([0, 1]).all():
        return "binary"
    return "multiclass" if len(distinct) <= MOST_CLASSES else "regression"
