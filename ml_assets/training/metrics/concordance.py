"""How well a score orders rows by a number."""

import numpy as np


def concordance(label: np.ndarray, score: np.ndarray) -> float:
    """Return the share of the pairs of rows with different labels in which the higher label has the higher score.

    A tie counts half (Harrell et al., "Evaluating the yield of medical tests", JAMA 247, 1982). 0.5 if no labels
    differ. Pairs are counted, not looked at one by one: in O(n log n).
    """
    labels, scores = (np.unique(values, return_inverse=True)[1] for values in (label, score))
    pairs = len(labels) * (len(labels) - 1) // 2
    differ = pairs - _tied(labels)
    if not differ:
        return 0.5
    together = labels.astype(np.int64) * (int(scores.max()) + 1) + scores
    half = _tied(scores) - _tied(together)
    discordant = _inversions(scores[np.argsort(together, kind="stable")])
    return float((differ - discordant - half / 2) / differ)


def _tied(ranks: np.ndarray) -> int:
    """Count the pairs of equal values."""
    counts = np.unique(ranks, return_counts=True)[1].astype(np.int64)
    return int((counts * (counts - 1) // 2).sum())


def _inversions(ranks: np.ndarray) -> int:
    """Count the pairs of which the first is greater, of whole numbers from 0.

    Numbers that agree in their upper bits lie in one group, in their order; of a pair in it that the next bit tells
    apart, the first is the greater one if it has the bit.
    """
    total, order = 0, ranks.astype(np.int64)
    for bit in reversed(range(int(order.max(initial=0)).bit_length())):
        ones = (order >> bit) & 1
        before = np.cumsum(ones) - ones
        group = order >> (bit + 1)
        starts = np.flatnonzero(np.r_[True, group[1:] != group[:-1]])
        sizes = np.diff(np.r_[starts, len(order)])
        within = before - np.repeat(before[starts], sizes)
        total += int(within[ones == 0].sum())
        zeros = np.add.reduceat(1 - ones, starts)
        first = np.repeat(starts, sizes)
        place = np.where(ones == 1, first + np.repeat(zeros, sizes) + within, np.arange(len(order)) - within)
        moved = np.empty_like(order)
        moved[place] = order
        order = moved
    return total
