"""What a user declares about what a decision is worth."""

import math
from typing import TYPE_CHECKING, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

if TYPE_CHECKING:
    import polars as pl

    from ml_assets.training.metrics.payoffs import Payoffs


class Payoff(BaseModel):
    """What each outcome of a decision brings, in one unit such as euros: a number, or the column of the row with it."""

    model_config = ConfigDict(extra="forbid")

    true_positive: float | str = Field(description="Of a row that is positive and is called so.")
    false_positive: float | str = Field(description="Of a row that is called positive and is not; a cost is negative.")
    false_negative: float | str = Field(description="Of a row that is positive and is not called so.")
    true_negative: float | str = Field(default=0.0, description="Of a row that is neither.")

    @model_validator(mode="after")
    def _worth_deciding(self) -> Self:
        for better, worse in (("true_positive", "false_negative"), ("true_negative", "false_positive")):
            high, low = getattr(self, better), getattr(self, worse)
            strange = [value for value in (high, low) if not isinstance(value, str) and not math.isfinite(value)]
            if strange:
                raise ValueError(f"{better} and {worse} must be finite numbers or names of columns, not {strange}")
            if not isinstance(high, str) and not isinstance(low, str) and high <= low:
                raise ValueError(
                    f"{better} ({high:g}) must be more than {worse} ({low:g}): otherwise one decision is best whatever"
                    " the score"
                )
        return self

    @property
    def columns(self) -> list[str]:
        """The columns that hold payoffs."""
        return list(dict.fromkeys(value for _, value in self if isinstance(value, str)))

    def given_of(self, frame: "pl.DataFrame") -> "pl.Series":
        """Return whether each row has every payoff: none is null, NaN or infinite; Boolean of the frame's height.

        Raises:
            ValueError: a column is missing or holds no number.
        """
        import polars as pl

        from ml_assets.training.metrics.payoffs import numbers_of

        given = pl.repeat(True, frame.height, dtype=pl.Boolean, eager=True)
        for field, value in self:
            if isinstance(value, str):
                given &= numbers_of(frame, value, f"payoff.{field}").is_finite().fill_null(False)
        return given

    def of_rows(self, frame: "pl.DataFrame") -> "Payoffs":
        """Return the payoffs of each row.

        Raises:
            ValueError: a column is missing or holds no number, or a value is null, NaN or infinite; it names the
                field, the column and the first such row.
        """
        import numpy as np

        from ml_assets.training.metrics.payoffs import Payoffs, finite_column

        def values(field: str, given: float | str) -> np.ndarray:
            if isinstance(given, str):
                return finite_column(frame, given, f"payoff.{field}")
            return np.full(frame.height, given)

        return Payoffs(**{field: values(field, given) for field, given in self})
