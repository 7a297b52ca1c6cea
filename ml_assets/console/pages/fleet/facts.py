"""What the lake holds of one model, as far as the list of models shows it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import polars as pl

from ml_assets.lake import Lake
from ml_assets.lake.parsing import parse_record
from ml_assets.lake.records import NUMBER, RECORD
from ml_assets.monitoring.performance.measures import newest_measures
from ml_assets.registry.decisions import read_decisions as read_promotions
from ml_assets.retraining.decide import DecisionRecord
from ml_assets.serving.log.request_log import DAY
from ml_assets.training.promotion.approval import find_waiting
from ml_assets.training.promotion.records import ROLLED_BACK, PromotionRecord

RECENT = 26
"""Drops that a line of the list shows: half a year of weeks."""

REQUESTS_OVER = timedelta(days=7)
"""Requests are counted over as long before the last one."""


@dataclass(frozen=True)
class Champion:
    """The version that serves.

    Attributes:
        cut_off: as of which it was trained; None where no decision says.
        since: when it was decided that it serves; None in records from before that was kept.
    """

    version: str
    cut_off: datetime | None
    since: datetime | None


@dataclass(frozen=True)
class DropMeasure:
    """The watched metric over one drop.

    Attributes:
        rows: that it was measured on, and `missing` those whose label was not known.
        alert: whether it is beyond its limit.
    """

    drop: str
    value: float | None
    lower: float | None = None
    upper: float | None = None
    threshold: float | None = None
    rows: int = 0
    missing: int | None = None
    alert: bool = False

    @property
    def known(self) -> float | None:
        """Share of rows whose label was known; None where that was not counted."""
        return None if self.missing is None or not self.rows + self.missing else self.rows / (self.rows + self.missing)


@dataclass(frozen=True)
class StrongestDrift:
    """The feature that moved most over one drop, by PSI."""

    drop: str
    feature: str
    value: float
    threshold: float | None


@dataclass(frozen=True)
class Requests:
    """What a server answered over the week up to its last answer that is in the lake.

    Attributes:
        median_ms: of the time to an answer, and `slow_ms` its 95th percentile, milliseconds.
    """

    rows: int
    until: datetime
    median_ms: float | None
    slow_ms: float | None


@dataclass(frozen=True)
class ModelFacts:
    """One model; what is not known is None or empty.

    Attributes:
        last_drop: the newest that was scored or decided on.
        estimated: the watched metric of recent drops before labels were known, the oldest first.
        realised: the same by labels that are known.
        alerting: what else is beyond a limit in the newest drop, in words.
    """

    champion: Champion | None = None
    waiting: str | None = None
    last_drop: str | None = None
    decision: DecisionRecord | None = None
    estimated: list[DropMeasure] = field(default_factory=list)
    realised: list[DropMeasure] = field(default_factory=list)
    drift: list[StrongestDrift] = field(default_factory=list)
    requests: Requests | None = None


TABLES = ("champion", "retrain_decision", "performance_report", "drift_report", "predictions", "request_log")
"""Of a model, what `read_facts` reads."""


def read_facts(lake: Lake, model: str, partition: str, metric: str) -> ModelFacts:
    """Read what the lake holds of one model's recent drops.

    Args:
        partition: column that names the drop.
        metric: that is watched.
    """
    promotions = read_promotions(lake, model)
    waiting = find_waiting(promotions)
    drops = lake.partitions(f"{model}/performance_report", partition)
    decided = lake.partitions(f"{model}/retrain_decision", partition)
    scored = [*drops[-1:], *decided[-1:], *lake.partitions(f"{model}/predictions", partition)[-1:]]
    measures = read_measures(lake, model, partition, metric, drops[-RECENT:])
    return ModelFacts(
        champion=_champion(promotions),
        waiting=waiting and waiting.challenger,
        last_drop=max(scored, default=None),
        decision=_decision(lake, model, partition, decided[-1:]),
        estimated=measures["estimated"],
        realised=measures["realised"],
        drift=read_drift(lake, model, partition, lake.partitions(f"{model}/drift_report", partition)[-RECENT:]),
        requests=_requests(lake, model),
    )


def _champion(promotions: Sequence[PromotionRecord]) -> Champion | None:
    made = [record for record in promotions if record.promote]
    if not made:
        return None
    serves = made[-1]
    trained = [record for record in promotions if record.challenger == serves.challenger and record.rule != ROLLED_BACK]
    cut_off = next((record.as_of for record in trained if record.as_of), "")
    return Champion(serves.challenger, datetime.fromisoformat(cut_off) if cut_off else None, serves.decided_at)


def _decision(lake: Lake, model: str, partition: str, newest: list[str]) -> DecisionRecord | None:
    """Return the decision that holds on the newest drop."""
    key = f"{model}/retrain_decision"
    if not newest:
        return None
    rows = lake.scan(key).filter(pl.col(partition) == newest[0])
    if NUMBER in rows.collect_schema():
        rows = rows.sort(NUMBER, nulls_last=False)
    texts = rows.select(RECORD).collect()[RECORD]
    return parse_record(key, DecisionRecord, texts[-1]) if len(texts) else None


def read_measures(
    lake: Lake, model: str, partition: str, metric: str, drops: list[str]
) -> dict[str, list[DropMeasure]]:
    """Return the newest measures of a metric over some drops: `estimated` and `realised`, the oldest first."""
    found: dict[str, list[DropMeasure]] = {"estimated": [], "realised": []}
    if not drops:
        return found
    report = lake.scan(f"{model}/performance_report").filter(pl.col(partition).is_in(drops))
    rows = (
        newest_measures(report, partition)
        .filter(scope="period", metric=metric)
        .select(partition, "kind", "value", "lower", "upper", "threshold", "rows", "missing", "alert")
        .sort(partition)
        .collect()
    )
    for drop, kind, value, lower, upper, threshold, count, missing, alert in rows.iter_rows():
        if kind in found:
            found[kind].append(DropMeasure(drop, value, lower, upper, threshold, count or 0, missing, bool(alert)))
    return found


def read_drift(lake: Lake, model: str, partition: str, drops: list[str]) -> list[StrongestDrift]:
    """Return the feature with the largest PSI of each of some drops, the oldest first."""
    key = f"{model}/drift_report"
    if not drops:
        return []
    rows = (
        lake.scan(key)
        .filter(pl.col(partition).is_in(drops), pl.col("scope") == "period", pl.col("method") == "psi")
        .select(partition, "feature", "value", "threshold")
        .filter(pl.col("value").is_not_null())
        .sort([partition, "value", "feature"], descending=[False, True, False])
        .unique(partition, keep="first", maintain_order=True)
        .collect()
    )
    return [StrongestDrift(*row) for row in rows.iter_rows()]


def _requests(lake: Lake, model: str) -> Requests | None:
    key = f"{model}/request_log"
    if not lake.exists(key):
        return None
    days = sorted(lake.partitions(key, DAY))[-8:]
    log = lake.scan(key).filter(pl.col(DAY).is_in(days)).select("requested_at", "latency_ms", "role")
    log = log.filter(pl.col("role") != "shadow")
    recent = log.filter(pl.col("requested_at") > pl.col("requested_at").max() - REQUESTS_OVER)
    row = recent.select(
        rows=pl.len(),
        until=pl.col("requested_at").max(),
        median=pl.col("latency_ms").median(),
        slow=pl.col("latency_ms").quantile(0.95),
    ).collect()
    rows, until, median, slow = row.row(0)
    return Requests(rows, until, median, slow) if rows else None
