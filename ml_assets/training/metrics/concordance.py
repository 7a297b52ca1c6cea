"""How well a score orders rows by a number."""

import numpy as np


def concordance(label: np.ndarray, score: np.ndarray) -> float:
    """Return the share of the pairs of rows with different labels in which the higher label has the higher score.

    A tie counts half (Harrell et al., "Evaluating the yield of medical tests", JAMA 247, 1982). 0.5 if no labels
    differ.
    """
    from scipy.stats import kendalltau

    tau = float(kendalltau(label, score)[0])  # pyright: ignore[reportArgumentType] - a pair that SciPy does not type
    if np.isnan(tau):
        return 0.5
    # Kendall's tau-b divides by both kinds of ties; this measure by those of the label alone.
    return float((1 + tau * np.sqrt(_untied(score) / _untied(label))) / 2)


def _untied(values: np.ndarray) -> float:
    counts = np.unique(values, return_counts=True)[1].astype(np.float64)
    return (len(values) * (len(values) - 1.0) - (counts * (counts - 1)).sum()) / 2
