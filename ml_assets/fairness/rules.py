"""How each limit that can be declared is read."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Limit:
    """How a limit is read.

    Attributes:
        measures: the measures of groups that it is about.
        words: what is held against it.
        least: whether it is the least value, not the greatest.
    """

    measures: tuple[str, ...]
    words: str
    least: bool = False


LIMITS: Mapping[str, Limit] = {
    "selection_ratio": Limit(("selection_rate",), "lowest selection rate as a share of the highest", least=True),
    "selection_difference": Limit(("selection_rate",), "difference of the highest and the lowest selection rate"),
    "odds_difference": Limit(("tpr", "fpr"), "greatest difference of true or false positive rates"),
    "precision_difference": Limit(("precision",), "difference of the highest and the lowest precision"),
    "calibration_gap": Limit(("calibration_gap",), "greatest distance of mean score from mean outcome"),
    "calibration_error": Limit(("calibration_error",), "greatest expected calibration error"),
    "bias": Limit(("bias",), "greatest distance of the mean error from 0"),
    "mae_ratio": Limit(("mae",), "greatest mean absolute error as a multiple of the least"),
}
