"""A few rows and what a model predicted for them when it was registered, so that whoever loads it can compare."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import polars as pl
from pydantic import BaseModel, ConfigDict, Field

from ml_assets.training.encoding import Encoding

KNOWN_FILE = "known_answers.json"


class KnownAnswers(BaseModel):
    """Rows before encoding, with their scores."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rows: tuple[dict[str, bool | int | float | str | None], ...] = Field(
        description="A value for each feature; null where there is none."
    )
    scores: tuple[float, ...] | tuple[tuple[float, ...], ...] = Field(
        description="For each row the probability of the positive class or the value, or one probability a class."
    )

    @classmethod
    def read(cls, directory: Path) -> Self | None:
        """Read the known answers stored beside a model; None for a model registered without them."""
        path = directory / KNOWN_FILE
        return cls.model_validate_json(path.read_text()) if path.is_file() else None

    def write(self, directory: Path) -> None:
        """Write the known answers beside a model."""
        (directory / KNOWN_FILE).write_text(self.model_dump_json(indent=1))

    def require(self, scores: np.ndarray | Sequence, *, within: float) -> None:
        """Raise an error unless the scores given now equal the known ones.

        Args:
            scores: shape (rows,) or (rows, classes).
            within: how far, absolutely and relatively, a score may be from the known score.

        Raises:
            ValueError: one is further away, or no number.
        """
        given, known = np.asarray(scores, dtype=np.float64), np.asarray(self.scores, dtype=np.float64)
        if given.shape != known.shape:
            raise ValueError(f"its input example is answered with scores of shape {given.shape}, not {known.shape}")
        wrong = ~np.isclose(given, known, rtol=within, atol=within)
        if wrong.any():
            at = np.argwhere(wrong)[0]
            raise ValueError(
                f"row {at[0]} of its input example is answered with {given[tuple(at)]}, "
                f"and was with {known[tuple(at)]} when it was registered"
            )


def plain_rows(frame: pl.DataFrame, encoding: Encoding) -> list[dict[str, Any]]:
    """Return rows with every feature in the types of JSON: numbers, booleans, text, null."""
    columns = [_plain(pl.col(feature.name), frame.schema[feature.name]) for feature in encoding.features]
    return frame.select(columns).to_dicts()


def as_frame(rows: Sequence[Mapping[str, Any]], encoding: Encoding) -> pl.DataFrame:
    """Return the rows as a frame that a model can score."""
    types = {"number": None, "boolean": pl.Boolean(), "category": pl.String()}
    columns = [
        pl.Series(feature.name, [row[feature.name] for row in rows], dtype=types[feature.kind], strict=False)
        for feature in encoding.features
    ]
    return pl.DataFrame(columns)


def _plain(column: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    if dtype == pl.Boolean or dtype.is_integer():
        return column
    return column.cast(pl.Float64).fill_nan(None) if dtype.is_numeric() else column.cast(pl.String)
