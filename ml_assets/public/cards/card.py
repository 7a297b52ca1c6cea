"""The card of a model's version: what it is, how good, on what data, where it ends, and where it comes from."""

from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field


class _CardPart(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class PartOfData(_CardPart):
    """One part of the training set."""

    part: str = Field(description="train, validation, calibration or holdout.")
    rows: int = Field(description="Rows, each with a known label.")
    first: datetime | None = Field(description="The earliest prediction time.")
    last: datetime | None = Field(description="The latest prediction time.")


class Estimate(_CardPart):
    """A value with its interval."""

    value: float = Field(description="The value on the holdout.")
    low: float | None = Field(description="Lower end of the interval.")
    high: float | None = Field(description="Upper end of the interval.")


class HoldoutMetric(_CardPart):
    """One metric on the holdout, beside the naive baseline."""

    metric: str = Field(description="Name of the metric.")
    greater_is_better: bool = Field(description="Which way is better.")
    model: Estimate = Field(description="Of the model.")
    baseline: Estimate | None = Field(description="Of the naive prediction.")
    improvement: Estimate | None = Field(
        description="Paired difference of the two, positive where the model is better."
    )


class SliceMeasure(_CardPart):
    """One measure of the rows that have one value of a column."""

    subject: str = Field(description="Column and value, as `courier=ann`.")
    rows: int | None = Field(description="Rows of the holdout.")
    measures: dict[str, float | None] = Field(description="Measure -> value; null where it is undefined.")


class FeatureImportance(_CardPart):
    """How much the model relies on a feature."""

    feature: str = Field(description="Name of the feature.")
    share: float = Field(description="Share of all importances, 0 to 1.")
    description: str = Field(description="What the feature is.")


class Provenance(_CardPart):
    """Enough to train the version again."""

    run_id: str = Field(description="MLflow run that trained it.")
    dagster_run_id: str | None = Field(description="Dagster run that it was trained in; null if unknown.")
    code_commit: str | None = Field(description="Commit of the project; null if unknown.")
    code_changed: bool = Field(description="Whether files differed from the commit.")
    platform: str | None = Field(description="Version of ml_assets that trained it; null if unknown.")
    table_versions: dict[str, int] = Field(description="Table -> version that was read.")
    location: str = Field(description="Where its files lie.")
    parameters: dict[str, object] = Field(description="Parameters of the estimator.")


class PromotionSummary(_CardPart):
    """The last decision on the version."""

    decision: str = Field(description="promoted, kept back or rolled back to.")
    rule: str = Field(description="The rule that settled it.")
    reason: str = Field(description="The decision in plain words.")
    decided_at: datetime | None = Field(description="When it was decided, UTC.")


class ModelCard(_CardPart):
    """What is known of one version of a model."""

    model: str = Field(description="Name of the model.")
    version: str = Field(description="Version in the registry.")
    role: str = Field(description="champion, challenger or earlier version.")
    description: str = Field(description="What the model predicts, for whom.")
    owners: tuple[str, ...] = Field(description="Who answers for it.")
    task: str = Field(description="Kind of outcome.")
    kind: str = Field(description="What learned.")
    label: str = Field(description="Column with the outcome.")
    label_known_at: str = Field(description="Column with the moment the outcome was known.")
    rows_of: str = Field(description="Table with the rows to predict.")
    trained_as_of: str = Field(description="Training cut-off, ISO 8601: nothing known later was used.")
    data: tuple[PartOfData, ...] = Field(description="The parts of the training set; empty if it is not kept.")
    metrics: tuple[HoldoutMetric, ...] = Field(description="Measured on the holdout; empty if it is not kept.")
    confidence: float | None = Field(description="Of the intervals, such as 0.95.")
    slices: tuple[SliceMeasure, ...] = Field(description="Parts of the holdout by the declared columns.")
    threshold: float | None = Field(description="Score from which a row is called positive; null without such.")
    calibration: str | None = Field(description="How scores were calibrated; null if they were not.")
    negatives_kept: float = Field(default=1.0, description="Share of the training negatives learned from.")
    interval_coverage: float | None = Field(description="Share of outcomes that intervals are made to hold.")
    importance: tuple[FeatureImportance, ...] = Field(description="The most important feature first.")
    importance_unit: str = Field(description="What importance is the share of.")
    limits: tuple[str, ...] = Field(description="What the version does not know or was not shown to do.")
    decision: PromotionSummary | None = Field(description="The last decision on the version; null before the first.")
    provenance: Provenance = Field(description="Where the version comes from.")

    def to_markdown(self) -> str:
        """Return the card as a Markdown document."""
        from ml_assets.public.cards.text import render

        return render(self)

    def _repr_markdown_(self) -> str:
        return self.to_markdown()
