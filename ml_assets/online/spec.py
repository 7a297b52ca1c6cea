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
    freshness: Freshness = Field(
        default_factory=Freshness,
        description="How old the latest build may be, and how far back the newest moment may lie that a build or a push"
        " reported anything of: from `warn` on its values are served as stale.",
    )

    contract: str = Field(
        default="",
        description="Pandera model of the view's table, as `package.module:Class`: what a row must satisfy that is "
        "pushed to the table. The validated table of a source has the source's.",
    )
    ahead: str = Field(
        default="5m",
        description="How far in the future the known_at of a row may lie that is pushed to the table, a duration such "
        "as 5m: clocks differ. What is later goes to quarantine.",
    )

    @model_validator(mode="after")
    def _consistent(self) -> "OnlineSpec":
        check_duration("max_age", self.max_age)
        check_duration("ahead", self.ahead)
        return self
