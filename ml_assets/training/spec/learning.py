"""What a user declares about search, final fit and prediction intervals."""

from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from ml_assets.training.kinds.base import DEFAULT_KIND, find_kind
from ml_assets.training.kinds.parameters import RESERVED_PARAMETERS, ParameterRange
from ml_assets.training.spec.declared import Declared, durations, filled, within


def default_space(kind: str = DEFAULT_KIND) -> dict[str, ParameterRange]:
    """Return the search space of a declaration that has none; ValueError if this kind's must be declared."""
    return find_kind(kind).default_space()


class SearchSpec(Declared):
    """How hyperparameters are searched (Optuna, TPE)."""

    trials: int = Field(default=12, description="Trials in total, finished or pruned, over all attempts.")
    rows: int = Field(
        default=60_000,
        description="Training rows a trial sees: a seeded sample over the whole training period, because"
        " parameters found on the newest rows alone would be tuned to one season. A class of under 5 %"
        " of the rows, of which it would hold fewer than 1,000, stays in with all of its rows, up to its equal part of"
        " the sample, and rows are weighted so that they stand for all.",
    )
    max_rounds: int = Field(default=150, description="Boosting rounds a trial may use at most.")
    pruning: bool = Field(default=True, description="Stop trials that fall behind the median of earlier ones.")
    space: dict[str, ParameterRange] = Field(
        default_factory=default_space,
        description="Parameter -> values to search; by default a space that suits the kind.",
    )

    _positive = within("trials", "max_rounds", low=1)
    _enough = within("rows", low=100)
    _not_empty = filled("space")

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
    weight: str | None = Field(
        default=None,
        description="Column of the row with how much it counts, 0 or more, in search, final fit, and the validation"
        " metric that these go by. Calibration, threshold, evaluation and monitoring count every row once: declare"
        " `calibration` where the weight depends on the outcome and scores shall be probabilities.",
    )
    half_life: str | None = Field(
        default=None,
        description="Age, such as 180d, by which a training row counts half as much as a new one, counted back from the"
        " cut-off; the validation rows, which are new, count alike.",
    )
    negatives: float | None = Field(
        default=None,
        description="Share of the train part's negative rows that are learned from, above 0 and below 1: a seeded"
        " sample beside all positives, for a binary task of many rows and few positives. Probabilities are corrected,"
        " so that they are those among all rows; validation and holdout keep all of theirs.",
    )
    monotone: dict[str, Literal["increasing", "decreasing"]] = Field(
        default_factory=dict,
        description="Feature -> direction in which the score may move with it, other features equal: increasing or"
        " decreasing. For numbers and booleans, XGBoost, LightGBM and HistGradientBoosting, and tasks with one score.",
    )

    _positive = within("max_rounds", "early_stopping_rounds", low=1)
    _bins = within("max_bin", low=2)
    _cores = within("threads", low=0)
    _are_durations = durations("half_life")

    @field_validator("negatives")
    @classmethod
    def _is_share(cls, share: float | None) -> float | None:
        if share is not None and not 0 < share < 1:
            raise ValueError(f"{share} is no share above 0 and below 1; leave it out to learn from all negatives")
        return share

    @model_validator(mode="after")
    def _not_reserved(self) -> Self:
        for name in self.parameters:
            if name in RESERVED_PARAMETERS:
                raise ValueError(f"parameters.{name}: is set by {RESERVED_PARAMETERS[name]}: leave it out")
        return self

    @property
    def weighted(self) -> bool:
        """Whether rows count differently."""
        return self.weight is not None or self.half_life is not None


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

    _share = within("coverage", low=0.5, high=0.99)
    _part = within("validation_share", low=0.1, high=0.9)
    _positive = within("groups", low=1)
    _small = within("tolerance", low=0.0, high=0.5)

    @property
    def least(self) -> float:
        """The share of covered labels below which a drop alerts."""
        return self.coverage - self.tolerance
