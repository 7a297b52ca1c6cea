"""Whether the challenger serves from now on: what the decision rests on, and the decision itself."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import polars as pl

from ml_assets.fairness.limits import judge_fairness
from ml_assets.fairness.rules import LIMITS
from ml_assets.lake import Lake
from ml_assets.modelling.comparison import Comparison, compare_versions
from ml_assets.modelling.context import ModelContext
from ml_assets.modelling.performance.groups import read_holdout, shown_groups
from ml_assets.modelling.records import TrainedVersion, read_version
from ml_assets.modelling.skew_records import latest_skew
from ml_assets.sources.drops.moments import drop_at

if TYPE_CHECKING:
    from ml_assets.registry.records import RegisteredVersion
    from ml_assets.registry.registry import Registry
    from ml_assets.training.metrics.bootstrap import Interval
    from ml_assets.training.promotion.records import PromotionDecision, PromotionEvidence, PromotionRecord

MEASURED_ROWS = 200
"""Rows of the holdout that the challenger's latency is measured with."""


def decide_on_challenger(
    lake: Lake, registry: "Registry", model: ModelContext, trained: TrainedVersion, decided_at: datetime
) -> "PromotionRecord":
    """Promote the challenger or keep the champion; a decision on the same evidence stands.

    Where the declaration asks for a person, a challenger that keeps every rule waits; see `answer_challenger`.
    """
    from ml_assets.registry.decisions import Decisions
    from ml_assets.training.promotion.approval import ask_for_approval
    from ml_assets.training.promotion.records import promotion_basis

    measured = _measured(lake, model, trained)
    basis = promotion_basis(*measured.basis(model))
    decisions = Decisions(lake, registry, model.spec.name)
    decisions.settle()
    decision = decisions.standing(registry.version(model.spec.name, trained.version), trained.as_of, basis)
    if decision is None:
        answer = _decide(lake, registry, model, trained, measured)
        if model.spec.promotion.approve:
            answer = ask_for_approval(answer)
        decision = decisions.add(answer, run_id=trained.run_id, as_of=trained.as_of, basis=basis, decided_at=decided_at)
    _annotate(registry, trained.as_of, trained.run_id, decision)
    return decision


def answer_challenger(
    lake: Lake,
    registry: "Registry",
    model: str,
    version: str,
    *,
    approve: bool,
    by: str,
    because: str | None,
    decided_at: datetime,
) -> "PromotionRecord":
    """Approve or refuse, as a person, the challenger that waits; approved, it serves from now on.

    Args:
        by: who decides.
        because: why; None or blank without a reason.
        decided_at: when, UTC.

    Raises:
        NotWaiting: the version does not wait for approval, or waits no longer, as another serves by now.
        ValueError: it is not said who decides.
    """
    from ml_assets.registry.decisions import Decisions

    made = Decisions(lake, registry, model).answer(
        version, approve=approve, by=by, because=because, decided_at=decided_at
    )
    _annotate(registry, made.as_of, made.run_id, made)
    return made


def _annotate(registry: "Registry", as_of: str, run_id: str, decision: "PromotionRecord") -> None:
    """Add the decision to the version and its run, where MLflow shows it."""
    registry.annotate(
        decision.model,
        decision.challenger,
        description=f"Trained as of {as_of[:10]}. {decision.reason}",
        tags={"decision": decision.answer, "decision_rule": decision.rule},
    )
    registry.resumed_run(run_id).set_tags({"decision": decision.answer, "version": decision.challenger})


@dataclass(frozen=True)
class _ChallengerEvidence:
    """What a decision on a challenger rests on, but for the comparison with the champion and the latency.

    Attributes:
        values: the challenger's holdout metrics.
        over_baseline: paired difference to the baseline.
        skew: what the server's answers up to now say; None for a model that is not served.
        fairness: limits between groups that hold a challenger back.
    """

    values: dict[str, float]
    over_baseline: "Interval"
    skew: "Sequence[PromotionEvidence] | None"
    fairness: "Sequence[PromotionEvidence]"

    def basis(self, model: ModelContext) -> list:
        """Return all evidence, with the rules that it is measured by."""
        skew = [item.model_dump(mode="json") for item in self.skew or ()]
        baseline = dataclasses.asdict(self.over_baseline)
        declared = {"floors": model.spec.floors, "promotion": model.spec.promotion, "serving": model.serving}
        # Where nothing of groups is declared, decisions rest on what they always have.
        fair = [{"fairness": [item.model_dump(mode="json") for item in self.fairness]}] if self.fairness else []
        return [self.values, baseline, {"skew": skew}, *fair, *declared.values()]


