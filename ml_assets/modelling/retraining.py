"""The retrain decision of a drop: evidence from the reports and the circumstances, and the rule applied to it."""

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

import polars as pl

from ml_assets.lake import Lake
from ml_assets.lake.records import add_records
from ml_assets.modelling.context import ModelContext
from ml_assets.modelling.performance.maturing import newest_of, read_report
from ml_assets.modelling.records import AS_OF, VERSION, TrainedVersion
from ml_assets.modelling.watched import as_predicted, metric_of_reference, reference_rows, scored_rows
from ml_assets.retraining.decide import DecisionRecord, read_decisions
from ml_assets.retraining.evidence import Circumstances, count_labels
from ml_assets.sources.drops.moments import drop_end

if TYPE_CHECKING:
    from ml_assets.registry.registry import Registry

MOST_EXPLAINED = 500
"""Rows of a drop over which importances are averaged to rank causes; fewer where ``explained_rows`` is less."""


def decide_on_drop(
    lake: Lake, registry: "Registry", model: ModelContext, drop: str, gates: Sequence[str]
) -> DecisionRecord:
    """Decide whether the model is to be trained again after a drop.

    Args:
        gates: blocking checks upstream that failed on the drop.
    """
    from ml_assets.retraining.causes import rank_causes
    from ml_assets.retraining.decide import decide, decide_on_nothing, record_decision
    from ml_assets.retraining.evidence import gather_evidence, still_watched
    from ml_assets.retraining.limits import learn_limits
    from ml_assets.retraining.window import look_at, newest_drops
    from ml_assets.training.evaluation.explain import explain

    spec, policy = model.spec, model.retraining
    partition, moment = model.spine.partition, drop_end(drop, model.spine.drops)
    as_of = moment.isoformat()
    known = newest_of(read_report(lake, model), model, moment).filter(pl.col(partition) <= drop)
    reported = known.filter(pl.col(partition) == drop)
    if reported.is_empty():
        champion = registry.champion(spec.name)
        about = {"model": spec.name, "drop": drop, "as_of": as_of, "champion": champion.version if champion else ""}
        return record_decision(decide_on_nothing(), evidence=(), causes=(), **about)
    version = reported[VERSION][0]
    looked_at = look_at(known, partition, model.monitoring, moment, policy.of_last)
    performance = looked_at.filter(pl.col(VERSION) == version)
    newest = newest_drops(known, partition, policy.of_last, model.monitoring.min_chunk_rows)
    drift = _reported(lake, model, "drift_report", newest).filter(pl.col(VERSION) == version)
    model = as_predicted(lake, registry, model, drop)
    spec, reference = model.spec, reference_rows(lake, model, version)
    metric, instead = metric_of_reference(spec, reference)
    evidence = gather_evidence(
        drift=drift,
        performance=performance,
        limits=learn_limits(
            reference,
            features=model.features,
            time=model.spine.time,
            label=spec.label.column,
            metric=metric,
            task=spec.task,
            payoff=spec.payoff_for(metric),
            monitoring=model.monitoring,
            retraining=policy,
        ),
        metric=metric,
        instead=instead,
        circumstances=circumstances_of(lake, registry, model, drop, version, gates),
        monitoring=model.monitoring,
        retraining=policy,
    )
    decision, causes = decide(evidence, policy), []
    if decision.retrain:
        fitted = registry.load(spec.name, version=version)
        rows = min(MOST_EXPLAINED, spec.evaluation.explained_rows)
        listened = explain(fitted, scored_rows(lake, model, drop), rows=rows, seed=spec.seed)
        of_drop = still_watched(drift, model.monitoring).filter(pl.col(model.spine.partition) == drop)
        causes = rank_causes(of_drop, listened, model.monitoring.psi_threshold)
    return record_decision(
        decision, model=spec.name, drop=drop, as_of=as_of, champion=version, evidence=evidence, causes=causes
    )


def _reported(lake: Lake, model: ModelContext, report: str, drops: Sequence[str]) -> pl.DataFrame:
    return lake.scan(model.key(report)).filter(pl.col(model.spine.partition).is_in(drops)).collect()


def circumstances_of(
    lake: Lake, registry: "Registry", model: ModelContext, drop: str, version: str, gates: Sequence[str]
) -> Circumstances:
    """Gather what a decision takes into account beside the measurements, at the end of a drop."""
    now = drop_end(drop, model.spine.drops)
    trainings = lake.scan(model.key("model")).select(AS_OF, "version", "record").collect()
    records = {trained: record for _, trained, record in trainings.iter_rows()}
    if version not in records:
        raise ValueError(
            f"{model.key('model')} holds no training of version {version}, which made the predictions of {drop}: train "
            f"again, or materialize {model.key('predictions')} of it by the champion of the day"
        )
    champion = TrainedVersion.model_validate_json(records[version])
    looked_from = [datetime.fromisoformat(as_of) for as_of in trainings[AS_OF]]
    rolled_back = registry.rolled_back_at(model.spec.name)
    before = [moment for moment in [*looked_from, *([rolled_back] if rolled_back else [])] if moment <= now]
    # A drop from before every training is judged as of the first one: no label is newer than that.
    last = max(before, default=min(looked_from))
    new = pl.col(model.spec.label.known_at) > last
    labels = count_labels(model.known_labels(lake, now), new, model.spine.sampled)
    return Circumstances(
        as_of=now,
        trained_as_of=datetime.fromisoformat(champion.as_of),
        last_trained=last,
        labelled_rows=labels.rows,
        new_labels=labels.new,
        labelled_moments=labels.moments,
        new_moments=labels.new_moments,
        failed_gates=tuple(gates),
    )


def add_new_decisions(lake: Lake, model: ModelContext, records: Sequence[DecisionRecord]) -> None:
    """Add the decisions that differ from the last one on their drop, or rest on other evidence."""
    stands = {record.drop: record.id for record in read_decisions(lake, model.spec.name)}
    new = [record for record in records if stands.get(record.drop) != record.id]
    if new:
        columns = [{model.spine.partition: record.drop, **_columns(record)} for record in new]
        add_records(lake, model.key("retrain_decision"), new, columns, model.spine.partition)


def _columns(record: DecisionRecord) -> dict[str, object]:
    wanted = ("id", "model", "as_of", "champion", "retrain", "rule", "reason")
    return {f"decision_{n}" if n == "id" else n: getattr(record, n) for n in wanted}
