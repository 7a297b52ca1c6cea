"""The final fit, and the model as it is stored: native XGBoost plus what is needed to feed it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from ml_assets.training.boosting import bin_rows, boost, labels
from ml_assets.training.encoding import Encoding
from ml_assets.training.spec import TrainingSpec

if TYPE_CHECKING:
    import xgboost as xgb

BOOSTER_FILE = "model.ubj"
ENCODING_FILE = "encoding.json"
RECORD_FILE = "model.json"


@dataclass(frozen=True)
class TrainedModel:
    """A fitted booster and everything scoring needs.

    ``booster`` holds only the trees up to the best round; ``threshold`` is the probability from which an
    outcome is called positive; ``best_iteration`` counts from 0; ``history`` is the validation metric
    after each round.
    """

    booster: "xgb.Booster"
    encoding: Encoding
    threshold: float
    best_iteration: int
    parameters: dict[str, Any]
    metric: str
    history: list[float]

    @property
    def features(self) -> list[str]:
        """Feature columns a frame to be scored must have."""
        return self.encoding.names


def fit_model(
    train: pl.DataFrame,
    validation: pl.DataFrame,
    *,
    features: Sequence[str],
    label: str,
    parameters: Mapping[str, Any],
    training: TrainingSpec,
    metric: str,
    seed: int,
) -> TrainedModel:
    """Fit on ``train``; stop, and choose the threshold, on ``validation``. Vocabularies come from
    ``train`` alone.

    Args:
        features: columns to learn from, in the order the model keeps.
        label: boolean or 0/1 column without nulls.
        parameters: XGBoost parameters, such as those of a search.
        metric: what early stopping watches: roc_auc, average_precision or log_loss.

    Raises:
        ValueError: a feature is missing or of a type a model cannot take.
    """
    encoding = Encoding.learn(train, features)
    known, outcome = encoding.encode(validation), labels(validation, label)
    matrices = bin_rows(encoding, (encoding.encode(train), labels(train, label)), (known, outcome), training.max_bin)
    boosted = boost(matrices, parameters, training=training, metric=metric, seed=seed, max_rounds=training.max_rounds)
    threshold = best_f1_threshold(outcome, boosted.booster.inplace_predict(known))
    return TrainedModel(
        booster=boosted.booster,
        encoding=encoding,
        threshold=threshold,
        best_iteration=boosted.best_iteration,
        parameters=dict(parameters),
        metric=metric,
        history=boosted.history,
    )


def predict(model: TrainedModel, frame: pl.DataFrame) -> np.ndarray:
    """Probability of the positive class, float64 of shape (rows,), in row order.

    Raises:
        ValueError: a feature is missing, has changed its kind, or is infinite.
    """
    if frame.is_empty():
        return np.empty(0)
    return model.booster.inplace_predict(model.encoding.encode(frame)).astype(np.float64)


def best_f1_threshold(label: np.ndarray, score: np.ndarray) -> float:
    """The score from which calling a row positive gives the highest F1; of several, the highest score."""
    order = np.argsort(-score, kind="stable")
    label, score = np.asarray(label)[order], np.asarray(score, dtype=np.float64)[order]
    hits = np.cumsum(label, dtype=np.float64)
    f1 = 2 * hits / (np.arange(1, len(label) + 1) + hits[-1])
    last_of_ties = np.r_[score[1:] < score[:-1], True]
    return float(score[np.argmax(np.where(last_of_ties, f1, -1.0))])


def save_model(model: TrainedModel, directory: Path) -> None:
    """Write the booster as UBJSON and the rest as JSON into a directory that exists."""
    model.booster.save_model(directory / BOOSTER_FILE)
    save_record(model, directory)


def save_record(model: TrainedModel, directory: Path) -> None:
    """Write all but the booster: vocabularies, threshold, parameters, history."""
    (directory / ENCODING_FILE).write_text(model.encoding.model_dump_json(indent=1))
    record = {
        "threshold": model.threshold,
        "best_iteration": model.best_iteration,
        "parameters": model.parameters,
        "metric": model.metric,
        "history": model.history,
    }
    (directory / RECORD_FILE).write_text(json.dumps(record, indent=1))


def load_model(directory: Path) -> TrainedModel:
    """Read what ``save_model`` wrote.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: booster and encoding do not belong together.
    """
    import xgboost as xgb

    missing = [name for name in (BOOSTER_FILE, ENCODING_FILE, RECORD_FILE) if not (directory / name).is_file()]
    if missing:
        raise FileNotFoundError(f"{directory} holds no complete model, it lacks {missing}: train and log it again")
    booster = xgb.Booster(model_file=directory / BOOSTER_FILE)
    encoding = Encoding.model_validate_json((directory / ENCODING_FILE).read_text())
    if booster.feature_names != encoding.names:
        raise ValueError(f"{directory}: the booster's features differ from those of {ENCODING_FILE}")
    return TrainedModel(booster=booster, encoding=encoding, **json.loads((directory / RECORD_FILE).read_text()))
