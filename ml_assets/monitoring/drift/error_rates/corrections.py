"""Corrections of p-values for how many tests there are."""

import numpy as np


def holm(p_values: np.ndarray) -> np.ndarray:
    """Adjust for the chance of any false alarm, however tests depend on one another.

    S. Holm, A Simple Sequentially Rejective Multiple Test Procedure, Scandinavian Journal of Statistics 6, 1979.
    """
    tests = len(p_values)
    order = np.argsort(p_values)
    adjusted = np.empty_like(p_values)
    adjusted[order] = np.minimum(np.maximum.accumulate(p_values[order] * np.arange(tests, 0, -1)), 1)
    return adjusted
