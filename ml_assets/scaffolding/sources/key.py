"""The columns that identify a row, by a sample."""

from collections.abc import Sequence

import polars as pl

from ml_assets.scaffolding.columns import Column, is_code
from ml_assets.scaffolding.declared import check_column, named
from ml_assets.scaffolding.errors import ScaffoldError
from ml_assets.scaffolding.samples.sample import Sample


def infer_key(
    name: str,
    given: list[str],
    timestamp: str | None,
    columns: list[Column],
    rows: pl.DataFrame,
    unnamed: Sequence[str] = (),
) -> tuple[list[str], str]:
    if given:
        for column in given:
            check_column("--key", column, columns)
        bad = rows.height - rows.drop_nulls(given).select(given).n_unique()
        return given, f"{bad} of {rows.height} rows of the sample lack it or repeat it." if bad else ""
    usable = [column for column in columns if not column.nullable and not column.role]
    single = [
        column
        for column in usable
        if (column.dtype.is_integer() or column.dtype == pl.String) and rows[column.name].n_unique() == rows.height
    ]
    # A name that says so comes first, then text or whole numbers in the order of the table.
    single.sort(
        key=lambda column: (
            column.name in unnamed,
            column.name.lower() not in ("id", f"{name}_id"),
            not is_code(column.name),
        )
    )
    if single:
        others = [column.name for column in single[1:] if column.name not in unnamed]
        also = f" So are {', '.join(others)}." if others else ""
        return [single[0].name], f"Inferred: unique in the sample.{also}"
    if timestamp:
        for column in usable:
            pair = [column.name, timestamp]
            if column.name != timestamp and not column.dtype.is_float() and rows.select(pair).n_unique() == rows.height:
                return pair, "Inferred: together unique in the sample."
    raise ScaffoldError(
        f"no column alone identifies a row of {name}: give --key for each column of the key, of {named(columns)}"
    )


def recurs_in_files(key: list[str], rows: pl.DataFrame, sample: Sample) -> bool:
    """Return whether files of one drop each share keys, of which each has none twice."""
    keys = rows.select(key)
    begins = [sum(sample.heights[:i]) for i in range(len(sample.read))]
    parts = [keys.slice(begin, height) for begin, height in zip(begins, sample.heights, strict=False)]
    return keys.is_duplicated().any() and bool(parts) and not any(part.is_duplicated().any() for part in parts)
