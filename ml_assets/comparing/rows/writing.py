"""How a file writes the values that are texts in it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import polars as pl

from ml_assets.sources.csv.dialect import CsvDialect, plain_values
from ml_assets.sources.errors import DeliveryFault
from ml_assets.sources.values.column import ColumnFormat
from ml_assets.sources.values.exact import in_calendar
from ml_assets.sources.values.moments import as_moments

_TRUTH = {"true": True, "false": False, "1": True, "0": False}
_MOMENT = pl.Datetime("us")
_ISO = (
    "%Y-%m-%d",
    "%Y-%m-%dT%H:%M:%S%.f",
    "%Y-%m-%d %H:%M:%S%.f",
    "%Y-%m-%dT%H:%M:%SZ",
    "%Y-%m-%dT%H:%M:%S%.f%#z",
    "%Y-%m-%d %H:%M:%S%.f%#z",
)


@dataclass(frozen=True)
class Writing:
    """How texts stand for numbers, truth and moments.

    Attributes:
        dialect: style of numbers and words for true and false.
        nulls: texts that mean 'no value', beside the empty field.
        formats: column -> how its moments or units are written.
    """

    dialect: CsvDialect = field(default_factory=CsvDialect)
    nulls: tuple[str, ...] = ()
    formats: Mapping[str, ColumnFormat] = field(default_factory=dict)

    def numbers(self, texts: pl.Series) -> pl.Series:
        """Return texts as Float64, null where one is no number."""
        form = self.formats.get(texts.name)
        plain = plain_values(texts, pl.Float64(), self.dialect, form.unit if form else "")
        return plain.str.strip_chars().cast(pl.Float64, strict=False)

    def truth(self, texts: pl.Series) -> pl.Series:
        """Return texts as Boolean, null where one is neither word."""
        plain = plain_values(texts, pl.Boolean(), self.dialect)
        return plain.replace_strict(_TRUTH, default=None, return_dtype=pl.Boolean)

    def moments(self, given: pl.Series) -> pl.Series:
        """Return texts or whole numbers as Datetime[us] of UTC or of the writer's clock, null where they do not fit."""
        form = self.formats.get(given.name)
        if form is None or not form.is_moment:
            return _iso(given) if given.dtype == pl.String else _nothing(given)
        lenient = form.model_copy(update={"ambiguous": "earliest", "missing": "latest"})
        try:
            moments = as_moments(
                given, pl.Datetime("us", "UTC") if form.time_zone or form.has_offset else pl.Date(), lenient
            )
        except DeliveryFault:  # values of a type that is not written in this form
            return _nothing(given)
        return plain_moments(moments.values)


def plain_moments(values: pl.Series) -> pl.Series:
    """Return dates or moments as Datetime[us] without a zone, moments in UTC; null where no calendar has them."""
    values = in_calendar(values)
    if getattr(values.dtype, "time_zone", None):
        values = values.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
    return values.cast(_MOMENT)


def _nothing(given: pl.Series) -> pl.Series:
    return pl.Series(given.name, [None], _MOMENT).new_from_index(0, len(given))


def _iso(texts: pl.Series) -> pl.Series:
    parsed = _nothing(texts)
    for pattern in _ISO:
        if parsed.null_count() == texts.null_count():
            break
        attempt = texts.str.to_datetime(pattern, time_unit="us", strict=False)
        parsed = parsed.zip_with(parsed.is_not_null(), plain_moments(attempt))
    return parsed
