"""How far estimates have been off so far, and the bands that follow from it.

An estimate knows nothing of outcomes that now depend on the features in another way, nor does sampling error. What
tells is how far estimates were off: of earlier drops, whose labels are known by now, and of stretches of the rows that
they learn from, each left out while the rest estimated it. The band is a conformal one over these errors (G. Shafer, V.
Vovk, A Tutorial on Conformal Prediction, JMLR 9, 2008): if errors to come are like those known, it holds the realised
value in nine of ten periods.
"""

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
import polars as pl

from ml_assets.monitoring.chunks import CHUNK
from ml_assets.monitoring.performance.realised import measure_known
from ml_assets.monitoring.performance.table import measured_rows, with_unpaid
from ml_assets.training.tasks import Task, find_metric
from ml_assets.training.tasks.columns import ScoredColumns

COVERAGE = 0.9
"""Share of periods whose realised value should lie within the band."""
ENOUGH = math.ceil(COVERAGE / (1 - COVERAGE) - 1e-9)
"""Errors from which a quantile of ``COVERAGE`` can be estimated: 9."""
BLOCKS = 4
"""Stretches of what is learned from that are left out in turn while there are fewer errors than that."""

ERRORS = {"scope": pl.String, "metric": pl.String, "error": pl.Float64}
_AT = ("scope", "metric", "chunk_start", "chunk_end")


def past_errors(performance: pl.DataFrame, min_rows: int) -> pl.DataFrame:
    """Return absolute errors of estimates whose realised value is known.

    Args:
        performance: estimated and realised rows of earlier drops, of one or several versions.
        min_rows: labelled rows that a realised value is measured on, from which it says enough to judge an estimate by.

    Returns:
        scope, metric, error; in the order of time.
    """
    estimated = performance.filter(kind="estimated").select(*_AT, "value")
    enough = with_unpaid(performance).filter(measured_rows() >= min_rows, kind="realised")
    realised = enough.select(*_AT, known="value")
    both = estimated.join(realised, on=_AT, how="inner").with_columns(error=(pl.col("value") - pl.col("known")).abs())
    return both.drop_nulls("error").sort("chunk_end").select(*ERRORS)


def reference_errors(
    reference: pl.DataFrame,
    estimate: Callable[[pl.DataFrame, pl.DataFrame], pl.DataFrame],
    task: Task,
    columns: ScoredColumns,
    metrics: Sequence[str],
    most_rows: int,
) -> pl.DataFrame:
    """Return the errors of estimates of ``BLOCKS`` consecutive stretches of the rows, each made from the others.

    Args:
        reference: typed rows of the reference and of earlier drops with CHUNK and the label, sorted by time.
        estimate: (reference, analysis) -> CHUNK (null: all rows), metric, value.
        most_rows: rows of those stretches together; of more, every second, third, ... is taken.

    Returns:
        metric, error; nothing of a stretch in which, or around which, the outcomes are too few in kind.
    """
    reference = reference.gather_every(math.ceil(reference.height / most_rows))
    edges = np.linspace(0, reference.height, BLOCKS + 1).astype(int)
    parts = [pl.DataFrame(schema={"metric": pl.String, "error": pl.Float64})]
    for start, end in pairwise(edges.tolist()):
        block = reference.slice(start, end - start)
        rest = pl.concat([reference.head(start), reference.slice(end)])
        if not _comparable(rest, block, columns):
            continue
        values = estimate(rest, block.with_columns(pl.lit(0, pl.Int64).alias(CHUNK)))
        known = measure_known(block, task, columns, [name for name in metrics if task.is_optional(name)])
        off = [
            (metric, abs(value - known[metric]))
            for metric, value in values.filter(pl.col(CHUNK).is_null()).select("metric", "value").iter_rows()
            if metric in metrics and value is not None and known[metric] is not None
        ]
        parts.append(pl.DataFrame(off, schema=parts[0].schema, orient="row"))
    return pl.concat(parts)


def margin(errors: np.ndarray) -> float:
    """Return the conformal ``COVERAGE`` quantile of known errors; of too few errors the greatest.

    It is the error of rank ceil((n + 1) COVERAGE), counted from the least; 0 if there are none.
    """
    if not len(errors):
        return 0.0
    rank = math.ceil((len(errors) + 1) * COVERAGE - 1e-9)
    return float(np.sort(errors)[min(rank, len(errors)) - 1])


def widen(values: pl.DataFrame, errors: pl.DataFrame) -> pl.DataFrame:
    """Return bands of the sampling error with the margin of the known errors added to it.

    Args:
        values: CHUNK (null: the whole period), metric, value, lower, upper (three sampling errors either way).
        errors: scope, metric, error.

    Returns:
        ``values`` with lower and upper moved apart, no further than the metric's range, and with past_errors (Int64,
        errors counted) and margin (Float64, their quantile).
    """
    known = {
        scope_metric: group["error"].to_numpy()
        for scope_metric, group in errors.group_by("scope", "metric", maintain_order=True)
    }
    margins = pl.DataFrame(
        [(scope, metric, len(off), margin(off)) for (scope, metric), off in known.items()],
        schema={"scope": pl.String, "metric": pl.String, "past_errors": pl.Int64, "margin": pl.Float64},
        orient="row",
    )
    scope = pl.when(pl.col(CHUNK).is_null()).then(pl.lit("period")).otherwise(pl.lit("chunk"))
    of = {name: find_metric(name) for name in values["metric"].unique()}
    sampling = {side: (pl.col(side) - pl.col("value")).abs() for side in ("lower", "upper")}
    ends = {side: noise + pl.col("margin") for side, noise in sampling.items()}
    floor = _limit({name: metric.least for name, metric in of.items()})
    ceiling = _limit({name: metric.greatest for name, metric in of.items()})
    return (
        values.with_columns(scope=scope)
        .join(margins, on=["scope", "metric"], how="left", maintain_order="left")
        .with_columns(pl.col("past_errors").fill_null(0), pl.col("margin").fill_null(0.0))
        .with_columns(
            lower=pl.max_horizontal(pl.col("value") - ends["lower"], floor),
            upper=pl.min_horizontal(pl.col("value") + ends["upper"], ceiling),
        )
        .drop("scope")
    )


def _limit(of_metrics: dict[str, float]) -> pl.Expr:
    return pl.col("metric").replace_strict(of_metrics, return_dtype=pl.Float64) if of_metrics else pl.lit(math.nan)


def _comparable(rest: pl.DataFrame, block: pl.DataFrame, columns: ScoredColumns) -> bool:
    enough = all(part[columns.label].n_unique() > 1 for part in (rest, block))
    return enough and set(columns.classes) <= set(rest[columns.label])
