"""Boosted trees of LightGBM."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ml_assets.training.encoding import Encoding
from ml_assets.training.kinds.base import Examples, FitRequest, FitResult, ModelKind, OnRound
from ml_assets.training.kinds.parameters import ParameterRange
from ml_assets.training.kinds.scorers import lightgbm as scorer
from ml_assets.training.metrics.measure import measure
from ml_assets.training.metrics.metric import PINBALL
from ml_assets.training.tasks import BINARY, MULTICLASS, REGRESSION, find_metric, find_task

if TYPE_CHECKING:
    import lightgbm as lgb

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


class LightGBMKind(ModelKind):
    """Boosted trees of LightGBM."""

    name = "lightgbm"
    file_name = "model.lgb"
    packages = ("lightgbm",)
    scorer_module = scorer.__name__

    def reserved_parameters(self) -> dict[str, str]:
        """Return the reserved parameters of all kinds and LightGBM's other names for rounds, threads, metric, classes
        and the quantile."""
        return super().reserved_parameters() | {
            "n_estimators": "training.max_rounds",
            "num_iterations": "training.max_rounds",
            "early_stopping_round": "training.early_stopping_rounds",
            "num_threads": "training.threads",
            "metric": "metric",
            "alpha": "metric",
            "num_class": "task",
        }

    @property
    def takes_weights(self) -> bool:
        """LightGBM does."""
        return True

    @property
    def monotone_parameter(self) -> str:
        """LightGBM's name for the constraints."""
        return "monotone_constraints"

    def default_space(self) -> dict[str, ParameterRange]:
        """Return a space that suits tabular data of 10^4 to 10^7 rows; each bound is a value used in practice."""
        return {
            "learning_rate": ParameterRange(low=0.03, high=0.3, log=True),
            "num_leaves": ParameterRange(low=8, high=128, integer=True, log=True),
            "min_data_in_leaf": ParameterRange(low=10, high=500, integer=True, log=True),
            "bagging_fraction": ParameterRange(low=0.6, high=1.0),
            "feature_fraction": ParameterRange(low=0.3, high=1.0),
            "lambda_l2": ParameterRange(low=0.01, high=30, log=True),
            "lambda_l1": ParameterRange(low=0.001, high=10, log=True),
        }

    def bind(self, request: FitRequest, train: Examples, validation: Examples) -> Datasets:
        """Bin validation rows by the bins of the training rows."""
        import lightgbm as lgb

        encoding = request.encoding
        binned = lgb.Dataset(
            train[0],
            label=train[1],
            weight=request.weights.train,
            feature_name=_names(encoding),
            categorical_feature=[at for at, feature in enumerate(encoding.features) if feature.kind == "category"],
            # Filtered features would depend on the least rows of a leaf, which a search changes from fit to fit.
            params={"max_bin": request.training.max_bin, "feature_pre_filter": False, "verbosity": -1},
            free_raw_data=False,
        )
        known = lgb.Dataset(
            validation[0],
            label=validation[1],
            weight=request.weights.validation,
            reference=binned,
            free_raw_data=False,
        )
        return Datasets(binned, known)

    def fit(
        self,
        request: FitRequest,
        data: Datasets,
        parameters: Mapping[str, Any],
        max_rounds: int,
        on_round: OnRound | None = None,
    ) -> FitResult:
        """Boost trees until the metric on the validation rows stops improving."""
        import lightgbm as lgb

        training = request.training
        own = request.metric not in _METRICS[request.learned_as]
        metric = request.metric if own else _METRICS[request.learned_as][request.metric]
        fixed = {
            **_objective(request),
            "metric": "None" if own else metric,
            "max_bin": training.max_bin,
            "feature_pre_filter": False,
            "seed": request.seed,
            "deterministic": True,
            "force_col_wise": True,
            "num_threads": training.threads,
            "verbosity": -1,
        }
        if training.monotone:
            fixed[self.monotone_parameter] = request.monotone
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
            feval=_measuring(request) if own else None,
            callbacks=callbacks,
        )
        values = history[_VALIDATION][metric]
        best = int(np.argmax(find_metric(request.metric).sign * np.array(values)))
        return FitResult(lgb.Booster(model_str=booster.model_to_string(num_iteration=best + 1)), best, values)

    def predict(self, estimator: "lgb.Booster", matrix: np.ndarray, classes: int) -> np.ndarray:
        """Score encoded rows: float64 of shape (rows,) or (rows, classes)."""
        return scorer.predict(estimator, matrix, classes)

    def contributions(self, estimator: "lgb.Booster", encoding: Encoding, matrix: np.ndarray) -> np.ndarray:
        """Return the SHAP values of trees, float64 of shape (rows, features + 1) or (rows, classes, features + 1)."""
        values = np.asarray(estimator.predict(matrix, pred_contrib=True))
        columns = len(encoding.names) + 1
        return values if values.shape[1] == columns else values.reshape(len(values), -1, columns)

    def save(self, estimator: "lgb.Booster", path: Path) -> None:
        """Write LightGBM's text format."""
        estimator.save_model(path)

    def load(self, path: Path, encoding: Encoding) -> "lgb.Booster":
        """Read LightGBM's text format; ValueError if its features are not those of the encoding."""
        import lightgbm as lgb

        booster = lgb.Booster(model_file=path)
        if booster.feature_name() != _names(encoding):
            raise ValueError(f"{path.parent}: the booster's features differ from those of encoding.json")
        return booster

    def save_mlflow(
        self,
        mlflow: Any,
        estimator: "lgb.Booster",
        directory: Path,
        *,
        probabilities: bool,  # noqa: ARG002 - it is known from the objective
        **about: Any,
    ) -> None:
        """Write MLflow's flavour of LightGBM."""
        mlflow.lightgbm.save_model(estimator, str(directory), pip_requirements=self.requirements(), **about)


def _names(encoding: Encoding) -> list[str]:
    """Return the features' names, numbered where they hold punctuation, which LightGBM's text format does not take."""
    return encoding.numbered_unless(re.compile(r"\w+", re.ASCII))


def _objective(request: FitRequest) -> dict[str, Any]:
    if request.learned_as == BINARY:
        return {"objective": "binary"}
    if request.learned_as == MULTICLASS:
        return {"objective": "multiclass", "num_class": request.classes}
    if request.metric in PINBALL:
        return {"objective": "quantile", "alpha": PINBALL[request.metric]}
    return {"objective": "regression_l1" if request.metric == "mae" else "regression"}


def _measuring(request: FitRequest) -> Any:
    """Make the metric that LightGBM watches: its own ROC AUC is off where scores are tied, and others it does
    not have."""
    task = find_task(request.task)
    dtype = np.int64 if task.learned_as == MULTICLASS else np.float64

    def measured(score: np.ndarray, data: "lgb.Dataset") -> tuple[str, float, bool]:
        scores = task.pair(np.asarray(data.get_label(), dtype=dtype), score)
        return request.metric, measure(scores, [request.metric], request.weights.validation)[request.metric], True

    return measured
