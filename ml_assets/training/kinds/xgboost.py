"""The one way this package calls XGBoost, so that search and final fit cannot differ."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ml_assets.training.encoding import Encoding
from ml_assets.training.kinds.base import Fitted, OnRound, Problem, Rows
from ml_assets.training.metrics.compared_values import PINBALL
from ml_assets.training.tasks import BINARY, MULTICLASS, REGRESSION, find_metric, find_task

if TYPE_CHECKING:
    import xgboost as xgb

FILE = "model.ubj"
_VALIDATION = "validation"
_METRICS = {
    BINARY: {"roc_auc": "auc", "average_precision": "aucpr", "log_loss": "logloss"},
    MULTICLASS: {"log_loss": "mlogloss", "roc_auc_ovr": "auc"},
    REGRESSION: {"mae": "mae", "rmse": "rmse", **dict.fromkeys(PINBALL, "quantile")},
}


@dataclass(frozen=True)
class Matrices:
    """Binned training rows and validation rows; made once, they can be shared by any number of fits."""

    train: "xgb.QuantileDMatrix"
    validation: "xgb.DMatrix"


def bind(problem: Problem, train: Rows, validation: Rows) -> Matrices:
    """Bin the training rows.

    Validation rows are only predicted, which XGBoost does several times faster from unbinned values, with the same
    result.
    """
    import xgboost as xgb

    shared = {
        "feature_names": columns(problem.encoding),
        "feature_types": problem.encoding.feature_types,
        "enable_categorical": True,
    }
    return Matrices(
        train=xgb.QuantileDMatrix(train[0], label=train[1], max_bin=problem.training.max_bin, **shared),
        validation=xgb.DMatrix(validation[0], label=validation[1], **shared),
    )


def fit(
    problem: Problem, data: Matrices, parameters: Mapping[str, Any], max_rounds: int, on_round: OnRound | None = None
) -> Fitted:
    """Boost trees until the metric on the validation rows stops improving."""
    import xgboost as xgb

    metric, training = _METRICS[find_task(problem.task).learned_as][problem.metric], problem.training
    fixed = {
        **_objective(problem),
        "eval_metric": metric,
        "tree_method": "hist",
        "max_bin": training.max_bin,
        "seed": problem.seed,
        "verbosity": 1,
    }
    if training.threads:
        fixed["nthread"] = training.threads
    stop = xgb.callback.EarlyStopping(
        rounds=training.early_stopping_rounds,
        metric_name=metric,
        data_name=_VALIDATION,
        maximize=find_metric(problem.metric).greater_is_better,
        save_best=True,
    )
    history: dict[str, dict[str, list[float]]] = {}
    booster = xgb.train(
        {**training.parameters, **parameters, **fixed},
        data.train,
        num_boost_round=max_rounds,
        evals=[(data.validation, _VALIDATION)],
        evals_result=history,
        callbacks=[stop] if on_round is None else [stop, _telling(on_round)],
        verbose_eval=False,
    )
    return Fitted(booster, booster.best_iteration, history[_VALIDATION][metric])


def predict(estimator: "xgb.Booster", matrix: np.ndarray, classes: int) -> np.ndarray:  # noqa: ARG001
    """Scores as float64: (rows,) or (rows, classes)."""
    return estimator.inplace_predict(matrix).astype(np.float64)


def contributions(estimator: "xgb.Booster", encoding: Encoding, matrix: np.ndarray) -> np.ndarray:
    """SHAP values of trees, float32 of shape (rows, features + 1) or (rows, classes, features + 1)."""
    import xgboost as xgb

    rows = xgb.DMatrix(
        matrix, feature_names=columns(encoding), feature_types=encoding.feature_types, enable_categorical=True
    )
    return estimator.predict(rows, pred_contribs=True)


def columns(encoding: Encoding) -> list[str]:
    """The features' names, which DMatrix demands of every frame; it takes no ``[``, ``]`` or ``<`` in one."""
    return encoding.numbered_unless(re.compile(r"[^\[\]<]+"))


def save(estimator: "xgb.Booster", path: Path) -> None:
    """Write UBJSON."""
    estimator.save_model(path)


def load(path: Path, kind: str, encoding: Encoding) -> "xgb.Booster":  # noqa: ARG001
    """Read UBJSON; ValueError if its features are not those of the encoding."""
    import xgboost as xgb

    booster = xgb.Booster(model_file=path)
    if booster.feature_names != columns(encoding):
        raise ValueError(f"{path.parent}: the booster's features differ from those of encoding.json")
    return booster


def _objective(problem: Problem) -> dict[str, Any]:
    task = find_task(problem.task).learned_as
    if task == BINARY:
        return {"objective": "binary:logistic"}
    if task == MULTICLASS:
        return {"objective": "multi:softprob", "num_class": problem.classes}
    if problem.metric in PINBALL:
        return {"objective": "reg:quantileerror", "quantile_alpha": PINBALL[problem.metric]}
    return {"objective": "reg:absoluteerror" if problem.metric == "mae" else "reg:squarederror"}


def _telling(on_round: OnRound) -> Any:
    import xgboost as xgb

    class Telling(xgb.callback.TrainingCallback):
        def after_iteration(self, model: Any, epoch: int, evals_log: dict) -> bool:  # noqa: ARG002
            ((values,),) = (metrics.values() for metrics in evals_log.values())
            on_round(epoch + 1, values[-1])
            return False

    return Telling()
