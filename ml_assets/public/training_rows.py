"""What a training as of a moment would learn from and be measured on."""

from dataclasses import dataclass
from datetime import datetime

import polars as pl

from ml_assets.public.display import html_table, text_table

_SPLIT = "split"


@dataclass(frozen=True, repr=False)
class TrainingRows:
    """A training set: rows with features and labels, in parts that follow one another in time.

    Attributes:
        model: the model's name.
        as_of: the training cut-off; nothing known later is in it.
        rows: every row of the parts, with its part in the column ``split``.
        features: the columns that the model learns from.
        label: the column with the outcome.
        time: the column with the prediction time.
        left_out: rows before the cut-off that are in no part, by the reason.
    """

    model: str
    as_of: datetime
    rows: pl.DataFrame
    features: list[str]
    label: str
    time: str
    left_out: dict[str, int]

    @property
    def train(self) -> pl.DataFrame:
        """The rows to learn from."""
        return self.part("train")

    @property
    def validation(self) -> pl.DataFrame:
        """The rows by which parameters, rounds and threshold are chosen."""
        return self.part("validation")

    @property
    def calibration(self) -> pl.DataFrame:
        """The rows that prediction intervals are learned from; empty for a model without."""
        return self.part("calibration")

    @property
    def holdout(self) -> pl.DataFrame:
        """The rows that the model is measured on, and that nothing else has seen."""
        return self.part("holdout")

    def part(self, name: str) -> pl.DataFrame:
        """Return the rows of one part, without the column ``split``."""
        return self.rows.filter(pl.col(_SPLIT) == name).drop(_SPLIT)

    def __repr__(self) -> str:
        return f"training set of {self.model} as of {self.as_of:%Y-%m-%d %H:%M}\n{text_table(self._parts())}"

    def _repr_html_(self) -> str:
        return html_table(("part", "rows", "first", "last"), self._parts())

    def _parts(self) -> list[tuple[str, str, str, str]]:
        by_part = self.rows.group_by(_SPLIT, maintain_order=True).agg(
            rows=pl.len(), first=pl.col(self.time).min(), last=pl.col(self.time).max()
        )
        parts = [
            (part, f"{rows:,}", f"{first:%Y-%m-%d}", f"{last:%Y-%m-%d}") for part, rows, first, last in by_part.rows()
        ]
        out = [(f"left out: {reason}", f"{count:,}", "", "") for reason, count in self.left_out.items() if count]
        return [*parts, *out]
