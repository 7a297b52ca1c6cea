"""How the texts of a file are written, by a sample of its rows, and what kind of values each column has."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import polars as pl

from ml_assets.comparing.rows.kinds import EMPTY, NUMBER, TEXT, ValueKind, kind_of
from ml_assets.comparing.rows.writing import Writing
from ml_assets.scaffolding.columns import is_code
from ml_assets.scaffolding.samples.moments import moment_format
from ml_assets.scaffolding.samples.texts import infer_texts
from ml_assets.sources.csv.dialect import CsvDialect

SAMPLED = 2_000
"""Rows that kinds are inferred from; values of other rows that do not fit are added, and it is inferred again."""

MOSTLY = 0.98
"""Share of texts from which on a column is one of numbers, and the other texts do not fit."""


_EXACT = 2**53
"""Up to which whole numbers are floats one by one."""


@dataclass(frozen=True)
class Inferred:
    """What a sample suggests.

    Attributes:
        kinds: column -> kind of its values.
        writing: how texts of the file are written.
        assumed: sentences about what the sample leaves open.
    """

    kinds: dict[str, ValueKind]
    writing: Writing
    assumed: tuple[str, ...] = field(default=())


def infer_kinds(sample: pl.DataFrame, dialect: CsvDialect | None) -> Inferred:
    """Infer the kind of every column from rows as they are delivered.

    Args:
        dialect: of a file that keeps all values as texts; None where values have types of their own, so that texts
            are texts, or moments.
    """
    if dialect is not None:
        return _of_texts(sample, dialect)
    kinds = {series.name: _kind_of(series) for series in sample}
    formats = {}
    for name in (name for name, kind in kinds.items() if kind is TEXT and sample.schema[name] == pl.String):
        form, _ = moment_format(sample[name], pl.String(), "UTC", None)
        if form is not None and form.is_moment:
            formats[name], kinds[name] = form, kind_of(pl.Datetime())
    return Inferred(kinds, Writing(formats=formats))


def _of_texts(sample: pl.DataFrame, dialect: CsvDialect) -> Inferred:
    # Spaces beside a delimiter are no part of a number or date.
    bare = pl.col(pl.String).str.strip_chars()
    inferred = infer_texts(sample.with_columns(pl.when(bare != "").then(bare)), dialect)
    kinds = {
        series.name: EMPTY if series.null_count() == len(series) else _kind_of(series)
        for series in inferred.table.iter_columns()
    }
    writing = Writing(inferred.dialect, tuple(inferred.nulls), inferred.formats)
    for name in (name for name, kind in kinds.items() if kind is TEXT):
        if _mostly_numbers(inferred.table[name], writing):
            kinds[name] = NUMBER
    return Inferred(kinds, writing, tuple(inferred.assumed))


def _kind_of(values: pl.Series) -> ValueKind:
    """Return the kind of typed values; codes so large that floats are several of them at once are texts."""
    large = values.dtype.is_integer() and is_code(values.name) and (values.abs() > _EXACT).any()
    return TEXT if large else kind_of(values.dtype)


def _mostly_numbers(texts: pl.Series, writing: Writing) -> bool:
    known = texts.drop_nulls()
    fitting = NUMBER.read(known, writing).count()
    return fitting < len(known) and fitting >= MOSTLY * len(known)


def with_misfits(sample: pl.DataFrame, misfits: Mapping[str, pl.Series]) -> pl.DataFrame:
    """Return the sample with values added that do not fit what it suggested, or are of columns that it lacks."""
    length = max(map(len, misfits.values()))
    more = pl.DataFrame({name: values.extend_constant(None, length - len(values)) for name, values in misfits.items()})
    return pl.concat([sample, more], how="diagonal_relaxed")
