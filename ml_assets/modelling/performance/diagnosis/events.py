"""What was out of the ordinary about the deliveries of a drop, from the tables of the sources and their logs."""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from statistics import median

from ml_assets.declarations.specs import DeclaredSource
from ml_assets.deliveries.withheld import read_withheld
from ml_assets.diagnosis.causes.upstream import UpstreamEvent
from ml_assets.lake import Lake
from ml_assets.sources.drops.grains import WHOLE
from ml_assets.sources.spec import DROP

BEFORE = 7
"""Drops before one that say what is usual."""
LEAST_QUARANTINED = 0.005
"""Share of quarantined rows below which more than usual is no event."""


def events_of(
    lake: Lake, sources: Sequence[DeclaredSource], drop: str, made_at: datetime | None
) -> list[UpstreamEvent]:
    """Return the events of a drop: deliveries that are missing, withheld, late, larger or smaller than usual, with more
    rows in quarantine than usual, or of other columns or types than the one before.

    Args:
        sources: those cut into drops as the model's rows are; others have no delivery of the drop.
        made_at: when the predictions of the drop were written; None for predictions of which that is not known.
    """
    cut = [source for source in sources if source.drops.grain != WHOLE and lake.exists(source.table("raw"))]
    looks: list[Callable[[Lake, DeclaredSource, str], Iterator[UpstreamEvent]]]
    looks = [_missing, _withheld, _rows, _quarantined, _schema]
    found = [event for source in cut for look in looks for event in look(lake, source, drop)]
    if made_at is not None:
        found += [event for source in cut for event in _late(lake, source, drop, made_at)]
    return found


def predicted_at(lake: Lake, table: str, partition: str, drop: str) -> datetime | None:
    """Return when the predictions of a drop were written last, as far as the table's log goes back."""
    commits = lake.history_by(table, partition).commits.get(drop)
    return commits[-1].at if commits else None


def _missing(lake: Lake, source: DeclaredSource, drop: str) -> Iterator[UpstreamEvent]:
    there = lake.partitions(source.table("validated"), DROP)
    if there and drop not in there and drop not in source.came_empty(lake) and drop > min(there):
        yield UpstreamEvent(
            source=source.name, drop=drop, kind="missing", text=f"no row of the delivery {drop} is in use"
        )


def _withheld(lake: Lake, source: DeclaredSource, drop: str) -> Iterator[UpstreamEvent]:
    delivery = read_withheld(source, lake).get(drop)
    if delivery is not None:
        failed = f"failed {', '.join(delivery.failed)}" if delivery.failed else "waits"
        waits = f" for {', '.join(delivery.waits_for)}" if delivery.waits_for else ""
        stays = "; rows of the one before it stay in use" if delivery.in_use else ""
        text = f"the delivery {drop} is held back: it {failed}{waits}{stays}"
        yield UpstreamEvent(source=source.name, drop=drop, kind="withheld", text=text)


def _late(lake: Lake, source: DeclaredSource, drop: str, made_at: datetime) -> Iterator[UpstreamEvent]:
    """Yield a delivery whose rows came into use, or were replaced, after the predictions had been made."""
    commits = lake.history_by(source.table("validated"), DROP).commits.get(drop, ())
    late = [commit for commit in commits if commit.at > made_at]
    if late:
        came = "came" if len(late) == len(commits) else "came again"
        text = f"the delivery {drop} {came} {_words(late[0].at - made_at)} after the predictions"
        hours = (late[0].at - made_at) / timedelta(hours=1)
        yield UpstreamEvent(source=source.name, drop=drop, kind="late", text=text, observed=hours)


def _rows(lake: Lake, source: DeclaredSource, drop: str) -> Iterator[UpstreamEvent]:
    rows = lake.rows_by(source.table("raw"), DROP)
    earlier = [rows[name] for name in sorted(rows) if name < drop][-BEFORE:]
    if drop not in rows or not earlier:
        return
    usual, limits = median(earlier), source.row_count
    if not limits.min_ratio * usual <= rows[drop] <= limits.max_ratio * usual:
        text = f"the delivery {drop} has {rows[drop]:,} rows, usual are {usual:,.0f}"
        yield UpstreamEvent(
            source=source.name, drop=drop, kind="rows", text=text, observed=float(rows[drop]), usual=float(usual)
        )


def _quarantined(lake: Lake, source: DeclaredSource, drop: str) -> Iterator[UpstreamEvent]:
    raw, held = (lake.rows_by(source.table(part), DROP) for part in ("raw", "quarantine"))
    shares = {name: held.get(name, 0) / rows for name, rows in raw.items() if rows}
    earlier = [shares[name] for name in sorted(shares) if name < drop][-BEFORE:]
    share = shares.get(drop, 0.0)
    if share >= LEAST_QUARANTINED and share > 2 * max(earlier, default=0.0):
        usual = median(earlier) if earlier else 0.0
        text = f"{share:.1%} of the rows of the delivery {drop} are in quarantine, usual are {usual:.1%}"
        yield UpstreamEvent(
            source=source.name, drop=drop, kind="quarantined", text=text, observed=share, usual=float(usual)
        )


def _schema(lake: Lake, source: DeclaredSource, drop: str) -> Iterator[UpstreamEvent]:
    """Yield columns that are new, gone or of another type since the version of the table before the delivery."""
    key = source.table("raw")
    commits = lake.history_by(key, DROP).commits.get(drop)
    if not commits or commits[0].version == 0:
        return
    versions = [lake.schema_at(key, version) for version in (commits[0].version - 1, commits[0].version)]
    before, after = versions
    if before is None or after is None:
        return
    changed = [name for name in dict.fromkeys([*before, *after]) if before.get(name) != after.get(name)]
    if changed:
        words = ", ".join(f"{name} {before.get(name, 'absent')} -> {after.get(name, 'absent')}" for name in changed)
        yield UpstreamEvent(
            source=source.name, drop=drop, kind="schema", text=f"columns changed: {words}", columns=tuple(changed)
        )


def _words(length: timedelta) -> str:
    hours = length / timedelta(hours=1)
    return f"{hours / 24:.1f} days" if hours >= 48 else f"{hours:.1f} hours"
