"""What happened to one model, drop by drop and moment by moment."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import polars as pl

from ml_assets.alerts.records import AlertEvent
from ml_assets.alerts.store import read_events
from ml_assets.console.pages.fleet.facts import DropMeasure, StrongestDrift, read_drift, read_measures
from ml_assets.console.rendering import path_of
from ml_assets.lake import Lake
from ml_assets.lake.records import NUMBER, RECORD
from ml_assets.registry.decisions import read_decisions as read_promotions
from ml_assets.retraining.decide import GATE
from ml_assets.sources.drops.grains import WHOLE, drop_start
from ml_assets.sources.drops.moments import drop_end
from ml_assets.sources.drops.spec import Drops
from ml_assets.training.promotion.records import ROLLED_BACK, PromotionRecord


@dataclass(frozen=True)
class DropDecision:
    """Whether to train again, as decided on a drop."""

    id: str
    retrain: bool
    rule: str
    reason: str


@dataclass(frozen=True)
class DropFacts:
    """One drop of a model; what was not measured is None.

    Attributes:
        at: the moment that it begins; None where rows are not cut.
        rows: that were scored.
        path: of the page that shows its evidence.
    """

    drop: str
    path: str
    at: datetime | None = None
    rows: int | None = None
    estimated: DropMeasure | None = None
    realised: DropMeasure | None = None
    drift: StrongestDrift | None = None
    decision: DropDecision | None = None


@dataclass(frozen=True)
class ModelEvent:
    """One thing that happened to a model.

    Attributes:
        at: the moment of the data that it looks from.
        kind: training, promotion, kept, roll-back, retrain, gate or alert.
        path: of the page that shows its evidence.
    """

    at: datetime
    kind: str
    title: str
    text: str
    path: str


@dataclass(frozen=True)
class ModelVersion:
    """One version of a model.

    Attributes:
        cut_off: as of which it was trained.
        serves: whether it does now.
        decision: the last one about it, in words.
    """

    version: str
    cut_off: datetime | None
    serves: bool
    decision: str


@dataclass(frozen=True)
class ModelHistory:
    """Drops from the oldest to the newest, and events and versions from the newest to the oldest."""

    drops: list[DropFacts] = field(default_factory=list)
    events: list[ModelEvent] = field(default_factory=list)
    versions: list[ModelVersion] = field(default_factory=list)


TABLES = ("champion", "model", "retrain_decision", "performance_report", "drift_report", "predictions")
"""Of a model, what `read_history` reads, beside what happened to alerts."""


def read_history(lake: Lake, model: str, partition: str, metric: str, drops: Drops) -> ModelHistory:
    """Read everything that happened to a model.

    Args:
        partition: column that names the drop.
        metric: that is watched.
        drops: how the model's rows are cut.
    """
    promotions = read_promotions(lake, model)
    trained = _trained(lake, model)
    facts = _drops(lake, model, partition, metric, drops)
    alerts = [event for event in read_events(lake) if event.about == "model" and event.subject == model]
    events = [
        *_of_trainings(model, trained),
        *_of_promotions(model, promotions),
        *_of_drops(facts, drops),
        *_of_alerts(model, alerts),
    ]
    return ModelHistory(
        drops=facts,
        events=sorted(events, key=lambda event: event.at, reverse=True),
        versions=_versions(trained, promotions),
    )


def _drops(lake: Lake, model: str, partition: str, metric: str, drops: Drops) -> list[DropFacts]:
    reported = lake.partitions(f"{model}/performance_report", partition)
    drifted = lake.partitions(f"{model}/drift_report", partition)
    measures = read_measures(lake, model, partition, metric, reported)
    estimated, realised = ({each.drop: each for each in measures[kind]} for kind in ("estimated", "realised"))
    drift = {each.drop: each for each in read_drift(lake, model, partition, drifted)}
    decisions = _decisions(lake, model, partition)
    rows = lake.rows_by(f"{model}/predictions", partition)
    rows = {each.drop: each.rows for each in estimated.values()} | rows
    names = sorted({*reported, *drifted, *decisions, *rows})
    return [
        DropFacts(
            drop=name,
            path=path_of("models", model, "drops", name),
            at=None if drops.grain == WHOLE else drop_start(drops.grain, name).replace(tzinfo=UTC),
            rows=rows.get(name),
            estimated=estimated.get(name),
            realised=realised.get(name),
            drift=drift.get(name),
            decision=decisions.get(name),
        )
        for name in names
    ]


def _decisions(lake: Lake, model: str, partition: str) -> dict[str, DropDecision]:
    """Return the decision that holds on each drop."""
    key = f"{model}/retrain_decision"
    if not lake.exists(key):
        return {}
    rows = lake.scan(key)
    if NUMBER in rows.collect_schema():
        rows = rows.sort(NUMBER, nulls_last=False)
    fields = [
        pl.col(RECORD).str.json_path_match(f"$.{name}").alias(name) for name in ("id", "retrain", "rule", "reason")
    ]
    found = rows.select(partition, *fields).collect()
    return {
        drop: DropDecision(id, retrain == "true", rule, reason) for drop, id, retrain, rule, reason in found.iter_rows()
    }


def _trained(lake: Lake, model: str) -> list[tuple[str, datetime]]:
    """Return every version that was trained with its cut-off, the oldest first."""
    key = f"{model}/model"
    if not lake.exists(key):
        return []
    rows = lake.scan(key).select("version", "as_of").collect()
    return sorted(((version, datetime.fromisoformat(as_of)) for version, as_of in rows.iter_rows()), key=_by_version)


def _by_version(pair: tuple[str, datetime]) -> tuple[int, str]:
    version = pair[0]
    return (int(version) if version.isdigit() else 0, version)


def _versions(trained: Sequence[tuple[str, datetime]], promotions: Sequence[PromotionRecord]) -> list[ModelVersion]:
    cut_offs: dict[str, datetime | None] = {}
    words: dict[str, str] = {}
    serving = next((record.challenger for record in reversed(promotions) if record.promote), None)
    for record in promotions:
        at = datetime.fromisoformat(record.as_of) if record.as_of and record.rule != ROLLED_BACK else None
        cut_offs[record.challenger] = cut_offs.get(record.challenger) or at
        words[record.challenger] = record.reason
    cut_offs |= dict(trained)
    ordered = sorted(cut_offs, key=lambda version: (int(version) if version.isdigit() else 0, version), reverse=True)
    return [ModelVersion(name, cut_offs[name], name == serving, words.get(name, "")) for name in ordered]


def _of_trainings(model: str, trained: Sequence[tuple[str, datetime]]) -> list[ModelEvent]:
    def path(version: str) -> str:
        return path_of("models", model, "versions", version)

    return [
        ModelEvent(at, "training", f"version {version} trained", "as of this moment", path(version))
        for version, at in trained
    ]  # fmt: skip


def _of_promotions(model: str, promotions: Sequence[PromotionRecord]) -> list[ModelEvent]:
    events = []
    for record in promotions:
        at = datetime.fromisoformat(record.as_of) if record.as_of else record.decided_at
        if at is None:
            continue
        kind = "roll-back" if record.rule == ROLLED_BACK else "promotion" if record.promote else "kept"
        verb = {"roll-back": "serves again", "promotion": "promoted", "kept": "not promoted"}[kind]
        path = path_of("decisions", record.id) if record.id else path_of("models", model, "versions", record.challenger)
        events.append(ModelEvent(at, kind, f"version {record.challenger} {verb}", record.reason, path))
    return events


def _of_drops(facts: Sequence[DropFacts], drops: Drops) -> list[ModelEvent]:
    events = []
    for each in facts:
        if each.decision is None or drops.grain == WHOLE:
            continue
        kind = "gate" if each.decision.rule == GATE else "retrain" if each.decision.retrain else ""
        if kind:
            title = f"{each.drop} failed its gate" if kind == "gate" else f"retrain after {each.drop}"
            path = path_of("decisions", each.decision.id)
            events.append(ModelEvent(drop_end(each.drop, drops), kind, title, each.decision.reason, path))
    return events


def _of_alerts(model: str, alerts: Sequence[AlertEvent]) -> list[ModelEvent]:
    page = path_of("models", model)
    kinds = ("opened", "worsened", "resolved", "acknowledged")
    return [
        ModelEvent(event.at, "alert", f"alert {event.kind}: {event.rule}", event.text or event.because, page)
        for event in alerts
        if event.kind in kinds
    ]
