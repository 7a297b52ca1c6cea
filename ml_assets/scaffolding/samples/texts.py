"""What texts of a sample stand for: numbers, truth, dates and moments, and how each is written."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Literal

import polars as pl

from ml_assets.sources.csv.dialect import CsvDialect, plain_values
from ml_assets.sources.errors import DeliveryFault
from ml_assets.sources.values.column import EPOCHS, ColumnFormat
from ml_assets.sources.values.exact import in_calendar, zone_of
from ml_assets.sources.values.moments import as_moments
from ml_assets.sources.values.typed import typed_column

MOMENT = pl.Datetime("us", "UTC")

COMMON_NULLS = (
    "NA", "N/A", "n/a", "#N/A", "<NA>", "NaN", "nan", "NaT", "NULL", "Null", "null", "None", "none", "\\N", "-", "--",
    "?",
)  # fmt: skip
"""Texts that people write where there is no value; taken for such only where a column then becomes more than text."""

TRUTH = (("yes", "no"), ("y", "n"), ("t", "f"), ("on", "off"))
"""Pairs of words for true and false, besides those that the reader knows."""

STYLES = ((".", ""), (",", ""), (",", "."), (".", ","), (".", " "), (",", " "), (".", "'"), (",", "'"))
"""Decimal point and sign between thousands, as they are looked for."""

DATES = (
    "%Y-%m-%d", "%Y/%m/%d", "%Y.%m.%d", "%d.%m.%Y", "%d.%m.%y", "%d/%m/%Y", "%m/%d/%Y", "%d/%m/%y", "%m/%d/%y",
    "%d-%m-%Y", "%m-%d-%Y", "%d %b %Y", "%d-%b-%Y", "%b %d, %Y", "%d %B %Y", "%B %d, %Y",
)  # fmt: skip
TIMES = ("%H:%M:%S%.f", "%H:%M", "%I:%M:%S %p", "%I:%M %p")
OFFSETS = ("%Y-%m-%dT%H:%M%#z", "%Y-%m-%d %H:%M%#z", "%Y-%m-%d %H:%M:%S%.f %#z")
ZULU = ("%Y-%m-%d %H:%M:%S%.f UTC", "%Y-%m-%d %H:%M UTC")

_LEADING_ZERO = r"^[+-]?0\d"
_WHOLE_NUMBER = r"^[+-]?\d+$"
_WHOLE_WITH_ZERO = r"^[+-]?\d+\.0$"
_MOMENT_NAME = re.compile(r"(^|_)(at|time|timestamp|ts|date|datetime|epoch)$")
_LIKE_A_DATE = r"^\S.{4,38}$"
_PLAUSIBLE = (315_532_800, 4_102_444_800)
"""Seconds of 1980 and 2100: a number between them may count seconds since 1970."""


Day = Literal["start", "end"]
Format = tuple[ColumnFormat | None, str | None]
"""How a column's moments are written, if they are such, and what had to be assumed."""


