"""What answers a request whose features are not as its model requires: another model, or a constant."""

import numpy as np

from ml_assets.scoring.predictor import Answer, Predictor
from ml_assets.scoring_core.rows import RowEncoder
from ml_assets.serving.rollout.champions import Served
from ml_assets.training.fit import TrainedModel
from ml_assets.training.predictions.scored import score_columns

CONSTANT = "constant"
"""Stands in place of the version where a constant answers."""


class ConstantPredictor(Predictor):
    """Gives every row the same score, in the columns of a model's answers.

    Args:
        model: whose answers it stands in for; its task is not that of several classes.
        score: a probability, or a value.
    """

    def __init__(self, model: TrainedModel, score: float) -> None:
        self.model = model
        self.features = model.encoding.features
        self.encode_features = RowEncoder(self.features).encode_features
        self._score = score

    def predict(self, matrix: np.ndarray) -> Answer:
        """Return the same answer for each row."""
        score = np.full(len(matrix), self._score, dtype=np.float64)
        return {column.name: column.to_list() for column in score_columns(self.model, score)}


def constant(champion: Served, score: float) -> Served:
    """Return what answers with a constant in place of a champion."""
    return Served(champion.name, CONSTANT, ConstantPredictor(champion.predictor.model, score))


def stand_in(name: str, other: Served) -> Served:
    """Return the champion of another model as what answers for the model `name`; its version names both."""
    return Served(name, f"{other.name}/{other.version}", other.predictor)
