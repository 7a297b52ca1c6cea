"""What a user declares about a model: its rows, label, features, split, search, floors and promotion rule."""

import re
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from ml_assets.durations import parse_duration
from ml_assets.training.kinds.base import DEFAULT_KIND, find_kind
from ml_assets.training.kinds.parameters import RESERVED_PARAMETERS, ParameterRange
from ml_assets.training.metrics.metric import PINBALL
from ml_assets.training.tasks import TASKS, find_task, listed, tasks_where

__all__ = ["ModelSpec", "ParameterRange", "default_space"]


def default_space(kind: str = DEFAULT_KIND) -> dict[str, ParameterRange]:
    """Return the search space of a declaration that has none; ValueError if this kind's must be declared."""
    return find_kind(kind).default_space()


# Limits are validators, not Field(ge=...) or Annotated types: Dagster resolves a nested model from YAML only
# when its annotations are plain.
def _within(*fields: str, low: float = float("-inf"), high: float = float("inf")) -> Any:
    def check(value: float) -> float:
        if not low <= value <= high:
            raise ValueError(
                f"{value} is less than {low}" if high == float("inf") else f"{value} is outside {low} to {high}"
            )
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
            raise ValueError(f"names something twice: {key}")
        return key


class LabelSpec(Declared):
    """The outcome to predict."""

    column: str = Field(
        description="Column of the spine table with the outcome: boolean or 0/1 (binary), text or whole numbers"
        " (multiclass), a number (regression); null = none yet."
    )
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
        default_factory=default_space,
        description="Parameter -> values to search; by default a space that suits the kind.",
    )

    _positive = _within("trials", "max_rounds", low=1)
    _enough = _within("rows", low=100)
    _not_empty = _filled("space")

    @model_validator(mode="after")
    def _tunable(self) -> Self:
        for name in self.space:
            if name in RESERVED_PARAMETERS:
                raise ValueError(f"space.{name}: cannot be searched, it is set by {RESERVED_PARAMETERS[name]}")
        return self


class TrainingSpec(Declared):
    """How the final model is fitted. Rounds and bins are those of boosted trees: XGBoost (hist) and LightGBM."""

    max_rounds: int = Field(default=1_000, description="Boosting rounds at most.")
    early_stopping_rounds: int = Field(
        default=30, description="Stop after this many rounds without a better validation metric."
    )
    max_bin: int = Field(default=128, description="Histogram bins per feature; half the default, twice as fast.")
    threads: int = Field(default=0, description="CPU threads; 0 takes every core.")
    parameters: dict[str, str | bool | int | float] = Field(
        default_factory=dict, description="Parameters held fixed, in search and final fit alike."
    )

    _positive = _within("max_rounds", "early_stopping_rounds", low=1)
    _bins = _within("max_bin", low=2)
    _cores = _within("threads", low=0)

    @model_validator(mode="after")
    def _not_reserved(self) -> Self:
        for name in self.parameters:
            if name in RESERVED_PARAMETERS:
                raise ValueError(f"parameters.{name}: is set by {RESERVED_PARAMETERS[name]}: leave it out")
        return self


class BaselineSpec(Declared):
    """The naive prediction that a model must beat."""

    by: str | None = Field(
        default=None,
        description="Column whose value's own past rate is predicted; null predicts the overall rate. The rate is"
        " the share of positives, the share of each class, or the usual value: the median where promotion.metric"
        " is mae, the quantile where it is a pinball loss, else the mean.",
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
        default=0.9,
        description="ROC AUC of one feature alone from which it is suspected of a leak: one class against the rest"
        " for several classes; for a number the share of pairs of rows that it puts in the right order.",
    )
    quantiles: list[float] = Field(
        default_factory=list, description="Quantiles, such as 0.9, whose pinball loss a regression measures too."
    )
    calibration_limit: float = Field(
        default=0.05, description="Calibration error allowed on the holdout where calibration is declared."
    )

    _are_durations = _durations("block")
    _share = _within("confidence", low=0.5, high=0.999)
    _limit = _within("leak_limit", low=0.5, high=1.0)
    _error = _within("calibration_limit", low=0.0, high=1.0)
    _enough = _within("resamples", low=100)

    @field_validator("quantiles")
    @classmethod
    def _whole_percents(cls, quantiles: list[float]) -> list[float]:
        strange = [quantile for quantile in quantiles if f"pinball_{quantile:g}" not in PINBALL]
        if strange:
            raise ValueError(f"{strange} are no quantiles: give 0.01 to 0.99 in steps of 0.01")
        return quantiles


