"""What a team declares about a lag of a feature view."""

from datetime import timedelta

from pydantic import BaseModel, ConfigDict, Field, model_validator

from ml_assets.durations import check_duration, parse_duration


class LagSpec(BaseModel):
    """One value of the entity's last row as it was known some time before the prediction time."""

    model_config = ConfigDict(extra="forbid")

    of: str = Field(
        description="A Polars SQL expression over the columns of one table row: the last row known at t - offset."
    )
    offset: str = Field(description="How long before the prediction time t, a duration such as 7d.")
    ttl: str | None = Field(
        default=None,
        description="How old that row may be at t - offset (known_at > t - offset - ttl); older gives null. "
        "Absent: any age.",
    )

    @property
    def ends_before(self) -> timedelta:
        """How long before the prediction time the value was known."""
        return parse_duration(self.offset)

    @model_validator(mode="after")
    def _consistent(self) -> "LagSpec":
        check_duration("offset", self.offset)
        check_duration("ttl", self.ttl)
        return self
