"""What a team declares about an aggregate of a feature view."""

from datetime import timedelta
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from ml_assets.durations import parse_duration

AggregateFunction = Literal["mean", "sum", "count", "min", "max", "std"]

PositionFunction = Literal["first", "last"]
"""What the engine also takes of a window, for declarations other than a feature view's: the value at either end."""

ALL_ROWS = "*"


class AggregateSpec(BaseModel):
    """One value of the view's table, summarised over windows that end at the prediction time."""

    model_config = ConfigDict(extra="forbid")

    of: str = Field(
        default=ALL_ROWS,
        description="What is summarised: a Polars SQL expression over the columns of one table row, such as "
        "`delay` or `CASE WHEN delay > 15 THEN 1 ELSE 0 END`. Rows where it is null or NaN are ignored. "
        "The default `*` means the rows themselves and goes with `count` only.",
    )
    functions: list[AggregateFunction] = Field(
        description="Which summaries, each one feature per window. `std` is the sample standard deviation "
        "(n - 1), null for fewer than two values. The count of nothing is 0, all else of nothing is null.",
    )
    windows: list[str] | None = Field(
        default=None,
        description="Windows of this aggregate, such as ['3h', '7d']; the view's own windows when absent.",
    )
    offset: str | None = Field(
        default=None,
        description="How long before the prediction time t the windows end, a duration such as 364d: rows with "
        "t - offset - window < known_at <= t - offset. Absent: they end at t.",
    )

    # Dagster resolves a nested model from YAML only if its annotations are plain: limits are validators.
    @field_validator("functions", "windows")
    @classmethod
    def _not_empty(cls, value: list | None) -> list | None:
        if value == []:
            raise ValueError("name at least one")
        return value

    @field_validator("windows")
    @classmethod
    def _are_durations(cls, windows: list[str] | None) -> list[str] | None:
        for window in windows or []:
            parse_duration(window)
        return windows

    @field_validator("offset")
    @classmethod
    def _is_a_duration(cls, offset: str | None) -> str | None:
        if offset is not None:
            parse_duration(offset)
        return offset

    @property
    def ends_before(self) -> timedelta:
        """How long before the prediction time the windows end."""
        return parse_duration(self.offset) if self.offset else timedelta(0)

    @model_validator(mode="after")
    def _rows_can_only_be_counted(self) -> Self:
        if self.of == ALL_ROWS and set(self.functions) != {"count"}:
            raise ValueError(
                f"`of: '*'` stands for rows, which can only be counted, not {self.functions}: "
                "give `of` a column or an expression"
            )
        return self
