"""Models that were tried out, as rows of a table: what each came to, to be compared with trainings."""

from collections.abc import Mapping
from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field

from ml_assets.lake import Lake
from ml_assets.lake.records import add_records, read_records

TRIES = "tries"
"""Table of a model, beside its assets."""


class MeasuredMetric(BaseModel):
    """One metric on a holdout, beside the naive baseline."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    value: float = Field(description="Of the model.")
    low: float | None = Field(description="Lower end of its interval; null without one.")
    high: float | None = Field(description="Upper end of its interval; null without one.")
    baseline: float | None = Field(description="Of the naive prediction; null if it is not measured.")


class TriedModel(BaseModel):
    """The outcome of one try: nothing of it was registered."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str = Field(description="The declared model.")
    tried_at: datetime = Field(description="When, UTC.")
    kind: str = Field(description="What learned.")
    rows: Mapping[str, int] = Field(description="Part of the split -> rows.")
    parameters: Mapping[str, str | bool | int | float | None] = Field(description="Parameters of the estimator.")
    features: tuple[str, ...] = Field(description="What it learned from, in the model's order.")
    metrics: Mapping[str, MeasuredMetric] = Field(description="Metric -> what was measured on the holdout.")
    signs_of_leaks: int = Field(description="Signs of leaks that were found.")
    seconds: float = Field(description="What it took in all, in seconds.")
    tables: tuple[str, ...] = Field(description="A line for each table that was read.")

    @property
    def id(self) -> str:
        """Identity among the tries of the model: the moment."""
        return f"{self.tried_at:%Y%m%dT%H%M%S%f}"


def keep_try(lake: Lake, tried: TriedModel) -> None:
    """Store the outcome of a try after those that are there."""
    columns = {"model": tried.model, "tried_at": tried.tried_at}
    add_records(lake, f"{tried.model}/{TRIES}", [tried], [columns], "model")


def read_tries(lake: Lake, model: str) -> list[TriedModel]:
    """Read the tries of a model, the oldest first."""
    return read_records(lake, f"{model}/{TRIES}", TriedModel)
