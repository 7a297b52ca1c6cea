"""The population stability index of counts."""

import numpy as np

FLOOR = 1e-4
"""Least share of rows that a bin counts with, as `monitoring` has it by default."""


def population_stability(reference: np.ndarray, current: np.ndarray) -> float:
    """Return the PSI of rows by bin, shape (k,) each: bins that neither side has are left out."""
    there = reference + current > 0
    before, now = (np.maximum(side[there] / side.sum(), FLOOR) for side in (reference, current))
    return float(np.sum((now - before) * np.log(now / before)))
