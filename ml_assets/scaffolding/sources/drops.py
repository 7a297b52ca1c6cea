"""How a source is cut into drops, by a sample, and how fresh its tables then can be."""

from datetime import date, datetime
from zoneinfo import ZoneInfo

import polars as pl

from ml_assets.scaffolding.columns import Column
from ml_assets.scaffolding.declared import check_column, named
from ml_assets.scaffolding.errors import ScaffoldError
from ml_assets.scaffolding.samples.sample import Sample
from ml_assets.scaffolding.sources.wanted import Wanted
from ml_assets.sources.drops.cut import lies_outside
from ml_assets.sources.drops.grains import WHOLE, name_at
from ml_assets.sources.drops.spec import Drops

FRESHNESS = {
    "hourly": {"warn": "2h", "fail": "3h"},
    "daily": {"warn": "30h", "fail": "36h"},
    "weekly": {"warn": "8d", "fail": "9d"},
    "monthly": {"warn": "32d", "fail": "35d"},
    "quarterly": {"warn": "93d", "fail": "96d"},
    "yearly": {"warn": "367d", "fail": "370d"},
}
"""How old a table may be that grows by one drop per period: the period and time to deliver the drop."""


def infer_drops(
    wanted: Wanted, sample: Sample, columns: list[Column], rows: pl.DataFrame
) -> tuple[dict[str, str] | None, str]:
    zone = {} if wanted.time_zone == "UTC" else {"time_zone": wanted.time_zone}
    if sample.drops and sample.grain:
        drops = Drops(grain=sample.grain, **zone, start=sample.drops[0])
        placed = _placed_by(wanted.timestamp, drops, sample, columns, rows)
        declared = {"grain": sample.grain, **({"column": placed} if placed else {}), **zone, "start": sample.drops[0]}
        checked = f" The {placed} of each row is checked to lie in its file's period." if placed else ""
        return declared, f"Inferred from the names of the files.{checked}"
    if wanted.timestamp is None:
        return None, ""
    column = check_column("--timestamp", wanted.timestamp, columns)
    if column.dtype not in (pl.Date, pl.Datetime):
        raise ScaffoldError(f"--timestamp: column {column.name!r} holds no dates; there are {named(columns)}")
    if column.nullable:
        raise ScaffoldError(f"--timestamp: column {column.name!r} is empty in some rows, which would belong to no drop")
    if wanted.grain == WHOLE:
        return None, ""
    start = name_at(wanted.grain, _wall_clock(rows[column.name].min(), wanted.time_zone))
    first = {"grain": wanted.grain, "column": column.name, **zone, "start": start}
    return first, "The first drop is that of the earliest row."


def _placed_by(
    timestamp: str | None, drops: Drops, sample: Sample, columns: list[Column], rows: pl.DataFrame
) -> str | None:
    """Return the column whose values all lie in their file's period: that of the option, or the first."""
    fitting = [
        column
        for column in columns
        if column.dtype in (pl.Date, pl.Datetime)
        and not (column.nullable or column.role)
        and not (column.dtype == pl.Date and drops.grain == "hourly")
        and _lies_in_files(rows[column.name], drops, sample)
    ]
    # A moment can be the time of a prediction, too.
    fitting.sort(key=lambda column: (column.name != timestamp, not column.is_moment))
    return fitting[0].name if fitting else None


def _lies_in_files(values: pl.Series, drops: Drops, sample: Sample) -> bool:
    begin = 0
    for drop, height in zip(sample.read, sample.heights, strict=True):
        if lies_outside(values.slice(begin, height), drop, drops).any():
            return False
        begin += height
    return bool(sample.read)


def _wall_clock(moment: object, zone: str) -> datetime:
    """Return a date or moment as the clock of the zone shows it."""
    if not isinstance(moment, date):
        raise TypeError(f"{moment!r} is no date")
    if not isinstance(moment, datetime):
        return datetime.combine(moment, datetime.min.time())
    return moment.astimezone(ZoneInfo(zone)) if moment.tzinfo else moment
