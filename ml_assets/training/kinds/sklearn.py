"""Any scikit-learn estimator, named by its path, fed so that it can take what it is given."""

import json
import re
import tempfile
from collections.abc import Iterable, Mapping
from importlib import import_module
from importlib.metadata import packages_distributions, version
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ml_assets.training.encoding import Encoding
from ml_assets.training.kinds.base import Examples, FitRequest, FitResult, ModelKind, OnRound, pinned
from ml_assets.training.kinds.lean import restore
from ml_assets.training.kinds.parameters import ParameterRange
from ml_assets.training.kinds.scorers import sklearn as scorer
from ml_assets.training.metrics.measure import measure
from ml_assets.training.metrics.metric import PINBALL
from ml_assets.training.tasks import REGRESSION, find_task

if TYPE_CHECKING:
    from sklearn.base import BaseEstimator

TRUSTED = ("sklearn.", "numpy.", "scipy.", "functools.partial")  # of a partial skops lists the function too
_LIGHTGBM = (4, 6)
"""From which on its estimators go with scikit-learn 1.8 and newer."""
_MOST_CATEGORIES = 255  # that histogram trees tell apart; a feature with more of them is taken as a number


class SklearnKind(ModelKind):
    """The estimator whose path stands behind the colon, such as ``sklearn:sklearn.linear_model.Ridge``."""

    name = "sklearn"
    file_name = "model.skops"
    packages = ("scikit-learn", "skops")
    scorer_module = scorer.__name__

    @classmethod
    def accepts(cls, declared: str) -> bool:
        """Return whether a dotted path follows the colon; the estimator is not imported."""
        return re.fullmatch(r"sklearn:([A-Za-z_]\w*\.)+[A-Za-z_]\w*", declared) is not None

    @classmethod
    def usage(cls) -> str:
        """Describe how to name an estimator, for the message about an unknown kind."""
        return "sklearn: and the path of an estimator, such as sklearn:sklearn.linear_model.Ridge"

    @property
    def path(self) -> str:
        """The estimator's class as module and name, joined by a dot."""
        return self.declared.partition(":")[2]

    def check_task(self, task: str) -> None:
        """Raise ValueError if the estimator's name marks it as one for another task."""
        if self.declared.endswith("Regressor" if find_task(task).calibratable else "Classifier"):
            raise ValueError(f"kind: {self.declared} does not fit the task {task}")

    def check_parameters(self, names: Iterable[str]) -> None:
        """Raise ValueError if there is no such estimator, or it cannot fit, or it lacks one of the parameters."""
        estimator = self.estimator_class()
        self._check_fits(estimator)
        known = estimator().get_params()
        unknown = sorted(set(names) - set(known))
        if unknown:
            raise ValueError(f"{self.declared} has no parameters {unknown}; it has {', '.join(sorted(known))}")

    def _check_fits(self, estimator: type) -> None:
        """Raise ValueError for an estimator of a LightGBM that gives scikit-learn an argument which it has dropped."""
        from sklearn import __version__ as installed
        from sklearn.utils import check_X_y

        of_lightgbm = any(base.__module__.partition(".")[0] == "lightgbm" for base in estimator.__mro__)
        if not of_lightgbm or "force_all_finite" in signature(check_X_y).parameters:
            return
        own = version("lightgbm")
        if tuple(map(int, own.split(".")[:2])) < _LIGHTGBM:
            raise ValueError(
                f"{self.declared} cannot fit: LightGBM {own} does not go with scikit-learn {installed}, which has "
                "dropped force_all_finite: declare kind: lightgbm, or install LightGBM 4.6 or newer"
            )

    @property
    def takes_weights(self) -> bool:
        """Whether the estimator's ``fit`` has a ``sample_weight``."""
        from sklearn.utils.validation import has_fit_parameter

        return has_fit_parameter(self.estimator_class(), "sample_weight")

    @property
    def monotone_parameter(self) -> str | None:
        """The parameter of histogram trees; other estimators have none."""
        name = self.path.rpartition(".")[2]
        return "monotonic_cst" if name.startswith("HistGradientBoosting") else None

    def default_space(self) -> dict[str, ParameterRange]:
        """Return the space of a well-known estimator; ValueError for any other."""
        name = re.sub(r"(Classifier|Regressor)$", "", self.declared.rpartition(".")[2])
        if name not in _SPACES:
            raise ValueError(f"kind {self.declared} has no default search space: declare search.space")
        return dict(_SPACES[name])

    def fit(
        self,
        request: FitRequest,
        data: tuple[Examples, Examples],
        parameters: Mapping[str, Any],
        max_rounds: int,  # noqa: ARG002 - of boosted trees
        on_round: OnRound | None = None,  # noqa: ARG002 - there is one round
    ) -> FitResult:
        """Fit once; the metric on the validation rows is the history."""
        from threadpoolctl import threadpool_limits

        (features, target), (known, outcome) = data
        estimator: Any = self.make_estimator(request, {**request.training.parameters, **parameters})
        # Histogram trees and linear algebra have threads of their own, which n_jobs does not reach.
        with threadpool_limits(request.training.threads or None):
            estimator.fit(features, target, **_fit_weights(estimator, request.weights.train))
        scores = find_task(request.task).pair(outcome, self.predict(estimator, known, request.classes))
        return FitResult(estimator, 0, [measure(scores, [request.metric], request.weights.validation)[request.metric]])

    def make_estimator(self, request: FitRequest, parameters: Mapping[str, Any]) -> "BaseEstimator":
        """Return an unfitted estimator with seed and threads set.

        One that takes no missing values gets numbers standardized, with the median in place of what is missing, and a
        column for each category.

        Raises:
            ValueError: there is no such estimator or parameter, or a classifier gives no probabilities.
        """
        from sklearn.utils import get_tags

        self.check_parameters(parameters)
        estimator = self.estimator_class()()
        known = estimator.get_params()
        own = {"random_state": request.seed, **_objective(request)}
        if not estimator.__module__.startswith("sklearn.linear_model"):  # where it has no effect but a warning
            own["n_jobs"] = request.training.threads or -1
        own["categorical_features"] = [
            at
            for at, feature in enumerate(request.encoding.features)
            if feature.kind == "category" and len(feature.vocabulary) <= _MOST_CATEGORIES
        ]
        if request.training.monotone and self.monotone_parameter:
            own[self.monotone_parameter] = request.monotone
        estimator.set_params(**{name: value for name, value in own.items() if name in known} | dict(parameters))
        if request.learned_as != REGRESSION and not hasattr(estimator, "predict_proba"):
            raise ValueError(f"{self.declared} gives no probabilities: choose an estimator with predict_proba")
        return estimator if get_tags(estimator).input_tags.allow_nan else _prepared(estimator, request.encoding)

    def predict(self, estimator: "BaseEstimator", matrix: np.ndarray, classes: int) -> np.ndarray:
        """Score encoded rows: float64 of shape (rows,) or (rows, classes); see the scorer."""
        return scorer.predict(estimator, matrix, classes)

    def save(self, estimator: "BaseEstimator", path: Path) -> None:
        """Write skops' format: a zip of JSON and arrays."""
        import skops.io

        skops.io.dump(estimator, path)

    def load(self, path: Path, encoding: Encoding) -> "BaseEstimator":
        """Read skops' format, which makes objects of allowed types only.

        Raises:
            ValueError: the file holds a type that is neither scikit-learn's, NumPy's, SciPy's nor the estimator's own,
                or it was fitted on another number of features.
        """
        import skops.io

        estimator: Any = skops.io.load(path, trusted=self.trusted_types(path))
        if estimator.n_features_in_ != len(encoding.names):
            raise ValueError(f"{path.parent}: the estimator's features differ from those of encoding.json")
        return estimator

    def save_mlflow(
        self, mlflow: Any, estimator: "BaseEstimator", directory: Path, *, probabilities: bool, **about: Any
    ) -> None:
        """Write MLflow's flavour of scikit-learn, in skops' format."""
        with tempfile.TemporaryDirectory() as folder:
            self.save(estimator, Path(folder, self.file_name))
            trusted = self.trusted_types(Path(folder, self.file_name))
        mlflow.sklearn.save_model(
            estimator,
            str(directory),
            serialization_format="skops",
            skops_trusted_types=trusted,
            pyfunc_predict_fn="predict_proba" if probabilities else "predict",
            pip_requirements=[*super().requirements(), *pinned(*self._own_distributions())],
            **about,
        )

    def requirements(self) -> list[str]:
        """Add the package of an estimator that is not scikit-learn's own.

        Raises:
            ValueError: no installed distribution holds it, as one that lies in a project.
        """
        own = self._own_distributions()
        if not own and self._package != "sklearn":
            raise ValueError(
                f"{self.declared}: no installed distribution holds the package {self._package}, so no other "
                "environment can install it; make it one"
            )
        return [*super().requirements(), *pinned(*own)]

    @property
    def _package(self) -> str:
        return self.path.partition(".")[0]

    def _own_distributions(self) -> list[str]:
        """Return the distributions of an estimator that is not scikit-learn's own; none of a project's module."""
        if self._package == "sklearn":
            return []
        return sorted(set(packages_distributions().get(self._package, ())))

    def write_scorer_files(self, folder: Path) -> None:
        """Write the types that the estimator's file may make objects of."""
        (folder / "trusted.json").write_text(json.dumps(self.trusted_types(folder / self.file_name)))

    def trusted_types(self, path: Path) -> list[str]:
        """Return the types in a file beyond those that skops trusts by itself; ValueError if one is not allowed."""
        import skops.io

        self.estimator_class()
        types = skops.io.get_untrusted_types(file=path)
        strange = [name for name in types if not name.startswith(TRUSTED) and name != self.path]
        if strange:
            raise ValueError(
                f"{path} holds objects of types {strange}, which a model of kind {self.declared} has no use for"
            )
        return types

    def estimator_class(self) -> type["BaseEstimator"]:
        """Import the estimator's class; ValueError if there is none."""
        from sklearn.base import BaseEstimator

        restore()
        module, _, name = self.path.rpartition(".")
        try:
            imported = getattr(import_module(module), name)
        except (ImportError, AttributeError) as error:
            raise ValueError(f"{self.declared}: there is no {name} in {module}") from error
        if not (isinstance(imported, type) and issubclass(imported, BaseEstimator)):
            raise ValueError(f"{self.declared} is no scikit-learn estimator")
        return imported


