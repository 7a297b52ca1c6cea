"""Calendar months as drops."""

import re

import polars as pl

from ml_assets.sources.errors import DeliveryFault
from ml_assets.sources.spec import Drops

_MONTH = re.compile(r"\d{4}-(0[1-9]|1[0-2])")


def is_month(name: str) -> bool:
    """Whether the name is a month, written YYYY-MM."""
    return _MONTH.fullmatch(name) is not None


def month_number(month: str) -> int:
    """The month, written YYYY-MM, as the number of months since year 0."""
    year, number = month.split("-")
    return int(year) * 12 + int(number) - 1


def month_name(number: int) -> str:
    """The inverse of `month_number`."""
    return f"{number // 12:04d}-{number % 12 + 1:02d}"


def expected(drops: Drops, month: str) -> bool:
    """Whether the month lies in the declared range."""
    return month >= drops.start and (drops.end is None or month < drops.end)


def expected_months(drops: Drops) -> list[str] | None:
    """All declared months, or None if they have no end."""
    if drops.end is None:
        return None
    return [month_name(number) for number in range(month_number(drops.start), month_number(drops.end))]


def month_numbers(moments: pl.Series, time_zone: str) -> pl.Series:
    """The month number (Int32) of each date or moment; moments with a zone are looked at in `time_zone`.

    Raises:
        DeliveryFault: a value is missing, so its row would belong to no drop; or the column holds no dates.
    """
    if moments.dtype not in (pl.Date, pl.Datetime):
        raise DeliveryFault(
            "wrong type",
            f"months cannot be told from {moments.dtype}",
            "cut the drops by a date or datetime column of the contract",
            column=moments.name,
        )
    if moments.null_count():
        row = moments.is_null().arg_max() + 1
        raise DeliveryFault(
            "wrong type",
            f"{moments.null_count()} rows without a value belong to no drop, the first is data row {row}",
            "have the values delivered",
            column=moments.name,
        )
    if moments.dtype == pl.Datetime and moments.dtype.time_zone:
        moments = moments.dt.convert_time_zone(time_zone)
    return moments.dt.year().cast(pl.Int32) * 12 + moments.dt.month() - 1
