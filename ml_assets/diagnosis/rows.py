"""Rows of two periods side by side: their columns, and what the model lost on each."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from ml_assets.monitoring.inputs import Features, plain, typed

LEAST_BLOCKS = 10
"""Blocks of time in either period from which errors are counted by block; of fewer, rows count one by one."""


@dataclass(frozen=True)
class PeriodRows:
    """Rows of one period whose loss is known.

    Attributes:
        frame: the columns that are looked at: numbers as Float64 without NaN, text as String.
        loss: what the model lost on each row, float64 of shape (rows,); less is better.
        block: number of each row's block of time, int64 of shape (rows,), counted from 0. Rows of a block are alike.
    """

    frame: pl.DataFrame
    loss: np.ndarray
    block: np.ndarray

    @property
    def rows(self) -> int:
        return len(self.loss)

    @property
    def blocks(self) -> int:
        return int(self.block.max()) + 1 if len(self.block) else 0

    def take(self, kept: np.ndarray) -> "PeriodRows":
        """Return the rows at some positions, or where a mask holds."""
        kept = np.flatnonzero(kept) if kept.dtype == bool else kept
        return PeriodRows(self.frame[kept], self.loss[kept], number_blocks(self.block[kept]))


@dataclass(frozen=True)
class ComparedRows:
    """The reference's out-of-sample rows and those of a later period.

    Attributes:
        features: columns of both frames that the model reads, or some of them.
        slices: columns whose values are declared slices, which are looked at first; they may be features too.
    """

    reference: PeriodRows
    current: PeriodRows
    features: Features
    slices: tuple[str, ...] = ()

    @property
    def columns(self) -> list[str]:
        """Declared slices, then the other columns."""
        return list(dict.fromkeys([*self.slices, *self.features.all]))

    @property
    def fall(self) -> float:
        """How much more the mean row loses now."""
        return float(self.current.loss.mean() - self.reference.loss.mean())


def compare_rows(
    reference: pl.DataFrame,
    current: pl.DataFrame,
    *,
    losses: tuple[np.ndarray, np.ndarray],
    blocks: tuple[np.ndarray, np.ndarray],
    features: Sequence[str],
    slices: Sequence[str] = (),
) -> ComparedRows:
    """Bring two frames to the types that are compared.

    Args:
        losses: of the rows of either frame, NaN where none is known: these rows are left out.
        blocks: block of time of each row of either frame, any sortable type.
        features: columns of both; numbers and booleans are numeric, text is categorical.

    Raises:
        ValueError: a period has no row with a known loss.
        TypeError: a column is neither number nor text, or not the same in both.
    """
    names = list(dict.fromkeys([*slices, *features]))
    text_slices = [name for name in slices if name not in features]
    frames = [frame.with_columns(pl.col(text_slices).cast(pl.String)) for frame in (reference, current)]
    both = typed(frames[0], frames[1], names)
    parts = []
    for what, frame, loss, block in zip(("reference", "current"), frames, losses, blocks, strict=True):
        known = np.flatnonzero(np.isfinite(loss))
        if not len(known):
            raise ValueError(f"{what}: none of {frame.height} rows has a known loss, so there is nothing to compare")
        parts.append(PeriodRows(plain(frame, both, [])[known], loss[known], number_blocks(block[known])))
    wanted = Features(
        tuple(name for name in both.numeric if name in features), tuple(name for name in both.text if name in features)
    )
    return ComparedRows(parts[0], parts[1], wanted, tuple(slices))


def number_blocks(block: np.ndarray) -> np.ndarray:
    """Return the blocks counted from 0 without a gap, in order."""
    return np.unique(block, return_inverse=True)[1].astype(np.int64)
