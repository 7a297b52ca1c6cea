"""Sums of floats and integers without rounding, so that a window's sum does not depend on the rows around it.

A number is held as limbs, {k: int64 array} for the sum over k of limb[k] * 2**(30 k): a fixed-point number as
wide as the data needs, after Kulisch's long accumulator (U. Kulisch, W. Miranker, "Computer Arithmetic in
Theory and Practice", 1981). Differences of prefix sums are then exact, and each result is rounded once, at
the end. Limbs have 30 bits so that products, and sums over 2**31 rows, stay within int64; they start at fixed
powers of two so that a sum has the same limbs, and rounds the same way, whatever else was in the column.
"""

import numpy as np

Limbs = dict[int, np.ndarray]

BITS = 30
_MASK = (1 << BITS) - 1
# The place that the highest limb takes while rounding: below the largest float, 2**1024, far above the smallest.
_HEADROOM = 31


def split(values: np.ndarray) -> Limbs:
    """Split int64 or finite float64 values into limbs below 2**30 in magnitude."""
    if values.dtype == np.int64:
        if values.min(initial=0) >= -_MASK and values.max(initial=0) <= _MASK:
            return _nonzero({0: values})
        return _nonzero({0: values & _MASK, 1: (values >> BITS) & _MASK, 2: values >> (2 * BITS)})
    limbs: Limbs = {}
    rest = values
    while (largest := np.abs(rest).max(initial=0.0)) > 0:
        place = (int(np.frexp(largest)[1]) - 1) // BITS
        limb = np.trunc(np.ldexp(rest, -BITS * place))
        limbs[place] = limb.astype(np.int64)
        rest = rest - np.ldexp(limb, BITS * place)
    return limbs


def prefix_sums(limbs: Limbs) -> Limbs:
    """Sum the first 0, 1, ... n values: arrays of length n + 1."""
    return {place: np.concatenate([[0], np.cumsum(limb)]) for place, limb in limbs.items()}


def between(prefixes: Limbs, start: np.ndarray, end: np.ndarray) -> Limbs:
    """Sum the values from `start` up to, not including, `end`: normal differences of prefix sums."""
    return normal({place: prefix[end] - prefix[start] for place, prefix in prefixes.items()})


def normal(limbs: Limbs) -> Limbs:
    """Normalize limbs: every limb but the highest is in [0, 2**30), and the highest has the sign."""
    carried: Limbs = {}
    carry: np.ndarray | None = None
    for place in range(min(limbs, default=0), max(limbs, default=-1) + 1):
        limb = np.asarray(limbs.get(place, 0))
        total = limb if carry is None else limb + carry
        carried[place], carry = total & _MASK, total >> BITS
    if carry is not None:
        carried[max(carried) + 1] = carry
    return _nonzero(carried)


def square(limbs: Limbs) -> Limbs:
    """Square values with limbs below 2**31 in magnitude, as `split` and `normal` give them; the result is normal."""
    places = sorted(limbs)
    total: Limbs = {}
    for i, low in enumerate(places):
        for high in places[i:]:
            product = limbs[low] * limbs[high]
            times = 1 if low == high else 2
            for place, part in ((low + high, product & _MASK), (low + high + 1, product >> BITS)):
                total[place] = total.get(place, 0) + times * part
    return normal(total)


def scaled_difference(left: Limbs, factor: np.ndarray, right: Limbs) -> Limbs:
    """Return factor * left - right for normal limbs and factors below 2**31; normal."""
    total = {place: limb * factor for place, limb in left.items()}
    for place, limb in right.items():
        total[place] = total.get(place, 0) - limb
    return normal(total)


def to_float(limbs: Limbs, size: int) -> tuple[np.ndarray, int]:
    """Round normal limbs to float64: (m, e) for the values m * 2**(30 e); `size` is their number.

    The relative error is below 2**-51 for values within 2**1900 of the largest.
    """
    scale = max(limbs, default=0) - _HEADROOM
    value = np.zeros(size)
    # From the top: the running value is exact until it fills the 53 bits; from then on no limb can cancel it.
    for place in sorted(limbs, reverse=True):
        value = value + limbs[place] * 2.0 ** (BITS * (place - scale))
    return value, scale


def to_int(limbs: Limbs, size: int) -> np.ndarray:
    """Return normal limbs of whole numbers as int64.

    Raises:
        OverflowError: a value is beyond int64.
    """
    approximate, scale = to_float(limbs, size)
    if np.abs(np.ldexp(approximate, BITS * scale)).max(initial=0.0) >= 2.0**63:
        raise OverflowError("a sum is beyond Int64")
    value = np.zeros(size, np.int64)
    for place, limb in limbs.items():
        value += limb << (BITS * place)
    return value


def _nonzero(limbs: Limbs) -> Limbs:
    return {place: limb for place, limb in limbs.items() if limb.any()}
