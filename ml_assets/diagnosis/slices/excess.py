"""How much more a slice lost than the rest of the rows, and how sure that is."""

import math
from dataclasses import dataclass

import numpy as np

from ml_assets.diagnosis.rows import LEAST_BLOCKS, ComparedRows, PeriodRows


@dataclass(frozen=True)
class Excess:
    """The loss of a slice then and now, beside that of the other rows.

    Attributes:
        rows: of the slice now.
        reference_rows: of the slice in the reference.
        loss: mean loss of the slice now.
        reference_loss: mean loss of the slice in the reference; of a slice that the reference hardly has, of all its
            rows.
        fall: loss - reference_loss.
        rest: the same difference of the other rows.
        error: standard error of ``fall - rest``.
        freedom: degrees of freedom of the error.
        new: whether the reference hardly has the slice.
    """

    rows: int
    reference_rows: int
    loss: float
    reference_loss: float
    fall: float
    rest: float
    error: float
    freedom: int
    new: bool

    @property
    def excess(self) -> float:
        """How much more the slice lost than the other rows."""
        return self.fall - self.rest

    @property
    def z(self) -> float:
        """The excess in standard errors."""
        return self.excess / self.error if self.error > 0 else math.copysign(math.inf, self.excess or -1.0)

    @property
    def p_value(self) -> float:
        """How often chance alone gives such an excess or more: of one side, by Student's distribution."""
        from scipy.special import stdtr

        return float(stdtr(self.freedom, -self.z)) if math.isfinite(self.z) else float(self.z < 0)


def measure_excess(
    rows: ComparedRows,
    inside: tuple[np.ndarray, np.ndarray],
    outside: tuple[np.ndarray, np.ndarray],
    least: int,
    *,
    may_be_new: bool = False,
) -> Excess | None:
    """Measure how much more the rows inside a slice lost than those outside of it: a difference of differences.

    The error is that of four means, of which rows of a block of time are drawn together where there are enough blocks
    (C. Cameron, D. Miller, A Practitioner's Guide to Cluster-Robust Inference, Journal of Human Resources 50, 2015),
    and after Welch where there are not.

    Args:
        inside: masks of the rows of the reference and of the later period.
        outside: masks of the rows that they are held against.
        least: rows of the later period that a slice must have, and that the reference must have of it to be compared
            with itself.
        may_be_new: whether a slice that the reference hardly has is held against all of the reference.

    Returns:
        None for a slice, or a rest, with too few rows.
    """
    counts = [int(mask.sum()) for mask in (*inside, *outside)]
    new = counts[0] < least
    if min(counts[1:]) < least or (new and not may_be_new):
        return None
    before = np.ones(rows.reference.rows, bool) if new else inside[0]
    by_block = min(rows.reference.blocks, rows.current.blocks) >= LEAST_BLOCKS
    now, spread_now = _difference(rows.current, inside[1], outside[1], by_block=by_block)
    then, spread_then = _difference(rows.reference, before, outside[0], by_block=by_block)
    blocks = rows.current.blocks + rows.reference.blocks
    return Excess(
        rows=counts[1],
        reference_rows=counts[0],
        loss=now[0],
        reference_loss=then[0],
        fall=now[0] - then[0],
        rest=now[1] - then[1],
        error=math.sqrt(spread_now + spread_then),
        freedom=blocks - 2 if by_block else counts[1] + min(counts[0] or rows.reference.rows, rows.reference.rows) - 2,
        new=new,
    )


def _difference(
    part: PeriodRows, inside: np.ndarray, outside: np.ndarray, *, by_block: bool
) -> tuple[tuple[float, float], float]:
    """Return the mean loss inside and outside, and the variance of their difference."""
    means = float(part.loss[inside].mean()), float(part.loss[outside].mean())
    pull = np.zeros(part.rows)
    pull[inside] += (part.loss[inside] - means[0]) / inside.sum()
    pull[outside] -= (part.loss[outside] - means[1]) / outside.sum()
    if by_block:
        blocks = part.blocks
        return means, float(np.sum(np.bincount(part.block, pull, blocks) ** 2) * blocks / (blocks - 1))
    return means, float(np.sum(pull**2))
