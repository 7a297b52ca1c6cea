"""How each feature moved a score, and what another value would do."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from ml_assets.console.pages.prediction.what_if import FeatureChanges, changed
from ml_assets.training.evaluation.explain import contributions
from ml_assets.training.fit import TrainedModel, predict
from ml_assets.training.predictions.scored import score_columns


@dataclass(frozen=True)
class Explanation:
    """A row scored and explained by one version.

    Attributes:
        answer: score, prediction and what the task adds.
        base: what the score's margin is without any feature; None of a kind without contributions.
        contributions: feature -> how far it moved the margin: the log-odds of a probability before calibration, or the
            value. Base and contributions add up to the margin. Empty of a kind without.
        of_class: of several classes the one that the contributions are for; empty for another task.
    """

    answer: Mapping[str, Any]
    base: float | None
    contributions: Mapping[str, float]
    of_class: str = ""

    @property
    def margin(self) -> float | None:
        return None if self.base is None else self.base + sum(self.contributions.values())


@dataclass(frozen=True)
class WhatIf:
    """A row with changed features, scored by the same version.

    Attributes:
        changes: feature -> value before and after.
        unseen: changed features with a category that training did not see.
    """

    before: Explanation
    after: Explanation
    changes: Mapping[str, tuple[Any, Any]]
    unseen: Sequence[str]

    @property
    def score_change(self) -> float:
        return self.after.answer["score"] - self.before.answer["score"]

    @property
    def moved(self) -> list[tuple[str, float, float]]:
        """Features whose contribution changed, the largest change first: feature, before, after."""
        before, after = self.before.contributions, self.after.contributions
        pairs = [(name, before[name], after[name]) for name in after if before[name] != after[name]]
        return sorted(pairs, key=lambda pair: -abs(pair[2] - pair[1]))


def explain(model: TrainedModel, row: pl.DataFrame, of_class: str = "") -> Explanation:
    """Score a row, and say how each feature moved its score.

    Args:
        of_class: of several classes the one to explain; by default the predicted one.

    Raises:
        ValueError: a feature is missing or of another kind than in training.
    """
    answer = {column.name: column[0] for column in score_columns(model, predict(model, row))}
    if not model.model_kind.has_contributions:
        return Explanation(answer, None, {})
    values: np.ndarray = contributions(model, row)[0]
    if values.ndim == 2:
        classes = [str(name) for name in model.classes or ()]
        of_class = of_class or str(answer["prediction"])
        values = values[classes.index(of_class)]
    *own, base = values.tolist()
    return Explanation(answer, base, dict(zip(model.features, own, strict=True)), of_class)


def what_if(model: TrainedModel, row: pl.DataFrame, changes: FeatureChanges, before: Explanation) -> WhatIf:
    """Score a row with changed features; derived features stay as they are unless they are changed too."""
    after = explain(model, changed(row, changes, model.encoding), before.of_class)
    pairs = {name: (row[name][0], value) for name, value in changes.values.items()}
    return WhatIf(before, after, pairs, changes.unseen)
