"""Whether a challenger becomes the champion, and why."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from pydantic import BaseModel, ConfigDict, Field

from ml_assets.training.metrics.bootstrap import Interval, bootstrap
from ml_assets.training.spec import ModelSpec, PromotionSpec
from ml_assets.training.tasks import BINARY, find_metric, find_task
from ml_assets.training.tasks.classes import align_classes

if TYPE_CHECKING:
    from ml_assets.training.fit import TrainedModel

ROLLED_BACK, OVERTAKEN = "rolled_back", "overtaken"
"""Rules of decisions that no evidence settled."""

FLOORS, BASELINE, FIRST, COMPARABLE, CHAMPION, SKEW, LATENCY = (
    "floors",
    "better_than_baseline",
    "first_champion",
    "comparable_with_champion",
    "no_worse_than_champion",
    "serving_skew",
    "latency",
)


class PromotionEvidence(BaseModel):
    """One measured value and what was demanded of it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(description="What was measured.")
    observed: float = Field(description="Its value.")
    threshold: float = Field(description="The limit it is held against.")
    passed: bool = Field(description="Whether it keeps the limit.")
    source: str = Field(description="Where the value comes from and how the limit is read.")


class PromotionDecision(BaseModel):
    """Promote or keep, with everything the decision rests on."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str = Field(description="Registered model.")
    challenger: str = Field(description="Version that asks to serve.")
    champion: str | None = Field(description="Version that serves; null if there is none.")
    promote: bool = Field(description="Whether the challenger becomes champion.")
    rule: str = Field(description="The rule that settled it.")
    reason: str = Field(description="The decision in plain words.")
    evidence: tuple[PromotionEvidence, ...] = Field(
        description="Every value that was looked at, in the order of the rules."
    )


class PromotionRecord(PromotionDecision):
    """A decision as it is stored, once and for all. A roll-back is one too: it has no evidence but a reason."""

    id: str = Field(default="", description="Identity; empty in decisions from before there were any.")
    run_id: str = Field(default="", description="MLflow run that trained the challenger.")
    as_of: str = Field(default="", description="Cut-off of the challenger's training, or of a roll-back, ISO 8601.")
    basis: str = Field(
        default="", description="Digest of the measured values and the declared rules that the decision rests on."
    )
    decided_at: datetime | None = Field(default=None, description="When the run that decided began, UTC.")


def record_promotion(
    decision: PromotionDecision, *, run_id: str, as_of: str, basis: str, decided_at: datetime
) -> PromotionRecord:
    """A decision with its identity: all that it says, what it rests on, and the run that decided."""
    content = "\n".join([run_id, as_of, basis, decided_at.isoformat(), decision.model_dump_json()])
    return PromotionRecord(
        id=hashlib.sha256(content.encode()).hexdigest()[:16],
        run_id=run_id,
        as_of=as_of,
        basis=basis,
        decided_at=decided_at,
        **decision.model_dump(),
    )


def promotion_basis(*grounds: BaseModel | Mapping[str, Any] | None) -> str:
    """Digest of what a decision rests on: while it is the same, the decision stands."""
    texts = [
        one.model_dump_json() if isinstance(one, BaseModel) else json.dumps(one, sort_keys=True) for one in grounds
    ]
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()[:16]


def roll_back_decision(model: str, *, served: str, serves: str, as_of: datetime) -> PromotionDecision:
    """That an earlier version serves again, from ``as_of`` on."""
    return PromotionDecision(
        model=model,
        challenger=serves,
        champion=served,
        promote=True,
        rule=ROLLED_BACK,
        reason=f"Version {serves} serves again instead of version {served}, from {as_of:%Y-%m-%d} on.",
        evidence=(),
    )


def overtaken(decision: PromotionRecord, reason: str) -> PromotionDecision:
    """That a decision cannot be carried out any more."""
    return PromotionDecision(
        model=decision.model,
        challenger=decision.challenger,
        champion=decision.champion,
        promote=False,
        rule=OVERTAKEN,
        reason=reason,
        evidence=(),
    )


class Incomparable(BaseModel):
    """That a challenger cannot be held against the champion."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    why: str = Field(description="What stands in the way.")
    accepted: bool = Field(description="Whether it is declared that the challenger may replace it all the same.")


