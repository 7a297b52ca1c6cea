"""The one way this package calls LightGBM."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ml_assets.training.encoding import Encoding
from ml_assets.training.kinds.base import Fitted, OnRound, Problem, Rows
from ml_assets.training.metrics.compared_values import PINBALL
from ml_assets.training.metrics.measure import measure
from ml_assets.training.tasks import BINARY, MULTICLASS, REGRESSION, find_metric, find_task

if TYPE_CHECKING:
    import lightgbm as lgb

FILE = "model.lgb"
_VALIDATION = "validation"
_METRICS = {
    BINARY: {"log_loss": "binary_logloss"},
    MULTICLASS: {"log_loss": "multi_logloss"},
    REGRESSION: {"mae": "l1", "rmse": "rmse", **dict.fromkeys(PINBALL, "quantile")},
}


@dataclass(frozen=True)
class Datasets:
    """Binned training and validation rows; made once, they can be shared by any number of fits."""

    train: "lgb.Dataset"
    validation: "lgb.Dataset"


def bind(problem: Problem, train: Rows, validation: Rows) -> Datasets:
    """Bin training and validation rows alike."""
    import lightgbm as lgb

    encoding = problem.encoding
    binned = lgb.Dataset(
        train[0],
        label=train[1],
        feature_name=_names(encoding),
        categorical_feature=[at for at, feature in enumerate(encoding.features) if feature.kind == "category"],
        # Filtered features would depend on the least rows of a leaf, which a search changes from fit to fit.
        params={"max_bin": problem.training.max_bin, "feature_pre_filter": False, "verbosity": -1},
        free_raw_data=False,
    )
    return Datasets(binned, lgb.Dataset(validation[0], label=validation[1], reference=binned, free_raw_data=False))


def fit(
    problem: Problem, data: Datasets, parameters: Mapping[str, Any], max_rounds: int, on_round: OnRound | None = None
) -> Fitted:
    """Boost trees until the metric on the validation rows stops improving."""
    import lightgbm as lgb

    training = problem.training
    own = problem.metric not in _METRICS[find_task(problem.task).learned_as]
    metric = problem.metric if own else _METRICS[find_task(problem.task).learned_as][problem.metric]
    fixed = {
        **_objective(problem),
        "metric": "None" if own else metric,
        "max_bin": training.max_bin,
        "feature_pre_filter": False,
        "seed": problem.seed,
        "deterministic": True,
        "force_col_wise": True,
        "num_threads": training.threads,
        "verbosity": -1,
    }
    history: dict[str, dict[str, list[float]]] = {}
    callbacks = [
        lgb.early_stopping(training.early_stopping_rounds, verbose=False),
        lgb.record_evaluation(history),
    ]
    if on_round is not None:
        callbacks.append(lambda env: on_round(env.iteration + 1, env.evaluation_result_list[0][2]))
    booster = lgb.train(
        # Without a frequency LightGBM would take no notice of the fraction.
        {"bagging_freq": 1, **training.parameters, **parameters, **fixed},
        data.train,
        num_boost_round=max_rounds,
        valid_sets=[data.validation],
        valid_names=[_VALIDATION],
        feval=_measuring(problem) if own else None,
        callbacks=callbacks,
    )
    values = history[_VALIDATION][metric]
    best = int(np.argmax(find_metric(problem.metric).sign * np.array(values)))
    return Fitted(lgb.Booster(model_str=booster.model_to_string(num_iteration=best + 1)), best, values)


def predict(estimator: "lgb.Booster", matrix: np.ndarray, classes: int) -> np.ndarray:  # noqa: ARG001
    """Scores as float64: (rows,) or (rows, classes)."""
    return np.asarray(estimator.predict(matrix), dtype=np.float64)


def contributions(estimator: "lgb.Booster", encoding: Encoding, matrix: np.ndarray) -> np.ndarray:
    """SHAP values of trees, float64 of shape (rows, features + 1) or (rows, classes, features + 1)."""
    found = np.asarray(estimator.predict(matrix, pred_contrib=True))
    columns = len(encoding.names) + 1
    return found if found.shape[1] == columns else found.reshape(len(found), -1, columns)


def columns(encoding: Encoding) -> list[str]:
    """The features' own names: rows are taken by the order of their columns."""
    return encoding.names


def save(estimator: "lgb.Booster", path: Path) -> None:
    """Write LightGBM's text format."""
    estimator.save_model(path)


def load(path: Path, kind: str, encoding: Encoding) -> "lgb.Booster":  # noqa: ARG001
    """Read LightGBM's text format; ValueError if its features are not those of the encoding."""
    import lightgbm as lgb

    booster = lgb.Booster(model_file=path)
    if booster.feature_name() != _names(encoding):
        raise ValueError(f"{path.parent}: the booster's features differ from those of encoding.json")
    return booster


def _names(encoding: Encoding) -> list[str]:
    """LightGBM's text format takes no punctuation in a name."""
    return encoding.numbered_unless(re.compile(r"\w+", re.ASCII))


def _objective(problem: Problem) -> dict[str, Any]:
    task = find_task(problem.task).learned_as
    if task == BINARY:
        return {"objective": "binary"}
    if task == MULTICLASS:
        return {"objective": "multiclass", "num_class": problem.classes}
    if problem.metric in PINBALL:
        return {"objective": "quantile", "alpha": PINBALL[problem.metric]}
    return {"objective": "regression_l1" if problem.metric == "mae" else "regression"}


def _measuring(problem: Problem) -> Any:
    """What ranks rows is measured here: LightGBM's own ROC AUC is off where scores are tied, and it has no other."""
    task = find_task(problem.task)
    dtype = np.int64 if task.learned_as == MULTICLASS else np.float64

    def measured(score: np.ndarray, data: "lgb.Dataset") -> tuple[str, float, bool]:
        scores = task.pair(data.get_label().astype(dtype), score)
        return problem.metric, measure(scores, [problem.metric])[problem.metric], True

    return measured
