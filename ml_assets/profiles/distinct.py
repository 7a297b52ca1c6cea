"""How many different values there are, by the smallest hashes (Z. Bar-Yossef et al., Counting Distinct Elements in a
Data Stream, RANDOM 2002): exact up to a bound, an estimate above, and merged as if all rows had been seen at once."""

from dataclasses import dataclass

import numpy as np

from ml_assets.profiles.cuts import is_first

BITS = 48
_SPACE = 2.0**BITS
_KEPT = np.uint64(64 - BITS)


@dataclass(frozen=True, eq=False)
class Distinct:
    """The smallest hashes of the values seen, ascending, at most ``most`` of them; of 48 bits."""

    hashes: np.ndarray
    most: int

    @property
    def exact(self) -> bool:
        """Whether every value is counted; else the number is an estimate."""
        return len(self.hashes) < self.most

    @property
    def number(self) -> float:
        """How many different values there are."""
        return estimated_number(self.hashes, self.most)

    @property
    def relative_error(self) -> float:
        """Standard error of the number, as a share of it; 0 where it is exact."""
        return relative_error(self.hashes, self.most)

    def merge(self, other: "Distinct") -> "Distinct":
        """Return that of both sets of values together."""
        return Distinct(_smallest(np.concatenate([self.hashes, other.hashes]), self.most), self.most)

    @classmethod
    def of(cls, different: np.ndarray, most: int) -> "Distinct":
        """Count values that are all different, float64 without NaN."""
        hashes = hash_numbers(different)
        if hashes.size > 4 * most:
            # The smallest of hashes that are spread evenly lie below this, or nearly always.
            few = hashes[hashes < np.uint64(2 * most * int(_SPACE) // hashes.size)]
            hashes = few if few.size >= most else hashes
        return cls(_smallest(hashes, most), most)


def _smallest(hashes: np.ndarray, most: int) -> np.ndarray:
    ordered = np.sort(hashes)
    return ordered[is_first(ordered)][:most]


def estimated_number(hashes: np.ndarray, most: int) -> float:
    """Return how many values have hashes of which these are the smallest, ``most`` at most."""
    return float(len(hashes)) if len(hashes) < most else (most - 1) * _SPACE / (float(hashes[-1]) + 1)


def relative_error(hashes: np.ndarray, most: int) -> float:
    """Return the standard error of that number, as a share of it."""
    return 0.0 if len(hashes) < most else (most - 2) ** -0.5


def hash_numbers(values: np.ndarray) -> np.ndarray:
    """Hash float64 by their bits; -0.0 is 0.0. Mixed with the finalizer of SplitMix64 (Steele, Lea and Flood, 2014)."""
    words = (values + 0.0).view(np.uint64)
    with np.errstate(over="ignore"):
        words *= np.uint64(0x9E3779B97F4A7C15)
        words ^= words >> np.uint64(30)
        words *= np.uint64(0xBF58476D1CE4E5B9)
        words ^= words >> np.uint64(27)
        words *= np.uint64(0x94D049BB133111EB)
        words ^= words >> np.uint64(31)
    return words >> _KEPT
