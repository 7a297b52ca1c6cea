"""Corrections of p-values for how many tests there are."""

from collections.abc import Callable

import numpy as np


def holm(p_values: np.ndarray) -> np.ndarray:
    """Adjust for the chance of any false alarm, however tests depend on one another.

    S. Holm, A Simple Sequentially Rejective Multiple Test Procedure, Scandinavian Journal of Statistics 6, 1979.
    """
    tests = len(p_values)
    order = np.argsort(p_values)
    stepped = np.maximum.accumulate(p_values[order] * np.arange(tests, 0, -1))
    return _back(np.minimum(stepped, 1), order)


def benjamini_hochberg(p_values: np.ndarray) -> np.ndarray:
    """Adjust for the expected share of false alarms among alarms, of tests that do not speak against one another.

    Y. Benjamini, Y. Hochberg, Controlling the False Discovery Rate, Journal of the Royal Statistical Society B 57,
    1995.
    """
    return _step_up(p_values, 1.0)


def benjamini_yekutieli(p_values: np.ndarray) -> np.ndarray:
    """Adjust for the expected share of false alarms among alarms, however tests depend on one another.

    Y. Benjamini, D. Yekutieli, The Control of the False Discovery Rate under Dependency, Annals of Statistics 29, 2001.
    """
    return _step_up(p_values, float(np.sum(1 / np.arange(1, len(p_values) + 1))))


def _step_up(p_values: np.ndarray, factor: float) -> np.ndarray:
    tests = len(p_values)
    order = np.argsort(p_values)
    scaled = p_values[order] * factor * tests / np.arange(1, tests + 1)
    return _back(np.minimum(np.minimum.accumulate(scaled[::-1])[::-1], 1), order)


def _back(ordered: np.ndarray, order: np.ndarray) -> np.ndarray:
    given = np.empty_like(ordered)
    given[order] = ordered
    return given


CORRECTIONS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "holm": holm,
    "benjamini_hochberg": benjamini_hochberg,
    "benjamini_yekutieli": benjamini_yekutieli,
}
