"""How a team declares the cutting of a source into drops."""

from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from ml_assets.sources.drops.grains import GRAINS, WHOLE, GrainName, is_name, names_between
from ml_assets.time_zones import time_zones


class Drops(BaseModel):
    """How the source is cut into drops."""

    model_config = ConfigDict(extra="forbid")

    grain: GrainName = Field(
        default="whole",
        description="One drop that holds everything, or one drop per hour, day, week (Monday to Sunday), month, "
        "quarter or year.",
    )
    column: str | None = Field(
        default=None,
        description="Date or datetime column that says to which drop a row belongs: a shared file, table or query is "
        "cut by it; of files of one drop each it is checked that their rows lie in their drop's period.",
    )
    time_zone: str = Field(
        default="UTC",
        description="IANA zone in which days, weeks, months, quarters and years begin; used for columns that carry a "
        "time zone. Hours are those of UTC.",
    )
    start: str | None = Field(
        default=None,
        description="First drop, in quotes: 2013 (yearly), 2013-01 (monthly; quarterly: its first month), 2013-01-07 "
        "(daily; weekly: a Monday) or 2013-01-07T09 (hourly).",
    )
    end: str | None = Field(default=None, description="First drop that is no longer expected (exclusive).")

    _is_zone = time_zones("time_zone")

    @model_validator(mode="after")
    def _fits_grain(self) -> Self:
        if self.grain == WHOLE:
            if self.column or self.start or self.end:
                raise ValueError(f"drops: column, start and end belong to grain: {', '.join(GRAINS)}")
            return self
        grain = GRAINS[self.grain]
        for field, name in (("start", self.start), ("end", self.end)):
            if name is not None and not is_name(self.grain, name):
                raise ValueError(f"{field}: {name!r} is no {grain.period}: write it as {grain.form}, in quotes")
        if self.start is None:
            raise ValueError(f"drops: grain {self.grain} needs `start`, its first {grain.period}")
        if self.end and self.end <= self.start:
            raise ValueError(f"drops: end {self.end} must lie after start {self.start}; it is exclusive")
        if self.grain == "hourly" and self.time_zone != "UTC":
            raise ValueError("drops: hours are those of UTC; leave time_zone out")
        return self

    def expects(self, name: str) -> bool:
        """Return whether a drop of this name is declared."""
        if self.grain == WHOLE or not is_name(self.grain, name):
            return name == self.grain == WHOLE
        return name >= self.first and (self.end is None or name < self.end)

    @property
    def first(self) -> str:
        """The first drop of a source that is cut into drops.

        Raises:
            ValueError: the source comes whole.
        """
        if self.start is None:
            raise ValueError("drops: a source that comes whole has no first drop: declare a grain other than whole")
        return self.start

    @property
    def cut_column(self) -> str:
        """The column that says to which drop a row belongs.

        Raises:
            ValueError: none is declared.
        """
        if self.column is None:
            raise ValueError("drops: `column` is needed, which says to which drop a row belongs")
        return self.column

    @property
    def names(self) -> list[str] | None:
        """All declared drops, or None if they have no end."""
        if self.grain == WHOLE:
            return [WHOLE]
        return None if self.end is None else names_between(self.grain, self.first, self.end)
