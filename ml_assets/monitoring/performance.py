"""Performance in production: estimated before labels are known, realised afterwards."""

from collections.abc import Sequence

import polars as pl

from ml_assets.monitoring.cbpe import estimate_by_confidence
from ml_assets.monitoring.chunks import CHUNK, Chunks, Period, cut
from ml_assets.monitoring.dle import estimate_by_loss
from ml_assets.monitoring.inputs import checked
from ml_assets.monitoring.outputs import Outputs
from ml_assets.monitoring.realised import measure_known
from ml_assets.monitoring.spec import MonitoringSpec
from ml_assets.training.scored import PREDICTION, SCORE, scored_classes
from ml_assets.training.spec import ModelSpec
from ml_assets.training.tasks import BINARY, MULTICLASS, REGRESSION, Task

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


def no_performance(moment: pl.DataType) -> pl.DataFrame:
    """What ``watch_performance`` gives of a period without scored rows; ``moment`` is the type of their time."""
    chunk = pl.Datetime("us", getattr(moment, "time_zone", None))
    return pl.DataFrame(
        schema={
            "chunk_start": chunk,
            "chunk_end": chunk,
            "rows": pl.Int64,
            "scope": pl.String,
            "kind": pl.String,
            "metric": pl.String,
            "value": pl.Float64,
            "lower": pl.Float64,
            "upper": pl.Float64,
            "threshold": pl.Float64,
            "alert": pl.Boolean,
        }
    )


def watch_performance(
    reference: pl.DataFrame,
    analysis: pl.DataFrame,
    *,
    model: ModelSpec,
    features: Sequence[str],
    spec: MonitoringSpec,
) -> pl.DataFrame:
    """Estimated and realised performance of a model's rows, one below the other.

    Args:
        reference: what the model said about its holdout, as ``ml_assets.training.scored`` has it, with labels.
        analysis: what it said about later rows; labels not known yet are null.

    Raises:
        what ``estimate_performance`` and ``realise_performance`` raise.
    """
    about = {
        "probability": SCORE,
        "prediction": PREDICTION,
        "label": model.label.column,
        "time": model.spine.time,
        "spec": spec,
        "task": model.task,
        "classes": scored_classes(reference) if model.task == MULTICLASS else (),
    }
    estimated = estimate_performance(reference, analysis, features=features, **about)
    return pl.concat([estimated, realise_performance(analysis, pinball=model.pinball_losses, **about)])


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
    task: Task = BINARY,
    classes: Sequence[str] = (),
    features: Sequence[str] = (),
) -> pl.DataFrame:
    """Performance of ``analysis`` estimated without labels; ``cbpe`` and ``dle`` tell the methods and their limits.

    Args:
        reference: out-of-sample rows with ``label`` (binary: 0/1 or Boolean; rows without one are left out),
            ``probability`` (binary: of the positive class, 0 to 1), ``prediction`` (binary: 0/1 or Boolean, the class
            decided on) and ``time``; of a multiclass task also ``probability_<class>``, of a regression the features.
        analysis: the same columns except ``label``.
        period: what ``analysis`` covers, see ``chunks.cut``.
        classes: of a multiclass task, in order.
        features: of a regression, from which the size of its errors is learned.

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
    outputs, metrics = _outputs(task, probability, prediction, label, classes), spec.estimated(task)
    more = [name for name in features if name not in outputs.columns] if task == REGRESSION else []
    reference = outputs.reference(checked(reference, "reference", time, [*outputs.columns, label, *more]))
    analysis = outputs.said(checked(analysis, "analysis", time, [*outputs.columns, *more]), "analysis")
    _, reference = cut(reference, time, spec.chunk)
    chunks, analysis = cut(analysis, time, spec.chunk, period)
    about = {"outputs": outputs, "metrics": metrics, "seed": spec.seed}
    if task == REGRESSION:
        values = estimate_by_loss(reference.drop(time), analysis.drop(time), features=features, **about)
    else:
        values = estimate_by_confidence(reference.drop(time), analysis.drop(time), **about)
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
    task: Task = BINARY,
    classes: Sequence[str] = (),
    pinball: Sequence[str] = (),
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
    outputs = _outputs(task, probability, prediction, label, classes)
    analysis = outputs.said(checked(analysis, "analysis", time, [*outputs.columns, label]), "analysis")
    chunks, numbered = cut(analysis, time, spec.chunk, period)
    known = outputs.known(numbered, "analysis")
    groups = [(int(chunk), rows) for (chunk,), rows in known.group_by(CHUNK)] + [(None, known)]
    values = pl.DataFrame(
        [
            {CHUNK: chunk, "metric": metric, "value": value}
            for chunk, rows in groups
            for metric, value in measure_known(rows, outputs, tuple(pinball)).items()
        ],
        schema={CHUNK: pl.Int64, "metric": pl.String, "value": pl.Float64},
    )
    values = values.with_columns(lower=pl.lit(None, pl.Float64), upper=pl.lit(None, pl.Float64))
    return _table(values, _spans(chunks, known, known.schema[time]), "realised", spec)


def _outputs(task: str, probability: str, prediction: str, label: str, classes: Sequence[str]) -> Outputs:
    if task not in (BINARY, MULTICLASS, REGRESSION):
        raise ValueError(f"task {task!r}: performance is watched for {BINARY}, {MULTICLASS} and {REGRESSION} only")
    return Outputs(task, probability, prediction, label, classes)


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
