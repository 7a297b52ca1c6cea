"""What a diagnosis says: the change, the slices, the features and the causes, as it is stored and shown."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from ml_assets.diagnosis.causes.upstream import SourceColumn, UpstreamEvent
from ml_assets.diagnosis.shift.decomposition import Decomposition, FallPart
from ml_assets.diagnosis.shift.moved import MovedFeature
from ml_assets.diagnosis.shift.units import UnitChange
from ml_assets.diagnosis.slices.condition import Condition

CauseKind = Literal["unit_change", "upstream", "slice", "relation", "inputs"]


class FeatureInSlice(BaseModel):
    """A feature that moved within a slice, against the same slice of the reference."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    feature: str = Field(description="Name.")
    psi: float = Field(description="Population stability index within the slice.")
    distance: float | None = Field(description="Greatest difference of the two distribution functions; null for text.")


class SliceLoss(BaseModel):
    """A slice that lost more than the other rows, by more than chance."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    conditions: tuple[Condition, ...] = Field(description="One, or two that both hold.")
    declared: bool = Field(description="Whether it is made of the model's declared slices alone.")
    rows: int = Field(description="Rows now.")
    reference_rows: int = Field(description="Rows of the reference.")
    loss: float = Field(description="Mean loss now.")
    reference_loss: float = Field(description="Mean loss in the reference; of a slice that is new, of all its rows.")
    fall: float = Field(description="loss - reference_loss; above 0 is worse.")
    rest: float = Field(description="The same difference of the other rows.")
    error: float = Field(description="Standard error of fall - rest, by blocks of time.")
    p_value: float = Field(description="Adjusted for all slices that were looked at.")
    share: float = Field(
        description="FallPart of the change of the mean loss that comes with what it lost beyond the rest."
    )
    relation: float | None = Field(
        description="How much more it loses at the same inputs; null where that cannot be told."
    )
    overlap: float | None = Field(description="What its inputs have in common then and now, 0 to 1; null if new.")
    new: bool = Field(description="Whether the reference has hardly any such row.")
    moved: tuple[FeatureInSlice, ...] = Field(description="Features that moved within it, the farthest first.")
    repeats: tuple[str, ...] = Field(description="Slices that lost too and only repeat it, in words.")

    @property
    def text(self) -> str:
        """Its conditions in words."""
        return " and ".join(condition.text for condition in self.conditions)

    @property
    def columns(self) -> set[str]:
        """The columns that its conditions are about."""
        return {condition.column for condition in self.conditions}

    @property
    def is_relation(self) -> bool:
        """Whether at least half of what it lost beyond the others is lost at the same inputs."""
        return self.relation is not None and self.relation - self.rest >= (self.fall - self.rest) / 2


class FallCause(BaseModel):
    """One thing that may be behind the fall, with its evidence."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: CauseKind = Field(
        description="unit_change (a column came in another unit), upstream (something about a source's deliveries),"
        " slice (the relation changed for some rows), relation (it changed for all), inputs (rows such as there were"
        " fewer before)."
    )
    subject: str = Field(description="The column, source, slice or feature that it is about.")
    share: float = Field(description="FallPart of the change of the mean loss that comes with it, 0 to 1.")
    text: str = Field(description="The cause and its evidence, in words.")
    features: tuple[str, ...] = Field(default=(), description="Features that moved with it.")
    columns: tuple[SourceColumn, ...] = Field(default=(), description="Columns of sources that these are made of.")
    unit: UnitChange | None = Field(default=None, description="The change of units.")
    restored: float | None = Field(
        default=None,
        description="FallPart of the change of the mean loss that is gone when the model scores the values in their old"
        " unit; null where that was not tried.",
    )
    conditions: tuple[Condition, ...] = Field(default=(), description="Of the slice.")
    events: tuple[UpstreamEvent, ...] = Field(default=(), description="What happened upstream.")


class Diagnosis(BaseModel):
    """Why a model did worse on some rows than on its reference. What is not known is null."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    fell: bool = Field(description="Whether performance fell by more than chance, of all rows or of a slice.")
    basis: Literal["realised", "estimated"] = Field(
        default="realised",
        description="Whether losses are those of known labels, or expected ones, by what the reference lost on rows"
        " alike; then slices and a changed relation are not known.",
    )
    loss: str = Field(description="What each row loses, in words.")
    loss_change: FallPart = Field(description="Change of the mean loss; above 0 is worse.")
    decomposition: Decomposition = Field(description="The change of the model's metric by what it comes with.")
    causes: tuple[FallCause, ...] = Field(description="The one that explains most first.")
    slices: tuple[SliceLoss, ...] = Field(description="Those that lost most, the surest first.")
    slices_tried: dict[str, int] = Field(description="Slices that were tested, by family: declared, single, pair.")
    moved: tuple[MovedFeature, ...] = Field(description="Features that moved, the most harmful first.")
    harmless: tuple[str, ...] = Field(description="Features that moved without harm to performance.")
    coincided: tuple[UpstreamEvent, ...] = Field(
        description="What happened upstream, reached no feature that moved with harm, and is no cause."
    )
    notes: tuple[str, ...] = Field(description="What could not be told, and why.")

    @property
    def headline(self) -> str:
        """The outcome in one sentence."""
        if self.causes:
            return self.causes[0].text
        outcome = (
            "performance fell, and nothing that was looked at explains it"
            if self.fell
            else "performance did not fall by more than chance"
        )
        return outcome + (f"; moved without harm: {', '.join(self.harmless[:5])}" if self.harmless else "")
