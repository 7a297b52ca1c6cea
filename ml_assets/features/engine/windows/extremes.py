"""Smallest and largest value of many ranges of one array."""

from itertools import pairwise

import numpy as np


def range_extremes(values: np.ndarray, start: np.ndarray, end: np.ndarray, pick: np.ufunc) -> np.ndarray:
    """Take `pick` (np.minimum or np.maximum) over values[start:end] for each range; no range may be empty.

    A sparse table (M. Bender, M. Farach-Colton, "The LCA Problem Revisited", 2000): a range is covered by two
    overlapping blocks whose length is a power of two. Only one block length is kept at a time, so memory
    stays linear.
    """
    extremes = np.empty(start.size, values.dtype)
    doublings = np.frexp((end - start).astype(np.float64))[1] - 1
    by_length = np.argsort(doublings, kind="stable")
    bounds = np.searchsorted(doublings[by_length], np.arange(doublings.max(initial=-1) + 2))
    blocks = values
    for doubling, (low, high) in enumerate(pairwise(bounds)):
        if doubling:
            half = 1 << (doubling - 1)
            blocks = pick(blocks[:-half], blocks[half:])
        ranges = by_length[low:high]
        extremes[ranges] = pick(blocks[start[ranges]], blocks[end[ranges] - (1 << doubling)])
    return extremes
