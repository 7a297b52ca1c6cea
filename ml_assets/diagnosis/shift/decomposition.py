"""How much of a change in performance comes with changed inputs, and how much with a changed relation.

Source: T. T. Cai, H. Namkoong, S. Yadlowsky, Diagnosing Model Performance Under Distribution Shift (2023; Operations
Research 2025). With P and Q the rows then and now and S the inputs that both share (density proportional to
p * q / (p + q)), the change of a metric M is the sum of three terms::

    M_Q - M_P = [M_P(S) - M_P] + [M_Q(S) - M_P(S)] + [M_Q - M_Q(S)]

The first and the last are about inputs: rows that have become more or less frequent, and rows such as there were hardly
any before. The middle one is about the relation: the same inputs, another outcome. No weight is above 1, so that rows
that one period alone has cannot blow it up; how much the two have in common is returned beside.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from ml_assets.diagnosis.rows import ComparedRows
from ml_assets.diagnosis.shift.overlap import Overlap, effective_rows
from ml_assets.training.metrics.measure import Measurable

LEAST_OVERLAP = 0.25
"""Share that the inputs of both periods must have in common for the relation to be judged."""
CONFIDENCE = 0.99
"""Of the intervals; what counts as a fall lies outside of them."""
MOST_WEIGHT = 20.0
"""Of a row that stands for those of the later period: beyond it one row would decide."""
_CELLS = 2_000_000


class FallPart(BaseModel):
    """A part of a fall, with its interval."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    value: float = Field(description="In the metric's unit; above 0 is worse.")
    low: float = Field(description="Lower end of the interval.")
    high: float = Field(description="Upper end of the interval.")

    @property
    def is_fall(self) -> bool:
        """Whether the interval lies above 0."""
        return self.low > 0


