"""When the windows of a spine's rows begin and end."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import polars as pl

from ml_assets.durations import format_duration
from ml_assets.features.engine.checks import MOMENT
from ml_assets.outcomes.engine.windows import END, OutcomeWindow
from ml_assets.outcomes.errors import OutcomeError
from ml_assets.outcomes.spec import OutcomeSpec
from ml_assets.spines.calendar import ahead

_DAY = timedelta(days=1)


@dataclass(frozen=True)
class OutcomeTimes:
    """The columns of a spine that say when a row is and where its window ends.

    Attributes:
        time: the row's time t.
        target_at: the moment at which the window ends, of a spine with horizons; None for t + window.
        time_zone: the zone on whose clock a spine with horizons counts whole days.
    """

    time: str
    target_at: str | None = None
    time_zone: str = "UTC"

    @property
    def columns(self) -> list[str]:
        """The columns with moments, each once."""
        return [self.time] if self.target_at is None else [self.time, self.target_at]

    def end(self, outcome: OutcomeSpec) -> pl.Expr:
        """Return the moment at which the window ends, as END."""
        end = pl.col(self.time) + outcome.length if self.target_at is None else pl.col(self.target_at)
        return end.alias(END)

    def windows(
        self, outcomes: Sequence[OutcomeSpec], spine: pl.LazyFrame
    ) -> Iterator[tuple[list[OutcomeWindow], pl.LazyFrame]]:
        """Divide rows by how long their windows last: a day on which the clocks change has 23 or 25 hours.

        Yields:
            The window of each outcome, with an outcome whose window lasts so long, and the rows, with END; once where
            there are no rows.

        Raises:
            OutcomeError: a window is longer than its row looks ahead.
        """
        declared = tuple(outcome.length for outcome in outcomes)
        if self.target_at is None:
            yield (
                _windows(outcomes, declared, max(declared)),
                spine.with_columns((pl.col(self.time) + max(declared)).alias(END)),
            )
            return
        rows = spine.with_columns(pl.col(self.target_at).alias(END))
        moments = spine.select(self.columns).unique().collect(engine="streaming")
        alike: dict[tuple[timedelta, ...], list[tuple[datetime, datetime]]] = {}
        for time, target_at in moments.iter_rows():
            begins = [window_begin(outcome, time, target_at, self.time_zone) for outcome in outcomes]
            alike.setdefault(tuple(target_at - begin for begin in begins), []).append((time, target_at))
        for lasts in sorted(alike) or [declared]:
            own = rows
            if len(alike) > 1:
                of_these = pl.LazyFrame(alike[lasts], schema=moments.schema, orient="row")
                own = rows.join(of_these, on=self.columns, how="semi")
            yield _windows(outcomes, lasts, None), own

    def reach(self, outcome: OutcomeSpec) -> OutcomeSpec:
        """Return the outcome with a window that no row's window is longer than, whatever the clocks do."""
        return outcome if self.target_at is None else lasting(outcome, outcome.length + _DAY)


def _windows(
    outcomes: Sequence[OutcomeSpec], lasts: Sequence[timedelta], longest: timedelta | None
) -> list[OutcomeWindow]:
    """Return windows that last so long, and begin together where the longest is given; else they end together."""
    return [
        OutcomeWindow(lasting(outcome, length), timedelta(0) if longest is None else longest - length, place)
        for place, (outcome, length) in enumerate(zip(outcomes, lasts, strict=True))
    ]


def lasting(outcome: OutcomeSpec, length: timedelta) -> OutcomeSpec:
    """Return the outcome with a window of another length, in whole seconds."""
    return outcome if length == outcome.length else outcome.model_copy(update={"window": format_duration(length)})


def window_begin(outcome: OutcomeSpec, time: datetime, target_at: datetime, time_zone: str) -> datetime:
    """Return the moment after which the window of a row that looks ahead begins, in UTC.

    A window of whole days is counted on the clock of the zone, as `ahead` counts horizons: a day before Monday at six
    is Sunday at six. Where the horizon is whole days too, this is horizon - window after the row's time, so that
    windows of rows that follow one another neither overlap nor leave a hole. Any other window is time that passes. None
    begins before the row's time.

    Raises:
        OutcomeError: the window is longer than the row looks ahead.
    """
    length = outcome.length
    horizon = _days_ahead(time, target_at, time_zone) or target_at - time
    if horizon < length:
        raise OutcomeError(
            f"outcome {outcome.name!r}: its window of {outcome.window} is longer than a row at {time.isoformat()} "
            f"looks ahead, to {target_at.isoformat()}: it would begin before the row; declare a window that fits the "
            "spine's shortest horizon, or leave that horizon out"
        )
    if horizon == length:
        return time.astimezone(UTC)
    whole_days = not (length % _DAY or horizon % _DAY)
    begin = ahead(time, horizon - length, time_zone) if whole_days else ahead(target_at, -length, time_zone)
    return max(begin, time.astimezone(UTC))


def _days_ahead(time: datetime, target_at: datetime, time_zone: str) -> timedelta | None:
    """Return how many whole days on the clock of the zone lie between two moments; None if they are not whole."""
    zone = ZoneInfo(time_zone)
    shown, shown_then = (moment.astimezone(zone).replace(tzinfo=None) for moment in (time, target_at))
    days = round((shown_then - shown) / _DAY) * _DAY
    return days if days > timedelta(0) and ahead(time, days, time_zone) == target_at else None


def check_rows(outcome: OutcomeSpec, spine: pl.LazyFrame, times: OutcomeTimes) -> None:
    """Check that the rows have the entity and moments.

    Raises:
        OutcomeError: names the outcome, the column and what to do.
    """
    schema, where = spine.collect_schema(), f"outcome {outcome.name!r}: the rows"
    needed = list(dict.fromkeys([*outcome.spine_entity, *times.columns]))
    if missing := [name for name in needed if name not in schema]:
        there = ", ".join(name for name in schema if not name.startswith("__"))
        raise OutcomeError(
            f"{where} have no column {', '.join(map(repr, missing))} (they have {there}); add it, or map a key with "
            "`spine_keys`"
        )
    for name in times.columns:
        if schema[name] != MOMENT:
            raise OutcomeError(f"{where} have {schema[name]} in column {name!r}, not {MOMENT}: cast it")
    nulls = spine.select(pl.col(times.columns).null_count()).collect(engine="streaming").row(0, named=True)
    if empty := {name: count for name, count in nulls.items() if count}:
        name, count = next(iter(empty.items()))
        raise OutcomeError(
            f"{where} have no moment in column {name!r} in {count} of them, so no window: drop them or give them one"
        )
