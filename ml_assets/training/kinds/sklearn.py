"""Any scikit-learn estimator, named by its path, fed so that it can take what it is given."""

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ml_assets.training.encoding import Encoding
from ml_assets.training.kinds.base import Fitted, OnRound, Problem, Rows
from ml_assets.training.metrics.compared_values import PINBALL
from ml_assets.training.metrics.measure import measure
from ml_assets.training.tasks import REGRESSION, find_task

if TYPE_CHECKING:
    from sklearn.base import BaseEstimator

FILE = "model.skops"
TRUSTED = ("sklearn.", "numpy.", "scipy.", "functools.partial")  # of a partial skops lists the function too
_MOST_CATEGORIES = 255  # that histogram trees tell apart; a feature with more of them is taken as a number


def bind(problem: Problem, train: Rows, validation: Rows) -> tuple[Rows, Rows]:  # noqa: ARG001
    """The rows as they are."""
    return train, validation


def fit(
    problem: Problem,
    data: tuple[Rows, Rows],
    parameters: Mapping[str, Any],
    max_rounds: int,  # noqa: ARG001 - of boosted trees
    on_round: OnRound | None = None,  # noqa: ARG001 - there is one round
) -> Fitted:
    """Fit once; the metric on the validation rows is the history."""
    from threadpoolctl import threadpool_limits

    (features, target), (known, outcome) = data
    estimator = make_estimator(problem, {**problem.training.parameters, **parameters})
    # Histogram trees and linear algebra have threads of their own, which n_jobs does not reach.
    with threadpool_limits(problem.training.threads or None):
        estimator.fit(features, target)
    score = predict(estimator, known, problem.classes)
    return Fitted(
        estimator, 0, [measure(find_task(problem.task).pair(outcome, score), [problem.metric])[problem.metric]]
    )


def make_estimator(problem: Problem, parameters: Mapping[str, Any]) -> "BaseEstimator":
    """An unfitted estimator with seed and threads set.

    One that takes no missing values gets numbers standardized, with the median in place of what is missing, and a
    column for each category.

    Raises:
        ValueError: there is no such estimator or parameter, or a classifier gives no probabilities.
    """
    from sklearn.utils import get_tags

    estimator = find_estimator(problem.kind)()
    known = estimator.get_params()
    unknown = sorted(set(parameters) - set(known))
    if unknown:
        raise ValueError(f"{problem.kind} has no parameters {unknown}: it has {sorted(known)}")
    own = {"random_state": problem.seed, **_objective(problem)}
    if not estimator.__module__.startswith("sklearn.linear_model"):  # where it has no effect but a warning
        own["n_jobs"] = problem.training.threads or -1
    own["categorical_features"] = [
        at
        for at, feature in enumerate(problem.encoding.features)
        if feature.kind == "category" and len(feature.vocabulary) <= _MOST_CATEGORIES
    ]
    estimator.set_params(**{name: value for name, value in own.items() if name in known} | dict(parameters))
    if find_task(problem.task).learned_as != REGRESSION and not hasattr(estimator, "predict_proba"):
        raise ValueError(f"{problem.kind} gives no probabilities: choose an estimator with predict_proba")
    return estimator if get_tags(estimator).input_tags.allow_nan else _prepared(estimator, problem.encoding)


def predict(estimator: "BaseEstimator", matrix: np.ndarray, classes: int) -> np.ndarray:
    """Scores as float64: (rows,) or (rows, classes); 0 for a class that was in no row that it learned from."""
    if not hasattr(estimator, "predict_proba"):
        return np.asarray(estimator.predict(matrix), dtype=np.float64).reshape(len(matrix))
    probability = estimator.predict_proba(matrix)
    if not classes:
        return probability[:, 1].astype(np.float64)
    found = np.zeros((len(matrix), classes))
    found[:, estimator.classes_.astype(int)] = probability
    return found


def contributions(estimator: "BaseEstimator", encoding: Encoding, matrix: np.ndarray) -> None:  # noqa: ARG001
    """Not every estimator has SHAP values."""
    return


def columns(encoding: Encoding) -> list[str]:
    """The features' own names: the estimator knows none."""
    return encoding.names


def save(estimator: "BaseEstimator", path: Path) -> None:
    """Write skops' format: a zip of JSON and arrays."""
    import skops.io

    skops.io.dump(estimator, path)


def load(path: Path, kind: str, encoding: Encoding) -> "BaseEstimator":
    """Read skops' format, which makes objects of allowed types only.

    Raises:
        ValueError: the file holds a type that is neither scikit-learn's, NumPy's, SciPy's nor the kind itself, or it
            was fitted on another number of features.
    """
    import skops.io

    estimator = skops.io.load(path, trusted=trusted_types(path, kind))
    if estimator.n_features_in_ != len(encoding.names):
        raise ValueError(f"{path.parent}: the estimator's features differ from those of encoding.json")
    return estimator


def trusted_types(path: Path, kind: str) -> list[str]:
    """The types in a file beyond those that skops trusts by itself; ValueError if one is not allowed."""
    import skops.io

    find_estimator(kind)
    found = skops.io.get_untrusted_types(file=path)
    strange = [name for name in found if not name.startswith(TRUSTED) and name != kind.partition(":")[2]]
    if strange:
        raise ValueError(f"{path} holds objects of types {strange}, which a model of kind {kind} has no use for")
    return found


def find_estimator(kind: str) -> type:
    """The estimator's class that a kind names; raises ValueError if there is none."""
    from sklearn.base import BaseEstimator

    module, _, name = kind.partition(":")[2].rpartition(".")
    try:
        found = getattr(import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"{kind}: there is no {name} in {module}") from error
    if not (isinstance(found, type) and issubclass(found, BaseEstimator)):
        raise ValueError(f"{kind} is no scikit-learn estimator")
    return found


def _objective(problem: Problem) -> dict[str, Any]:
    """Histogram trees can be told what to aim at; other estimators have an aim of their own."""
    if find_task(problem.task).learned_as != REGRESSION or not problem.kind.endswith("HistGradientBoostingRegressor"):
        return {}
    if problem.metric in PINBALL:
        return {"loss": "quantile", "quantile": PINBALL[problem.metric]}
    return {"loss": "absolute_error" if problem.metric == "mae" else "squared_error"}


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
