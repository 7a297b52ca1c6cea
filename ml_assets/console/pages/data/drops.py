"""Each drop of a source: what became of its rows, when it came, and what its gate said."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from ml_assets.declarations.specs import DeclaredSource
from ml_assets.deliveries.withheld import read_withheld
from ml_assets.lake import Lake
from ml_assets.lake.history import PartitionHistory
from ml_assets.quality.publication import Withheld
from ml_assets.sources.drops import grains
from ml_assets.sources.drops.grains import WHOLE
from ml_assets.sources.spec import DROP


@dataclass(frozen=True)
class State:
    """What has become of a drop, in a symbol and in words.

    Attributes:
        rank: the worst first.
    """

    name: str
    symbol: str
    words: str
    rank: int


WITHHELD = State("withheld", "✕", "failed its gate: not in use", 0)
MISSING = State("missing", "?", "was never delivered", 1)
WAITS = State("waits", "…", "waits for an earlier drop", 2)
PARTLY = State("partly", "◐", "in use, some rows in quarantine", 3)
EMPTY = State("empty", "○", "came without rows", 4)
IN_USE = State("in use", "●", "in use", 5)
AWAITED = State("awaited", "·", "is awaited", 6)
STATES = (IN_USE, PARTLY, EMPTY, WAITS, WITHHELD, MISSING, AWAITED)


@dataclass(frozen=True)
class DropState:
    """One drop of a source.

    Attributes:
        end: the first moment after its period, UTC; None of a source that comes whole.
        rows: as delivered last.
        in_use: rows that passed the gate and are in use, maybe of the delivery before.
        quarantined: rows of the last delivery that broke the contract.
        failed: blocking checks that the last delivery failed.
        waits_for: earlier drops that it waits for.
        deliveries: how often it was taken in, as far as the table's log goes back; 0 where that tells nothing of it.
        first_at, last_at: when it was taken in first and last, UTC.
        lag: from the end of its period until it was taken in first.
        late: whether that took longer than the source's freshness allows; None where nobody can say, as of periods
            that were over before the source was first taken in.
    """

    drop: str
    state: State
    end: datetime | None = None
    rows: int = 0
    in_use: int = 0
    quarantined: int = 0
    failed: tuple[str, ...] = ()
    waits_for: tuple[str, ...] = ()
    deliveries: int = 0
    first_at: datetime | None = None
    last_at: datetime | None = None
    lag: timedelta | None = None
    late: bool | None = None


@dataclass(frozen=True)
class SourceDrops:
    """Every drop of a source, in order.

    Attributes:
        log_whole: whether the table's log goes back to the first delivery; else deliveries may have been more.
    """

    drops: tuple[DropState, ...]
    log_whole: bool

    @property
    def worst(self) -> DropState | None:
        """The drop that needs attention most: the worst state, of several the newest."""
        return min(reversed(self.drops), key=lambda drop: drop.state.rank, default=None)

    @property
    def delivered(self) -> tuple[DropState, ...]:
        return tuple(drop for drop in self.drops if drop.state not in (MISSING, AWAITED))


def read_drops(lake: Lake, source: DeclaredSource, now: datetime) -> SourceDrops:
    """Read what has become of each drop: of those delivered, and of those since whose periods are over; of a source of
    which nothing was ever taken in there are none.

    From the logs of the source's tables and what was withheld alone; no row is read.
    """
    raw = source.table("raw")
    rows = {part: lake.rows_by(source.table(part), DROP) for part in ("raw", "validated", "quarantine")}
    history = lake.history_by(raw, DROP) if lake.exists(raw) else PartitionHistory({}, None)
    withheld, empty = read_withheld(source, lake), {*source.came_empty(lake)}
    delivered = {*rows["raw"], *withheld, *empty, *history.commits}
    drops = [
        _with_times(source, _state(drop, rows, withheld.get(drop), empty, drop in delivered), history, now)
        for drop in sorted({*delivered, *_expected(source, delivered, now)})
    ]
    return SourceDrops(tuple(drops), history.whole)


def _expected(source: DeclaredSource, delivered: set[str], now: datetime) -> list[str]:
    """Return the drops from the first that was delivered whose periods are over."""
    drops = source.drops
    if drops.grain == WHOLE or not delivered:
        return []
    local = now.astimezone(ZoneInfo(drops.time_zone)).replace(tzinfo=None)
    end = min(filter(None, (drops.end, grains.name_at(drops.grain, local))))
    return grains.names_between(drops.grain, min(delivered), end)


def _state(
    drop: str, rows: Mapping[str, Mapping[str, int]], withheld: Withheld | None, empty: set[str], delivered: bool
) -> DropState:
    raw, in_use, quarantined = (rows[part].get(drop, 0) for part in ("raw", "validated", "quarantine"))
    found = DropState(drop, IN_USE, rows=raw, in_use=in_use, quarantined=quarantined)
    if withheld is not None:
        state = WITHHELD if withheld.failed else WAITS
        return replace(found, state=state, failed=withheld.failed, waits_for=withheld.waits_for)
    if not delivered:
        return DropState(drop, MISSING)
    if drop in empty or not raw:
        return replace(found, state=EMPTY)
    return replace(found, state=PARTLY) if quarantined else found


def _with_times(source: DeclaredSource, state: DropState, history: PartitionHistory, now: datetime) -> DropState:
    commits, end, allowed = history.commits.get(state.drop, ()), _end(source, state.drop), source.freshness.fail_after
    if state.state is MISSING and (end is None or end + allowed >= now):
        state = replace(state, state=AWAITED)
    if not commits:
        return replace(state, end=end)
    first, last = commits[0].at, commits[-1].at
    state = replace(state, end=end, deliveries=len(commits), first_at=first, last_at=last)
    if end is None or history.since is None or not history.whole:
        return state
    watched = end + allowed > history.since.at
    return replace(state, lag=first - end, late=first - end > allowed if watched else None)


def _end(source: DeclaredSource, drop: str) -> datetime | None:
    drops = source.drops
    if drops.grain == WHOLE or not grains.is_name(drops.grain, drop):
        return None
    return grains.drop_end(drops.grain, drop).replace(tzinfo=ZoneInfo(drops.time_zone)).astimezone(UTC)
