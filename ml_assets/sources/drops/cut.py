"""Which drop each row belongs to."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import polars as pl

from ml_assets.sources.drops.grains import GRAINS, drop_end, drop_start, name_at, stretches
from ml_assets.sources.drops.spec import Drops
from ml_assets.sources.errors import DeliveryFault
from ml_assets.sources.values.exact import zone_of


@dataclass(frozen=True)
class Span:
    """Moments from `lower` to before `upper` (None: without end): UTC for a column with a zone, else wall-clock."""

    lower: datetime
    upper: datetime | None


def spans(names: Sequence[str], drops: Drops, dtype: pl.DataType) -> list[Span]:
    """Return the spans that drops take, one for each stretch of drops without a gap.

    Args:
        dtype: what the contract declares for the column that drops are cut by.
    """
    return [
        Span(
            _moment(drop_start(drops.grain, stretch[0]), drops, dtype),
            _moment(drop_end(drops.grain, stretch[-1]), drops, dtype),
        )
        for stretch in stretches(drops.grain, names)
    ]


def declared_span(drops: Drops, dtype: pl.DataType) -> Span:
    """Return the span of all declared drops."""
    end = None if drops.end is None else _moment(drop_start(drops.grain, drops.end), drops, dtype)
    return Span(_moment(drop_start(drops.grain, drops.first), drops, dtype), end)


def _moment(wall_clock: datetime, drops: Drops, dtype: pl.DataType) -> datetime:
    zoned = zone_of(dtype) is not None
    return wall_clock.replace(tzinfo=ZoneInfo(drops.time_zone)).astimezone(UTC) if zoned else wall_clock


def check_cuttable(column: str, dtype: pl.DataType, drops: Drops) -> None:
    """Raise DeliveryFault if a column of this type cannot decide which drop a row belongs to."""
    if dtype == pl.Datetime or (dtype == pl.Date and drops.grain != "hourly"):
        return
    raise DeliveryFault(
        "wrong type",
        f"{GRAINS[drops.grain].period}s cannot be told from {dtype}",
        "cut the drops by a date or datetime column of the contract",
        column=column,
    )


def period_starts(moments: pl.Series, drops: Drops) -> pl.Series:
    """Return the wall-clock start (Datetime) of the drop that each date or moment lies in; null where there is none.

    Moments with a zone are looked at in the zone of `drops`.

    Raises:
        DeliveryFault: the type tells no drops.
    """
    check_cuttable(moments.name, moments.dtype, drops)
    if zone_of(moments.dtype):
        moments = moments.dt.convert_time_zone(drops.time_zone).dt.replace_time_zone(None)
    return moments.cast(pl.Datetime("us")).dt.truncate(GRAINS[drops.grain].every)


def check_placed(drops: Drops, rows: int, unknown: int) -> None:
    """Raise DeliveryFault if none of the delivered rows belongs to a drop."""
    if rows and rows == unknown:
        raise DeliveryFault(
            "wrong type",
            f"none of {rows} rows has a value, so that they belong to no drop",
            "have the values delivered",
            column=drops.column,
        )


def drop_names(starts: pl.Series, drops: Drops) -> list[str]:
    """Return the names of the drops that begin at `starts`, each once, in order."""
    return [name_at(drops.grain, start) for start in starts.drop_nulls().unique().sort()]


def lies_outside(moments: pl.Series, name: str, drops: Drops) -> pl.Series:
    """Return for each row whether its date or moment lies in another drop than `name`; False where it has none.

    Raises:
        DeliveryFault: the type tells no drops.
    """
    return (period_starts(moments, drops) != drop_start(drops.grain, name)).fill_null(False)


def as_starts(starts: list[datetime]) -> pl.Series:
    """Return starts of drops in the type of `period_starts`."""
    return pl.Series(starts, dtype=pl.Datetime("us"))