class PromotionSpec(Declared):
    """When a challenger replaces the champion."""

    metric: str = Field(
        default="roc_auc",
        description="The metric both are compared by, which has to fit the task. Left out, it is roc_auc for a"
        " binary task and the model's own metric for the others.",
    )
    confidence: float = Field(default=0.95, description="Confidence of the two-sided interval.")
    margin: float = Field(
        default=0.0,
        description="Promote when the interval's lower end is at least -margin. 0 asks for proof that the"
        " challenger is no worse; a small margin also lets in a fresher model that is about as good.",
    )
    resamples: int = Field(default=1_000, description="Bootstrap resamples of the paired difference.")
    accept_over: str | None = Field(
        default=None,
        description="Version of the champion, such as '3', that a challenger may replace although the two cannot be"
        " compared: because the label, the task or the spine has changed, or the champion's features are gone.",
    )

    _share = _within("confidence", low=0.5, high=0.999)
    _enough = _within("resamples", low=100)
    _not_negative = _within("margin", low=0)


class IntervalSpec(Declared):
    """Prediction intervals of a regression, by split-conformal prediction on rows that nothing else has chosen by."""

    coverage: float = Field(default=0.9, description="Share of labels that should lie between lower and upper.")
    groups: int = Field(
        default=10,
        description="Groups of equal size along the prediction that have errors of their own, so that large and small"
        " predictions get intervals as wide as they need; fewer where a group would have under 200 rows to learn from."
        " 1 gives every row the same width.",
    )
    validation_share: float = Field(
        default=0.5,
        description="Share of the validation part's time, its newest, whose rows intervals learn from. Neither search"
        " nor early stopping sees these rows, or the errors on them would be smaller than those to come.",
    )
    tolerance: float = Field(
        default=0.03, description="How far coverage may fall short, on the holdout and on every drop."
    )

    _share = _within("coverage", low=0.5, high=0.99)
    _part = _within("validation_share", low=0.1, high=0.9)
    _positive = _within("groups", low=1)
    _small = _within("tolerance", low=0.0, high=0.5)

    @property
    def least(self) -> float:
        """The share of covered labels below which a drop alerts."""
        return self.coverage - self.tolerance


