"""What texts of a sample stand for: numbers, truth, dates and moments, and how each is written."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import polars as pl

from ml_assets.scaffolding.samples.moments import MOMENT, Day, moment_format
from ml_assets.scaffolding.samples.numbers import dtype_of, unit_sign, with_style, with_truth
from ml_assets.sources.csv.dialect import CsvDialect, plain_values
from ml_assets.sources.values.column import ColumnFormat
from ml_assets.sources.values.moments import as_moments
from ml_assets.sources.values.typed import typed_column

COMMON_NULLS = (
    "NA", "N/A", "n/a", "#N/A", "<NA>", "NaN", "nan", "NaT", "NULL", "Null", "null", "None", "none", "\\N", "-", "--",
    "?",
)  # fmt: skip
"""Texts that people write where there is no value; taken for such only where a column then becomes more than text."""


@dataclass(frozen=True)
class InferredTexts:
    """The types and formats that a sample suggests for its texts.

    Attributes:
        table: the sample, texts in the type that they stand for.
        nulls: texts that mean 'no value'.
        dialect: as given, with how numbers and truth are written.
        formats: column -> how its values are written.
        assumed: sentences about what the sample leaves open.
    """

    table: pl.DataFrame
    nulls: list[str]
    dialect: CsvDialect
    formats: dict[str, ColumnFormat] = field(default_factory=dict)
    assumed: list[str] = field(default_factory=list)


def infer_texts(
    table: pl.DataFrame,
    dialect: CsvDialect | None = None,
    zone: str = "UTC",
    moments: Mapping[str, Day] | None = None,
    fixed: Collection[str] = (),
) -> InferredTexts:
    """Infer types and formats of all columns of texts, and moments that are kept as numbers, dates or without a zone.

    Args:
        zone: of the clock that wrote times without an offset.
        moments: columns that shall be moments -> which moment of its day a date becomes, `start` or `end`.
        fixed: columns that keep the type of their own, as no format can be declared for them.
    """
    moments = moments or {}
    texts = {series.name: series for series in table.iter_columns() if series.dtype == pl.String}
    distinct = {name: _distinct(series) for name, series in texts.items()}
    dialect, why = with_style(dialect or CsvDialect(), list(distinct.values()))
    dialect = with_truth(dialect, distinct.values())
    nulls = sorted(
        {null for name, values in distinct.items() for null in _nulls_of(texts[name], values, dialect, zone)}
    )
    formats: dict[str, ColumnFormat] = {}
    assumed = [why] if why else []
    typed: list[pl.Series] = []
    for series in table.iter_columns():
        given, unit, dtype = series, "", series.dtype
        if dtype == pl.String:
            given = series.set(series.is_in(nulls), None) if nulls else series
            unit = unit_sign(_distinct(given), dialect)
            dtype = dtype_of(given, dialect, unit)
        form = ColumnFormat(unit=unit) if unit and dtype.is_numeric() else None
        assumed += [f"{series.name}: {unit} is taken away, and the number stays as it is written"] if form else []
        if form is None and series.name not in fixed:
            form, why = moment_format(given, dtype, zone, moments.get(series.name))
            assumed += [f"{series.name}: {why}"] if why else []
            if form and form.time_zone and _loses(given, form):
                form = form.model_copy(update={"ambiguous": "earliest", "missing": "latest"})
                assumed.append(
                    f"{series.name}: the earliest of times that the clock showed twice, the latest of others"
                )
        if form:
            formats[series.name] = form
        typed.append(_typed(given, dtype, dialect, form))
    return InferredTexts(pl.DataFrame(typed), nulls, dialect, formats, assumed)


def _typed(given: pl.Series, dtype: pl.DataType, dialect: CsvDialect, form: ColumnFormat | None) -> pl.Series:
    if form and form.is_moment:
        return as_moments(given, pl.Date() if form.is_date and not form.time_zone else MOMENT, form).values
    if given.dtype != pl.String:
        return given
    return typed_column(plain_values(given, dtype, dialect, form.unit if form else ""), dtype)


def _loses(given: pl.Series, form: ColumnFormat) -> bool:
    """Return whether the clock showed a time of the sample twice or never, so that its moment is unknown."""
    moments = as_moments(given, MOMENT, form)
    return bool((moments.ambiguous | moments.missing).any())


def _distinct(texts: pl.Series) -> pl.Series:
    """Return the distinct values without those that commonly mean 'no value'."""
    values = texts.drop_nulls().unique(maintain_order=True)
    return values.filter(~values.is_in(COMMON_NULLS))


def _nulls_of(texts: pl.Series, values: pl.Series, dialect: CsvDialect, zone: str) -> list[str]:
    nulls = texts.filter(texts.is_in(COMMON_NULLS)).unique().to_list()
    if not nulls or values.is_empty():
        return []
    dtype = dtype_of(values, dialect, unit_sign(values, dialect))
    is_more = dtype != pl.String or moment_format(values, dtype, zone, None)[0] is not None
    return nulls if is_more else []
