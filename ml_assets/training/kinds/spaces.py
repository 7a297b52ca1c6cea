"""Where a search looks, by kind of model, and which parameters the platform sets itself."""

import re
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

XGBOOST, LIGHTGBM, SKLEARN = "xgboost", "lightgbm", "sklearn"

RESERVED_PARAMETERS = {
    "max_bin": "training.max_bin",
    "nthread": "training.threads",
    "n_jobs": "training.threads",
    "seed": "seed",
    "random_state": "seed",
    "num_boost_round": "training.max_rounds",
    "early_stopping_rounds": "training.early_stopping_rounds",
    "objective": "task",
    "eval_metric": "metric",
    "tree_method": "training (always hist)",
}
_RESERVED_BY_KIND = {
    XGBOOST: {"n_estimators": "training.max_rounds", "num_class": "task", "quantile_alpha": "metric"},
    LIGHTGBM: {
        "n_estimators": "training.max_rounds",
        "num_iterations": "training.max_rounds",
        "early_stopping_round": "training.early_stopping_rounds",
        "num_threads": "training.threads",
        "metric": "metric",
        "alpha": "metric",
        "num_class": "task",
    },
    SKLEARN: {},
}


class ParameterRange(BaseModel):
    """Values the search may give to one parameter: low..high, or one of the choices."""

    model_config = ConfigDict(extra="forbid")

    low: float | None = Field(default=None, description="Smallest value (inclusive).")
    high: float | None = Field(default=None, description="Largest value (inclusive).")
    log: bool = Field(default=False, description="Draw on a logarithmic scale; needs low > 0.")
    integer: bool = Field(default=False, description="Draw whole numbers only.")
    choices: list[str | bool | int | float] | None = Field(
        default=None, description="The allowed values, instead of a range."
    )

    @model_validator(mode="after")
    def _one_form(self) -> Self:
        if self.choices is not None:
            if self.low is not None or self.high is not None or not self.choices:
                raise ValueError("give either low and high, or a list of choices that is not empty")
        elif self.low is None or self.high is None or self.low > self.high:
            raise ValueError("give low and high with low <= high, or a list of choices")
        elif self.log and self.low <= 0:
            raise ValueError(f"a logarithmic range needs low > 0, not {self.low}")
        elif self.integer and not (self.low.is_integer() and self.high.is_integer()):
            raise ValueError(f"an integer range needs whole bounds, not {self.low} and {self.high}")
        return self


def library(kind: str) -> str:
    """``xgboost``, ``lightgbm`` or ``sklearn``.

    Raises:
        ValueError: the kind is none that there is.
    """
    if kind in (XGBOOST, LIGHTGBM):
        return kind
    if re.fullmatch(r"sklearn:([A-Za-z_]\w*\.)+[A-Za-z_]\w*", kind):
        return SKLEARN
    raise ValueError(
        f"there is no kind {kind!r}: choose xgboost, lightgbm, or sklearn: and the path of an estimator, such as"
        " sklearn:sklearn.linear_model.Ridge"
    )


def reserved_parameters(kind: str) -> dict[str, str]:
    """Parameters of a kind that cannot be declared -> the field that sets them."""
    return RESERVED_PARAMETERS | _RESERVED_BY_KIND[library(kind)]


def default_space(kind: str = XGBOOST) -> dict[str, ParameterRange]:
    """A space that suits tabular data of 10^4 to 10^7 rows; each bound is a value people deploy.

    Raises:
        ValueError: a scikit-learn estimator without a default space.
    """
    if library(kind) != SKLEARN:
        return _SPACES[kind]()
    name = re.sub(r"(Classifier|Regressor)$", "", kind.rpartition(".")[2])
    if name not in _SPACES:
        raise ValueError(f"kind {kind} has no default search space: declare search.space")
    return _SPACES[name]()


def _xgboost() -> dict[str, ParameterRange]:
    return {
        "learning_rate": ParameterRange(low=0.03, high=0.3, log=True),
        "max_depth": ParameterRange(low=3, high=8, integer=True),
        "min_child_weight": ParameterRange(low=1, high=100, log=True),
        "subsample": ParameterRange(low=0.6, high=1.0),
        "colsample_bytree": ParameterRange(low=0.3, high=1.0),
        "reg_lambda": ParameterRange(low=0.1, high=30, log=True),
        "reg_alpha": ParameterRange(low=0.001, high=10, log=True),
    }


def _lightgbm() -> dict[str, ParameterRange]:
    return {
        "learning_rate": ParameterRange(low=0.03, high=0.3, log=True),
        "num_leaves": ParameterRange(low=8, high=128, integer=True, log=True),
        "min_data_in_leaf": ParameterRange(low=10, high=500, integer=True, log=True),
        "bagging_fraction": ParameterRange(low=0.6, high=1.0),
        "feature_fraction": ParameterRange(low=0.3, high=1.0),
        "lambda_l2": ParameterRange(low=0.01, high=30, log=True),
        "lambda_l1": ParameterRange(low=0.001, high=10, log=True),
    }


def _histogram_trees() -> dict[str, ParameterRange]:
    return {
        "learning_rate": ParameterRange(low=0.03, high=0.3, log=True),
        "max_iter": ParameterRange(low=50, high=400, integer=True, log=True),
        "max_leaf_nodes": ParameterRange(low=8, high=128, integer=True, log=True),
        "min_samples_leaf": ParameterRange(low=10, high=200, integer=True, log=True),
        "l2_regularization": ParameterRange(low=0.001, high=10, log=True),
    }


def _forest() -> dict[str, ParameterRange]:
    return {
        "n_estimators": ParameterRange(choices=[100, 200]),
        "max_features": ParameterRange(low=0.2, high=1.0),
        "min_samples_leaf": ParameterRange(low=1, high=100, integer=True, log=True),
    }


def _penalty(name: str, low: float, high: float):
    return lambda: {name: ParameterRange(low=low, high=high, log=True)}


_SPACES = {
    XGBOOST: _xgboost,
    LIGHTGBM: _lightgbm,
    "HistGradientBoosting": _histogram_trees,
    "RandomForest": _forest,
    "ExtraTrees": _forest,
    "LogisticRegression": _penalty("C", 0.001, 100),
    "Ridge": _penalty("alpha", 0.001, 1_000),
    "Lasso": _penalty("alpha", 0.0001, 10),
    "ElasticNet": _penalty("alpha", 0.0001, 10),
}
