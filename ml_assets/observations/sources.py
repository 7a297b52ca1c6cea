"""What became of a source's drops."""

# ruff: noqa: ARG002 - evidence takes what other kinds need
from datetime import datetime

import polars as pl

from ml_assets.alerts.evidence import AlertEvidence, AlertObservation, observations_needed
from ml_assets.alerts.spec import AlertRule
from ml_assets.declarations.specs import DeclaredSource
from ml_assets.lake import Lake
from ml_assets.observations.drops import moment_of, newest_drops_of
from ml_assets.sources.drops.grains import WHOLE, name_at, names_between
from ml_assets.sources.drops.moments import drop_end
from ml_assets.sources.spec import DROP

HOUR_S = 3_600.0


class QuarantineShare(AlertEvidence):
    """Share of a drop's rows that are in quarantine, 0 to 1."""

    about = ("source",)
    unit = "share of the rows, 0 to 1"
    has_own_limit = True

    def of_source(self, lake: Lake, source: DeclaredSource, rule: AlertRule, as_of: datetime) -> list[AlertObservation]:
        """Count rows by drop, from the tables' logs alone; the source's own limit is ``max_bad_share``."""
        bad, good = (lake.rows_by(source.table(table), DROP) for table in ("quarantine", "validated"))
        drops = newest_drops_of({*bad, *good}, source.drops, observations_needed(rule), as_of)
        return [self._share(lake, source, drop, bad.get(drop, 0), good.get(drop, 0)) for drop in drops]

    def _share(self, lake: Lake, source: DeclaredSource, drop: str, bad: int, good: int) -> AlertObservation:
        share = bad / (bad + good) if bad + good else None
        at = moment_of(lake, source.table("raw"), drop, source.drops)
        text = f"{bad} of {bad + good} rows of {drop} are in quarantine"
        return AlertObservation(at, share, text, source.max_bad_share, (share or 0) > source.max_bad_share)


class MissingShare(AlertEvidence):
    """The greatest share of missing values among a source's required columns in a drop, 0 to 1."""

    about = ("source",)
    unit = "share of the rows, 0 to 1"
    has_own_limit = True

    def of_source(self, lake: Lake, source: DeclaredSource, rule: AlertRule, as_of: datetime) -> list[AlertObservation]:
        """Count nulls of the raw rows; the source's own limit is ``max_missing_share``.

        Raises:
            ValueError: no column is required.
        """
        if not source.required:
            raise ValueError(f"source {source.name} names no `required` columns, whose missing values are counted")
        key = source.table("raw")
        names = lake.partitions(key, DROP)
        drops = newest_drops_of(names, source.drops, observations_needed(rule), as_of)
        if not drops:
            return []
        rows = lake.scan(key).filter(pl.col(DROP).is_in(drops))
        there = [name for name in source.required if name in rows.collect_schema()]
        shares = rows.group_by(DROP).agg(pl.col(there).null_count() / pl.len()).sort(DROP).collect()
        return [self._worst(lake, source, row.pop(DROP), row) for row in shares.iter_rows(named=True)]

    def _worst(self, lake: Lake, source: DeclaredSource, drop: str, shares: dict[str, float]) -> AlertObservation:
        absent = dict.fromkeys((name for name in source.required if name not in shares), 1.0)
        column, share = max((shares | absent).items(), key=lambda item: item[1])
        at = moment_of(lake, source.table("raw"), drop, source.drops)
        limit = source.max_missing_share
        return AlertObservation(at, share, f"{column} misses {share:.2%} of the values of {drop}", limit, share > limit)


class LateDelivery(AlertEvidence):
    """Hours since the end of the first drop that has not come; 0 where none is missing."""

    about = ("source",)
    unit = "hours"
    has_history = False

    def of_source(self, lake: Lake, source: DeclaredSource, rule: AlertRule, as_of: datetime) -> list[AlertObservation]:
        """Compare the drops that have ended with those that came, with rows or known to be empty.

        Raises:
            ValueError: the source is not cut into drops.
        """
        if source.drops.grain == WHOLE:
            raise ValueError(f"source {source.name} comes whole: no drop of it can be late")
        now, end = name_at(source.drops.grain, as_of), source.drops.end
        due = names_between(source.drops.grain, source.drops.first, min(now, end or now))
        came = {*lake.partitions(source.table("raw"), DROP), *source.came_empty(lake)}
        missing = [name for name in due if name not in came and drop_end(name, source.drops) <= as_of]
        if not missing:
            return [AlertObservation(as_of, 0.0, "every drop that has ended has come")]
        hours = (as_of - drop_end(missing[0], source.drops)).total_seconds() / HOUR_S
        shown = ", ".join(missing[:5]) + (f" and {len(missing) - 5} more" if len(missing) > 5 else "")
        return [AlertObservation(as_of, hours, f"not delivered: {shown}")]


QUARANTINE, MISSING, LATE = QuarantineShare(), MissingShare(), LateDelivery()
