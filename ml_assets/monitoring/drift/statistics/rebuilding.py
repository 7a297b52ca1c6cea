"""Rows rebuilt from their main components.

To the last bit what scikit-learn's ``SimpleImputer``, ``StandardScaler`` and ``PCA`` give one after another, the import
of which takes longer than all that a drop's drift does.
"""

from dataclasses import dataclass

import numpy as np

VARIANCE = 0.65
"""Share of the variance that the components keep, as in NannyML."""


@dataclass(frozen=True)
class Components:
    """What was learned from rows of numbers, f numbers each, of which those without any value (NaN) are left out.

    Attributes:
        filled: in place of a missing value, shape (f,): the mean; NaN for what is left out.
        mean, scale: with which the others, g of them, are standardized, shape (g,).
        centre: of the standardized rows, shape (g,).
        main: shape (components, g).
    """

    filled: np.ndarray
    mean: np.ndarray
    scale: np.ndarray
    centre: np.ndarray
    main: np.ndarray

    @classmethod
    def learn(cls, rows: np.ndarray) -> "Components":
        """Learn from rows, float64 of shape (n, f) with n, f > 0, NaN where a value is missing and nothing infinite."""
        means = np.ma.mean(np.ma.masked_array(rows, mask=np.isnan(rows)), axis=0)
        filled = np.ma.getdata(means)
        filled[np.ma.getmaskarray(means)] = np.nan
        complete = _complete(rows, filled)
        mean, scale = _spread(complete)
        standard = _standardized(complete, mean, scale)
        return cls(filled, mean, scale, *_main(standard))

    def errors(self, rows: np.ndarray) -> np.ndarray:
        """Return how far rows, shape (m, f), lie from what is rebuilt of them, shape (m,)."""
        standard = _standardized(_complete(rows, self.filled), self.mean, self.scale)
        told = standard @ self.main.T
        told -= self.centre.reshape(1, -1) @ self.main.T
        return np.linalg.norm(standard - (told @ self.main + self.centre), axis=1)


def _complete(rows: np.ndarray, filled: np.ndarray) -> np.ndarray:
    """Return a copy with the missing values filled."""
    there = np.flatnonzero(~np.isnan(filled))
    complete = np.array(rows) if len(there) == len(filled) else rows[:, there]
    missing = np.isnan(complete)
    complete[np.where(missing.T)[::-1]] = np.repeat(filled[there], missing.sum(axis=0))
    return complete


def _spread(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return means and standard deviations, 1 where nothing but rounding is between the values.

    The variance is that of two passes, corrected (T. F. Chan, G. H. Golub, R. J. LeVeque, Algorithms for Computing the
    Sample Variance, The American Statistician 37, 1983).
    """
    count, smallest = len(rows), np.finfo(np.float64).eps
    mean = rows.sum(axis=0) / count
    off = rows - mean
    correction = off.sum(axis=0)
    off **= 2
    variance = (off.sum(axis=0) - correction**2 / count) / count
    constant = variance <= count * smallest * variance + (count * mean * smallest) ** 2
    return mean, np.where(constant, 1.0, np.sqrt(variance))


def _standardized(rows: np.ndarray, mean: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Standardize rows in place."""
    rows -= mean
    rows /= scale
    return rows


def _main(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the centre of rows and the components that keep more than ``VARIANCE`` of their variance."""
    centre = rows.mean(axis=0)
    variances, components = _of_covariance(rows, centre) if _tall(rows) else _of_rows(rows, centre)
    greatest = np.abs(components).argmax(axis=1)
    components *= np.sign(components[np.arange(len(components)), greatest])[:, None]
    kept = np.cumsum(variances / variances.sum())
    return centre, np.array(components[: np.searchsorted(kept, VARIANCE, side="right") + 1])


def _tall(rows: np.ndarray) -> bool:
    return rows.shape[1] <= 1_000 and len(rows) >= 10 * rows.shape[1]


def _of_covariance(rows: np.ndarray, centre: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    covariance = rows.T @ rows
    covariance -= len(rows) * centre.reshape(-1, 1) * centre.reshape(1, -1)
    covariance /= len(rows) - 1
    variances, components = np.linalg.eigh(covariance)
    variances = np.flip(variances, axis=0)
    variances[variances < 0.0] = 0.0
    return variances, np.flip(components, axis=1).T


def _of_rows(rows: np.ndarray, centre: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    from scipy.linalg import svd

    _, singular, components = svd(rows - centre, full_matrices=False)
    return singular**2 / (len(rows) - 1), components
