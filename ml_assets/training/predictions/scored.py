"""A scored frame: rows with the columns that a model's predictions become."""

import numpy as np
import polars as pl

from ml_assets.training.fit import TrainedModel, predict
from ml_assets.training.tasks import find_task


def scored(rows: pl.DataFrame, model: TrainedModel) -> pl.DataFrame:
    """Add to ``rows`` what the model predicts for them; see ``score_columns``.

    Raises:
        ValueError: a feature is missing, has changed its kind, or is infinite.
    """
    return rows.with_columns(score_columns(model, predict(model, rows)))


def score_columns(model: TrainedModel, score: np.ndarray) -> list[pl.Series]:
    """Return the columns of what ``predict`` gave, as the model's task names them.

    - binary: ``score``, the probability of the positive class, and ``prediction``, whether it reaches the threshold.
    - regression: ``score`` and ``prediction``, both the value, and with intervals ``lower`` and ``upper``.
    - multiclass: ``score``, the highest probability, ``prediction``, its class in the label's own type (text for a
      category), and ``probability_<class>`` for each class.

    All but ``prediction`` are float64.
    """
    return find_task(model.task).score_columns(model, score)