class Decomposition(BaseModel):
    """The change of a metric, by what it comes with. Parts of a fall are above 0; inputs + relation = fall."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    metric: str = Field(description="Name.")
    reference: float = Field(description="The metric on the reference's out-of-sample rows.")
    current: float = Field(
        description="The metric on the later rows whose labels are known; before any is, on the reference weighed to"
        " have their inputs."
    )
    fall: FallPart = Field(description="How much worse it is.")
    inputs: FallPart = Field(description="What comes with changed inputs: more_or_less + unlike_before.")
    relation: FallPart | None = Field(
        description="What comes with a changed relation: the same inputs, another outcome; null before labels are"
        " known."
    )
    more_or_less: FallPart | None = Field(
        description="Of inputs: rows of the reference that both periods have, against all of it."
    )
    unlike_before: FallPart | None = Field(
        description="Of inputs: the later rows, against those such as both periods have."
    )
    by: Literal["features", "score"] = Field(
        description="What counts as the same input: the same features, or, where these have too little in common, the"
        " same score."
    )
    overlap: float = Field(description="What the inputs of both periods have in common, 0 to 1.")
    reference_rows: int = Field(description="Rows of the reference that were compared.")
    rows: int = Field(description="Later rows that were compared.")
    effective_reference_rows: float = Field(description="Rows of equal weight that tell as much as the weighted ones.")
    effective_rows: float = Field(description="The same of the later rows.")
    resamples: int = Field(description="Of the bootstrap that gives the intervals, by blocks of time.")
    confidence: float = Field(description="Of the intervals.")

    @property
    def is_judged(self) -> bool:
        """Whether the periods have enough in common for inputs and relation to be told apart."""
        return self.overlap >= LEAST_OVERLAP

    @property
    def share_by_inputs(self) -> float | None:
        """The part of the fall that comes with changed inputs; below 0 or above 1 where the two parts differ in sign.
        None without a fall, or where it cannot be told."""
        return self.inputs.value / self.fall.value if self.fall.is_fall and self.is_judged else None


def part_of(value: float, resampled: np.ndarray, blocks: int, confidence: float = CONFIDENCE) -> FallPart:
    """Return a value with the interval of a bootstrap: as wide as the spread of the resampled values says, by Student's
    distribution (B. Efron, R. Tibshirani, An Introduction to the Bootstrap, 1993, section 12.4).

    Args:
        blocks: of both periods, which were drawn.
    """
    from scipy.special import stdtrit

    defined = resampled[np.isfinite(resampled)]
    if len(defined) < 2 or blocks < 4:
        return FallPart(value=value, low=-np.inf, high=np.inf)
    wide = float(stdtrit(blocks - 2, (1 + confidence) / 2) * np.std(defined, ddof=1))
    return FallPart(value=value, low=value - wide, high=value + wide)


@dataclass(frozen=True)
class MeasuredPeriods:
    """The same rows as in ``ComparedRows``, ready to be measured."""

    reference: Measurable
    current: Measurable
    metric: str


def decompose(
    rows: ComparedRows,
    measured: MeasuredPeriods,
    overlap: Overlap,
    *,
    by: Literal["features", "score"] = "features",
    resamples: int,
    seed: int,
    confidence: float = CONFIDENCE,
) -> Decomposition:
    """Decompose the change of a metric, with intervals of a bootstrap by blocks of time.

    The weights stay as they were estimated: the intervals hold what comes of other rows, not of another classifier.
    """
    rng = np.random.default_rng(seed)
    sign = -measured.reference.metrics[measured.metric].sign
    common, blocks = overlap.common, rows.reference.blocks + rows.current.blocks
    values = [
        _values(measured.reference, measured.metric, rows.reference.block, common[0], resamples, rng),
        _values(measured.current, measured.metric, rows.current.block, common[1], resamples, rng),
    ]
    (before, shared_before), (now, shared_now) = values

    def part(difference: np.ndarray) -> FallPart:
        return part_of(float(difference[0]), difference[1:], blocks, confidence)

    rarer, newer = sign * (shared_before - before), sign * (now - shared_now)
    return Decomposition(
        metric=measured.metric,
        reference=float(before[0]),
        current=float(now[0]),
        fall=part(sign * (now - before)),
        inputs=part(rarer + newer),
        relation=part(sign * (shared_now - shared_before)),
        more_or_less=part(rarer),
        unlike_before=part(newer),
        by=by,
        overlap=overlap.share,
        reference_rows=rows.reference.rows,
        rows=rows.current.rows,
        effective_reference_rows=effective_rows(common[0]),
        effective_rows=effective_rows(common[1]),
        resamples=resamples,
        confidence=confidence,
    )


def expect(
    rows: ComparedRows,
    scores: Measurable,
    metric: str,
    overlap: Overlap,
    *,
    by: Literal["features", "score"],
    resamples: int,
    seed: int,
) -> Decomposition:
    """Say what changed inputs alone do to a metric, before labels are known: that of the reference, weighed to have the
    inputs of the later rows (M. Sugiyama, M. Krauledat, K.-R. Mueller, Covariate Shift Adaptation by Importance
    Weighted Cross Validation, JMLR 8, 2007). What a changed relation does is not known.
    """
    rng = np.random.default_rng(seed)
    weight = np.minimum(overlap.as_now, MOST_WEIGHT)
    before, expected = _values(scores, metric, rows.reference.block, weight, resamples, rng)
    difference = -scores.metrics[metric].sign * (expected - before)
    inputs = part_of(float(difference[0]), difference[1:], rows.reference.blocks)
    return Decomposition(
        metric=metric,
        reference=float(before[0]),
        current=float(expected[0]),
        fall=inputs,
        inputs=inputs,
        relation=None,
        more_or_less=None,
        unlike_before=None,
        by=by,
        overlap=overlap.share,
        reference_rows=rows.reference.rows,
        rows=rows.current.rows,
        effective_reference_rows=effective_rows(weight),
        effective_rows=float(rows.current.rows),
        resamples=resamples,
        confidence=CONFIDENCE,
    )


def _values(
    scores: Measurable, metric: str, block: np.ndarray, weight: np.ndarray, resamples: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return the metric of the rows as they are and with their weights: of all of them, then of each resample."""
    blocks = int(block.max()) + 1
    counts = np.vstack([np.ones((1, blocks)), rng.multinomial(blocks, np.full(blocks, 1 / blocks), resamples)])
    plain, weighed = [], []
    size = max(1, _CELLS // len(block))
    for start in range(0, len(counts), size):
        drawn = counts[start : start + size][:, block].astype(np.float64)
        plain.append(scores.weigh(drawn, [metric])[metric])
        weighed.append(scores.weigh(drawn * weight, [metric])[metric])
    return np.concatenate(plain), np.concatenate(weighed)
