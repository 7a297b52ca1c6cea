"""What a version of a model does not know, or was not shown to do, in sentences."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import polars as pl

from ml_assets.cards.card import HoldoutMetric, SliceMeasure
from ml_assets.cards.document import shown
from ml_assets.lake import Lake
from ml_assets.modelling.context import ModelContext
from ml_assets.modelling.records import VERSION
from ml_assets.training.tasks import find_task

if TYPE_CHECKING:
    from ml_assets.training.fit import TrainedModel

FEW_ROWS = 100
"""Rows of a slice below which its measures say little: an AUC of 100 rows is known to about 0.1."""
_MOST_NAMED = 5


def known_limits(
    model: ModelContext,
    version: str,
    trained: "TrainedModel",
    lake: Lake,
    metrics: Sequence[HoldoutMetric],
    slices: Sequence[SliceMeasure],
) -> Iterator[str]:
    """Yield a sentence for each limit that the records show."""
    if not metrics:
        yield "No evaluation of this version is kept in the lake: how good it was on its holdout is not known."
    yield from _not_better(model, metrics)
    few = [
        f"{measured.subject} ({measured.rows})"
        for measured in slices
        if measured.rows is not None and measured.rows < FEW_ROWS
    ]
    if few:
        yield f"Measured on fewer than {FEW_ROWS} rows each, so hardly known: {_named(few)}."
    if find_task(trained.task).calibratable and not trained.calibrated:
        yield "Scores are not calibrated: of rows with a score of 0.3 more or less than three of ten may be positive."
    text = [f.name for f in trained.encoding.features if f.kind == "category" and f.vocabulary]
    if text:
        yield f"A category that training has not seen counts as missing: {_named(text)}."
    if trained.inputs is not None:
        for change in model.inputs.changes_since(trained.inputs):
            yield f"Declared otherwise since it was trained: {change}."
    yield from _alerts(model, version, lake)


def _not_better(model: ModelContext, metrics: Sequence[HoldoutMetric]) -> Iterator[str]:
    """Yield the metrics that the model is chosen by and in which it is not shown to beat the naive baseline."""
    chosen = {model.spec.optimised_metric, model.spec.promotion.metric}
    for metric in metrics:
        better = metric.improvement
        if metric.metric in chosen and better is not None and (better.low is None or better.low <= 0):
            yield (
                f"Not shown to be better than the naive baseline in {metric.metric}: the improvement is "
                f"{shown(better.value)} [{shown(better.low)}, {shown(better.high)}]."
            )


def _alerts(model: ModelContext, version: str, lake: Lake) -> Iterator[str]:
    """Yield what the reports on the newest drop that the version predicted warn of."""
    alerts = {
        "drift_report": ("feature", pl.col("method") == "psi", ("has", "have"), "drifted from the reference (PSI)"),
        "performance_report": ("metric", pl.lit(True), ("is", "are"), "beyond the declared limit"),
    }
    for report, (column, of, verbs, what) in alerts.items():
        if not lake.exists(model.key(report)):
            continue
        own = lake.scan(model.key(report)).filter(pl.col(VERSION) == version, pl.col("scope") == "period", of)
        rows = own.select(pl.col(model.spine.partition).alias("drop"), column, "alert").collect()
        newest = rows.filter(pl.col("drop") == pl.col("drop").max(), pl.col("alert"))
        if newest.height:
            named = newest[column].unique(maintain_order=True).to_list()
            yield f"In drop {newest['drop'][0]} {_named(named)} {verbs[len(named) > 1]} {what}."


def _named(names: Sequence[str]) -> str:
    more = len(names) - _MOST_NAMED
    return ", ".join(names[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
