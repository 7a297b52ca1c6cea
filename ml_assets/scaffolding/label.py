"""Which column is the outcome."""

import polars as pl

from ml_assets.scaffolding.columns import Column
from ml_assets.scaffolding.declared import named
from ml_assets.scaffolding.errors import ScaffoldError


def find_label(columns: list[Column]) -> Column | None:
    """Return the column that the contract calls the label, else the only Boolean one; None if there is none."""
    marked = [column for column in columns if column.role == "label"]
    truths = [column for column in columns if column.dtype == pl.Boolean]
    candidates = marked or truths
    return candidates[0] if len(candidates) == 1 else None


def the_label(columns: list[Column], table: str) -> Column:
    """Return the label as `find_label` does; raises ScaffoldError with the columns where it cannot be inferred."""
    if label := find_label(columns):
        return label
    truths = [column for column in columns if column.dtype == pl.Boolean]
    reason = f"{len(truths)} columns of {table} are" if truths else f"no column of {table} is"
    raise ScaffoldError(f"{reason} true or false: give --label, one of {named(truths or columns)}")
