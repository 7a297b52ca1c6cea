"""What a user declares about watching a model."""

from collections.abc import Collection, Iterable

from pydantic import BaseModel, ConfigDict, Field, model_validator

from ml_assets.durations import check_duration
from ml_assets.monitoring.drift_statistics import DRIFT_STATISTICS, declarable, with_own_threshold
from ml_assets.monitoring.maturity import MaturitySpec
from ml_assets.training.metrics.metric import OF_CLASSES, OF_PROBABILITIES, OF_VALUES, TOP_PATTERNS
from ml_assets.training.tasks import all_metrics, estimable_metrics, find_task, listed

_BUILT_IN = {**OF_PROBABILITIES, **OF_CLASSES, **OF_VALUES}
_ON_DEMAND = f"value, {', '.join(TOP_PATTERNS)} where the model measures them"
_HIGHER = listed(name for name, metric in _BUILT_IN.items() if metric.greater_is_better) + f", {_ON_DEMAND}"
_LOWER = listed(name for name, metric in _BUILT_IN.items() if not metric.greater_is_better)

_LEAST = {
    "min_chunk_rows": 1,
    "psi_bins": 2,
    "reference_rows": 100,
    "attribution_rows": 100,
    "breaches": 1,
    "of_last": 1,
    "seed": 0,
    "earlier_drops": 0,
}


