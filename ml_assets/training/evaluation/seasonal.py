"""The seasonal naive forecast: what a series was one season earlier, and how wrong that has been.

Source: Hyndman and Athanasopoulos, "Forecasting: principles and practice", 3rd edition, 2021, section 5.2.
"""

from dataclasses import dataclass
from datetime import timedelta

import polars as pl

from ml_assets.durations import parse_duration
from ml_assets.training.spec import ModelSpec
from ml_assets.training.tasks.columns import NAIVE, NAIVE_ERROR

_ROW, _MOMENT, _TIME, _KNOWN, _LABEL, _EARLIER, _FIRST = (
    f"__{name}__" for name in ("row", "moment", "time", "known", "label", "earlier", "first")
)


@dataclass(frozen=True)
class Seasons:
    """Where a frame has the series of its rows, and how long a season of them is.

    Attributes:
        series: columns that name a row's series; none: all rows are one.
        time: column with the moment at which a row is predicted.
        moment: column with the moment that a row's label belongs to; that of ``time`` where rows have no horizon.
        label, known_at: columns with the label and the moment it was known.
        length: of a season.
        time_zone: on whose clock a season of whole days is counted.
    """

    series: tuple[str, ...]
    time: str
    moment: str
    label: str
    known_at: str
    length: timedelta
    time_zone: str = "UTC"

    @classmethod
    def of(cls, spec: ModelSpec) -> "Seasons | None":
        """Return what a model declares as ``baseline.seasonal``; None where it does not."""
        baseline, spine = spec.baseline, spec.spine
        if baseline.seasonal is None:
            return None
        return cls(
            series=tuple(baseline.series or spine.series),
            time=spine.time,
            moment=next(iter(spine.ahead), spine.time),
            label=spec.label.column,
            known_at=spec.label.known_at,
            length=parse_duration(baseline.seasonal),
            time_zone=spine.time_zone,
        )


def add_naive(rows: pl.DataFrame, seasons: Seasons) -> pl.DataFrame:
    """Add ``NAIVE``: the label of the row's series one season earlier, Float64.

    Where that was not known at the row's time, it is the newest label whole seasons earlier that was; null where there
    is none.

    Args:
        rows: every row whose label may be looked up; labels may be null.

    Raises:
        ValueError: a column is missing, or bears the name of the one to add.
    """
    _check_columns(rows, seasons)
    keys, known = list(seasons.series), _known_labels(rows, seasons)
    first = known.group_by(keys).agg(pl.col(_MOMENT).min().alias(_FIRST)) if keys else None
    waiting = _moments(rows, seasons).with_row_index(_ROW)
    if first is None:
        waiting = waiting.with_columns(pl.lit(known[_MOMENT].min(), known.schema[_MOMENT]).alias(_FIRST))
    else:
        waiting = waiting.join(first, on=keys, how="left")
    matches = [pl.DataFrame(schema={_ROW: pl.UInt32, NAIVE: pl.Float64})]
    ago = seasons.length
    while waiting.height:
        waiting = waiting.filter(pl.col(_MOMENT) - ago >= pl.col(_FIRST))
        asked = waiting.with_columns(pl.col(_MOMENT) - ago)
        match = asked.join(known, on=[*keys, _MOMENT]).filter(pl.col(_KNOWN) <= pl.col(_TIME))
        matches.append(match.select(_ROW, pl.col(_LABEL).alias(NAIVE)))
        waiting = waiting.join(match, on=_ROW, how="anti")
        ago += seasons.length
    return rows.with_row_index(_ROW).join(pl.concat(matches), on=_ROW, how="left", maintain_order="left").drop(_ROW)


