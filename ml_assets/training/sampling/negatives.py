"""A share of the negatives left out of training, and the probabilities of all rows that follow from it."""

from dataclasses import dataclass

import numpy as np
import polars as pl

from ml_assets.training.calibration.probabilities import Calibration, Curve

PRIOR = "prior"
"""Method of a calibration that only makes up for the negatives left out."""


@dataclass(frozen=True)
class Thinned:
    """Training rows of which some negatives are left out.

    Attributes:
        kept: share of the negatives that are left, exactly; 1 if all are.
        left_out: how many are not.
    """

    rows: pl.DataFrame
    kept: float = 1.0
    left_out: int = 0


def thin_negatives(train: pl.DataFrame, positive: np.ndarray, share: float | None, seed: int) -> Thinned:
    """Keep every positive and a seeded share of the negatives, in their order.

    Args:
        positive: whether each row is, shape (rows,).
        share: above 0, at most 1; None keeps all.
    """
    negatives = np.flatnonzero(~positive)
    number = len(negatives) if share is None else max(1, round(share * len(negatives)))
    if number >= len(negatives):
        return Thinned(train)
    drawn = np.random.default_rng(seed).choice(negatives, number, replace=False, shuffle=False)
    kept = np.sort(np.concatenate([np.flatnonzero(positive), drawn]))
    return Thinned(train[kept], number / len(negatives), len(negatives) - number)


def prior_correction(kept: float) -> Calibration:
    """Return the correction of probabilities learned from all positives and a share ``kept`` of the negatives.

    Where the sample says p, the probability among all rows is ``p * kept / (p * kept + 1 - p)``: the odds times
    ``kept`` (Dal Pozzolo, Caelen, Johnson and Bontempi, "Calibrating probability with undersampling for unbalanced
    classification", SSCI 2015). As log-odds that is a line of slope 1.
    """
    return Calibration(method=PRIOR, curves=(Curve(slope=1.0, intercept=float(np.log(kept))),))


def describe_correction(kept: float) -> str:
    """Say in a sentence what was left out and what makes up for it."""
    return (
        f"It learned from {kept:.2%} of the negatives, beside all positives; probabilities are corrected to those among"
        f" all rows (log-odds {np.log(kept):+.4f}, or by the calibration)."
    )