class MonitoringSpec(BaseModel):
    """How a model in production is compared with its reference, and when that raises an alert."""

    model_config = ConfigDict(extra="forbid")

    chunk: str = Field(
        default="7d",
        description="Length of the windows a period is cut into, such as 7d, counted from its start.",
    )
    min_chunk_rows: int = Field(
        default=500,
        description="A chunk with fewer rows is reported but never alerts: its values are mostly noise.",
    )
    exclude: list[str] = Field(
        default_factory=list,
        description="Features left out of drift, beside those of the calendar of the time.",
    )
    private: list[str] = Field(
        default_factory=list,
        description="Features of whose values profiles keep none: no categories' names, ends, moments or hashes, only"
        " how many rows lie where the reference's did. They are watched like others, but for wasserstein.",
    )
    watch_calendar: bool = Field(
        default=False,
        description="Whether drift looks at features that the time alone determines: those declared under `calendar`"
        " of the prediction time, or of what a row looks ahead to, and what is derived of them alone. By default it"
        " does not: any two months differ in them. The calendar of another column, such as a due date, is watched.",
    )
    psi_threshold: float = Field(
        default=0.2,
        description="Population stability index above which a feature has drifted (0.1 is some, 0.2 much).",
    )
    psi_bins: int = Field(
        default=10, description="Quantile bins of a numeric feature's reference, 2 to 150; 10 are deciles."
    )
    psi_floor: float = Field(
        default=1e-4,
        description="Least share of rows a PSI bin counts with, or an empty bin would make PSI infinite.",
    )
    false_alarms: float | None = Field(
        default=None,
        description="Chance per report, 0 to 1, that any feature alerts without drift, over all chunks and the"
        " statistics that counts determine: values alert above their thresholds and above what noise passes with that"
        " chance, learned from the reference's days. By default thresholds alone decide, and reports say how many false"
        " alarms that makes.",
    )
    continuous_methods: list[str] = Field(
        default=["kolmogorov_smirnov", "jensen_shannon"],
        description="Drift statistics of numeric features, per chunk: kolmogorov_smirnov, jensen_shannon, wasserstein,"
        " hellinger, or what an installed package adds.",
    )
    categorical_methods: list[str] = Field(
        default=["chi2", "jensen_shannon"],
        description="Drift statistics of text features, per chunk: chi2, jensen_shannon, l_infinity, hellinger, or what"
        " an installed package adds.",
    )
    method_thresholds: dict[str, float] = Field(
        default={"kolmogorov_smirnov": 0.2, "jensen_shannon": 0.2},
        description=(
            "Method -> value above which it alerts; 0.2 of these two is about what a PSI of 0.2 is. A method "
            "not listed alerts three standard deviations above its mean over the reference's own chunks, "
            "which is nervous with few chunks. chi2 cannot be listed: it always alerts at p < 0.05."
        ),
    )
    reconstruction: bool = Field(
        default=True,
        description="Measure multivariate drift by the reconstruction error of a PCA, per chunk.",
    )
    attribution: bool = Field(
        default=False,
        description="Measure whether the model listens to other features than on its holdout: contributions of"
        " `attribution_rows` rows of each drop. Of deep trees a second of two cores for some two hundred rows.",
    )
    attribution_rows: int = Field(
        default=500, description="Rows of a drop, drawn by the seed, over which contributions are averaged."
    )
    attribution_threshold: float = Field(
        default=0.1,
        description="Part of all contributions, 0 to 1, that has gone to other features, above which it alerts.",
    )
    reference_rows: int = Field(
        default=50_000,
        description="Most reference rows for the reconstruction error, and for what an installed package compares row"
        " by row; more are sampled. The other statistics use all.",
    )
    estimated_metrics: list[str] | None = Field(
        default=None,
        description="Metrics estimated before labels are known; by default roc_auc and f1 of a binary model, value"
        " where it declares payoffs and the tops of its list that it declares, accuracy and macro_f1 of several"
        " classes, mae and rmse of a number, and the metric that retraining's evidence goes by if that can be.",
    )
    earlier_drops: int = Field(
        default=6,
        description="Drops before this one, scored by the same version, whose labels known by now estimates also learn"
        " from. 0 leaves estimates to the reference alone.",
    )
    floors: dict[str, float] = Field(
        default_factory=dict,
        description=f"Metric -> least value, estimated or realised: {_HIGHER}.",
    )
    ceilings: dict[str, float] = Field(
        default_factory=dict,
        description=f"Metric -> greatest realised value: {_LOWER}.",
    )
    labels: MaturitySpec = Field(
        default_factory=MaturitySpec, description="Until when labels are waited for, and how many of them are enough."
    )
    breaches: int = Field(
        default=2,
        description="Chunks that must alert, the latest among them, before an alert counts as sustained.",
    )
    of_last: int = Field(default=3, description="Latest chunks among which those breaches are counted.")
    seed: int = Field(default=0, description="Seed of the reference sample and of resampled intervals.")

    # Dagster resolves a nested model from YAML only if its annotations are plain: limits are checked here.
    @model_validator(mode="after")
    def _consistent(self) -> "MonitoringSpec":
        check_duration("chunk", self.chunk)
        for field, least in _LEAST.items():
            if getattr(self, field) < least:
                raise ValueError(f"{field}: {getattr(self, field)} is less than {least}")
        from ml_assets.profiles.cuts import MOST_QUANTILES

        if self.psi_bins > MOST_QUANTILES:
            raise ValueError(f"psi_bins: {self.psi_bins} is more than {MOST_QUANTILES}")
        if not 0 < self.psi_floor < 0.1:
            raise ValueError(f"psi_floor: {self.psi_floor} is a share between 0 and 0.1")
        if not 0 < self.attribution_threshold < 1:
            raise ValueError(f"attribution_threshold: {self.attribution_threshold} is a share between 0 and 1")
        if self.psi_threshold <= 0:
            raise ValueError(f"psi_threshold: {self.psi_threshold} must be above 0")
        if self.false_alarms is not None and not 0 < self.false_alarms < 1:
            raise ValueError(f"false_alarms: {self.false_alarms} is no chance between 0 and 1")
        for name in {*self.continuous_methods, *self.categorical_methods}.intersection(DRIFT_STATISTICS.names()):
            DRIFT_STATISTICS.get(name)  # one that cannot be loaded says why
        _known("continuous_methods", self.continuous_methods, declarable("numeric"))
        _known("categorical_methods", self.categorical_methods, declarable("text"))
        _known("method_thresholds", self.method_thresholds, with_own_threshold())
        metrics = all_metrics()
        _known("floors", self.floors, metrics.where(greater_is_better=True))
        _known("ceilings", self.ceilings, metrics.where(greater_is_better=False))
        _known("estimated_metrics", self.estimated_metrics or (), estimable_metrics())
        if self.breaches > self.of_last:
            raise ValueError(f"breaches: {self.breaches} of the last {self.of_last} chunks can never happen")
        return self

    def leaving_out(self, of_calendar: Iterable[str], features: Collection[str]) -> "MonitoringSpec":
        """Return how a model with these features is watched: `exclude` names those of the calendar too, unless they are
        watched or there are no others.

        Args:
            of_calendar: features that the time alone determines.
            features: all features of the model.
        """
        exclude = list(dict.fromkeys([*self.exclude, *of_calendar]))
        if self.watch_calendar or not {*features} - {*exclude}:
            return self
        return self.model_copy(update={"exclude": exclude})

    def estimated(self, task: str, more: Iterable[str] = ()) -> list[str]:
        """Return the metrics estimated for a task; raises ValueError for one that cannot be estimated for it.

        Args:
            more: metrics that are estimated too where none are declared and they can be.
        """
        of = find_task(task)
        usual = dict.fromkeys([*of.estimated, *(name for name in more if of.is_estimable(name))])
        wanted = list(self.estimated_metrics or usual)
        strange = [name for name in wanted if not of.is_estimable(name)]
        if strange:
            raise ValueError(
                f"estimated_metrics: {', '.join(strange)} cannot be estimated for task {task}; choose from "
                f"{listed(estimable_metrics(task)) or 'none'}"
            )
        return wanted


def _known(field: str, given: Iterable[str], allowed: Collection[str]) -> None:
    unknown = sorted(name for name in set(given) if name not in allowed)
    if unknown:
        raise ValueError(f"{field}: {', '.join(unknown)} cannot be given here; choose from {listed(allowed)}")
