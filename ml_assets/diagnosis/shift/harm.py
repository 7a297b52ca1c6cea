"""How much of the change in the mean loss comes with the shift of one column.

The decomposition of ``decomposition``, with the inputs cut down to one column in bins: there the densities are counts,
and every column of a table is measured at once.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl

from ml_assets.diagnosis.rows import ComparedRows, PeriodRows
from ml_assets.monitoring.drift.statistics.psi import quantile_breaks

BINS = 10


@dataclass(frozen=True)
class Harm:
    """What comes with the shift of one column, in the unit of the loss; above 0 is worse.

    Attributes:
        value: of the change in the mean loss.
        error: its standard error, by a bootstrap over blocks of time.
    """

    value: float
    error: float

    def is_sure(self, errors: float) -> bool:
        """Whether it is above 0 by so many standard errors."""
        return self.value > errors * self.error


def measure_harm(rows: ComparedRows, *, resamples: int, seed: int) -> dict[str, Harm]:
    """Measure every feature's own part: what becomes of the loss as its values become more or less frequent.

    Values beyond all of the reference's are bins of their own, as are missing ones.
    """
    rng = np.random.default_rng(seed)
    drawn = [_draw(part, resamples, rng) for part in (rows.reference, rows.current)]
    harms = {}
    for name in rows.features.all:
        codes = _bins(rows.reference.frame[name], rows.current.frame[name])
        size = int(max(code.max() for code in codes)) + 1
        cells = [_cells(part, code, size) for part, code in zip((rows.reference, rows.current), codes, strict=True)]
        sums = [
            np.einsum("rb,bkc->rkc", counts, of_blocks, optimize=True)
            for counts, of_blocks in zip(drawn, cells, strict=True)
        ]
        values = _of_inputs(sums[0], sums[1])
        harms[name] = Harm(float(values[0]), float(np.std(values[1:])))
    return harms


def explained_share(values: pl.Series, score: np.ndarray) -> float:
    """Return the share of the variance of scores between the bins of a column (eta squared), 0 to 1."""
    code = _bins(values, values)[0]
    counts, sums = np.bincount(code), np.bincount(code, score)
    there = counts > 0
    between = np.sum(counts[there] * (sums[there] / counts[there] - score.mean()) ** 2)
    spread = float(np.sum((score - score.mean()) ** 2))
    return float(between / spread) if spread > 0 else 0.0


def _draw(part: PeriodRows, resamples: int, rng: np.random.Generator) -> np.ndarray:
    """Return how often each block is drawn: once, then in each resample."""
    blocks = part.blocks
    return np.vstack([np.ones((1, blocks)), rng.multinomial(blocks, np.full(blocks, 1 / blocks), resamples)])


def _cells(part: PeriodRows, code: np.ndarray, size: int) -> np.ndarray:
    """Return rows and sums of losses by block and bin: shape (blocks, bins, 2)."""
    at, cells = part.block * size + code, part.blocks * size
    counts, sums = np.bincount(at, minlength=cells), np.bincount(at, part.loss, cells)
    return np.stack([counts, sums], axis=-1).reshape(part.blocks, size, 2)


def _of_inputs(before: np.ndarray, now: np.ndarray) -> np.ndarray:
    """Return the parts of inputs of the change of the mean loss, of each resample."""
    with np.errstate(divide="ignore", invalid="ignore"):
        p, q = (part[..., 0] / part[..., 0].sum(axis=1, keepdims=True) for part in (before, now))
        losses = [np.nan_to_num(part[..., 1] / part[..., 0]) for part in (before, now)]
        shared = np.nan_to_num(p * q / (p + q))
        shared /= shared.sum(axis=1, keepdims=True)
        relation = np.sum(shared * (losses[1] - losses[0]), axis=1)
    change = np.sum(q * losses[1], axis=1) - np.sum(p * losses[0], axis=1)
    # Without any value in common there is no relation to compare: all of the change comes with the shift.
    return change - np.nan_to_num(relation)


def _bins(before: pl.Series, now: pl.Series) -> list[np.ndarray]:
    """Return the bin of each row: of numbers the reference's deciles, below and above all of it; 0 for no value."""
    if before.dtype == pl.String:
        of = pl.Enum(pl.concat([before, now]).drop_nulls().unique().sort())
        coded = [column.cast(of).to_physical().cast(pl.Int64) + 1 for column in (before, now)]
        return [column.fill_null(0).to_numpy() for column in coded]
    ends = [before.min(), before.max()]
    inner = np.array(quantile_breaks(before, BINS))
    below, above = (np.array([end], np.float64) if end is not None else np.zeros(0) for end in ends)
    edges = np.unique(np.concatenate([np.nextafter(below, -np.inf), inner, above]))
    return [
        np.where(column.is_null().to_numpy(), 0, 1 + np.searchsorted(edges, column.fill_null(0.0).to_numpy(), "left"))
        for column in (before, now)
    ]
