"""Every slice of one column or two at once: sums of losses by matrix products.

Slices are enumerated as in S. Sagadeeva, M. Boehm, SliceLine: Fast, Linear-Algebra-based Slice Finding for ML Model
Debugging (SIGMOD 2021): rows as zeros and ones by item, so that a product of matrices counts and sums the rows of all
pairs of items. A slice is judged as in Y. Chung et al., Slice Finder: Automated Data Slicing for Model Validation (ICDE
2019): by its losses against those of the other rows, here by how much more they have grown since the reference.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from ml_assets.diagnosis.rows import ComparedRows
from ml_assets.diagnosis.slices.items import Items, Slice

_CHUNK = 8_192
"""Rows whose zeros and ones are held at once."""

Family = Literal["declared", "single", "pair"]
"""Slices of declared columns, of another column, and of two columns."""


@dataclass(frozen=True)
class Looked:
    """Slices that were looked at.

    Attributes:
        slices: the most promising ones, by their excess in standard errors, the greatest first.
        tried: how many slices had enough rows, by family.
        items_left_out: items that were not paired, as there are too many.
    """

    slices: tuple[Slice, ...]
    tried: dict[Family, int]
    items_left_out: int


def family_of(items: Items, which: Slice) -> Family:
    """Return the family that a slice is tested in."""
    if items.is_declared(which):
        return "declared"
    return "single" if len(which) == 1 else "pair"


def search_slices(rows: ComparedRows, items: Items, *, least: int, most_items: int, candidates: int) -> Looked:
    """Look at every item and at every pair of items of two columns.

    Args:
        least: rows of the later period that a slice must have, and must not have to be a slice of them.
        most_items: items that are paired: those of declared slices, then those with the greatest excess.
        candidates: slices returned, of each family.
    """
    if not items.conditions:
        return Looked((), {"declared": 0, "single": 0, "pair": 0}, 0)
    every = np.arange(len(items.conditions))
    alone = _z(_sums(rows, items, every, pairs=False), rows, least)
    order = np.lexsort((-np.nan_to_num(alone, nan=-np.inf), items.column[every] >= items.declared))
    paired = np.sort(order[:most_items])
    together = _z(_sums(rows, items, paired, pairs=True), rows, least)
    upper = np.triu(items.column[paired][:, None] != items.column[paired][None, :], 1)
    together = np.where(upper, together, np.nan)
    of_pairs = np.argwhere(~np.isnan(together))
    found: list[tuple[float, Slice]] = [(float(alone[at]), (int(at),)) for at in np.flatnonzero(~np.isnan(alone))]
    pairs_z = together[tuple(of_pairs.T)]
    declared = (items.column[paired][of_pairs] < items.declared).all(axis=1)
    tried: dict[Family, int] = {
        "declared": sum(items.is_declared(which) for _, which in found) + int(declared.sum()),
        "single": sum(not items.is_declared(which) for _, which in found),
        "pair": int((~declared).sum()),
    }
    for part in (declared, ~declared):
        at = np.flatnonzero(part)
        best = at[np.argsort(-pairs_z[at], kind="stable")[:candidates]]
        found += [(float(pairs_z[k]), (int(paired[i]), int(paired[j]))) for k in best for i, j in [of_pairs[k]]]
    found.sort(key=lambda each: -each[0])
    kept, taken = [], dict.fromkeys(tried, 0)
    for z, which in found:
        family = family_of(items, which)
        if z > 0 and taken[family] < candidates:
            taken[family] += 1
            kept.append(which)
    return Looked(tuple(kept), tried, len(every) - len(paired))


@dataclass(frozen=True)
class _Sums:
    """Rows, sums of losses and of their squares, of the reference and of the later period."""

    before: tuple[np.ndarray, np.ndarray, np.ndarray]
    now: tuple[np.ndarray, np.ndarray, np.ndarray]


def _sums(rows: ComparedRows, items: Items, wanted: np.ndarray, *, pairs: bool) -> _Sums:
    middle = rows.reference.loss.mean()
    parts = [
        _sum_up(codes, items.column, part.loss - middle, wanted, pairs=pairs)
        for codes, part in ((items.reference, rows.reference), (items.current, rows.current))
    ]
    return _Sums(parts[0], parts[1])


def _sum_up(
    codes: np.ndarray, column: np.ndarray, loss: np.ndarray, wanted: np.ndarray, *, pairs: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return counts, sums and sums of squares: shape (items,), or (items, items) of pairs."""
    if not pairs:
        size = int(wanted[-1]) + 1
        there = codes >= 0
        at = codes[there]
        each = np.broadcast_to(loss[:, None], codes.shape)[there]
        sums = (np.bincount(at, weights, size)[wanted] for weights in (None, each, each**2))
        count, total, square = (part.astype(np.float64) for part in sums)
        return count, total, square
    shape = (len(wanted), len(wanted))
    count, total, square = np.zeros(shape), np.zeros(shape), np.zeros(shape)
    for start in range(0, len(codes), _CHUNK):
        part, of_part = codes[start : start + _CHUNK], loss[start : start + _CHUNK].astype(np.float32)[:, None]
        has = (part[:, column[wanted]] == wanted[None, :]).astype(np.float32)
        weighed = has * of_part
        count += has.T @ has
        total += weighed.T @ has
        square += weighed.T @ weighed
    return count, total, square


def _z(sums: _Sums, rows: ComparedRows, least: int) -> np.ndarray:
    """Return how many standard errors more than the other rows each slice lost; NaN where it has too few rows.

    An item that the reference hardly has is held against all of the reference; a pair is not: its items may be what is
    hard to predict about it.
    """
    middle = rows.reference.loss.mean()
    whole = [
        (float(part.rows), float((part.loss - middle).sum()), float(((part.loss - middle) ** 2).sum()))
        for part in (rows.reference, rows.current)
    ]
    new = sums.before[0] < least
    rest_before = [total - part for total, part in zip(whole[0], sums.before, strict=True)]
    rest_now = [total - part for total, part in zip(whole[1], sums.now, strict=True)]
    before = [np.where(new, total, part) for total, part in zip(whole[0], sums.before, strict=True)]
    enough = ((new.ndim == 1) | ~new) & (sums.now[0] >= least) & (rest_now[0] >= least) & (rest_before[0] >= least)
    with np.errstate(divide="ignore", invalid="ignore"):
        inside, outside = _mean(sums.now) - _mean(before), _mean(rest_now) - _mean(rest_before)
        spread = sum(_spread(part) for part in (sums.now, before, rest_now, rest_before))
        z = (inside - outside) / np.sqrt(spread)
    return np.where(enough & np.isfinite(z), z, np.nan)


def _mean(part) -> np.ndarray:
    return part[1] / part[0]


def _spread(part) -> np.ndarray:
    """Return the variance of a mean; of losses that are all alike as good as none."""
    return np.maximum(part[2] / part[0] - _mean(part) ** 2, 1e-12) / part[0]
