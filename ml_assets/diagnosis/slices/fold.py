"""Slices that lost more than chance explains, without those that only repeat another.

A slice is redundant where another says the same of its rows (E. Pastor, L. de Alfaro, E. Baralis, Looking for Trouble:
Analyzing Classifier Behavior via Pattern Divergence, SIGMOD 2021). Here: a slice stands unless its excess is gone
without the rows of the slices that stand already.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ml_assets.diagnosis.rows import ComparedRows
from ml_assets.diagnosis.slices.excess import Excess, measure_excess
from ml_assets.diagnosis.slices.items import Items, Slice
from ml_assets.diagnosis.slices.search import Family, Looked, family_of

FAMILIES = 3
"""Families of slices among which the error rate is shared alike."""
_ALIKE = 4.0
"""Standard errors by which the rest of a slice must have lost too for the slice to stand in place of a part of it, and
from which the rest of a slice that overlaps another counts as a slice by itself."""


@dataclass(frozen=True)
class StandingSlice:
    """A slice that lost more than the other rows.

    Attributes:
        which: its items.
        measured: against all other rows.
        p_value: by Holm, over all slices that were looked at.
        repeats: slices that lost too, and only repeat this one.
    """

    which: Slice
    measured: Excess
    p_value: float
    repeats: tuple[Slice, ...]


def standing_slices(
    rows: ComparedRows, items: Items, looked: Looked, *, least: int, error_rate: float, most: int
) -> list[StandingSlice]:
    """Return the slices that lost most, the surest first.

    All slices that were looked at are tested together by S. Holm (A Simple Sequentially Rejective Multiple Test
    Procedure, Scandinavian Journal of Statistics 6, 1979), the error rate shared alike between declared slices, single
    columns and pairs: the chance that any of them is a false one is at most ``error_rate``.
    """
    measured = _measure(rows, items, looked.slices, least)
    judged = holm(measured, items, looked.tried)
    significant = {which: p for which, p in judged.items() if p <= error_rate}
    waiting = sorted(significant, key=lambda which: (-measured[which].z, not items.is_declared(which)))
    taken = (np.zeros(rows.reference.rows, bool), np.zeros(rows.current.rows, bool))
    standing: list[StandingSlice] = []
    while waiting and len(standing) < most:
        best = _widest(rows, items, waiting[0], significant, measured, least)
        mine = items.masks(best)
        taken = taken[0] | mine[0], taken[1] | mine[1]
        kept = [which for which in waiting if which != best and _adds(rows, items, which, taken, least)]
        repeats = tuple(which for which in waiting if which != best and which not in kept)
        standing.append(StandingSlice(best, measured[best], significant[best], repeats))
        waiting = kept
    return standing


def holm(measured: dict[Slice, Excess], items: Items, tried: dict[Family, int]) -> dict[Slice, float]:
    """Return adjusted p-values: those that are not measured count as the least sure of their family."""
    adjusted = {}
    for family, number in tried.items():
        own = sorted((each.p_value, which) for which, each in measured.items() if family_of(items, which) == family)
        so_far = 0.0
        for place, (p, which) in enumerate(own):
            so_far = max(so_far, min(1.0, p * (number - place) * FAMILIES))
            adjusted[which] = so_far
    return adjusted


def _measure(rows: ComparedRows, items: Items, slices: Sequence[Slice], least: int) -> dict[Slice, Excess]:
    measured = {}
    for which in slices:
        inside = items.masks(which)
        excess = measure_excess(rows, inside, (~inside[0], ~inside[1]), least, may_be_new=len(which) == 1)
        if excess is not None:
            measured[which] = excess
    return measured


def _widest(
    rows: ComparedRows,
    items: Items,
    best: Slice,
    significant: dict[Slice, float],
    measured: dict[Slice, Excess],
    least: int,
) -> Slice:
    """Return the slice of one column that a pair is part of, if all of it lost; else the pair."""
    parents = [(item,) for item in best if len(best) > 1 and (item,) in significant]
    part = items.masks(best)
    for parent in sorted(parents, key=lambda which: -measured[which].z):
        whole = items.masks(parent)
        rest = whole[0] & ~part[0], whole[1] & ~part[1]
        if rest[1].sum() < least:
            return parent
        alone = measure_excess(rows, rest, (~whole[0], ~whole[1]), least)
        if alone is not None and alone.z > _ALIKE:
            return parent
    return best


def _adds(rows: ComparedRows, items: Items, which: Slice, taken: tuple[np.ndarray, np.ndarray], least: int) -> bool:
    """Return whether a slice lost more than the other rows without those of the slices that stand."""
    inside = items.masks(which)
    free = inside[0] & ~taken[0], inside[1] & ~taken[1]
    outside = ~inside[0] & ~taken[0], ~inside[1] & ~taken[1]
    alone = measure_excess(rows, free, outside, least, may_be_new=len(which) == 1)
    return alone is not None and alone.z > _ALIKE
