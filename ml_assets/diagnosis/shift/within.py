"""What of a slice's own loss comes with its inputs, and what with its relation."""

from dataclasses import dataclass

import numpy as np

from ml_assets.diagnosis.rows import ComparedRows
from ml_assets.diagnosis.shift.overlap import Overlap

LEAST_OVERLAP = 0.1
"""What the inputs of a slice must have in common then and now for its relation to be judged."""


@dataclass(frozen=True)
class WithinSlice:
    """The change of a slice's mean loss at the same inputs.

    Attributes:
        relation: how much more its rows lose now, at the inputs that it had then and has now.
        overlap: what the inputs of the slice have in common, 0 to 1.
    """

    relation: float
    overlap: float

    @property
    def is_judged(self) -> bool:
        return self.overlap >= LEAST_OVERLAP


def change_within(rows: ComparedRows, overlap: Overlap, inside: tuple[np.ndarray, np.ndarray]) -> WithinSlice | None:
    """Compare the losses of some rows at the inputs that both periods have of them; None where one has none."""
    shares = [float(mask.mean()) for mask in inside]
    if not all(shares):
        return None
    # The densities within the slice differ from those of all rows by how frequent the slice is.
    frequent = shares[0] / shares[1]
    ratios = [part[mask] / (1 - part[mask]) * frequent for part, mask in zip(_chances(overlap), inside, strict=True)]
    then, now = ratios[0] / (1 + ratios[0]), 1 / (1 + ratios[1])
    before = np.average(rows.reference.loss[inside[0]], weights=then)
    after = np.average(rows.current.loss[inside[1]], weights=now)
    return WithinSlice(float(after - before), min(float(then.mean() + now.mean()), 1.0))


def _chances(overlap: Overlap) -> tuple[np.ndarray, np.ndarray]:
    return overlap.reference, overlap.current
