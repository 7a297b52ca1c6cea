"""What the lake and Dagster's records say of sources."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ml_assets.console.pages.data.calendar import Calendar, calendar_of
from ml_assets.console.pages.data.drops import STATES, DropState, SourceDrops, State
from ml_assets.declarations.private import Private
from ml_assets.declarations.specs import DeclaredSource
from ml_assets.deliveries.checks import BLOCKING, checks_of
from ml_assets.public.project import Project
from ml_assets.sources.drops.grains import WHOLE


@dataclass(frozen=True)
class SourceLine:
    """A source in the list of all.

    Attributes:
        newest: its newest drop that was delivered; None before the first.
        worst: the drop that needs attention most; None of a source without any.
        counts: state -> drops in it, those that there are.
        quarantined: rows in quarantine, of all drops.
        quarantined_share: of all rows delivered, 0 to 1; None where there is none.
    """

    name: str
    description: str
    owners: tuple[str, ...]
    grain: str
    drops: int
    newest: DropState | None
    worst: DropState | None
    counts: dict[str, int]
    rows: int
    quarantined: int
    late: int

    @property
    def quarantined_share(self) -> float | None:
        return self.quarantined / self.rows if self.rows else None


@dataclass(frozen=True)
class Check:
    """What a check of the gate said of a drop.

    Attributes:
        passed: None where no record is left.
        evidence: what explains it, JSON values.
    """

    name: str
    description: str
    blocking: bool
    passed: bool | None
    at: datetime | None = None
    observed: Any = None
    threshold: Any = None
    evidence: Any = None


@dataclass(frozen=True)
class SourcePage:
    """A source with its drops.

    Attributes:
        warned: drop -> checks that warned of it or failed, of those that Dagster has records of.
        selected: the drop that is looked at closely, with its checks; None for none.
        log_whole: whether the table's log goes back to the first delivery; else counts of deliveries are at least.
    """

    source: DeclaredSource
    line: SourceLine
    drops: tuple[DropState, ...]
    calendar: Calendar
    warned: dict[str, list[str]]
    selected: DropState | None
    checks: tuple[Check, ...]
    log_whole: bool
    states: tuple[State, ...] = STATES


DropsOf = Callable[[DeclaredSource], SourceDrops]
"""Reads the drops of a source, such as `read_drops` of a lake as of a moment."""


def read_sources(project: Project, drops_of: DropsOf) -> list[SourceLine]:
    """Read the line of each declared source, the worst first, then by name."""
    lines = [_line(source, drops_of(source)) for source in project.sources.values()]
    return sorted(lines, key=lambda line: (line.worst.state.rank if line.worst else len(STATES), line.name))


def read_source(
    source: DeclaredSource, read: SourceDrops, records: Any, drop: str | None, private: Private
) -> SourcePage:
    """Read a source's checks beside its drops, and those of one drop closely.

    Args:
        read: its drops.
        records: Dagster's, as `ml_assets.automation.run_records` opens them.
        drop: the one to look at closely; by default the worst, None of a source without any.
        private: columns of a table that are shown to nobody: where there are any, evidence gives no rows as examples.
    """
    selected = next((state for state in read.drops if state.drop == drop), None) if drop else read.worst
    validated, names = source.table("validated"), list(checks_of(source))
    key = validated.split("/")
    warned: dict[str, list[str]] = {}
    for result in records.check_results(key, names):
        if not result.passed:
            warned.setdefault(result.partition or WHOLE, []).append(result.check)
    return SourcePage(
        source=source,
        line=_line(source, read),
        drops=read.drops,
        calendar=calendar_of(source.drops.grain, read.drops),
        warned=warned,
        selected=selected,
        checks=() if selected is None else _checks(source, records, key, selected, bool(private(validated))),
        log_whole=read.log_whole,
    )


def _checks(
    source: DeclaredSource, records: Any, key: Sequence[str], drop: DropState, hides: bool
) -> tuple[Check, ...]:
    described = checks_of(source)
    partition = None if source.drops.grain == WHOLE else drop.drop
    results = {result.check: result for result in records.checks_of(key, list(described), partition)}
    checks = []
    for name, text in described.items():
        result = results.get(name)
        if result is None:
            checks.append(Check(name, text, name in BLOCKING, None))
        else:
            evidence = _without_examples(result.evidence) if hides else dict(result.evidence)
            told = (result.passed, result.at, result.observed, result.threshold, evidence)
            checks.append(Check(name, text, name in BLOCKING, *told))
    return tuple(checks)


def _without_examples(evidence: Any) -> Any:
    """Return evidence without the rows that it gives as examples, at any depth."""
    if isinstance(evidence, Mapping):
        return {n: _without_examples(part) for n, part in evidence.items() if not n.startswith("example")}
    return [_without_examples(part) for part in evidence] if isinstance(evidence, list) else evidence


def _line(source: DeclaredSource, read: SourceDrops) -> SourceLine:
    counts = {state.name: sum(drop.state is state for drop in read.drops) for state in STATES}
    return SourceLine(
        name=source.name,
        description=source.description,
        owners=tuple(source.owners),
        grain=source.drops.grain,
        drops=len(read.delivered),
        newest=read.delivered[-1] if read.delivered else None,
        worst=read.worst,
        counts={name: count for name, count in counts.items() if count},
        rows=sum(drop.rows for drop in read.drops),
        quarantined=sum(drop.quarantined for drop in read.drops),
        late=sum(bool(drop.late) for drop in read.drops),
    )
