"""What a user declares about measuring a model, and when it replaces the champion."""

from pydantic import Field, field_validator

from ml_assets.training.metrics.metric import PINBALL
from ml_assets.training.spec.declared import Declared, durations, within


class BaselineSpec(Declared):
    """The naive prediction that a model must beat."""

    by: str | None = Field(
        default=None,
        description="Column whose value's own past rate is predicted; null predicts the overall rate. The rate is"
        " the share of positives, the share of each class, or the usual value: the median where promotion.metric"
        " is mae, the quantile where it is a pinball loss, else the mean.",
    )
    seasonal: str | None = Field(
        default=None,
        description="Length of a season, such as '7d' or '364d': the seasonal naive forecast is predicted, the label of"
        " the same series one season earlier, or as many seasons earlier as it takes for it to be known at the"
        " prediction time. Whole days are counted on the clock of the spine's time zone. Rows of a series without such"
        " a label get the rate. Declared, wape and rmsse are measured too; for the task regression.",
    )
    series: list[str] = Field(
        default_factory=list,
        description="Columns that name a row's series, such as [store, item]; by default the spine's key without the"
        " horizon.",
    )

    _are_durations = durations("seasonal")


class LeakSpec(Declared):
    """From where on something is a sign that a feature knows the outcome, beside `leak_limit`."""

    trusted: list[str] = Field(
        default_factory=list,
        description="Features, columns or tables that are right although there are signs: nothing is said of them.",
    )
    doubtful: float = Field(
        default=0.75,
        description="Strength alone, measured as leak_limit is, from which a feature is named where there are doubts"
        " about when it is known: a table without known_at, facts that are known at the very prediction time, a table"
        " whose rows hold later moments, the name of the label.",
    )
    pure: float = Field(
        default=0.98,
        description="Share of one class among the rows with one value of a feature, surely reached on training rows"
        " and the holdout, from which it is named.",
    )
    train_only: float = Field(
        default=0.15, description="How much better alone a feature predicts among training rows than on the holdout."
    )
    identifier: float = Field(
        default=0.99,
        description="Rank correlation of a number with the prediction time, or share of rows in which a text differs"
        " from all others, from which it is taken for an identifier.",
    )
    own_outcomes: float = Field(
        default=0.5,
        description="Variation of outcomes around a rate, as a share of what chance makes of it, below which the rate"
        " was computed from these very outcomes.",
    )
    twins: float = Field(
        default=0.01, description="Share of the holdout's rows that equal a training row in features and outcome."
    )
    rewritten: float = Field(
        default=0.01,
        description="Share of a feature's values at past prediction times that are others in the table's newest version"
        " than in the version of that time.",
    )
    early: float = Field(
        default=0.01,
        description="Share of a table's rows that are said to be known before their drop began, or of rows whose"
        " moments lie after the prediction time.",
    )

    _strength = within("doubtful", "pure", "identifier", low=0.5, high=1.0)
    _share = within("train_only", "own_outcomes", "twins", "rewritten", "early", low=0.0, high=1.0)


class EvaluationSpec(Declared):
    """How the holdout is measured."""

    resamples: int = Field(default=500, description="Bootstrap resamples behind each interval.")
    confidence: float = Field(default=0.95, description="Confidence of the intervals.")
    block: str | None = Field(
        default=None,
        description="Rows within one block of prediction time, such as '1d', are resampled together, here and"
        " in promotion. Use it when rows of a day share their luck; null resamples single rows.",
    )
    explained_rows: int = Field(
        default=2_000,
        description="Rows of the holdout, drawn by the seed, over which a feature's importance is averaged; where a"
        " decision asks for a training, at most 500 of them, of the drop. Shapley values of deep trees take a second of"
        " two cores for some two hundred rows: fewer make a training shorter.",
    )
    leak_limit: float = Field(
        default=0.9,
        description="ROC AUC of one feature alone from which it is suspected of a leak: one class against the rest"
        " for several classes; for a number the share of pairs of rows that it puts in the right order.",
    )
    leaks: LeakSpec = Field(default_factory=LeakSpec, description="Further signs of a leak, and what is trusted.")
    quantiles: list[float] = Field(
        default_factory=list, description="Quantiles, such as 0.9, whose pinball loss a regression measures too."
    )
    metrics: list[str] = Field(
        default_factory=list,
        description="Metrics of the task to measure beside those of every evaluation, such as [wape].",
    )
    calibration_limit: float = Field(
        default=0.05, description="Calibration error allowed on the holdout where calibration is declared."
    )
    positive_calibration_limit: float = Field(
        default=0.2,
        description="The same for positive_calibration_error, a share of the positives, which is looked at too where"
        " fewer than one row in twenty is positive: there the calibration error of all rows is small whatever the"
        " scores.",
    )
    top: list[float] = Field(
        default_factory=list,
        description="Ends of the list of highest scores for those who act on its top: a number of rows such as 100, or"
        " below 1 a share of the rows such as 0.05. Each adds precision, recall and lift of a binary task:"
        " precision_at_100, recall_at_100, lift_at_100, or precision_at_5pct and so on.",
    )
    watched: str | None = Field(
        default=None,
        description="Metric that retraining's evidence and the replay go by, such as value; left out, the metric that"
        " the search optimises.",
    )

    _are_durations = durations("block")
    _share = within("confidence", low=0.5, high=0.999)
    _limit = within("leak_limit", low=0.5, high=1.0)
    _error = within("calibration_limit", low=0.0, high=1.0)
    _enough = within("resamples", "explained_rows", low=100)
    _positives = within("positive_calibration_limit", low=0.0)

    @field_validator("top")
    @classmethod
    def _ends(cls, top: list[float]) -> list[float]:
        strange = [at for at in top if at <= 0 or (at >= 1 and not float(at).is_integer())]
        if strange:
            raise ValueError(f"{strange} are no ends of a list: give whole numbers of rows, or shares below 1")
        return top

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

    approve: bool = Field(
        default=False,
        description="Whether a challenger that keeps every rule waits until a person approves it, the first champion"
        " too: by `ml-assets approve` or in the console.",
        # The rules of models without approval are digested as before there was any: their decisions stand.
        exclude_if=lambda approve: not approve,
    )

    _share = within("confidence", low=0.5, high=0.999)
    _enough = within("resamples", low=100)
    _not_negative = within("margin", low=0)
