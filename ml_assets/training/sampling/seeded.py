"""Seeded samples of rows, in which rare classes stay where a class is what is to be learned."""

from dataclasses import dataclass

import numpy as np
import polars as pl


def sample_rows(frame: pl.DataFrame, rows: int, seed: int) -> pl.DataFrame:
    """Return at most ``rows`` rows, drawn without replacement, in their order."""
    if frame.height <= rows:
        return frame
    picked = np.random.default_rng(seed).choice(frame.height, rows, replace=False, shuffle=False)
    return frame[np.sort(picked)]


RARE = 0.05
"""Share of the rows below which a class is rare."""

ENOUGH = 1_000
"""Rows of a rare class that parameters can be chosen by; a sample that would have fewer is stratified."""


@dataclass(frozen=True)
class ClassSample:
    """A sample of rows in their order.

    ``weight`` is how many rows of the whole each stands for, shape (rows,); None where all stand for as many. Together
    they stand for the whole, so that a parameter such as the least weight of a leaf means what it will mean in the
    final fit: of rare positives weighted to a mean of 1 no leaf would have enough.
    """

    rows: pl.DataFrame
    weight: np.ndarray | None = None


def sample_classes(
    frame: pl.DataFrame, strata: np.ndarray | None, rows: int, seed: int, *, oversample: bool
) -> ClassSample:
    """Draw at most ``rows`` rows, without replacement, so that rare classes stay in.

    A plain sample, as ``sample_rows`` draws it, is taken where it is likely to hold `ENOUGH` of each class that is
    `RARE`. Else the sample is stratified: with ``oversample`` a rare class gets all of its rows, or as many as its
    equal part of the sample, and the rows carry the weights that make up for it; without it each class keeps its share
    of the rows.

    Args:
        strata: class of each row, from 0, shape (rows,); None of a label without classes.
        oversample: what learns can take weights.
    """
    if frame.height <= rows or strata is None:
        return ClassSample(sample_rows(frame, rows, seed))
    counts, share = np.bincount(strata), rows / frame.height
    rare = (counts > 0) & (counts < RARE * frame.height) & (share * counts < ENOUGH)
    if not rare.any():
        return ClassSample(sample_rows(frame, rows, seed))
    wanted = _stratified(counts, rare, rows) if oversample else np.maximum(np.floor(share * counts), counts > 0)
    rng = np.random.default_rng(seed)
    drawn = [
        rng.choice(np.flatnonzero(strata == each), int(number), replace=False, shuffle=False)
        for each, number in enumerate(wanted)
    ]
    picked = np.sort(np.concatenate(drawn))
    if not oversample:
        return ClassSample(frame[picked])
    stands_for = np.divide(counts, wanted, out=np.zeros(len(counts)), where=wanted > 0)[strata[picked]]
    return ClassSample(frame[picked], stands_for)


def _stratified(counts: np.ndarray, rare: np.ndarray, rows: int) -> np.ndarray:
    """Return how many rows of each class to draw: of rare ones all, or an equal part; the others share what is left."""
    wanted = np.where(rare, np.minimum(counts, rows // np.count_nonzero(counts)), 0)
    left, others = rows - wanted.sum(), np.where(rare, 0, counts)
    if others.any():
        wanted = wanted + np.minimum(others, np.floor(left * others / others.sum()).astype(np.int64))
    return wanted
