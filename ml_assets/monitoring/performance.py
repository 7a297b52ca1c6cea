"""Performance in production: estimated before labels are known, realised afterwards."""

from collections.abc import Callable

import polars as pl

from ml_assets.monitoring.cbpe import estimate_binary
from ml_assets.monitoring.chunks import CHUNK, Chunks, Period, cut
from ml_assets.monitoring.inputs import checked, labelled, predicted, zero_or_one
from ml_assets.monitoring.realised import measure_binary
from ml_assets.monitoring.spec import MonitoringSpec

_ESTIMATORS: dict[str, Callable] = {"binary": estimate_binary}
_MEASURES: dict[str, Callable] = {"binary": measure_binary}
_COLUMNS = (
    "chunk_start",
    "chunk_end",
    "rows",
    "scope",
    "kind",
    "metric",
    "value",
    "lower",
    "upper",
    "threshold",
)


def estimate_performance(
    reference: pl.DataFrame,
    analysis: pl.DataFrame,
    *,
    probability: str,
    prediction: str,
    label: str,
    time: str,
    spec: MonitoringSpec,
    period: Period | None = None,
    task: str = "binary",
) -> pl.DataFrame:
    """Performance of ``analysis`` estimated from its scores; ``cbpe`` tells the method and its limits.

    Args:
        reference: out-of-sample rows with ``label`` (0/1 or Boolean; rows without one are left out),
            ``probability`` (of the positive class, 0 to 1), ``prediction`` (0/1 or Boolean, the class
            decided on) and ``time``.
        analysis: the same columns except ``label``.
        period: what ``analysis`` covers, see ``chunks.cut``.
        task: ``binary``.

    Returns:
        One row per scope, chunk and metric of ``spec.estimated_metrics``: chunk_start, chunk_end
        (Datetime[us], half-open), rows (Int64), scope (``chunk``, or ``period`` for all rows taken as one
        chunk), kind (``estimated``), metric, value, lower and upper (three sampling errors either way),
        threshold (Float64, the floor declared in ``spec``) and alert (Boolean: value below the floor in a
        chunk of enough rows).

    Raises:
        ValueError: columns or rows are missing, values are out of range, the reference has one class only, or
            there is no such task.
        MonitoringError: NannyML failed.
    """
    estimate = _of_task(_ESTIMATORS, task)
    reference = checked(reference, "reference", time, [probability, prediction, label]).drop_nulls(label)
    reference = labelled(predicted(reference, "reference", probability, prediction), label)
    analysis = checked(analysis, "analysis", time, [probability, prediction])
    analysis = predicted(analysis, "analysis", probability, prediction)
    _, reference = cut(reference, time, spec.chunk)
    chunks, analysis = cut(analysis, time, spec.chunk, period)
    values = estimate(
        reference.drop(time),
        analysis.drop(time),
        probability=probability,
        prediction=prediction,
        label=label,
        spec=spec,
    )
    return _table(values, _spans(chunks, analysis, analysis.schema[time]), "estimated", spec)


def realise_performance(
    analysis: pl.DataFrame,
    *,
    probability: str,
    prediction: str,
    label: str,
    time: str,
    spec: MonitoringSpec,
    period: Period | None = None,
    task: str = "binary",
) -> pl.DataFrame:
    """Performance of the rows of ``analysis`` whose ``label`` is known.

    Args:
        analysis: ``probability``, ``prediction``, ``time``, and ``label`` (0/1 or Boolean, null where
            unknown), as for ``estimate_performance``.

    Returns:
        The columns of ``estimate_performance`` with kind ``realised``, lower and upper null, and rows
        counting labelled rows. Metrics: roc_auc, average_precision, log_loss, brier, calibration_error (as
        defined in ``ml_assets.training.metrics``) and f1 of the prediction. A value is null where it is
        undefined, as roc_auc is for labels of one class. Alerts: below a floor or above a ceiling of
        ``spec``.

    Raises:
        ValueError: as ``estimate_performance``. A period without any label is no error: its values are null.
    """
    measure = _of_task(_MEASURES, task)
    analysis = checked(analysis, "analysis", time, [probability, prediction, label])
    analysis = predicted(analysis, "analysis", probability, prediction)
    chunks, numbered = cut(analysis, time, spec.chunk, period)
    known = zero_or_one(numbered.drop_nulls(label), "analysis", label)
    groups = [(int(chunk), rows) for (chunk,), rows in known.group_by(CHUNK)] + [(None, known)]
    values = pl.DataFrame(
        [
            {CHUNK: chunk, "metric": metric, "value": value}
            for chunk, rows in groups
            for metric, value in measure(rows, probability=probability, prediction=prediction, label=label).items()
        ],
        schema={CHUNK: pl.Int64, "metric": pl.String, "value": pl.Float64},
    )
    values = values.with_columns(lower=pl.lit(None, pl.Float64), upper=pl.lit(None, pl.Float64))
    return _table(values, _spans(chunks, known, known.schema[time]), "realised", spec)


def _of_task(by_task: dict[str, Callable], task: str) -> Callable:
    if task not in by_task:
        raise ValueError(f"task {task!r}: performance is watched for {', '.join(by_task)} only")
    return by_task[task]


def _spans(chunks: Chunks, numbered: pl.DataFrame, dtype: pl.DataType) -> pl.DataFrame:
    return pl.concat(
        [
            chunks.table(numbered, dtype).with_columns(scope=pl.lit("chunk")),
            chunks.whole(numbered, dtype).with_columns(scope=pl.lit("period")),
        ]
    )


def _table(values: pl.DataFrame, spans: pl.DataFrame, kind: str, spec: MonitoringSpec) -> pl.DataFrame:
    """Add times, rows, thresholds and alerts; a chunk without rows stands there with null values."""
    below, above = (_limit(limits) for limits in (spec.floors, spec.ceilings))
    alert = (pl.col("value") < below).fill_null(False) | (pl.col("value") > above).fill_null(False)
    return (
        spans.join(values.select("metric").unique(), how="cross")
        .join(values, on=[CHUNK, "metric"], how="left", nulls_equal=True)
        .with_columns(
            kind=pl.lit(kind),
            threshold=pl.coalesce(below, above),
            alert=alert & (pl.col("rows") >= spec.min_chunk_rows),
        )
        .sort("scope", "metric", "chunk_start")
        .select(*_COLUMNS, "alert")
    )


def _limit(limits: dict[str, float]) -> pl.Expr:
    return pl.col("metric").replace_strict(list(limits), list(limits.values()), default=None, return_dtype=pl.Float64)
