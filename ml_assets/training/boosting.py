"""The one way this package calls XGBoost, so that search and final fit cannot differ."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from ml_assets.training.encoding import Encoding
from ml_assets.training.metrics import METRICS
from ml_assets.training.spec import TrainingSpec

if TYPE_CHECKING:
    import xgboost as xgb

_VALIDATION = "validation"


@dataclass(frozen=True)
class Matrices:
    """Binned training rows and validation rows; made once, they can be shared by any number of fits."""

    train: "xgb.QuantileDMatrix"
    validation: "xgb.DMatrix"


@dataclass(frozen=True)
class Boosted:
    """A booster cut back to its best round, and the validation metric after each round.

    ``best_iteration`` counts from 0.
    """

    booster: "xgb.Booster"
    best_iteration: int
    history: list[float]

    @property
    def best_value(self) -> float:
        """The metric at the best round."""
        return self.history[self.best_iteration]


def labels(frame: pl.DataFrame, label: str) -> np.ndarray:
    """The label column as float32 of shape (rows,)."""
    return frame[label].cast(pl.Float32).to_numpy()


def bin_rows(
    encoding: Encoding,
    train: tuple[np.ndarray, np.ndarray],
    validation: tuple[np.ndarray, np.ndarray],
    max_bin: int,
) -> Matrices:
    """Bin the encoded training rows (features, label).

    Validation rows are only predicted, which XGBoost does several times faster from unbinned values, with the same
    result.
    """
    import xgboost as xgb

    shared = {
        "feature_names": encoding.names,
        "feature_types": encoding.feature_types,
        "enable_categorical": True,
    }
    return Matrices(
        train=xgb.QuantileDMatrix(train[0], label=train[1], max_bin=max_bin, **shared),
        validation=xgb.DMatrix(validation[0], label=validation[1], **shared),
    )


def boost(
    matrices: Matrices,
    parameters: Mapping[str, Any],
    *,
    training: TrainingSpec,
    metric: str,
    seed: int,
    max_rounds: int,
    callbacks: Sequence[Any] = (),
) -> Boosted:
    """Boost trees until ``metric`` on the validation rows stops improving.

    Args:
        parameters: XGBoost parameters found by a search; they join those that the training spec holds fixed.
        metric: a name of ``metrics.METRICS`` that XGBoost knows too.
    """
    import xgboost as xgb

    known = METRICS[metric]
    fixed = {
        "objective": "binary:logistic",
        "eval_metric": known.xgboost,
        "tree_method": "hist",
        "max_bin": training.max_bin,
        "seed": seed,
        "verbosity": 1,
    }
    if training.threads:
        fixed["nthread"] = training.threads
    stop = xgb.callback.EarlyStopping(
        rounds=training.early_stopping_rounds,
        metric_name=known.xgboost,
        data_name=_VALIDATION,
        maximize=known.greater_is_better,
        save_best=True,
    )
    history: dict[str, dict[str, list[float]]] = {}
    booster = xgb.train(
        {**training.parameters, **parameters, **fixed},
        matrices.train,
        num_boost_round=max_rounds,
        evals=[(matrices.validation, _VALIDATION)],
        evals_result=history,
        callbacks=[stop, *callbacks],
        verbose_eval=False,
    )
    return Boosted(booster, booster.best_iteration, history[_VALIDATION][known.xgboost])
