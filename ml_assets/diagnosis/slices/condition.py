"""A condition on one column: a category, a range of numbers, or no value."""

import math

from pydantic import BaseModel, ConfigDict, Field


class Condition(BaseModel):
    """Which rows of a column belong to a slice."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    column: str = Field(description="Name.")
    value: str | None = Field(
        default=None,
        description="The category, or what stands for one, or for a range, that is shown to nobody; null for a range or"
        " missing values.",
    )
    above: float | None = Field(default=None, description="Values above this; null for no lower end.")
    up_to: float | None = Field(default=None, description="Values up to this; null for no upper end.")
    missing: bool = Field(default=False, description="Rows without a value.")

    @property
    def text(self) -> str:
        """The condition in words, such as ``colour = red`` or ``0.5 < size <= 2``."""
        if self.missing:
            return f"{self.column} is missing"
        if self.value is not None:
            return f"{self.column} = {self.value}"
        if self.above is None and self.up_to is None:
            return f"{self.column} has a value"
        if self.above is None:
            return f"{self.column} <= {self.up_to:.4g}"
        if self.up_to is None:
            return f"{self.column} > {self.above:.4g}"
        if math.nextafter(self.above, math.inf) == self.up_to:
            return f"{self.column} = {self.up_to:.4g}"
        return f"{self.above:.4g} < {self.column} <= {self.up_to:.4g}"
