"""How old the latest materialization of an asset may be, as people declare it."""

from datetime import timedelta
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from ml_assets.durations import check_duration, parse_duration

WARN_SHARE = 0.75
"""Share of the failing age from which to warn, unless declared: 18 h of 24 h."""


class Freshness(BaseModel):
    """How old the latest materialization may be."""

    model_config = ConfigDict(extra="forbid")

    warn: str | None = Field(
        default=None, description="Age from which to warn, a duration such as 18h; by default three quarters of `fail`."
    )
    fail: str = Field(default="24h", description="Age from which it counts as stale, a duration such as 24h.")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        check_duration("warn", self.warn)
        check_duration("fail", self.fail)
        if self.fail_after <= self.warn_after:
            raise ValueError(f"freshness: warn ({self.warn}) must come before fail ({self.fail})")
        return self

    @property
    def warn_after(self) -> timedelta:
        return parse_duration(self.warn) if self.warn else self.fail_after * WARN_SHARE

    @property
    def fail_after(self) -> timedelta:
        return parse_duration(self.fail)
