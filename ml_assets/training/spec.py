"""What a user declares about a model: its rows, label, features, split, search, floors and promotion rule."""

import re
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from ml_assets.durations import parse_duration

MetricName = Literal["roc_auc", "average_precision", "log_loss", "brier", "calibration_error", "f1"]
RESERVED_PARAMETERS = {
    "max_bin": "training.max_bin",
    "nthread": "training.threads",
    "n_jobs": "training.threads",
    "seed": "seed",
    "random_state": "seed",
    "num_boost_round": "training.max_rounds",
    "n_estimators": "training.max_rounds",
    "early_stopping_rounds": "training.early_stopping_rounds",
    "objective": "task",
    "eval_metric": "metric",
    "tree_method": "training (always hist)",
}


# Limits are validators, not Field(ge=...) or Annotated types: Dagster resolves a nested model from YAML only
# when its annotations are plain.
def _within(*fields: str, low: float = float("-inf"), high: float = float("inf")) -> Any:
    def check(value: float) -> float:
        if not low <= value <= high:
            raise ValueError(f"{value} is outside {low} to {high}")
        return value

    return field_validator(*fields)(check)


def _durations(*fields: str) -> Any:
    def check(value: str | None) -> str | None:
        if value is not None:
            parse_duration(value)
        return value

    return field_validator(*fields)(check)


def _filled(*fields: str) -> Any:
    def check(value: list | dict) -> list | dict:
        if not value:
            raise ValueError("must name at least one")
        return value

    return field_validator(*fields)(check)


class Declared(BaseModel):
    """A part of a declaration: an unknown field is an error, not a silent default."""

    model_config = ConfigDict(extra="forbid")


class SpineSpec(Declared):
    """The rows to predict."""

    table: str = Field(description="Asset key of the table with one row per prediction, parts joined by '/'.")
    key: list[str] = Field(description="Columns that together identify a row.")
    time: str = Field(description="Column with the prediction time: the moment the score is needed.")
    columns: list[str] = Field(
        default_factory=list,
        description="Further columns carried along untouched (entity keys for joins, slices).",
    )

    _not_empty = _filled("key")

    @field_validator("key")
    @classmethod
    def _distinct(cls, key: list[str]) -> list[str]:
        if len(set(key)) < len(key):
            raise ValueError(f"key names something twice: {key}")
        return key


class LabelSpec(Declared):
    """The outcome to predict."""

    column: str = Field(description="Column of the spine table with the outcome: boolean or 0/1; null = none yet.")
    known_at: str = Field(description="Column of the spine table with the moment the outcome was known.")


class SplitSpec(Declared):
    """Train, validation and holdout, one after the other in prediction time."""

    validation: str = Field(description="Length of the validation part, such as '14d'.")
    holdout: str = Field(description="Length of the holdout part, such as '30d'.")
    gap: str = Field(
        description="Time left out between the parts and before the cut-off, such as '2d': at least as long"
        " as a label takes to arrive after its prediction time."
    )
    train: str | None = Field(
        default=None, description="Most history to train on, such as '180d'; null takes all there is."
    )
    min_rows: int = Field(default=100, description="Rows with a label that each part must have at least.")

    _are_durations = _durations("validation", "holdout", "gap", "train")
    _enough = _within("min_rows", low=2)


class ParameterRange(Declared):
    """Values the search may give to one XGBoost parameter: low..high, or one of the choices."""

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


def default_space() -> dict[str, ParameterRange]:
    """A space that suits tabular data of 10^4 to 10^7 rows; each bound is a value people deploy."""
    return {
        "learning_rate": ParameterRange(low=0.03, high=0.3, log=True),
        "max_depth": ParameterRange(low=3, high=8, integer=True),
        "min_child_weight": ParameterRange(low=1, high=100, log=True),
        "subsample": ParameterRange(low=0.6, high=1.0),
        "colsample_bytree": ParameterRange(low=0.3, high=1.0),
        "reg_lambda": ParameterRange(low=0.1, high=30, log=True),
        "reg_alpha": ParameterRange(low=0.001, high=10, log=True),
    }


class SearchSpec(Declared):
    """How hyperparameters are searched (Optuna, TPE)."""

    trials: int = Field(default=12, description="Trials in total, finished or pruned, over all attempts.")
    rows: int = Field(
        default=60_000,
        description="Training rows a trial sees: a seeded sample over the whole training period, because"
        " parameters found on the newest rows alone would be tuned to one season.",
    )
    max_rounds: int = Field(default=150, description="Boosting rounds a trial may use at most.")
    pruning: bool = Field(default=True, description="Stop trials that fall behind the median of earlier ones.")
    space: dict[str, ParameterRange] = Field(
        default_factory=default_space, description="XGBoost parameter -> values to search."
    )

    _positive = _within("trials", "max_rounds", low=1)
    _enough = _within("rows", low=100)
    _not_empty = _filled("space")

    @model_validator(mode="after")
    def _tunable(self) -> Self:
        for name in self.space:
            if name in RESERVED_PARAMETERS:
                raise ValueError(f"{name} cannot be searched: it is set by {RESERVED_PARAMETERS[name]}")
        return self