def _measured(lake: Lake, model: ModelContext, trained: TrainedVersion) -> _ChallengerEvidence:
    from ml_assets.training.evaluation.evaluate import IMPROVEMENT, MODEL, read_interval

    metrics = read_version(lake, model.key("evaluation"), trained)
    own = metrics.filter(pl.col("subject") == MODEL)
    return _ChallengerEvidence(
        values=dict(own.select("metric", "value").iter_rows()),
        over_baseline=read_interval(metrics, IMPROVEMENT, model.spec.promotion.metric),
        skew=_skew_evidence(lake, model, trained),
        fairness=_fairness_evidence(lake, model, trained),
    )


def _decide(
    lake: Lake, registry: "Registry", model: ModelContext, trained: TrainedVersion, measured: _ChallengerEvidence
) -> "PromotionDecision":
    from ml_assets.training.promotion.decide import decide_promotion
    from ml_assets.training.promotion.records import LATENCY, SKEW

    spec, reigning, serving = model.spec, registry.champion(model.spec.name), None
    # One that serves already, by somebody's hand, has nobody to be compared with but itself.
    reigning = None if reigning is None or reigning.version == trained.version else reigning
    if measured.skew is not None:
        serving = {SKEW: measured.skew, LATENCY: _latency_evidence(lake, registry, model, trained)}
    beside = reigning and _beside_champion(lake, registry, model, trained, reigning)
    return decide_promotion(
        model=spec.name,
        challenger=trained.version,
        champion=reigning and reigning.version,
        values=measured.values,
        floors=spec.floors,
        over_baseline=measured.over_baseline,
        over_champion=beside and beside.over_champion,
        compared_on=beside.compared_on if beside else "",
        promotion=spec.promotion,
        serving=serving,
        fairness=measured.fairness,
    )


def _fairness_evidence(lake: Lake, model: ModelContext, trained: TrainedVersion) -> "list[PromotionEvidence]":
    """Return the judged limits between groups on the holdout, where these gate a promotion; one that is not known, as
    too few rows are of a group, holds nobody back."""
    if not model.spec.fairness.gate:
        return []
    from ml_assets.training.promotion.records import PromotionEvidence

    judged = judge_fairness(
        shown_groups(model, read_holdout(lake, model.spec.name, trained.version)), model.spec.fairness
    )
    return [
        PromotionEvidence(
            name=f"{each.limit} by {each.attribute}{each.of_class and f' of {each.of_class}'}",
            observed=each.value,
            threshold=each.threshold,
            passed=each.passed,
            source=f"holdout, farthest out {each.group}: {'at least' if LIMITS[each.limit].least else 'at most'}",
        )
        for each in judged
        if each.value is not None
    ]


def _skew_evidence(lake: Lake, model: ModelContext, trained: TrainedVersion) -> "list[PromotionEvidence] | None":
    """Return the evidence from the server's answers so far; None for a model that is not served."""
    if model.serving is None:
        return None
    from ml_assets.serving.gate.evidence import skew_evidence

    before = datetime.fromisoformat(trained.as_of) - timedelta(microseconds=1)
    compared = latest_skew(lake, model, drop_at(before, model.spine.drops))
    return [] if compared is None else skew_evidence(compared)


def _latency_evidence(
    lake: Lake, registry: "Registry", model: ModelContext, trained: TrainedVersion
) -> "Sequence[PromotionEvidence]":
    from ml_assets.serving.gate.evidence import latency_evidence
    from ml_assets.serving.gate.latency import measure_latency

    rows = read_version(lake, model.key("reference"), trained)
    measured = measure_latency(registry.load(model.spec.name, version=trained.version), rows.head(MEASURED_ROWS))
    return latency_evidence(measured, model.served_as)


def _beside_champion(
    lake: Lake, registry: "Registry", model: ModelContext, trained: TrainedVersion, reigning: "RegisteredVersion"
) -> Comparison:
    reference = read_version(lake, model.key("reference"), trained)
    champion = registry.load(model.spec.name, version=reigning.version)
    return compare_versions(lake, model, reference, trained.threshold, champion, reigning.version)
