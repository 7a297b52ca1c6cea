"""What a user declares about a model."""

import re
from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from ml_assets.fairness.rules import LIMITS
from ml_assets.fairness.spec import FairnessSpec
from ml_assets.training.kinds.base import DEFAULT_KIND, find_kind
from ml_assets.training.metrics.metric import OF_FORECASTS, VALUE, top_names
from ml_assets.training.metrics.payoff import Payoff
from ml_assets.training.spec.declared import Declared, durations, filled, within
from ml_assets.training.spec.judging import BaselineSpec, EvaluationSpec, PromotionSpec
from ml_assets.training.spec.learning import IntervalSpec, SearchSpec, TrainingSpec, default_space
from ml_assets.training.spec.rows import LabelSpec, SpineSpec, SplitSpec
from ml_assets.training.tasks import TASKS, find_task, listed, searchable_metrics, tasks_where


def _list_tasks(schema: dict[str, Any]) -> None:
    schema["enum"] = TASKS.names()


class ModelSpec(Declared):
    """One model: everything needed to train, judge and promote it."""

    name: str = Field(description="Name of the model, its assets and registry entry.")
    description: str = Field(description="What the model predicts, for whom.")
    owners: list[str] = Field(default_factory=list, description="E-mail addresses, or teams as 'team:name'.")
    task: str = Field(
        default="binary",
        description="What kind of label it is: binary (a yes or no), multiclass (a choice among classes), regression"
        " (a number), or a task that an installed package adds.",
        json_schema_extra=_list_tasks,
    )
    kind: str = Field(
        default=DEFAULT_KIND,
        description="What learns: xgboost, lightgbm, sklearn: and the path of an estimator, such as"
        " sklearn:sklearn.linear_model.Ridge, or what an installed package adds.",
    )
    spine: SpineSpec = Field(description="The rows to predict.")
    horizon: str | None = Field(
        default=None,
        description="The one horizon of the spine that the model predicts, such as 7d; absent: all that it has.",
    )
    label: LabelSpec = Field(description="The outcome to predict.")
    features: list[str] = Field(description="Names of the feature views joined to the spine.")
    slices: list[str] = Field(default_factory=list, description="Columns whose values are also measured one by one.")
    groups: list[str] = Field(
        default_factory=list,
        description="Columns by whose values fairness is watched, such as sex or region: of the rows to predict, or "
        "features.",
    )
    fairness: FairnessSpec = Field(
        default_factory=FairnessSpec, description="How far the groups may be apart, on the holdout and in production."
    )
    split: SplitSpec = Field(description="Train, validation and holdout by prediction time.")
    metric: str | None = Field(
        default=None,
        description="Metric that the search optimises and early stopping watches: roc_auc, average_precision or"
        " log_loss for a binary task (roc_auc if left out), log_loss or roc_auc_ovr for several classes (log_loss),"
        " mae, rmse or a pinball loss such as pinball_0.9 for a number (mae). A regression under mae predicts the"
        " median, under rmse the mean, under a pinball loss that quantile. The search also takes value, tops of the"
        " list, f1 and brier, macro_f1 and accuracy, wape, rmsse and r2: they are measured on the validation rows after"
        " each fit, while early stopping watches average_precision for tops, mae for wape, rmse for rmsse and r2, and"
        " log_loss for the others.",
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
    payoff: Payoff | None = Field(
        default=None,
        description="What each outcome of a decision brings: true_positive, false_positive, false_negative and"
        " true_negative, each a number or a column of the row. Gives the metric value, what decisions bring per"
        " thousand rows, and the threshold that makes most of it on the validation rows; for the binary task.",
    )
    floors: dict[str, float] = Field(
        default_factory=dict,
        description="Worst holdout value allowed per metric: a minimum, or a maximum for log_loss, brier,"
        " calibration_error, positive_calibration_error, mae, rmse, wape, rmsse and the pinball losses.",
    )
    promotion: PromotionSpec = Field(default_factory=PromotionSpec, description="Champion against challenger.")
    seed: int = Field(default=0, description="Seed of every random choice: sample, search, fit, bootstrap.")

    _not_empty = filled("features")
    _are_durations = durations("horizon")
    _not_negative = within("seed", low=0)

    @field_validator("name")
    @classmethod
    def _is_identifier(cls, value: str) -> str:
        if not re.fullmatch(r"[a-z][a-z0-9_]*", value):
            raise ValueError(f"{value!r} must be lower case letters, digits and _, and begin with a letter")
        return value

    @field_validator("task")
    @classmethod
    def _is_task(cls, value: str) -> str:
        if value not in TASKS.names():
            raise ValueError(f"{value!r} is not allowed; choose from {', '.join(TASKS.names())}")
        return value

    @field_validator("kind")
    @classmethod
    def _is_kind(cls, value: str) -> str:
        find_kind(value)
        return value

    @model_validator(mode="after")
    def _filled_in(self) -> Self:
        """Fill in the defaults that depend on task and kind."""
        self.metric = self.optimised_metric
        if "metric" not in self.promotion.model_fields_set:
            promoted_by = find_task(self.task).promoted_by or self.metric
            if promoted_by != self.promotion.metric:
                self.promotion = self.promotion.model_copy(update={"metric": promoted_by})
        if self.kind != DEFAULT_KIND and self.search.space == default_space():
            self.search = self.search.model_copy(update={"space": default_space(self.kind)})
        return self

    @model_validator(mode="after")
    def _fits_task(self) -> Self:
        of = find_task(self.task)
        for field, names, allowed in (
            ("metric", [self.optimised_metric], searchable_metrics(self.task)),
            ("promotion.metric", [self.promotion.metric], of.metrics),
            ("floors", self.floors, of.metrics),
            ("evaluation.metrics", self.evaluation.metrics, of.metrics),
            ("evaluation.watched", [self.watched_metric], of.metrics),
        ):
            strange = [name for name in names if name not in allowed]
            if strange:
                raise ValueError(
                    f"{field}: {', '.join(strange)} does not fit the task {self.task}; choose from {listed(allowed)}"
                )
            if VALUE in names and self.payoff is None:
                raise ValueError(f"{field}: {VALUE} needs payoffs: declare `payoff`")
        for field, given, needed in (
            ("payoff", self.payoff is not None, "has_payoff"),
            ("evaluation.top", bool(self.evaluation.top), "has_positive"),
            ("training.negatives", self.training.negatives is not None, "has_positive"),
            ("intervals", self.intervals is not None, "has_intervals"),
            ("evaluation.quantiles", bool(self.evaluation.quantiles), "has_quantiles"),
            ("calibration", self.calibration is not None, "calibratable"),
            ("baseline.seasonal", self.baseline.seasonal is not None, "forecasts"),
        ):
            if given and not getattr(of, needed):
                fitting = " or ".join(tasks_where(needed))
                raise ValueError(f"{field}: is for the task {fitting}, not {self.task}: leave it out")
        return self

    @model_validator(mode="after")
    def _fits_fairness(self) -> Self:
        of, limits = find_task(self.task), self.fairness.limits
        if limits and not self.groups:
            raise ValueError("groups: is missing: name the columns by whose values `fairness` is judged")
        if self.groups and not of.fairness_views(self.label.column, ("class",)):
            raise ValueError(f"groups: the task {self.task} does not say how groups are compared: leave it out")
        strange = [name for name in limits if not of.is_fairness_limit(name)]
        if strange:
            fitting = [name for name in LIMITS if of.is_fairness_limit(name)]
            raise ValueError(
                f"fairness: {', '.join(strange)} does not fit the task {self.task}; choose from {listed(fitting)}"
            )
        return self

    @model_validator(mode="after")
    def _fits_kind(self) -> Self:
        kind = find_kind(self.kind)
        try:
            kind.check_task(self.task)
        except ValueError as error:
            raise ValueError(f"kind: {str(error).removeprefix('kind: ')}") from error
        reserved = kind.reserved_parameters()
        for field, names in (("search.space", self.search.space), ("training.parameters", self.training.parameters)):
            for name in names:
                if name in reserved:
                    raise ValueError(f"{field}.{name}: is set by {reserved[name]}: leave it out")
        if self.training.monotone:
            kind.check_monotone(self.task, self.stopping_metric)
            if kind.monotone_parameter in {*self.search.space, *self.training.parameters}:
                raise ValueError(f"training.monotone: sets {kind.monotone_parameter}, which is declared too: keep one")
        return self

    @property
    def optimised_metric(self) -> str:
        """The metric that the search optimises: the declared one, or the task's own."""
        return self.metric or find_task(self.task).optimised[0]

    @property
    def stopping_metric(self) -> str:
        """The metric that early stopping watches: that of the search, or what stands for it."""
        return find_task(self.task).watched_while_searching(self.optimised_metric)

    @property
    def watched_metric(self) -> str:
        """The metric that evidence and replay go by."""
        return self.evaluation.watched or self.optimised_metric

    def payoff_for(self, metric: str) -> Payoff | None:
        """Return the payoffs where a metric is about them: rows from before they were declared may lack them."""
        return self.payoff if metric == VALUE else None

    @property
    def promises_probabilities(self) -> bool:
        """Whether scores are corrected to be probabilities, which the holdout then shows."""
        return self.calibration is not None or self.training.negatives is not None

    @property
    def row_columns(self) -> list[str]:
        """Columns of the row that training and measuring read beside label and features."""
        weight = [self.training.weight] if self.training.weight else []
        paid = self.payoff.columns if self.payoff else ()
        return list(dict.fromkeys([*paid, *weight, *self.split.group, *self.groups]))

    @property
    def calibration_share(self) -> float:
        """Share of the validation part that is kept for intervals."""
        return self.intervals.validation_share if self.intervals else 0.0

    @property
    def extra_metrics(self) -> list[str]:
        """The metrics that the declaration names beside those of every evaluation, such as pinball losses."""
        named = [
            *([VALUE] if self.payoff else []),
            *(name for at in self.evaluation.top for name in top_names(at)),
            *(f"pinball_{quantile:g}" for quantile in self.evaluation.quantiles),
            *(self.optimised_metric, self.promotion.metric, self.watched_metric),
            *self.floors,
            *self.evaluation.metrics,
            *(OF_FORECASTS if self.baseline.seasonal is not None else ()),
        ]
        task = find_task(self.task)
        return [name for name in dict.fromkeys(named) if task.is_optional(name)]

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        for field, names in (("features", self.features), ("slices", self.slices), ("groups", self.groups)):
            if len(set(names)) < len(names):
                raise ValueError(f"{field}: names something twice: {names}")
        if self.baseline.seasonal is None:
            if self.baseline.series:
                raise ValueError("baseline.series: belongs to baseline.seasonal, the length of a season: declare it")
            if "rmsse" in self.extra_metrics:
                raise ValueError(
                    "baseline.seasonal: is missing, and rmsse is measured in errors of the seasonal naive forecast:"
                    " declare the length of a season, such as 7d"
                )
        fixed = sorted(set(self.search.space) & set(self.training.parameters))
        if fixed:
            raise ValueError(f"training.parameters: {fixed} are in search.space too: keep one of the two")
        return self
