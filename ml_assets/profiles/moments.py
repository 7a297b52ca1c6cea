"""Mean, spread, skewness and kurtosis, which merge without the values they are of."""

import math
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class CentralMoments:
    """Count, mean, and sums of squared, cubed and fourth powers of what lies between the values and their mean.

    Merged by the formulas of T. F. Chan, G. H. Golub, R. J. LeVeque (Updating Formulae and a Pairwise Algorithm for
    Computing Sample Variances, 1979), of higher order by P. Pébay (Formulas for Robust, One-Pass Parallel Computation
    of Covariances and Arbitrary-Order Statistical CentralMoments, Sandia report 2008-6212).
    """

    count: int = 0
    mean: float = 0.0
    second: float = 0.0
    third: float = 0.0
    fourth: float = 0.0

    @classmethod
    def of(cls, values: np.ndarray) -> "CentralMoments":
        """Measure finite values, float64 of shape (n,)."""
        if not values.size:
            return cls()
        with np.errstate(over="ignore", invalid="ignore"):
            mean = float(values.mean())
            off = values - mean
            squares = off * off
            return cls(
                values.size,
                mean,
                float(squares.sum()),
                # Not by BLAS, whose threads cost more than they save here.
                float(np.einsum("i,i->", squares, off)),
                float(np.einsum("i,i->", squares, squares)),
            )

    def merge(self, other: "CentralMoments") -> "CentralMoments":
        """Return those of both sets of values together."""
        if not self.count or not other.count:
            return self if self.count else other
        n, m = self.count, other.count
        both, step = n + m, other.mean - self.mean
        # By products: a power of floats raises where a product is infinite.
        share = step / both
        square = share * share
        second = self.second + other.second + step * share * n * m
        third = (
            self.third
            + other.third
            + step * square * n * m * (n - m)
            + 3 * share * (n * other.second - m * self.second)
        )
        fourth = (
            self.fourth
            + other.fourth
            + step * square * share * n * m * (n * n - n * m + m * m)
            + 6 * square * (n * n * other.second + m * m * self.second)
            + 4 * share * (n * other.third - m * self.third)
        )
        return CentralMoments(both, self.mean + share * m, second, third, fourth)

    @property
    def variance(self) -> float | None:
        """Of the population; None without a value."""
        return self.second / self.count if self.count else None

    @property
    def skewness(self) -> float | None:
        """Third standardized moment; None where all values are equal, or too large for powers of them."""
        variance = self.second / self.count if self.count else 0.0
        return _finite_ratio(self.third / self.count, variance * math.sqrt(variance)) if variance > 0 else None

    @property
    def kurtosis(self) -> float | None:
        """Fourth standardized moment, 3 of a normal distribution; None where all values are equal or too large."""
        return _finite_ratio(self.fourth * self.count, self.second * self.second) if self.second > 0 else None


def _finite_ratio(value: float, of: float) -> float | None:
    return value / of if of > 0 and math.isfinite(value) and math.isfinite(of) else None
