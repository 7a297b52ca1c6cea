"""What a user declares about a view's online features."""

from pydantic import BaseModel, ConfigDict, Field, model_validator

from ml_assets.durations import check_duration
from ml_assets.freshness import Freshness


class OnlineSpec(BaseModel):
    """How a view's features are kept ready for requests."""

    model_config = ConfigDict(extra="forbid")

    max_age: str = Field(
        default="1d",
        description="How long after the moment of a build its values may be served, a duration such as 1d; later they"
        " count as expired and are null. Without effect on a static table.",
    )
    freshness: Freshness = Field(default_factory=Freshness, description="How old the latest build may be.")

    @model_validator(mode="after")
    def _consistent(self) -> "OnlineSpec":
        check_duration("max_age", self.max_age)
        return self
