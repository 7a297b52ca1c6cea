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
    freedom: float
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

    The error is that of four means, of which rows of a block of time are drawn together where there are enough blocks:
    the jackknife over blocks, CR3, with as many degrees of freedom as the slice has blocks that count alike, so that
    what happened on a day or two is no slice (C. Cameron, D. Miller, A Practitioner's Guide to Cluster-Robust
    Inference, Journal of Human Resources 50, 2015, section VI). Where there are too few blocks, rows count one by one,
    after Welch.

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
    now = _difference(rows.current, inside[1], outside[1], by_block=by_block)
    then = _difference(rows.reference, before, outside[0], by_block=by_block)
    spread = now.variance + then.variance
    return Excess(
        rows=counts[1],
        reference_rows=counts[0],
        loss=now.inside,
        reference_loss=then.inside,
        fall=now.inside - then.inside,
        rest=now.outside - then.outside,
        error=math.sqrt(spread),
        freedom=spread**2 / sum(each.variance**2 / each.freedom for each in (now, then)) if spread > 0 else 1.0,
        new=new,
    )


@dataclass(frozen=True)
class _Difference:
    """Mean losses inside and outside, and the variance of their difference."""

    inside: float
    outside: float
    variance: float
    freedom: float


def _difference(part: PeriodRows, inside: np.ndarray, outside: np.ndarray, *, by_block: bool) -> _Difference:
    means, pulls, alike = [], [], []
    for mask in (inside, outside):
        loss, mean = part.loss[mask], float(part.loss[mask].mean())
        means.append(mean)
        if not by_block:
            pull = np.zeros(part.rows)
            pull[mask] = (loss - mean) / len(loss)
            pulls.append(pull)
            alike.append(float(len(loss)))
            continue
        block, blocks = part.block[mask], part.blocks
        weight = np.bincount(block, minlength=blocks) / len(loss)
        # A slice of a single block says nothing of others: its error has no end.
        left = np.where(weight < 1, 1 - weight, 1e-9)
        pulls.append(np.bincount(block, loss - mean, blocks) / len(loss) / left + np.where(weight < 1, 0.0, 1e9))
        alike.append(1 / float(np.sum(weight**2)))
    spread = float(np.sum((pulls[0] - pulls[1]) ** 2))
    blocks = part.blocks
    scale = (blocks - 1) / blocks if by_block else 1.0
    return _Difference(means[0], means[1], spread * scale, max(min(alike) - 1, 0.1))