def naive_errors(train: pl.DataFrame, rows: pl.DataFrame, seasons: Seasons) -> pl.DataFrame:
    """Return ``NAIVE_ERROR`` of each series: the root mean squared difference of its training labels to those exactly
    one season earlier.

    A moment counts once, however many rows predict it. Series without two labels a season apart, or whose labels never
    change from season to season, are left out.

    Args:
        rows: every row whose label may be the earlier one.
    """
    keys = list(seasons.series)
    earlier = _known_labels(rows, seasons).select(
        *keys, pl.col(_MOMENT) + seasons.length, pl.col(_LABEL).alias(_EARLIER)
    )
    pairs = _known_labels(train, seasons).join(earlier, on=[*keys, _MOMENT])
    squared = ((pl.col(_LABEL) - pl.col(_EARLIER)) ** 2).mean().sqrt().alias(NAIVE_ERROR)
    errors = pairs.group_by(keys).agg(squared) if keys else pairs.select(squared)
    return errors.filter(pl.col(NAIVE_ERROR) > 0)


def add_naive_error(rows: pl.DataFrame, errors: pl.DataFrame) -> pl.DataFrame:
    """Add ``NAIVE_ERROR`` of each row's series, as ``naive_errors`` returns them; null where the series has none."""
    keys = [name for name in errors.columns if name != NAIVE_ERROR]
    if not keys:
        value = errors[NAIVE_ERROR].item() if errors.height else None
        return rows.with_columns(pl.lit(value, pl.Float64).alias(NAIVE_ERROR))
    return rows.join(errors, on=keys, how="left", maintain_order="left")


def scale_as_reference(rows: pl.DataFrame, reference: pl.DataFrame, spec: ModelSpec) -> pl.DataFrame:
    """Add ``NAIVE_ERROR`` of each row's series as it was when a version was trained, which its reference holds.

    Null for a series that the reference lacks, and for all where its series are other ones than are declared now;
    nothing is added where no season is declared or the version is older.
    """
    seasons = Seasons.of(spec)
    if seasons is None or NAIVE_ERROR not in reference.columns:
        return rows
    if not {*seasons.series} <= {*reference.columns}:
        return rows.with_columns(pl.lit(None, pl.Float64).alias(NAIVE_ERROR))
    errors = reference.select(*seasons.series, NAIVE_ERROR).unique()
    of_others = errors.select(seasons.series).is_duplicated().any() if seasons.series else errors.height > 1
    return add_naive_error(rows, errors.clear() if of_others else errors.drop_nulls())


def _check_columns(rows: pl.DataFrame, seasons: Seasons) -> None:
    missing = [name for name in seasons.series if name not in rows.columns]
    if missing:
        raise ValueError(f"baseline.series names {missing}, which the rows lack: add them to the spine's columns")
    taken = [name for name in (NAIVE, NAIVE_ERROR) if name in rows.columns]
    if taken:
        raise ValueError(f"{taken} are columns that baseline.seasonal adds: give features and columns another name")


def _moments(rows: pl.DataFrame, seasons: Seasons) -> pl.DataFrame:
    """Return series, the moment that the label belongs to, on the clock where days are counted, and the time."""
    return rows.select(
        *seasons.series,
        _on_the_clock(seasons, rows.schema).alias(_MOMENT),
        _utc(seasons.time, rows.schema).alias(_TIME),
    )


def _known_labels(rows: pl.DataFrame, seasons: Seasons) -> pl.DataFrame:
    """Return each series' labels by moment, once, with when they were known first."""
    keys = list(seasons.series)
    labels = rows.select(
        *keys,
        _on_the_clock(seasons, rows.schema).alias(_MOMENT),
        pl.col(seasons.label).cast(pl.Float64).alias(_LABEL),
        _utc(seasons.known_at, rows.schema).alias(_KNOWN),
    )
    return labels.drop_nulls().sort(_KNOWN).unique([*keys, _MOMENT], keep="first", maintain_order=True)


def _on_the_clock(seasons: Seasons, schema: pl.Schema) -> pl.Expr:
    zone, moment = getattr(schema[seasons.moment], "time_zone", None), pl.col(seasons.moment)
    if zone is None:
        return moment
    by_days = seasons.length % timedelta(days=1) == timedelta(0)
    return moment.dt.convert_time_zone(seasons.time_zone if by_days else "UTC").dt.replace_time_zone(None)


def _utc(name: str, schema: pl.Schema) -> pl.Expr:
    zone = getattr(schema[name], "time_zone", None)
    return pl.col(name) if zone is None else pl.col(name).dt.convert_time_zone("UTC")