_FOREST = {
    "n_estimators": ParameterRange(choices=[100, 200]),
    "max_features": ParameterRange(low=0.2, high=1.0),
    "min_samples_leaf": ParameterRange(low=1, high=100, integer=True, log=True),
}
_SPACES = {
    "HistGradientBoosting": {
        "learning_rate": ParameterRange(low=0.03, high=0.3, log=True),
        "max_iter": ParameterRange(low=50, high=400, integer=True, log=True),
        "max_leaf_nodes": ParameterRange(low=8, high=128, integer=True, log=True),
        "min_samples_leaf": ParameterRange(low=10, high=200, integer=True, log=True),
        "l2_regularization": ParameterRange(low=0.001, high=10, log=True),
    },
    "RandomForest": _FOREST,
    "ExtraTrees": _FOREST,
    "LogisticRegression": {"C": ParameterRange(low=0.001, high=100, log=True)},
    "Ridge": {"alpha": ParameterRange(low=0.001, high=1_000, log=True)},
    "Lasso": {"alpha": ParameterRange(low=0.0001, high=10, log=True)},
    "ElasticNet": {"alpha": ParameterRange(low=0.0001, high=10, log=True)},
}


def _objective(request: FitRequest) -> dict[str, Any]:
    """Set the loss of histogram trees; other estimators keep their own."""
    if request.learned_as != REGRESSION or not request.kind.endswith("HistGradientBoostingRegressor"):
        return {}
    if request.metric in PINBALL:
        return {"loss": "quantile", "quantile": PINBALL[request.metric]}
    return {"loss": "absolute_error" if request.metric == "mae" else "squared_error"}


def _fit_weights(estimator: Any, weights: np.ndarray | None) -> dict[str, np.ndarray]:
    """Return the argument that weighs rows; in a pipeline it is for the last step."""
    if weights is None:
        return {}
    last = f"{estimator.steps[-1][0]}__" if hasattr(estimator, "steps") else ""
    return {f"{last}sample_weight": weights}


def _prepared(estimator: "BaseEstimator", encoding: Encoding) -> "BaseEstimator":
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    categories = [at for at, feature in enumerate(encoding.features) if feature.kind == "category"]
    numbers = [at for at in range(len(encoding.features)) if at not in categories]
    filled = make_pipeline(SimpleImputer(strategy="median", keep_empty_features=True), StandardScaler())
    columns = ColumnTransformer(
        [("numbers", filled, numbers), ("categories", OneHotEncoder(handle_unknown="ignore"), categories)]
    )
    return make_pipeline(columns, estimator)
