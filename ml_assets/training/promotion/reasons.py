"""A decision on a promotion in plain words."""

from collections.abc import Mapping, Sequence

from ml_assets.training.metrics.bootstrap import Interval
from ml_assets.training.promotion.comparison import Incomparable
from ml_assets.training.promotion.records import BASELINE, CHAMPION, FAIRNESS, FLOORS, LATENCY, SKEW, PromotionEvidence


def promotion_reason(
    challenger: str,
    champion: str | None,
    broken: str | None,
    by_rule: Mapping[str, Sequence[PromotionEvidence]],
    over_champion: Interval | Incomparable | None,
    metric: str,
    compared_on: str,
) -> str:
    """Return why a challenger is promoted or refused, in one sentence, and what to do.

    Args:
        broken: the first rule that it breaks; None if it keeps all.
        by_rule: the evidence of each rule.
    """
    keeps = "no version serves" if champion is None else f"version {champion} stays champion"
    if broken == BASELINE:
        return f"Version {challenger} is not shown to beat the naive baseline in {metric}: {keeps}."
    if broken in _BEYOND_LIMIT:
        what, limit, digits = _BEYOND_LIMIT[broken]
        failed = "; ".join(
            f"{item.name} is {item.observed:{digits}}, {limit} {item.threshold:g}"
            for item in by_rule[broken]
            if not item.passed
        )
        return f"{what.format(challenger=challenger)} ({failed}): {keeps}."
    if over_champion is None:
        return f"Version {challenger} keeps every floor and beats the naive baseline; no version served yet."
    if isinstance(over_champion, Incomparable):
        return _without_comparison(challenger, champion, over_champion, keeps)
    difference = (
        f"{metric} differs by {over_champion.estimate:+.4f}"
        f" ({over_champion.confidence:.0%} interval {over_champion.low:+.4f} to {over_champion.high:+.4f})"
        f"{compared_on and f', {compared_on}'}"
    )
    if broken == CHAMPION:
        return f"Version {challenger} is not shown to be as good as version {champion}, {difference}: {keeps}."
    return f"Version {challenger} replaces version {champion}: {difference}, so it is no worse on the same rows."


_BEYOND_LIMIT = {
    FLOORS: ("Version {challenger} misses a declared floor", "floor", ".4f"),
    FAIRNESS: ("Version {challenger} is beyond a limit between groups", "limit", ".4f"),
    SKEW: ("What was served last is not what it should be", "limit", ".6g"),
    LATENCY: ("Version {challenger} is too slow", "limit", ".6g"),
}
"""Rule -> what is wrong, what its limit is called, and the digits of a value."""


def _without_comparison(challenger: str, champion: str | None, incomparable: Incomparable, keeps: str) -> str:
    if incomparable.accepted:
        return f"Version {challenger} replaces version {champion}, as promotion.accept_over says: {incomparable.why}."
    return (
        f"Version {challenger} cannot be compared with version {champion} ({incomparable.why}): {keeps}. To let "
        f"it serve all the same declare promotion.accept_over: '{champion}' and materialize champion again."
    )
