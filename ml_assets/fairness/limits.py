"""What was measured of groups, held against the declared limits."""

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from ml_assets.fairness.rules import LIMITS
from ml_assets.fairness.spec import FairnessSpec

_BETWEEN = ("selection_difference", "odds_difference", "precision_difference")


@dataclass(frozen=True)
class FairnessJudgement:
    """One limit held against the groups of one column.

    Attributes:
        of_class: the class that it is about; empty of a model without classes.
        group: the group farthest out, as its text.
        value: what is held against the limit; None where fewer than two groups, or of one alone none, can be judged.
        not_judged: groups that are too small, with their rows.
    """

    attribute: str
    of_class: str
    limit: str
    threshold: float
    value: float | None
    group: str
    not_judged: Mapping[str, int]

    @property
    def passed(self) -> bool:
        """Whether the limit is kept, as far as is known."""
        if self.value is None:
            return True
        return self.value >= self.threshold if LIMITS[self.limit].least else self.value <= self.threshold

    @property
    def text(self) -> str:
        """The judgement in words."""
        of = f" of {self.of_class}" if self.of_class else ""
        what = f"{self.limit}{of} by {self.attribute}"
        small = ", ".join(f"{name} ({rows} rows)" for name, rows in self.not_judged.items())
        left_out = f"; too small to judge: {small}" if small else ""
        if self.value is None:
            return f"{what}: not known{left_out}"
        way = "at least" if LIMITS[self.limit].least else "at most"
        return f"{what}: {self.value:.4g}, {way} {self.threshold:g} allowed, farthest out {self.group}{left_out}"


def judge_fairness(measured: pl.DataFrame, spec: FairnessSpec) -> list[FairnessJudgement]:
    """Hold what ``measure_fairness`` gave against every declared limit, the worst first.

    Differences and ratios are those of fairlearn between the groups that are large enough: highest and lowest, or the
    lowest as a share of the highest.
    """
    judgements = [
        _judge(part, str(attribute), str(of_class), name, threshold)
        for (attribute, of_class), part in measured.group_by("attribute", "class", maintain_order=True)
        for name, threshold in spec.limits.items()
        if {*LIMITS[name].measures} <= {*part["measure"]}
    ]
    return sorted(judgements, key=lambda each: (each.passed, each.value is None))


def _judge(part: pl.DataFrame, attribute: str, of_class: str, name: str, threshold: float) -> FairnessJudgement:
    small = part.filter(~pl.col("judged")).unique("group", maintain_order=True)
    rows = small.select(pl.col("group").fill_null("(unknown)"), "rows").iter_rows()
    farthest = [_farthest(part, name, measure) for measure in LIMITS[name].measures]
    known = [(value, group) for value, group in farthest if value is not None]
    worst = min if LIMITS[name].least else max
    value, group = worst(known, default=(None, ""), key=lambda each: each[0])
    return FairnessJudgement(attribute, of_class, name, threshold, value, group, dict(rows))


def _farthest(part: pl.DataFrame, name: str, measure: str) -> tuple[float | None, str]:
    """Return the value that is held against a limit, and the group that it is most due to."""
    own = part.filter("judged", pl.col("value").is_not_null(), measure=measure).sort("value", "group")
    if own.is_empty():
        return None, ""
    values, groups = own["value"], own["group"]
    low, high = values[0], values[-1]
    if name in ("calibration_gap", "bias", "calibration_error"):
        at = -1 if abs(high) >= abs(low) else 0
        return abs(values[at]), groups[at]
    if own.height < 2:
        return None, ""
    if name in _BETWEEN:
        # Which end is out of line: the one farther from the median of the groups.
        middle = values.median()
        return high - low, groups[-1] if high - middle > middle - low else groups[0]
    if name == "selection_ratio":
        return (low / high, groups[0]) if high > 0 else (None, "")
    return (high / low, groups[-1]) if low > 0 else (None, "")
