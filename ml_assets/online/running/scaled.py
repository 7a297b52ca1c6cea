"""Exact numbers as whole numbers times a power of two, rounded as `features.engine.windows.exact` rounds."""

import math

from ml_assets.features.engine.windows.exact import BITS

_MASK = (1 << BITS) - 1
_SIGNIFICANT = 5
"""Limbs from the highest that can reach the 53 bits of a float: below them nothing changes any more."""


def scaled(values: list, floats: bool) -> tuple[list[int], int]:
    """Turn finite numbers into whole numbers and their common exponent: each is number * 2**exponent.

    Args:
        values: numbers; None counts as 0.
        floats: whether they are floats; whole numbers have exponent 0.
    """
    if not floats:
        return [value or 0 for value in values], 0
    values = [value or 0.0 for value in values]
    if all(map(float.is_integer, values)):
        return list(map(int, values)), 0
    ratios = [value.as_integer_ratio() for value in values]
    places = max(denominator for _, denominator in ratios).bit_length()
    return [number << (places - denominator.bit_length()) for number, denominator in ratios], 1 - places


def rounded(number: int, exponent: int) -> tuple[float, int]:
    """Round number * 2**exponent to (m, e) for m * 2**e, limb by limb from the highest, as the engine does."""
    below, shift = divmod(exponent, BITS)
    number <<= shift
    top = number.bit_length() // BITS
    value = float(number >> (BITS * top))
    for place in range(top - 1, max(top - 1 - _SIGNIFICANT, -1), -1):
        value += math.ldexp((number >> (BITS * place)) & _MASK, BITS * (place - top))
    return value, BITS * (below + top)
