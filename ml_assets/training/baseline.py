"""The naive prediction a model must beat: what usually happened."""

import numpy as np
import polars as pl
from pydantic import BaseModel, ConfigDict, Field

PRIOR_ROWS = 20  # a rate seen on few rows is drawn towards the overall rate, as if by this many rows of it


class Baseline(BaseModel):
    """Rates of the positive class in the training rows."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rate: float = Field(description="Share of positives among all training rows.")
    by: str | None = Field(default=None, description="Column whose values have rates of their own.")
    rates: dict[str, float] = Field(default_factory=dict, description="Value as text -> its smoothed rate.")


def fit_baseline(train: pl.DataFrame, *, label: str, by: str | None = None) -> Baseline:
    """Learn the overall rate and, if asked, one per value of a column, smoothed towards the overall rate.

    A value's rate is ``(positives + 20 * overall) / (rows + 20)``.
    """
    outcome = pl.col(label).cast(pl.Float64)
    rate = train.select(outcome.mean()).item()
    if by is None:
        return Baseline(rate=rate)
    if by not in train.columns:
        raise ValueError(f"baseline.by names {by}, which is not a column of the training set: {train.columns}")
    rates = train.group_by(pl.col(by).cast(pl.String)).agg(
        (outcome.sum() + PRIOR_ROWS * rate) / (pl.len() + PRIOR_ROWS)
    )
    return Baseline(rate=rate, by=by, rates=dict(rates.drop_nulls().sort(by).iter_rows()))


def predict_baseline(baseline: Baseline, frame: pl.DataFrame) -> np.ndarray:
    """Each row's rate, float64 of shape (rows,); the overall rate for an unknown value or null."""
    if baseline.by is None:
        return np.full(frame.height, baseline.rate)
    value = frame[baseline.by].cast(pl.String)
    return value.replace_strict(baseline.rates, default=baseline.rate, return_dtype=pl.Float64).to_numpy()
