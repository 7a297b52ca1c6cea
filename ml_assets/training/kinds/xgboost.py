"""Boosted trees of XGBoost."""

import re
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ml_assets.requirements import require_version
from ml_assets.training.encoding import Encoding
from ml_assets.training.kinds.base import (
    Examples,
    FewRowsScorer,
    FitRequest,
    FitResult,
    ModelKind,
    OnRound,
    pinned,
)
from ml_assets.training.kinds.lean import hidden
from ml_assets.training.kinds.parameters import ParameterRange
from ml_assets.training.kinds.scorers import xgboost as scorer
from ml_assets.training.kinds.xgboost_onnx import booster_to_onnx, open_booster
from ml_assets.training.metrics.metric import PINBALL
from ml_assets.training.tasks import BINARY, MULTICLASS, REGRESSION, find_metric

if TYPE_CHECKING:
    import xgboost as xgb

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


class XGBoostKind(ModelKind):
    """Boosted trees of XGBoost, grown on histograms."""

    name = "xgboost"
    file_name = "model.ubj"
    packages = ("xgboost-cpu",)  # the package of the library that brings nothing for a GPU
    scorer_module = scorer.__name__

    @classmethod
    def check_installed(cls) -> None:
        """Raise WrongVersion unless one XGBoost of at least 3.2 is installed.

        2.1.4, which a plain resolve of nannyml brings, mis-scores categories that come in another order.
        """
        require_version("XGBoost", ("xgboost-cpu", "xgboost"), (3, 2), "2.x scores categories wrongly")

    @classmethod
    def import_to_score(cls) -> None:
        """Import XGBoost as if scikit-learn were not installed.

        It would load that, and pandas with it, for its estimators of scikit-learn's form alone: half of the time in
        which a server starts, and 100 MB.
        """
        with hidden("sklearn"):
            import xgboost  # noqa: F401

    def reserved_parameters(self) -> dict[str, str]:
        """Return the reserved parameters of all kinds and those that name rounds, classes and the quantile."""
        own = {"n_estimators": "training.max_rounds", "num_class": "task", "quantile_alpha": "metric"}
        return super().reserved_parameters() | own

    @property
    def takes_weights(self) -> bool:
        """XGBoost does, in the fit and in its metrics."""
        return True

    @property
    def monotone_parameter(self) -> str:
        """XGBoost's name for the constraints."""
        return "monotone_constraints"

    def default_space(self) -> dict[str, ParameterRange]:
        """Return a space that suits tabular data of 10^4 to 10^7 rows; each bound is a value used in practice."""
        return {
            "learning_rate": ParameterRange(low=0.03, high=0.3, log=True),
            "max_depth": ParameterRange(low=3, high=8, integer=True),
            "min_child_weight": ParameterRange(low=1, high=100, log=True),
            "subsample": ParameterRange(low=0.6, high=1.0),
            "colsample_bytree": ParameterRange(low=0.3, high=1.0),
            "reg_lambda": ParameterRange(low=0.1, high=30, log=True),
            "reg_alpha": ParameterRange(low=0.001, high=10, log=True),
        }

    def bind(self, request: FitRequest, train: Examples, validation: Examples) -> Matrices:
        """Bin the training rows.

        Validation rows are only predicted, which XGBoost does several times faster from unbinned values, with the same
        result.
        """
        import xgboost as xgb

        shared = {
            "feature_names": self.columns(request.encoding),
            "feature_types": request.encoding.feature_types,
            "enable_categorical": True,
        }
        return Matrices(
            train=xgb.QuantileDMatrix(
                train[0], label=train[1], weight=request.weights.train, max_bin=request.training.max_bin, **shared
            ),
            validation=xgb.DMatrix(validation[0], label=validation[1], weight=request.weights.validation, **shared),
        )

    def fit(
        self,
        request: FitRequest,
        data: Matrices,
        parameters: Mapping[str, Any],
        max_rounds: int,
        on_round: OnRound | None = None,
    ) -> FitResult:
        """Boost trees until the metric on the validation rows stops improving."""
        import xgboost as xgb
        from xgboost.callback import EarlyStopping

        metric, training = _METRICS[request.learned_as][request.metric], request.training
        fixed = {
            **_objective(request),
            "eval_metric": metric,
            "tree_method": "hist",
            "max_bin": training.max_bin,
            "seed": request.seed,
            "verbosity": 1,
        }
        if training.monotone:
            fixed[self.monotone_parameter] = f"({','.join(map(str, request.monotone))})"
        if training.threads:
            fixed["nthread"] = training.threads
        stop = EarlyStopping(
            rounds=training.early_stopping_rounds,
            metric_name=metric,
            data_name=_VALIDATION,
            maximize=find_metric(request.metric).greater_is_better,
            save_best=True,
        )
        history: dict[str, dict[str, list[float]]] = {}
        booster = xgb.train(
            {**training.parameters, **parameters, **fixed},
            data.train,
            num_boost_round=max_rounds,
            evals=[(data.validation, _VALIDATION)],
            evals_result=history,
            callbacks=[stop] if on_round is None else [stop, _reporting(on_round)],
            verbose_eval=False,
        )
        return FitResult(booster, booster.best_iteration, history[_VALIDATION][metric])

    def predict(self, estimator: "xgb.Booster", matrix: np.ndarray, classes: int) -> np.ndarray:
        """Score encoded rows: float64 of shape (rows,) or (rows, classes)."""
        return scorer.predict(estimator, matrix, classes)

    def contributions(self, estimator: "xgb.Booster", encoding: Encoding, matrix: np.ndarray) -> np.ndarray:
        """Return the SHAP values of trees, float32 of shape (rows, features + 1) or (rows, classes, features + 1)."""
        import xgboost as xgb

        rows = xgb.DMatrix(
            matrix, feature_names=self.columns(encoding), feature_types=encoding.feature_types, enable_categorical=True
        )
        return estimator.predict(rows, pred_contribs=True)

    def columns(self, encoding: Encoding) -> list[str]:
        """Return the names that DMatrix demands of every frame; it takes no ``[``, ``]`` or ``<`` in one."""
        return encoding.numbered_unless(re.compile(r"[^\[\]<]+"))

    def save(self, estimator: "xgb.Booster", path: Path) -> None:
        """Write the booster as UBJSON."""
        estimator.save_model(path)

    def load(self, path: Path, encoding: Encoding) -> "xgb.Booster":
        """Read the booster from UBJSON; ValueError if its features are not those of the encoding."""
        import xgboost as xgb

        booster = xgb.Booster(model_file=path)
        if booster.feature_names != self.columns(encoding):
            raise ValueError(f"{path.parent}: the booster's features differ from those of encoding.json")
        return booster

    def save_mlflow(
        self,
        mlflow: Any,
        estimator: "xgb.Booster",
        directory: Path,
        *,
        probabilities: bool,  # noqa: ARG002 - it is known from the objective
        **about: Any,
    ) -> None:
        """Write MLflow's flavour of XGBoost."""
        import xgboost as xgb

        needed = [f"xgboost=={xgb.__version__}", *pinned("numpy")]
        mlflow.xgboost.save_model(estimator, str(directory), pip_requirements=needed, **about)

    def requirements(self) -> list[str]:
        """Pin the library by its own version: the package installed here may be the one for GPUs."""
        import xgboost as xgb

        return [*pinned("numpy"), f"xgboost-cpu=={xgb.__version__}"]

    def one_core(self) -> AbstractContextManager[Any]:
        """Return XGBoost's configuration of one thread, which holds for the calling thread alone."""
        import xgboost as xgb

        return xgb.config_context(nthread=1)

    def use_one_thread(self, estimator: "xgb.Booster") -> None:
        """Set the booster's number of threads."""
        estimator.set_param({"nthread": 1})

    def few_rows_scorer(self, estimator: "xgb.Booster") -> FewRowsScorer:
        """Return ONNX Runtime's scorer: a call of the library takes ten times as long before it sees the first tree."""
        return open_booster(estimator)

    def to_onnx(self, estimator: "xgb.Booster") -> bytes:
        """Write the trees as ONNX, categorical splits included."""
        return booster_to_onnx(estimator)


def _objective(request: FitRequest) -> dict[str, Any]:
    if request.learned_as == BINARY:
        return {"objective": "binary:logistic"}
    if request.learned_as == MULTICLASS:
        return {"objective": "multi:softprob", "num_class": request.classes}
    if request.metric in PINBALL:
        return {"objective": "reg:quantileerror", "quantile_alpha": PINBALL[request.metric]}
    return {"objective": "reg:absoluteerror" if request.metric == "mae" else "reg:squarederror"}


def _reporting(on_round: OnRound) -> Any:
    from xgboost.callback import TrainingCallback

    class Reporting(TrainingCallback):
        def after_iteration(self, model: Any, epoch: int, evals_log: dict) -> bool:  # noqa: ARG002
            ((values,),) = (metrics.values() for metrics in evals_log.values())
            on_round(epoch + 1, values[-1])
            return False

    return Reporting()
