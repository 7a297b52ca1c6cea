"""The naive prediction a model must beat: what usually happened."""

from collections.abc import Sequence

import numpy as np
import polars as pl

from ml_assets.training.spec import ModelSpec
from ml_assets.training.tasks import BINARY, find_task
from ml_assets.training.tasks.baselines import Baseline, ClassBaseline
from ml_assets.training.tasks.columns import NAIVE


def fit_baseline(
    train: pl.DataFrame,
    *,
    label: str,
    by: str | None = None,
    task: str = BINARY,
    metric: str | None = None,
    classes: Sequence[str] | None = None,
) -> Baseline | ClassBaseline:
    """Learn the overall rate and, if requested, one rate per value of a column, smoothed towards the overall rate.

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
    return find_task(task).fit_baseline(train, label=label, by=by, metric=metric, classes=classes)


def predict_baseline(baseline: Baseline | ClassBaseline, frame: pl.DataFrame) -> np.ndarray:
    """Predict each row's rate, float64 of shape (rows,), or (rows, classes).

    An unknown value, or null, has the overall rate.
    """
    if isinstance(baseline, ClassBaseline):
        return _predict_classes(baseline, frame)
    rate = _predict_rates(baseline, frame)
    if baseline.column is None:
        return rate
    own = frame[baseline.column].cast(pl.Float64)
    return np.where(own.is_null(), rate, own.to_numpy())


def score_baseline(
    train: pl.DataFrame, rows: pl.DataFrame, spec: ModelSpec, classes: Sequence[str] | None
) -> np.ndarray:
    """Return the naive predictions of some rows as a model declares them, learned from its training rows.

    Raises:
        ValueError: a column is missing, such as the naive forecasts where the season was declared after the rows were
            stored, or no row has a label whole seasons earlier.
    """
    baseline = fit_baseline(
        train,
        label=spec.label.column,
        by=spec.baseline.by,
        task=spec.task,
        metric=spec.promotion.metric,
        classes=classes,
    )
    if spec.baseline.seasonal is not None and isinstance(baseline, Baseline):
        if NAIVE not in rows.columns:
            raise ValueError(
                f"baseline.seasonal: the rows lack the column {NAIVE}, stored before a season was declared:"
                " materialize the training set again"
            )
        if rows[NAIVE].null_count() == rows.height:
            raise ValueError(
                f"baseline.seasonal: none of {rows.height} rows has a label of its series that was known and lies"
                f" {spec.baseline.seasonal}, or a multiple of it, earlier: declare a season after which the rows' times"
                " come again, and by baseline.series what makes a series"
            )
        baseline = baseline.model_copy(update={"column": NAIVE})
    return predict_baseline(baseline, rows)


def _predict_rates(baseline: Baseline, frame: pl.DataFrame) -> np.ndarray:
    if baseline.by is None:
        return np.full(frame.height, baseline.rate)
    value = frame[baseline.by].cast(pl.String)
    return value.replace_strict(baseline.rates, default=baseline.rate, return_dtype=pl.Float64).to_numpy()


def _predict_classes(baseline: ClassBaseline, frame: pl.DataFrame) -> np.ndarray:
    if baseline.by is None:
        return np.tile(baseline.rate, (frame.height, 1))
    known = list(baseline.rates)
    at = frame[baseline.by].cast(pl.String).replace_strict(
        {value: position for position, value in enumerate(known)}, default=len(known), return_dtype=pl.Int64
    )  # fmt: skip
    return np.array([*baseline.rates.values(), baseline.rate])[at.to_numpy()]