def compare_on_same_rows(
    label: np.ndarray,
    challenger_score: np.ndarray,
    champion_score: np.ndarray,
    *,
    promotion: PromotionSpec,
    seed: int,
    challenger_threshold: float | None = 0.5,
    champion_threshold: float | None = 0.5,
    blocks: np.ndarray | None = None,
    task: str = BINARY,
) -> Interval:
    """Paired bootstrap of challenger minus champion in ``promotion.metric``; positive means a better
    challenger.

    Args:
        label: outcomes of shape (n,): 0/1 or boolean, numbers, or positions of classes; both scores are of these n
            rows, in this order, and of the same order of classes (see ``classes.align_classes``).
        challenger_threshold, champion_threshold: matter for f1 only.
        blocks: rows resampled together, see ``evaluate.time_blocks``.
    """
    of = find_task(task)
    measured = bootstrap(
        {
            "challenger": of.pair(label, challenger_score, challenger_threshold),
            "champion": of.pair(label, champion_score, champion_threshold),
        },
        resamples=promotion.resamples,
        seed=seed,
        metrics=[promotion.metric],
        blocks=blocks,
    )
    return measured.improvement("challenger", "champion", promotion.metric, promotion.confidence)


def compare_with_champion(
    reference: pl.DataFrame,
    champion: "TrainedModel",
    *,
    spec: ModelSpec,
    challenger_threshold: float | None,
    scored_before: pl.DataFrame | None = None,
) -> Interval:
    """``compare_on_same_rows`` on the challenger's scored holdout, which the champion scores too.

    Args:
        reference: holdout rows as ``scored`` by the challenger, with features, label and prediction time. A class
            that one of the two has never seen counts with probability 0 in its scores.
        scored_before: what the champion has said of these rows, row for row, as ``scored`` has it; by default it is
            asked now.
    """
    from ml_assets.training.evaluation.evaluate import time_blocks
    from ml_assets.training.fit import predict

    of = find_task(spec.task)
    classes = of.read_classes(reference)
    before = scored_before
    theirs = predict(champion, reference) if before is None else of.read_scores(before, champion.classes)
    own = of.read_scores(reference, classes)
    if classes is not None and champion.classes is not None:
        both = (*classes, *(name for name in champion.classes if name not in classes))
        own, theirs = align_classes(own, classes, both), align_classes(theirs, champion.classes, both)
        classes = both
    return compare_on_same_rows(
        of.outcomes(reference[spec.label.column], classes),
        own,
        theirs,
        promotion=spec.promotion,
        seed=spec.seed,
        challenger_threshold=challenger_threshold,
        champion_threshold=champion.threshold,
        blocks=time_blocks(reference[spec.spine.time], spec.evaluation.block),
        task=spec.task,
    )


def decide_promotion(
    *,
    model: str,
    challenger: str,
    champion: str | None,
    values: Mapping[str, float],
    floors: Mapping[str, float],
    over_baseline: Interval,
    over_champion: Interval | Incomparable | None,
    promotion: PromotionSpec,
    compared_on: str = "",
    serving: Mapping[str, Sequence[PromotionEvidence]] | None = None,
) -> PromotionDecision:
    """Apply the rules in order: floors, better than the naive baseline, no worse than the champion, then what serving
    asks for: right answers of late, and a challenger that is fast enough.

    The rule on the champion is a test of non-inferiority: the lower end of the two-sided interval of the paired
    difference must be at least ``-margin``. With ``margin = 0`` a challenger must show that it is no
    worse at all; a test for superiority proper would refuse a model exactly as good, and with it the
    fresher of two equals. A challenger that is merely not significantly worse is not promoted: absence of
    proof keeps the champion.

    Args:
        values: the challenger's holdout metrics.
        floors: worst value allowed per metric.
        over_baseline: paired difference to the baseline in ``promotion.metric``, positive when better.
        over_champion: paired difference to the champion on the same rows, or why there is none, in which case the
            champion stays unless that is accepted; None exactly if ``champion`` is.
        compared_on: which rows these are, where they are not the whole holdout.
        serving: evidence by rule, SKEW and LATENCY, of a model that is served; None for one that is not.

    Raises:
        ValueError: a floor names a metric without a value, or champion and comparison do not go together.
    """
    unmeasured = sorted(set(floors) - set(values))
    if unmeasured:
        raise ValueError(f"floors of {model} name {unmeasured}, which the evaluation did not measure")
    if (champion is None) != (over_champion is None):
        raise ValueError(f"{model}: a champion ({champion}) and a comparison with it ({over_champion}) go together")
    by_rule = {
        FLOORS: [_floor(metric, values[metric], floor) for metric, floor in floors.items()],
        BASELINE: [_baseline(over_baseline, promotion.metric)],
    }
    if isinstance(over_champion, Incomparable):
        by_rule[COMPARABLE] = [_comparable(over_champion)]
    elif over_champion is not None:
        by_rule[CHAMPION] = [_champion(over_champion, promotion, compared_on)]
    by_rule |= {rule: list(found) for rule, found in (serving or {}).items()}
    broken = next((rule for rule, found in by_rule.items() if not all(item.passed for item in found)), None)
    evidence = tuple(item for found in by_rule.values() for item in found)
    return PromotionDecision(
        model=model,
        challenger=challenger,
        champion=champion,
        promote=broken is None,
        rule=broken or (FIRST if champion is None else COMPARABLE if COMPARABLE in by_rule else CHAMPION),
        reason=_reason(challenger, champion, broken, by_rule, over_champion, promotion.metric, compared_on),
        evidence=evidence,
    )