class TrainingSpec(Declared):
    """How the final model is fitted (XGBoost, hist)."""

    max_rounds: int = Field(default=1_000, description="Boosting rounds at most.")
    early_stopping_rounds: int = Field(
        default=30, description="Stop after this many rounds without a better validation metric."
    )
    max_bin: int = Field(default=128, description="Histogram bins per feature; half the default, twice as fast.")
    threads: int = Field(default=0, description="CPU threads; 0 takes every core.")
    parameters: dict[str, str | bool | int | float] = Field(
        default_factory=dict, description="XGBoost parameters held fixed, in search and final fit alike."
    )

    _positive = _within("max_rounds", "early_stopping_rounds", low=1)
    _bins = _within("max_bin", low=2)
    _cores = _within("threads", low=0)

    @model_validator(mode="after")
    def _not_reserved(self) -> Self:
        for name in self.parameters:
            if name in RESERVED_PARAMETERS:
                raise ValueError(f"{name} is set by {RESERVED_PARAMETERS[name]}, not by training.parameters")
        return self


class BaselineSpec(Declared):
    """The naive prediction that a model must beat."""

    by: str | None = Field(
        default=None,
        description="Column whose value's own past rate is predicted; null predicts the overall rate.",
    )


class EvaluationSpec(Declared):
    """How the holdout is measured."""

    resamples: int = Field(default=500, description="Bootstrap resamples behind each interval.")
    confidence: float = Field(default=0.95, description="Confidence of the intervals.")
    block: str | None = Field(
        default=None,
        description="Rows within one block of prediction time, such as '1d', are resampled together, here and"
        " in promotion. Use it when rows of a day share their luck; null resamples single rows.",
    )
    leak_limit: float = Field(
        default=0.9, description="ROC AUC of one feature alone from which it is suspected of a leak."
    )

    _are_durations = _durations("block")
    _share = _within("confidence", low=0.5, high=0.999)
    _limit = _within("leak_limit", low=0.5, high=1.0)
    _enough = _within("resamples", low=100)


class PromotionSpec(Declared):
    """When a challenger replaces the champion."""

    metric: MetricName = Field(default="roc_auc", description="The metric both are compared by.")
    confidence: float = Field(default=0.95, description="Confidence of the two-sided interval.")
    margin: float = Field(
        default=0.0,
        description="Promote when the interval's lower end is at least -margin. 0 asks for proof that the"
        " challenger is no worse; a small margin also lets in a fresher model that is about as good.",
    )
    resamples: int = Field(default=1_000, description="Bootstrap resamples of the paired difference.")

    _share = _within("confidence", low=0.5, high=0.999)
    _enough = _within("resamples", low=100)
    _not_negative = _within("margin", low=0)


class ModelSpec(Declared):
    """One model: everything needed to train, judge and promote it."""

    name: str = Field(description="Name of the model, its assets and registry entry.")
    description: str = Field(description="What the model predicts, for whom.")
    owners: list[str] = Field(default_factory=list, description="E-mail addresses, or teams as 'team:name'.")
    task: Literal["binary"] = Field(default="binary", description="What kind of label it is.")
    spine: SpineSpec = Field(description="The rows to predict.")
    label: LabelSpec = Field(description="The outcome to predict.")
    features: list[str] = Field(description="Names of the feature views joined to the spine.")
    slices: list[str] = Field(default_factory=list, description="Columns whose values are also measured one by one.")
    split: SplitSpec = Field(description="Train, validation and holdout by prediction time.")
    metric: Literal["roc_auc", "average_precision", "log_loss"] = Field(
        default="roc_auc", description="Metric that the search optimises and early stopping watches."
    )
    search: SearchSpec = Field(default_factory=SearchSpec, description="Hyperparameter search.")
    training: TrainingSpec = Field(default_factory=TrainingSpec, description="Final fit.")
    baseline: BaselineSpec = Field(default_factory=BaselineSpec, description="The naive prediction to beat.")
    evaluation: EvaluationSpec = Field(default_factory=EvaluationSpec, description="Measurement of the holdout.")
    floors: dict[MetricName, float] = Field(
        default_factory=dict,
        description="Worst holdout value allowed per metric: a minimum, or a maximum for log_loss, brier and"
        " calibration_error.",
    )
    promotion: PromotionSpec = Field(default_factory=PromotionSpec, description="Champion against challenger.")
    seed: int = Field(default=0, description="Seed of every random choice: sample, search, fit, bootstrap.")

    _not_empty = _filled("features")
    _not_negative = _within("seed", low=0)

    @field_validator("name")
    @classmethod
    def _is_identifier(cls, value: str) -> str:
        if not re.fullmatch(r"[a-z][a-z0-9_]*", value):
            raise ValueError(f"{value!r} must be lower case letters, digits and _, and begin with a letter")
        return value

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        for field, names in (("features", self.features), ("slices", self.slices)):
            if len(set(names)) < len(names):
                raise ValueError(f"{field} of model {self.name} names something twice: {names}")
        fixed = sorted(set(self.search.space) & set(self.training.parameters))
        if fixed:
            raise ValueError(f"{fixed} of model {self.name} are both searched and fixed: keep one of the two")
        return self
