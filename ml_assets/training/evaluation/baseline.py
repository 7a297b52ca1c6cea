"""The naive prediction a model must beat: what usually happened."""

from collections.abc import Sequence

import numpy as np
import polars as pl
from pydantic import BaseModel, ConfigDict, Field

from ml_assets.training.outcomes import learn_classes
from ml_assets.training.tasks import BINARY, MULTICLASS, PINBALL, REGRESSION, Task

PRIOR_ROWS = 20  # a rate seen on few rows is drawn towards the overall rate, as if by this many rows of it


class Baseline(BaseModel):
    """What usually happened in the training rows: the rate of positives, or a usual value of the label."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rate: float = Field(description="Share of positives, or the usual value, among all training rows.")
    by: str | None = Field(default=None, description="Column whose values have rates of their own.")
    rates: dict[str, float] = Field(default_factory=dict, description="Value as text -> its smoothed rate.")


class ClassBaseline(BaseModel):
    """How often each class occurred in the training rows."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    classes: tuple[str, ...] = Field(description="Classes in the order of the frequencies.")
    rate: tuple[float, ...] = Field(description="Share of each class among all training rows.")
    by: str | None = Field(default=None, description="Column whose values have frequencies of their own.")
    rates: dict[str, tuple[float, ...]] = Field(
        default_factory=dict, description="Value as text -> smoothed shares of the classes."
    )


def fit_baseline(
    train: pl.DataFrame,
    *,
    label: str,
    by: str | None = None,
    task: Task = BINARY,
    metric: str | None = None,
    classes: Sequence[str] | None = None,
) -> Baseline | ClassBaseline:
    """Learn the overall rate and, if asked, one per value of a column, smoothed towards the overall rate.

    A value's rate is ``(rows * own + 20 * overall) / (rows + 20)``. For a binary label the rate is the share of
    positives, for several classes the share of each. For a number it is what a constant would best be under
    ``metric``: the median for mae, the quantile for a pinball loss, the mean for all others.

    Args:
        classes: order of the classes of a multiclass label; by default those of ``train``.

    Raises:
        ValueError: ``by`` is no column.
    """
    if by is not None and by not in train.columns:
        raise ValueError(f"baseline.by names {by}, which is not a column of the training set: {train.columns}")
    if task == MULTICLASS:
        return _class_baseline(train, label, by, tuple(classes or learn_classes(train[label])))
    outcome = pl.col(label).cast(pl.Float64)
    usual = _usual(outcome, metric if task == REGRESSION else None)
    rate = train.select(outcome.mean() if usual is None else usual).item()
    mass = outcome.sum() if usual is None else usual * pl.len()
    return Baseline(rate=rate) if by is None else Baseline(rate=rate, by=by, rates=_smoothed(train, by, mass, rate))


def predict_baseline(baseline: Baseline | ClassBaseline, frame: pl.DataFrame) -> np.ndarray:
    """Each row's rate, float64 of shape (rows,), or (rows, classes); the overall one for an unknown value or null."""
    if isinstance(baseline, ClassBaseline):
        return _predict_classes(baseline, frame)
    if baseline.by is None:
        return np.full(frame.height, baseline.rate)
    value = frame[baseline.by].cast(pl.String)
    return value.replace_strict(baseline.rates, default=baseline.rate, return_dtype=pl.Float64).to_numpy()


def _usual(outcome: pl.Expr, metric: str | None) -> pl.Expr | None:
    """The quantile that is best under a metric; None where the mean is."""
    quantile = 0.5 if metric == "mae" else PINBALL.get(metric)
    return None if quantile is None else outcome.quantile(quantile, "linear")


def _smoothed(train: pl.DataFrame, by: str, mass: pl.Expr, rate: float) -> dict[str, float]:
    """``mass`` is a value's own rate times its rows."""
    rates = train.group_by(pl.col(by).cast(pl.String)).agg((mass + PRIOR_ROWS * rate) / (pl.len() + PRIOR_ROWS))
    return dict(rates.drop_nulls().sort(by).iter_rows())


def _class_baseline(train: pl.DataFrame, label: str, by: str | None, classes: tuple[str, ...]) -> ClassBaseline:
    hits = [(pl.col(label).cast(pl.String) == name).alias(f"{at}") for at, name in enumerate(classes)]
    overall = train.select(hit.mean() for hit in hits).row(0)
    if by is None:
        return ClassBaseline(classes=classes, rate=overall)
    columns = [_smoothed(train, by, hit.sum(), rate) for hit, rate in zip(hits, overall, strict=True)]
    rates = {value: tuple(column[value] for column in columns) for value in columns[0]}
    return ClassBaseline(classes=classes, rate=overall, by=by, rates=rates)


def _predict_classes(baseline: ClassBaseline, frame: pl.DataFrame) -> np.ndarray:
    if baseline.by is None:
        return np.tile(baseline.rate, (frame.height, 1))
    known = list(baseline.rates)
    at = frame[baseline.by].cast(pl.String).replace_strict(
        {value: position for position, value in enumerate(known)}, default=len(known), return_dtype=pl.Int64
    )  # fmt: skip
    return np.array([*baseline.rates.values(), baseline.rate])[at.to_numpy()]
