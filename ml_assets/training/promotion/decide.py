"""Whether a challenger becomes the champion."""

from collections.abc import Mapping, Sequence

from ml_assets.training.metrics.bootstrap import Interval
from ml_assets.training.promotion.comparison import Incomparable
from ml_assets.training.promotion.reasons import promotion_reason
from ml_assets.training.promotion.records import (
    BASELINE,
    CHAMPION,
    COMPARABLE,
    FAIRNESS,
    FIRST,
    FLOORS,
    PromotionDecision,
    PromotionEvidence,
)
from ml_assets.training.spec import PromotionSpec
from ml_assets.training.tasks import find_metric


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
    fairness: Sequence[PromotionEvidence] = (),
) -> PromotionDecision:
    """Apply the rules in order: floors, limits between groups, better than the naive baseline, no worse than the
    champion, then what serving asks for: right answers of late, and a challenger that is fast enough.

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
        fairness: limits between groups on the holdout, where they are to hold a challenger back.
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
        **({FAIRNESS: list(fairness)} if fairness else {}),
        BASELINE: [_baseline(over_baseline, promotion.metric)],
    }
    if isinstance(over_champion, Incomparable):
        by_rule[COMPARABLE] = [_comparable(over_champion)]
    elif over_champion is not None:
        by_rule[CHAMPION] = [_champion(over_champion, promotion, compared_on)]
    by_rule |= {rule: list(items) for rule, items in (serving or {}).items()}
    broken = next((rule for rule, items in by_rule.items() if not all(item.passed for item in items)), None)
    evidence = tuple(item for items in by_rule.values() for item in items)
    return PromotionDecision(
        model=model,
        challenger=challenger,
        champion=champion,
        promote=broken is None,
        rule=broken or (FIRST if champion is None else COMPARABLE if COMPARABLE in by_rule else CHAMPION),
        reason=promotion_reason(challenger, champion, broken, by_rule, over_champion, promotion.metric, compared_on),
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


def _comparable(incomparable: Incomparable) -> PromotionEvidence:
    accepted = "accepted by promotion.accept_over" if incomparable.accepted else "not accepted"
    return PromotionEvidence(
        name=COMPARABLE,
        observed=float(incomparable.accepted),
        threshold=1.0,
        passed=incomparable.accepted,
        source=f"{incomparable.why}; {accepted}",
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