@dataclass(frozen=True)
class Told:
    """What a sample tells of its texts.

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


def tell_texts(
    table: pl.DataFrame,
    dialect: CsvDialect | None = None,
    zone: str = "UTC",
    moments: Mapping[str, Day] | None = None,
    fixed: Collection[str] = (),
) -> Told:
    """Tell types and formats of all columns of texts, and moments that are kept as numbers, dates or without a zone.

    Args:
        zone: of the clock that wrote times without an offset.
        moments: columns that shall be moments -> which moment of its day a date becomes, `start` or `end`.
        fixed: columns that keep the type of their own, as no format can be declared for them.
    """
    moments = moments or {}
    texts = {series.name: series for series in table.iter_columns() if series.dtype == pl.String}
    distinct = {name: _distinct(series) for name, series in texts.items()}
    dialect, why = _with_style(dialect or CsvDialect(), list(distinct.values()))
    dialect = _with_truth(dialect, distinct.values())
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
            unit = _unit(_distinct(given), dialect)
            dtype = _dtype_of(given, dialect, unit)
        found = ColumnFormat(unit=unit) if unit and dtype.is_numeric() else None
        assumed += [f"{series.name}: {unit} is taken away, and the number stays as it is written"] if found else []
        if found is None and series.name not in fixed:
            found, why = _moment_format(given, dtype, zone, moments.get(series.name))
            assumed += [f"{series.name}: {why}"] if why else []
            if found and found.time_zone and _loses(given, found):
                found = found.model_copy(update={"ambiguous": "earliest", "missing": "latest"})
                assumed.append(
                    f"{series.name}: the earliest of times that the clock showed twice, the latest of others"
                )
        if found:
            formats[series.name] = found
        typed.append(_typed(given, dtype, dialect, found))
    return Told(pl.DataFrame(typed), nulls, dialect, formats, assumed)


def _typed(given: pl.Series, dtype: pl.DataType, dialect: CsvDialect, found: ColumnFormat | None) -> pl.Series:
    if found and found.is_moment:
        return as_moments(given, pl.Date() if found.is_date and not found.time_zone else MOMENT, found).values
    if given.dtype != pl.String:
        return given
    return typed_column(plain_values(given, dtype, dialect, found.unit if found else ""), dtype)


def _loses(given: pl.Series, found: ColumnFormat) -> bool:
    """Whether the clock showed a time of the sample twice or never."""
    moments = as_moments(given, MOMENT, found)
    return bool((moments.ambiguous | moments.missing).any())


def _distinct(texts: pl.Series) -> pl.Series:
    """The values without those that commonly mean none."""
    values = texts.drop_nulls().unique(maintain_order=True)
    return values.filter(~values.is_in(COMMON_NULLS))


def _nulls_of(texts: pl.Series, values: pl.Series, dialect: CsvDialect, zone: str) -> list[str]:
    found = texts.filter(texts.is_in(COMMON_NULLS)).unique().to_list()
    if not found or values.is_empty():
        return []
    dtype = _dtype_of(values, dialect, _unit(values, dialect))
    is_more = dtype != pl.String or _moment_format(values, dtype, zone, None)[0] is not None
    return found if is_more else []


def _dtype_of(texts: pl.Series, dialect: CsvDialect, unit: str = "") -> pl.DataType:
    """The narrowest type that every text becomes exactly, by the same rules as a delivery is read with."""
    values = texts.drop_nulls().unique(maintain_order=True)
    if values.is_empty():
        return pl.String()
    plain = plain_values(values, pl.Float64(), dialect, unit)
    numbers: list[pl.DataType] = []
    # "007" is a name, and a number of twenty digits would lose some of them.
    if plain.null_count() == 0 and not plain.str.contains(_LEADING_ZERO).any():
        # As pandas writes whole numbers where values are missing.
        gaps = texts.null_count() > 0 and plain.str.contains(_WHOLE_WITH_ZERO).all()
        numbers = [pl.Int64()] if gaps or plain.str.contains(_WHOLE_NUMBER).all() else [pl.Float64()]
    words = {"true", "false", *(word.lower() for word in [*dialect.true_values, *dialect.false_values])}
    truth = [pl.Boolean()] if values.str.to_lowercase().is_in(sorted(words)).all() else []
    for dtype in [*truth, *numbers, pl.Date(), MOMENT]:
        if _becomes(values, dtype, dialect, unit):
            return dtype
    return pl.String()


def _becomes(values: pl.Series, dtype: pl.DataType, dialect: CsvDialect, unit: str) -> bool:
    plain = plain_values(values, dtype, dialect, unit)
    try:
        typed_column(plain, dtype)
    except DeliveryFault:
        return False
    return plain.null_count() == 0


def _with_style(dialect: CsvDialect, columns: list[pl.Series]) -> tuple[CsvDialect, str]:
    """The dialect with the style by which most columns are numbers, the plain one if others give no more.

    And what had to be assumed, where another style does as well.
    """
    styles = list(STYLES)
    if dialect.delimiter == ",":  # where the comma divides fields, a comma in a number divides thousands
        styles.insert(1, styles.pop(styles.index((".", ","))))
    candidates = [dialect.model_copy(update={"decimal": point, "thousands": sign}) for point, sign in styles]
    counts = [sum(_is_number(values, style) for values in columns) for style in candidates]
    best = candidates[counts.index(max(counts))]
    alike = [one for one, count in zip(candidates, counts, strict=True) if count == max(counts)]
    if any(best.thousands == other.decimal and best.decimal != other.decimal for other in alike):
        return best, f"numbers: {best.thousands} is assumed to stand between thousands, though it may before decimals"
    if best.decimal != "." and any(best.decimal == other.thousands for other in alike):
        return best, f"numbers: {best.decimal} is assumed to stand before decimals, though it may between thousands"
    return best, ""


def _is_number(values: pl.Series, dialect: CsvDialect) -> bool:
    return not values.is_empty() and _becomes(values, pl.Float64(), dialect, _unit(values, dialect))


def _unit(values: pl.Series, dialect: CsvDialect) -> str:
    """The one sign that stands at every value, if the values are numbers without it."""
    values = values.drop_nulls()
    if values.is_empty():
        return ""
    sign = re.search(r"^[+-]?\s*([^\w\s.,+\-'\"()]|[A-Z]{3}(?=\s))|([^\w\s.,+\-'\"()]|(?<=\s)[A-Z]{3})$", values[0])
    unit = next((part for part in sign.groups() if part), "") if sign else ""
    if not unit or not values.str.contains(unit, literal=True).all():
        return ""
    return unit if plain_values(values, pl.Float64(), dialect, unit).null_count() == 0 else ""


def _with_truth(dialect: CsvDialect, columns: Collection[pl.Series]) -> CsvDialect:
    words: dict[str, list[str]] = {"true_values": [], "false_values": []}
    for true, false in TRUTH:
        for values in columns:
            found = set(values.str.to_lowercase())
            if found == {true, false} or (found and found <= {true, false} and len(true) > 2):
                words["true_values"].append(true)
                words["false_values"].append(false)
                break
    return dialect.model_copy(update={key: [*getattr(dialect, key), *found] for key, found in words.items()})


def _moment_format(given: pl.Series, dtype: pl.DataType, zone: str, day: Day | None) -> Format:
    """How dates or moments are written that the reader would not take for such; and what had to be assumed.

    Args:
        dtype: what the values become otherwise.
        day: which moment of its day a date shall become; None where nothing says that these are moments.
    """
    values = given.drop_nulls()
    if values.is_empty() or dtype == MOMENT or dtype == pl.Boolean:
        return None, None
    without = f"{zone} is assumed, as the times have no offset"
    if dtype == pl.Datetime:
        return (None, None) if zone_of(dtype) else (ColumnFormat(time_zone=zone), without)
    if dtype == pl.Date:
        return _dated(None, zone, day)
    if dtype.is_integer():
        return _counted(given, zone, day)
    return (
        _written(values.unique(maintain_order=True), zone, day)
        if given.dtype == pl.String and dtype == pl.String
        else (None, None)
    )


def _dated(pattern: str | None, zone: str, day: Day | None, assumed: str = "") -> Format:
    """A date, or the moment that it shall be."""
    if day is None:
        return (ColumnFormat(format=pattern) if pattern else None), assumed or None
    why = f"the {day} of the day in {zone} is assumed, as there is no time"
    return ColumnFormat(format=pattern, time_zone=zone, day=day), "; ".join(filter(None, [assumed, why]))


def _counted(given: pl.Series, zone: str, day: Day | None) -> Format:
    """Numbers since 1970, or years."""
    if day is None and not _MOMENT_NAME.search(given.name.lower()):
        return None, None
    for name, microseconds in EPOCHS.items():
        low, high = (bound * (1_000_000 // microseconds) for bound in _PLAUSIBLE)
        numbers = given.cast(pl.Int64, strict=False).drop_nulls()
        if len(numbers) and numbers.is_between(low, high).all():
            declared = ColumnFormat(format=name)
            return (declared, None) if _fits(given, declared, MOMENT) else (None, None)
    if day is None:
        return None, None
    for pattern in ("%Y", "%Y%m%d"):
        declared = ColumnFormat(format=pattern, time_zone=zone)
        if _fits(given, declared, MOMENT):
            return _dated(pattern, zone, day)
    return None, None


def _written(values: pl.Series, zone: str, day: Day | None) -> Format:
    """Texts in one of the usual forms."""
    if not values.str.contains(_LIKE_A_DATE).all() or not values.str.contains(r"\d").all():
        return None, None
    without = f"{zone} is assumed, as the times have no offset"
    if _fits(values, ColumnFormat(time_zone=zone), MOMENT):
        return ColumnFormat(time_zone=zone), without
    for pattern in OFFSETS:
        if _fits(values, ColumnFormat(format=pattern), MOMENT):
            return ColumnFormat(format=pattern), None
    for pattern in ZULU:
        if _fits(values, ColumnFormat(format=pattern, time_zone="UTC"), MOMENT):
            return ColumnFormat(format=pattern, time_zone="UTC"), None
    patterns = [f"{date}{between}{time}" for date in DATES for time in TIMES for between in (" ", "T", ", ")]
    for pattern in patterns:
        if _fits(values, ColumnFormat(format=pattern, time_zone=zone), MOMENT):
            return ColumnFormat(format=pattern, time_zone=zone), "; ".join(
                filter(None, [_day_first(values, pattern), without])
            )
    for pattern in DATES:
        if _fits(values, ColumnFormat(format=pattern), pl.Date()):
            return _dated(pattern, zone, day, _day_first(values, pattern))
    return None, None


def _day_first(values: pl.Series, pattern: str) -> str:
    """What to say where the month may as well come first."""
    swapped = re.sub("%[dm]", lambda found: {"%d": "%m", "%m": "%d"}[found[0]], pattern)
    is_other = pattern.startswith("%d") and swapped != pattern
    if is_other and _fits(values, ColumnFormat(format=swapped, time_zone="UTC"), MOMENT):
        return "the day is assumed to come first, though the month may"
    return ""


def _fits(values: pl.Series, declared: ColumnFormat, dtype: pl.DataType) -> bool:
    """Whether every value is a date or moment of this form, of a year that people live in."""
    first = values.drop_nulls().head(1)
    if not _all_read(first, declared, dtype):
        return False
    return _all_read(values.drop_nulls(), declared, dtype)


def _all_read(values: pl.Series, declared: ColumnFormat, dtype: pl.DataType) -> bool:
    try:
        found = as_moments(values, dtype, declared)
    except DeliveryFault:
        return False
    lost = found.values.is_null() & ~found.ambiguous & ~found.missing
    return not lost.any() and bool(in_calendar(found.values).drop_nulls().dt.year().is_between(1900, 2200).all())
