"""Ranges of parameters that a search may try, and the parameters that the platform sets itself."""

from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

RESERVED_PARAMETERS = {
    "max_bin": "training.max_bin",
    "nthread": "training.threads",
    "n_jobs": "training.threads",
    "seed": "seed",
    "random_state": "seed",
    "num_boost_round": "training.max_rounds",
    "early_stopping_rounds": "training.early_stopping_rounds",
    "objective": "task",
    "eval_metric": "metric",
    "tree_method": "training (always hist)",
}
"""Parameters that no declaration may hold, whatever the kind -> the field that sets each."""


class ParameterRange(BaseModel):
    """Values the search may give to one parameter: low..high, or one of the choices."""

    model_config = ConfigDict(extra="forbid")

    low: float | None = Field(default=None, description="Smallest value (inclusive).")
    high: float | None = Field(default=None, description="Largest value (inclusive).")
    log: bool = Field(default=False, description="Draw on a logarithmic scale; needs low > 0.")
    integer: bool = Field(default=False, description="Draw whole numbers only.")
    choices: list[str | bool | int | float] | None = Field(
        default=None, description="The allowed values, instead of a range."
    )

    @model_validator(mode="after")
    def _check_form(self) -> Self:
        if self.choices is not None:
            if self.low is not None or self.high is not None or not self.choices:
                raise ValueError("give either low and high, or a list of choices that is not empty")
        elif self.low is None or self.high is None or self.low > self.high:
            raise ValueError("give low and high with low <= high, or a list of choices")
        elif self.log and self.low <= 0:
            raise ValueError(f"a logarithmic range needs low > 0, not {self.low}")
        elif self.integer and not (self.low.is_integer() and self.high.is_integer()):
            raise ValueError(f"an integer range needs whole bounds, not {self.low} and {self.high}")
        return self

    @property
    def bounds(self) -> tuple[float, float]:
        """Smallest and largest value, both inclusive; ValueError for a list of choices."""
        if self.low is None or self.high is None:
            raise ValueError("a list of choices has no bounds")
        return self.low, self.high
