"""The card of a model's version: what it is, how good, on what data, where it ends, and where it comes from."""

from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field

from ml_assets.training.promotion.records import PromotionEvidence
from ml_assets.training.spec import CardSpec


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


class GroupMeasure(_CardPart):
    """One measure of a group between which and others fairness is watched, on the holdout."""

    attribute: str = Field(description="Column that groups go by.")
    group: str | None = Field(description="Value of the column; null for rows without one.")
    of_class: str = Field(description="Class that it is about; empty of a model without classes.")
    measure: str = Field(description="Name of the measure.")
    value: float | None = Field(description="Its value; null where it is undefined.")
    low: float | None = Field(description="Lower end of its interval; null without one.")
    high: float | None = Field(description="Upper end of its interval; null without one.")
    rows: int = Field(description="Rows of the group.")
    known: int = Field(description="Those whose outcome is known.")
    judged: bool = Field(description="Whether the group is large enough to be held against limits.")


class FeatureFacts(_CardPart):
    """One feature that the version was trained on."""

    feature: str = Field(description="Name of the feature.")
    view: str = Field(description="View that declares it; empty if that is not known.")
    description: str = Field(description="What the feature is; empty if that is not known.")
    missing: float | None = Field(
        description="Share of the training set's rows without a value, 0 to 1; null if the training set is not kept."
    )


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
    training_set_version: int | None = Field(
        default=None, description="Version of the table with the training set; null if it is not kept."
    )
    seed: int = Field(default=0, description="Seed as declared now, which parameters may hold as it was.")
    trees: int | None = Field(default=None, description="Boosting rounds kept; null if that is not recorded.")
    command: str = Field(default="", description="Command that trains as of the same moment; empty if not known.")


class PromotionSummary(_CardPart):
    """The last decision on the version."""

    decision: str = Field(description="promoted, kept back or rolled back to.")
    rule: str = Field(description="The rule that settled it.")
    reason: str = Field(description="The decision in plain words.")
    decided_at: datetime | None = Field(description="When it was decided, UTC.")


class DecisionFacts(PromotionSummary):
    """One decision on the version, with what it rests on."""

    champion: str | None = Field(description="Version that served then; null for none.")
    by: str | None = Field(description="Who decided; null where a rule did.")
    because: str | None = Field(description="Why, in the words of who decided; null where nothing was given.")
    evidence: tuple[PromotionEvidence, ...] = Field(description="Every value that was looked at.")


class WatchedDrop(_CardPart):
    """What monitoring measured of a drop that the version predicted."""

    drop: str = Field(description="Name of the drop.")
    kind: str = Field(description="estimated, before labels are known, or realised.")
    metric: str = Field(description="Name of the metric.")
    value: float | None = Field(description="Its value; null where it is undefined.")
    low: float | None = Field(description="Lower end of its interval; null without one.")
    high: float | None = Field(description="Upper end of its interval; null without one.")
    rows: int | None = Field(description="Rows that it was measured on.")
    without_label: int | None = Field(description="Rows whose label is not known; null where none is needed.")
    alert: bool = Field(description="Whether it is beyond a declared limit.")


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
    tags: dict[str, str] = Field(default_factory=dict, description="Tags of the declaration.")
    statements: CardSpec = Field(default_factory=CardSpec, description="What people say about the model.")
    features: tuple[FeatureFacts, ...] = Field(default=(), description="What it was trained on, in the model's order.")
    groups: tuple[str, ...] = Field(default=(), description="Columns by whose values fairness is watched.")
    fairness: tuple[GroupMeasure, ...] = Field(default=(), description="What is measured of each group by itself.")
    fairness_limits: tuple[str, ...] = Field(default=(), description="Declared limits held against it, in sentences.")
    watched: tuple[str, ...] = Field(default=(), description="How it is watched in production, in sentences.")
    drops: tuple[WatchedDrop, ...] = Field(default=(), description="What was measured in production, by drop.")
    decisions: tuple[DecisionFacts, ...] = Field(default=(), description="Decisions on the version, the oldest first.")
    asks_for_approval: bool = Field(default=False, description="Whether a person approves each promotion, as declared.")
    optimised: str = Field(default="", description="Metric that search and early stopping go by, as declared now.")
    promoted_by: str = Field(default="", description="Metric that promotion goes by, as declared now.")

    def to_markdown(self) -> str:
        """Return the card as a Markdown document."""
        from ml_assets.cards.markdown import render_markdown
        from ml_assets.cards.sections import card_document

        return render_markdown(card_document(self))

    def to_html(self) -> str:
        """Return the card as an HTML page that needs nothing else."""
        from ml_assets.cards.html import render_html
        from ml_assets.cards.sections import card_document

        return render_html(card_document(self))

    def _repr_markdown_(self) -> str:
        return self.to_markdown()
