"""The declared groups of a model among rows that it scored."""

from collections.abc import Sequence

import polars as pl

from ml_assets.fairness.measure import FAIRNESS, IntervalRule, measure_fairness
from ml_assets.training.spec import ModelSpec
from ml_assets.training.tasks import find_task


def measure_groups(spec: ModelSpec, rows: pl.DataFrame, classes: Sequence[str] | None) -> pl.DataFrame:
    """Measure the declared groups of a model among scored rows; groups that the rows have no column of are left out.

    Args:
        rows: predictions, and the label, null where it is not known.
        classes: of the model that made the predictions, if it has some.

    Returns:
        The columns ``FAIRNESS``.
    """
    there = [name for name in spec.groups if name in rows.columns]
    views = find_task(spec.task).fairness_views(spec.label.column, classes)
    if rows.is_empty() or not there:
        return pl.DataFrame(schema=FAIRNESS)
    return measure_fairness(
        rows,
        there,
        views,
        min_rows=spec.fairness.min_rows,
        intervals=IntervalRule(spec.fairness.confidence, spec.evaluation.resamples, spec.seed),
    )