class ModelSpec(Declared):
    """One model: everything needed to train, judge and promote it."""

    name: str = Field(description="Name of the model, its assets and registry entry.")
    description: str = Field(description="What the model predicts, for whom.")
    owners: list[str] = Field(default_factory=list, description="E-mail addresses, or teams as 'team:name'.")
    task: str = Field(
        default="binary",
        description="What kind of label it is: binary (a yes or no), multiclass (a choice among classes), regression"
        " (a number), or a task that an installed package adds.",
        json_schema_extra={"enum": TASKS.names()},
    )
    kind: str = Field(
        default=DEFAULT_KIND,
        description="What learns: xgboost, lightgbm, or sklearn: and the path of an estimator, such as"
        " sklearn:sklearn.linear_model.Ridge.",
    )
    spine: SpineSpec = Field(description="The rows to predict.")
    label: LabelSpec = Field(description="The outcome to predict.")
    features: list[str] = Field(description="Names of the feature views joined to the spine.")
    slices: list[str] = Field(default_factory=list, description="Columns whose values are also measured one by one.")
    split: SplitSpec = Field(description="Train, validation and holdout by prediction time.")
    metric: str | None = Field(
        default=None,
        description="Metric that the search optimises and early stopping watches: roc_auc, average_precision or"
        " log_loss for a binary task (roc_auc if left out), log_loss or roc_auc_ovr for several classes (log_loss),"
        " mae, rmse or a pinball loss such as pinball_0.9 for a number (mae). A regression under mae predicts the"
        " median, under rmse the mean, under a pinball loss that quantile.",
    )
    search: SearchSpec = Field(default_factory=SearchSpec, description="Hyperparameter search.")
    training: TrainingSpec = Field(default_factory=TrainingSpec, description="Final fit.")
    baseline: BaselineSpec = Field(default_factory=BaselineSpec, description="The naive prediction to beat.")
    evaluation: EvaluationSpec = Field(default_factory=EvaluationSpec, description="Measurement of the holdout.")
    calibration: Literal["isotonic", "sigmoid"] | None = Field(
        default=None, description="Correct the probabilities on the validation rows; for binary and multiclass tasks."
    )
    intervals: IntervalSpec | None = Field(
        default=None, description="Give each prediction of a regression a lower and an upper end."
    )
    floors: dict[str, float] = Field(
        default_factory=dict,
        description="Worst holdout value allowed per metric: a minimum, or a maximum for log_loss, brier,"
        " calibration_error, mae, rmse and the pinball losses.",
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

    @field_validator("task")
    @classmethod
    def _is_task(cls, value: str) -> str:
        find_task(value)
        return value

    @field_validator("kind")
    @classmethod
    def _is_kind(cls, value: str) -> str:
        find_kind(value)
        return value

    @model_validator(mode="after")
    def _filled_in(self) -> Self:
        """Defaults that depend on task and kind."""
        of = find_task(self.task)
        self.metric = self.metric or of.optimised[0]
        if "metric" not in self.promotion.model_fields_set:
            promoted_by = of.promoted_by or self.metric
            if promoted_by != self.promotion.metric:
                self.promotion = self.promotion.model_copy(update={"metric": promoted_by})
        if self.kind != DEFAULT_KIND and self.search.space == default_space():
            self.search = self.search.model_copy(update={"space": default_space(self.kind)})
        return self

    @model_validator(mode="after")
    def _fits_its_task(self) -> Self:
        of = find_task(self.task)
        for field, names, allowed in (
            ("metric", [self.metric], of.optimised),
            ("promotion.metric", [self.promotion.metric], of.metrics),
            ("floors", self.floors, of.metrics),
        ):
            strange = [name for name in names if name not in allowed]
            if strange:
                raise ValueError(
                    f"{field}: {', '.join(strange)} does not fit the task {self.task}; choose from {listed(allowed)}"
                )
        for field, given, needed in (
            ("intervals", self.intervals is not None, "has_intervals"),
            ("evaluation.quantiles", bool(self.evaluation.quantiles), "has_quantiles"),
            ("calibration", self.calibration is not None, "calibratable"),
        ):
            if given and not getattr(of, needed):
                fitting = " or ".join(tasks_where(needed))
                raise ValueError(f"{field}: is for the task {fitting}, not {self.task}: leave it out")
        return self

    @model_validator(mode="after")
    def _fits_its_kind(self) -> Self:
        kind = find_kind(self.kind)
        kind.check_task(self.task)
        reserved = kind.reserved_parameters()
        for field, names in (("search.space", self.search.space), ("training.parameters", self.training.parameters)):
            for name in names:
                if name in reserved:
                    raise ValueError(f"{field}.{name}: is set by {reserved[name]}: leave it out")
        return self

    @property
    def calibration_share(self) -> float:
        """Share of the validation part that is kept for intervals."""
        return self.intervals.validation_share if self.intervals else 0.0

    @property
    def extra_metrics(self) -> list[str]:
        """The metrics that the declaration names beside those of every evaluation, such as pinball losses."""
        optional = find_task(self.task).optional_metrics
        named = [*(f"pinball_{quantile:g}" for quantile in self.evaluation.quantiles), self.metric]
        return [name for name in dict.fromkeys([*named, self.promotion.metric, *self.floors]) if name in optional]

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        for field, names in (("features", self.features), ("slices", self.slices)):
            if len(set(names)) < len(names):
                raise ValueError(f"{field}: names something twice: {names}")
        fixed = sorted(set(self.search.space) & set(self.training.parameters))
        if fixed:
            raise ValueError(f"training.parameters: {fixed} are in search.space too: keep one of the two")
        return self
