"""What is looked at of each group's rows: a decision for or against one class, or the error of a number.

Everything measured is a function of sums over rows, so that groups are added up to the rest, and resampled, without
their rows.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import polars as pl

Sums = Mapping[str, np.ndarray]
"""Name -> sums over rows, arrays of one shape."""

DIFFERENCE, RATIO = "difference", "ratio"
_BINS = 10


@dataclass(frozen=True)
class FairnessView(ABC):
    """One way to look at scored rows, of which some outcomes are null because they are not known yet.

    Attributes:
        name: the class that it is about; empty where there is one view alone.
        measured: the measures that it gives.
        rates: those that are shares of counted rows: sums of the rows that count, and of those they are counted among.
        compared: measure -> how a group is compared with the rest.
    """

    name: str

    measured: ClassVar[tuple[str, ...]]
    rates: ClassVar[Mapping[str, tuple[str, str]]] = {}
    compared: ClassVar[Mapping[str, Sequence[str]]] = {}

    @abstractmethod
    def sums(self) -> dict[str, pl.Expr]:
        """Return what is summed over the rows of a group, ``rows`` and ``known`` (with a known outcome) among them."""

    @abstractmethod
    def measure(self, sums: Sums) -> dict[str, np.ndarray]:
        """Return the measures of some sums, of their shape; NaN where a measure is undefined."""


@dataclass(frozen=True)
class Decided(FairnessView):
    """A decision for or against: one class, or the positive one.

    - selection_rate: share of all rows that are selected.
    - tpr, fpr, precision: of rows whose outcome is known (M. Hardt, E. Price, N. Srebro, Equality of Opportunity in
      Supervised Learning, NeurIPS 2016).
    - calibration_gap: mean score less mean outcome; calibration_error: its absolute value in each of ten bins of equal
      width of the score, averaged over rows (M. Naeini, G. Cooper, M. Hauskrecht, AAAI 2015).

    Attributes:
        selected: whether the row is selected, Boolean.
        outcome: whether it is of the class, Boolean; null where that is not known.
        score: probability of the class.
    """

    selected: pl.Expr
    outcome: pl.Expr
    score: pl.Expr

    measured = (
        "selection_rate", "tpr", "fpr", "precision", "mean_outcome", "mean_score", "calibration_gap",
        "calibration_error",
    )  # fmt: skip
    rates: ClassVar[Mapping[str, tuple[str, str]]] = {
        "selection_rate": ("selected", "rows"),
        "tpr": ("tp", "positive"),
        "fpr": ("fp", "negative"),
        "precision": ("tp", "selected_known"),
        "mean_outcome": ("positive", "known"),
    }
    compared: ClassVar[Mapping[str, Sequence[str]]] = {
        "selection_rate": (DIFFERENCE, RATIO),
        "tpr": (DIFFERENCE,),
        "fpr": (DIFFERENCE,),
        "precision": (DIFFERENCE,),
        "calibration_gap": (DIFFERENCE,),
    }

    def sums(self) -> dict[str, pl.Expr]:
        """Count rows, selected ones and outcomes, and add up scores, by bin too."""
        known, yes, score = self.outcome.is_not_null(), self.outcome.fill_null(False), self.score
        place = (score * _BINS).floor().clip(0, _BINS - 1)
        inside = [known & (place == number) for number in range(_BINS)]
        off = (score - yes.cast(pl.Float64)) * known
        return {
            "rows": pl.lit(1.0),
            "known": known,
            "selected": self.selected,
            "selected_known": self.selected & known,
            "positive": yes,
            "negative": known & ~yes,
            "tp": self.selected & yes,
            "fp": self.selected & known & ~yes,
            "score": pl.when(known).then(score).otherwise(0.0),
            **{f"off_{number}": pl.when(which).then(off).otherwise(0.0) for number, which in enumerate(inside)},
        }

    def measure(self, sums: Sums) -> dict[str, np.ndarray]:
        """Divide the sums."""
        rates = {name: _divide(sums[hits], sums[of]) for name, (hits, of) in self.rates.items()}
        off = np.sum([np.abs(sums[f"off_{number}"]) for number in range(_BINS)], axis=0)
        mean_score = _divide(sums["score"], sums["known"])
        return {
            **rates,
            "mean_score": mean_score,
            "calibration_gap": mean_score - rates["mean_outcome"],
            "calibration_error": _divide(off, sums["known"]),
        }


@dataclass(frozen=True)
class Estimated(FairnessView):
    """A number that is predicted; errors are prediction less outcome, in the label's unit.

    Attributes:
        outcome: the number, Float64; null where it is not known.
        value: the prediction, Float64.
    """

    outcome: pl.Expr
    value: pl.Expr

    measured = ("mean_prediction", "mean_outcome", "bias", "mae")
    compared: ClassVar[Mapping[str, Sequence[str]]] = {
        "mean_prediction": (DIFFERENCE,),
        "bias": (DIFFERENCE,),
        "mae": (DIFFERENCE, RATIO),
    }

    def sums(self) -> dict[str, pl.Expr]:
        """Add up predictions, outcomes and errors."""
        error = self.value - self.outcome
        return {
            "rows": pl.lit(1.0),
            "known": self.outcome.is_not_null(),
            "prediction": self.value,
            "outcome": self.outcome.fill_null(0.0),
            "error": error.fill_null(0.0),
            "absolute": error.abs().fill_null(0.0),
        }

    def measure(self, sums: Sums) -> dict[str, np.ndarray]:
        """Divide the sums."""
        return {
            "mean_prediction": _divide(sums["prediction"], sums["rows"]),
            "mean_outcome": _divide(sums["outcome"], sums["known"]),
            "bias": _divide(sums["error"], sums["known"]),
            "mae": _divide(sums["absolute"], sums["known"]),
        }


def _divide(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(whole > 0, part / whole, np.nan)
