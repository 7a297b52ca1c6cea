"""What a user declares about fairness between groups."""

from pydantic import BaseModel, ConfigDict, Field, model_validator


class FairnessSpec(BaseModel):
    """How far the groups of a model may be apart; what is not declared is measured and not judged."""

    model_config = ConfigDict(extra="forbid")

    selection_ratio: float | None = Field(
        default=None,
        description="Least selection rate of a group as a share of the highest group's, 0 to 1: 0.8 is the four-fifths"
        " rule.",
    )
    selection_difference: float | None = Field(
        default=None,
        description="Greatest difference of two groups' selection rates, 0 to 1 (demographic parity difference).",
    )
    odds_difference: float | None = Field(
        default=None,
        description="Greatest difference of two groups' true positive rates, or of their false positive rates, 0 to 1"
        " (equalised odds difference).",
    )
    precision_difference: float | None = Field(
        default=None, description="Greatest difference of two groups' precision, 0 to 1."
    )
    calibration_gap: float | None = Field(
        default=None, description="Greatest distance of a group's mean score from its mean outcome, 0 to 1."
    )
    calibration_error: float | None = Field(
        default=None,
        description="Greatest expected calibration error of a group, in ten bins of equal width, 0 to 1.",
    )
    bias: float | None = Field(
        default=None,
        description="Greatest distance of a group's mean error from 0, in the label's unit; for the task regression.",
    )
    mae_ratio: float | None = Field(
        default=None,
        description="Greatest mean absolute error of a group as a multiple of the least group's, such as 1.25; for the"
        " task regression.",
    )
    min_rows: int = Field(
        default=100, description="Rows below which a group is named and counted, and not held against any limit."
    )
    confidence: float = Field(default=0.95, description="Confidence of the intervals.")
    gate: bool = Field(
        default=False, description="Whether a challenger that breaks a limit on the holdout is not promoted."
    )

    # Dagster resolves a nested model from YAML only if its annotations are plain: limits are checked here.
    @model_validator(mode="after")
    def _in_range(self) -> "FairnessSpec":
        for field, limit in self.limits.items():
            low, high = {"mae_ratio": (1.0, float("inf")), "bias": (0.0, float("inf"))}.get(field, (0.0, 1.0))
            if not low <= limit <= high:
                raise ValueError(f"{field}: {limit:g} is outside {low:g} to {high:g}")
        if self.min_rows < 1:
            raise ValueError(f"min_rows: {self.min_rows} is less than 1")
        if not 0.5 <= self.confidence <= 0.999:
            raise ValueError(f"confidence: {self.confidence} is outside 0.5 to 0.999")
        if self.gate and not self.limits:
            raise ValueError("gate: needs a limit that can be broken, such as selection_ratio: 0.8")
        return self

    @property
    def limits(self) -> dict[str, float]:
        """The declared limits by name."""
        own = set(type(self).model_fields) - {"min_rows", "confidence", "gate"}
        given = {name: getattr(self, name) for name in type(self).model_fields if name in own}
        return {name: value for name, value in given.items() if value is not None}
