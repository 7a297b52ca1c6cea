"""One column of some rows: as delivered, as read, and which values are missing or do not fit."""

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from ml_assets.comparing.rows.kinds import TEXT, ValueKind
from ml_assets.comparing.rows.writing import Writing
from ml_assets.scaffolding.samples.texts import COMMON_NULLS

SHOWN = 40
"""Letters of a value that is shown as an example."""


@dataclass(frozen=True)
class Values:
    """A column of some rows.

    Attributes:
        given: as delivered.
        kind: what the values should be.
        read: in the dtype of the kind, null where missing or misfit.
        missing: Boolean, whether there is no value.
        misfit: Boolean, whether there is one that is not of the kind.
    """

    given: pl.Series
    kind: ValueKind
    read: pl.Series
    missing: pl.Series
    misfit: pl.Series

    @property
    def name(self) -> str:
        return self.given.name


def read_values(given: pl.Series, kind: ValueKind, writing: Writing) -> Values:
    """Read a delivered column as values of a kind."""
    missing = given.is_null()
    if given.dtype == pl.String and not kind.padded:
        given = given.str.strip_chars()
        missing = missing | (given == "").fill_null(False)
    if given.dtype.is_float():
        missing = missing | given.is_nan().fill_null(False)
    if given.dtype == pl.String:
        nulls = writing.nulls if kind is TEXT else (*writing.nulls, *COMMON_NULLS)
        missing = missing | given.is_in(list(nulls)).fill_null(False) if nulls else missing
    read = kind.read(given.set(missing, None) if missing.any() and given.dtype == pl.String else given, writing)
    return Values(given, kind, read, missing, read.is_null() & ~missing)


def read_part(part: pl.DataFrame, kinds: Mapping[str, ValueKind], writing: Writing) -> list[Values]:
    """Read the columns of some rows; one that the part lacks has no value."""
    empty = pl.Series([None], dtype=pl.Null).new_from_index(0, part.height)
    columns = {name: part[name] if name in part.columns else empty.alias(name) for name in kinds}
    return [read_values(columns[name], kind, writing) for name, kind in kinds.items()]


def examples(given: pl.Series, most: int = 1_000) -> dict[str, int]:
    """Return different values as people write them, and how often each comes up, the most frequent first."""
    texts = given.drop_nulls()
    if texts.is_empty():
        return {}
    if texts.dtype.is_nested() or texts.dtype in (pl.Binary, pl.Object, pl.Duration):
        texts = pl.Series(given.name, [str(value) for value in texts.head(most).to_list()])
    counted = texts.cast(pl.String).alias("text").value_counts(name="rows")
    counted = counted.sort("rows", "text", descending=[True, False]).head(most)
    return dict(counted.iter_rows())


def shortened(text: str) -> str:
    """Return a text that is not too long to be shown."""
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 1]}…"