def _floor(metric: str, observed: float, floor: float) -> PromotionEvidence:
    greater = find_metric(metric).greater_is_better
    return PromotionEvidence(
        name=metric,
        observed=observed,
        threshold=floor,
        passed=observed >= floor if greater else observed <= floor,
        source=f"holdout, declared floor: {'at least' if greater else 'at most'}",
    )


def _baseline(difference: Interval, metric: str) -> PromotionEvidence:
    return PromotionEvidence(
        name=f"{metric}_over_baseline_low",
        observed=difference.low,
        threshold=0.0,
        passed=difference.low > 0,
        source=f"{_lower_end(difference)}: above",
    )


def _comparable(found: Incomparable) -> PromotionEvidence:
    return PromotionEvidence(
        name=COMPARABLE,
        observed=float(found.accepted),
        threshold=1.0,
        passed=found.accepted,
        source=f"{found.why}; {'accepted by promotion.accept_over' if found.accepted else 'not accepted'}",
    )


def _champion(difference: Interval, promotion: PromotionSpec, compared_on: str) -> PromotionEvidence:
    return PromotionEvidence(
        name=f"{promotion.metric}_over_champion_low",
        observed=difference.low,
        threshold=0.0 - promotion.margin,
        passed=difference.low >= -promotion.margin,
        source=f"{_lower_end(difference)}{compared_on and f', {compared_on}'}: at least",
    )


def _lower_end(difference: Interval) -> str:
    return f"paired bootstrap on the holdout, lower end of the {difference.confidence:.0%} interval"


def _reason(
    challenger: str,
    champion: str | None,
    broken: str | None,
    by_rule: Mapping[str, list[PromotionEvidence]],
    over_champion: Interval | Incomparable | None,
    metric: str,
    compared_on: str,
) -> str:
    keeps = "no version serves" if champion is None else f"version {champion} stays champion"
    if broken == FLOORS:
        failed = [
            f"{item.name} is {item.observed:.4f}, floor {item.threshold:g}"
            for item in by_rule[FLOORS]
            if not item.passed
        ]
        return f"Version {challenger} misses a declared floor ({'; '.join(failed)}): {keeps}."
    if broken == BASELINE:
        return f"Version {challenger} is not shown to beat the naive baseline in {metric}: {keeps}."
    if broken in (SKEW, LATENCY):
        failed = [
            f"{item.name} is {item.observed:.6g}, limit {item.threshold:g}"
            for item in by_rule[broken]
            if not item.passed
        ]
        found = (
            "what was served last is not what it should be" if broken == SKEW else f"version {challenger} is too slow"
        )
        return f"{found[0].upper()}{found[1:]} ({'; '.join(failed)}): {keeps}."
    if over_champion is None:
        return f"Version {challenger} keeps every floor and beats the naive baseline; no version served yet."
    if isinstance(over_champion, Incomparable) and not over_champion.accepted:
        return (
            f"Version {challenger} cannot be compared with version {champion} ({over_champion.why}): {keeps}. To let "
            f"it serve all the same declare promotion.accept_over: '{champion}' and materialize champion again."
        )
    if isinstance(over_champion, Incomparable):
        return f"Version {challenger} replaces version {champion}, as promotion.accept_over says: {over_champion.why}."
    difference = (
        f"{metric} differs by {over_champion.estimate:+.4f}"
        f" ({over_champion.confidence:.0%} interval {over_champion.low:+.4f} to {over_champion.high:+.4f})"
        f"{compared_on and f', {compared_on}'}"
    )
    if broken == CHAMPION:
        return f"Version {challenger} is not shown to be as good as version {champion}, {difference}: {keeps}."
    return f"Version {challenger} replaces version {champion}: {difference}, so it is no worse on the same rows."
