"""Calendar features: where a moment lies in the local calendar."""

from collections.abc import Callable

import numpy as np
import polars as pl

from ml_assets.features.declared.calendar import OF_HOLIDAYS, CalendarPart, CalendarPartsSpec
from ml_assets.features.errors import FeatureError
from ml_assets.features.row.holidays import country_problem, holidays_between
from ml_assets.features.spec import FeatureViewSpec


def calendar_features(view: FeatureViewSpec, spine: pl.DataFrame, time: str) -> pl.DataFrame:
    """Compute the view's calendar features of every spine row, Int64 and Boolean; null where the moment is.

    Args:
        spine: the columns that the calendars are about; checked already.
        time: the spine's time column.

    Raises:
        FeatureError: a column is neither a moment with its zone nor a date, or a country is unknown.
    """
    return pl.DataFrame(
        [
            values.alias(f"{base}_{part}")
            for base, spec in view.calendar.items()
            for part, values in calendar_of(spine[spec.at or time], spec, _where(view, base)).items()
        ]
    )


def calendar_of(moments: pl.Series, spec: CalendarPartsSpec, where: str) -> dict[CalendarPart, pl.Series]:
    """Compute the parts of the calendar of moments or dates.

    Args:
        where: what to call the calendar in an error.
    """
    if spec.country is not None and (problem := country_problem(spec)):
        raise FeatureError(f"{where}: {problem}")
    local = _local(moments, spec, where)
    of_holidays = _holidays(local.cast(pl.Date), spec) if OF_HOLIDAYS & {*spec.parts} else {}
    return {part: of_holidays[part] if part in OF_HOLIDAYS else _PARTS[part](local) for part in spec.parts}


def _where(view: FeatureViewSpec, base: str) -> str:
    return f"feature view {view.name!r}, calendar.{base}"


def _local(moments: pl.Series, spec: CalendarPartsSpec, where: str) -> pl.Series:
    """Return the local times of moments, or dates as they are."""
    if moments.dtype == pl.Date:
        if "hour" in spec.parts:
            raise FeatureError(f"{where}: {moments.name!r} is a date, which has no hour: leave `hour` out of parts")
        return moments.cast(pl.Datetime("us"))
    if not isinstance(moments.dtype, pl.Datetime) or moments.dtype.time_zone is None:
        raise FeatureError(
            f"{where}: column {moments.name!r} is {moments.dtype}, neither a moment with its zone nor a date"
        )
    return moments.dt.convert_time_zone(spec.time_zone).dt.replace_time_zone(None)


_PARTS: dict[CalendarPart, Callable[[pl.Series], pl.Series]] = {
    "hour": lambda local: local.dt.hour().cast(pl.Int64),
    "weekday": lambda local: local.dt.weekday().cast(pl.Int64),
    "weekend": lambda local: local.dt.weekday() > 5,
    "day": lambda local: local.dt.day().cast(pl.Int64),
    "day_of_year": lambda local: local.dt.ordinal_day().cast(pl.Int64),
    "week": lambda local: local.dt.week().cast(pl.Int64),
    "month": lambda local: local.dt.month().cast(pl.Int64),
    "quarter": lambda local: local.dt.quarter().cast(pl.Int64),
    "month_start": lambda local: local.dt.day() == 1,
    "month_end": lambda local: local.dt.date() == local.dt.date().dt.month_end(),
}


def _holidays(dates: pl.Series, spec: CalendarPartsSpec) -> dict[CalendarPart, pl.Series]:
    """Say of each date whether it is a holiday, and how far the next and the last one are; null in years of which none
    are known."""
    days = dates.to_physical().cast(pl.Int64)
    years = dates.dt.year()
    first, last = years.min(), years.max()
    assert spec.country is not None  # declared where parts are of holidays
    if not isinstance(first, int) or not isinstance(last, int):
        unknown = pl.repeat(None, len(days), dtype=pl.Boolean, eager=True)
        return {part: unknown if part == "holiday" else days for part in OF_HOLIDAYS}
    holidays, known = holidays_between(spec.country, spec.subdivision, first - 2, last + 2)
    numbers = days.fill_null(0).to_numpy()
    missing = ~years.is_between(known.start, known.stop - 1).fill_null(False)
    after, upto = np.searchsorted(holidays, numbers, "left"), np.searchsorted(holidays, numbers, "right")
    padded = np.concatenate([[np.iinfo(np.int64).min], holidays, [np.iinfo(np.int64).max]])
    values: dict[CalendarPart, pl.Series] = {
        "holiday": pl.Series(upto > after),
        "days_to_holiday": pl.Series(padded[after + 1] - numbers).set(pl.Series(after == holidays.size), None),
        "days_since_holiday": pl.Series(numbers - padded[upto]).set(pl.Series(upto == 0), None),
    }
    return {part: series.set(missing, None) for part, series in values.items()}
