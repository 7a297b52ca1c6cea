"""Performance in production: estimated before labels are known, realised afterwards."""

from collections.abc import Callable, Sequence
from functools import partial

import polars as pl

from ml_assets.monitoring.chunks import CHUNK, Chunks, Period, cut
from ml_assets.monitoring.inputs import checked
from ml_assets.monitoring.performance.cbpe import estimate_by_confidence
from ml_assets.monitoring.performance.dle import estimate_by_loss
from ml_assets.monitoring.performance.outputs import Outputs
from ml_assets.monitoring.performance.realised import INTERVAL_COVERAGE, measure_known
from ml_assets.monitoring.performance.record import ENOUGH, ERRORS, past_errors, reference_errors, widen
from ml_assets.monitoring.spec import MonitoringSpec
from ml_assets.training.scored import LOWER, PREDICTION, SCORE, UPPER, scored_classes
from ml_assets.training.spec import ModelSpec
from ml_assets.training.tasks import BINARY, MULTICLASS, REGRESSION, Task

_SCOPES = ("chunk", "period")
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
    "missing",
    "past_errors",
    "margin",
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
            "missing": pl.Int64,
            "past_errors": pl.Int64,
            "margin": pl.Float64,
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
    earlier: pl.DataFrame | None = None,
    record: pl.DataFrame | None = None,
) -> pl.DataFrame:
    """Estimated and realised performance of a model's rows, one below the other.

    Args:
        reference: what the model said about its holdout, as ``ml_assets.training.scored`` has it, with labels.
        analysis: what it said about later rows; labels not known yet are null.
        earlier: what it said about rows in between, whose labels are known by now where they are not null.
        record: what this function returned of earlier periods, of this version or others.

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
    estimated = estimate_performance(reference, analysis, features=features, earlier=earlier, record=record, **about)
    # A version that was trained before intervals were declared has none.
    ends = model.intervals is not None and LOWER in analysis.columns and not analysis[LOWER].has_nulls()
    coverage = model.intervals.least if ends else None
    realised = realise_performance(analysis, pinball=model.pinball_losses, coverage=coverage, **about)
    return pl.concat([estimated, realised])


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
    earlier: pl.DataFrame | None = None,
    record: pl.DataFrame | None = None,
) -> pl.DataFrame:
    """Performance of ``analysis`` estimated without its labels; ``cbpe`` and ``dle`` tell the methods and their limits,
    ``record`` where the bands come from.

    Args:
        reference: out-of-sample rows with ``label`` (binary: 0/1 or Boolean; rows without one are left out),
            ``probability`` (binary: of the positive class, 0 to 1), ``prediction`` (binary: 0/1 or Boolean, the class
            decided on) and ``time``; of a multiclass task also ``probability_<class>``, of a regression the features.
        analysis: the same columns except ``label``.
        period: what ``analysis`` covers, see ``chunks.cut``.
        classes: of a multiclass task, in order.
        features: of a regression, from which the size of its errors is learned.
        earlier: rows as in ``reference``, of later drops of the same model; those whose label is known are learned from
            with the reference, so that an estimate follows what has changed since.
        record: what this function and ``realise_performance`` returned of earlier periods. Bands are made of these
            errors, and of the reference's own while they are few.

    Returns:
        One row per scope, chunk and metric of ``spec.estimated_metrics``: chunk_start, chunk_end
        (Datetime[us], half-open), rows (Int64), scope (``chunk``, or ``period`` for all rows taken as one
        chunk), kind (``estimated``), metric, value, lower and upper (``record.widen``), threshold (Float64, the floor
        declared in ``spec``), missing (null), past_errors (Int64) and margin (Float64): known errors behind the band
        and how much of it they are, and alert (Boolean: value below the floor in a chunk of enough rows).

    Raises:
        ValueError: columns or rows are missing, values are out of range, the reference has one class only, or
            there is no such task.
        MonitoringError: NannyML failed.
    """
    outputs, metrics = _outputs(task, probability, prediction, label, classes), spec.estimated(task)
    more = [name for name in features if name not in outputs.columns] if task == REGRESSION else []
    reference = outputs.reference(checked(reference, "reference", time, [*outputs.columns, label, *more]))
    if earlier is not None and not earlier.is_empty():
        known = outputs.said(checked(earlier, "earlier", time, [*outputs.columns, label, *more]), "earlier")
        known = outputs.known(known, "earlier")
        if known.height > spec.reference_rows:
            known = known.sample(spec.reference_rows, seed=spec.seed)
        reference = pl.concat([reference, known.select(reference.columns)], how="vertical_relaxed")
    analysis = outputs.said(checked(analysis, "analysis", time, [*outputs.columns, *more]), "analysis")
    _, reference = cut(reference, time, spec.chunk)
    chunks, analysis = cut(analysis, time, spec.chunk, period)
    about = {"outputs": outputs, "metrics": metrics, "seed": spec.seed}
    if task == REGRESSION:
        about["features"] = features
    by = estimate_by_loss if task == REGRESSION else estimate_by_confidence
    estimate = partial(by, **about)
    reference = reference.drop(time)
    values = estimate(reference, analysis.drop(time))
    errors = _errors(record, spec, lambda: reference_errors(reference, estimate, outputs, metrics))
    spans = _spans(chunks, analysis, analysis.schema[time])
    return _table(widen(values, errors), spans, "estimated", spec)


def _errors(
    record: pl.DataFrame | None, spec: MonitoringSpec, of_reference: Callable[[], pl.DataFrame]
) -> pl.DataFrame:
    """The errors known of chunks and of periods; of whichever there are too few, the reference's are taken as well."""
    past = pl.DataFrame(schema=ERRORS) if record is None else past_errors(record, spec.min_chunk_rows)
    counts = {scope: past.filter(scope=scope).group_by("metric").len()["len"].min() or 0 for scope in _SCOPES}
    few = [scope for scope in _SCOPES if counts[scope] < ENOUGH]
    if not few:
        return past
    own = of_reference()
    return pl.concat([past, *(own.select(pl.lit(scope).alias("scope"), "metric", "error") for scope in few)])


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
    coverage: float | None = None,
) -> pl.DataFrame:
    """Performance of the rows of ``analysis`` whose ``label`` is known.

    Args:
        analysis: ``probability``, ``prediction``, ``time``, and ``label`` (0/1 or Boolean, null where
            unknown), as for ``estimate_performance``.
        coverage: least share of labels that intervals must hold; where given, ``analysis`` has ``lower`` and ``upper``,
            and interval_coverage is measured beside.

    Returns:
        The columns of ``estimate_performance`` with kind ``realised``, lower and upper null, rows counting labelled
        rows, and missing those whose label is not known. Metrics: roc_auc, average_precision, log_loss, brier,
        calibration_error (as defined in ``training.metrics.ranked_scores``) and f1 of the prediction. A value is null
        where it is undefined, as roc_auc is for labels of one class. Alerts: below a floor or above a ceiling of
        ``spec``.

    Raises:
        ValueError: as ``estimate_performance``. A period without any label is no error: its values are null.
    """
    outputs = _outputs(task, probability, prediction, label, classes)
    ends = [LOWER, UPPER] if coverage is not None else []
    analysis = outputs.said(checked(analysis, "analysis", time, [*outputs.columns, label, *ends]), "analysis")
    chunks, numbered = cut(analysis, time, spec.chunk, period)
    known = outputs.known(numbered, "analysis")
    groups = [(int(chunk), rows) for (chunk,), rows in known.group_by(CHUNK)] + [(None, known)]
    values = pl.DataFrame(
        [
            {CHUNK: chunk, "metric": metric, "value": value}
            for chunk, rows in groups
            for metric, value in measure_known(rows, outputs, tuple(pinball), intervals=bool(ends)).items()
        ],
        schema={CHUNK: pl.Int64, "metric": pl.String, "value": pl.Float64},
    )
    values = values.with_columns(
        lower=pl.lit(None, pl.Float64),
        upper=pl.lit(None, pl.Float64),
        past_errors=pl.lit(None, pl.Int64),
        margin=pl.lit(None, pl.Float64),
    )
    every = _spans(chunks, numbered, known.schema[time]).select(CHUNK, pl.col("rows").alias("scored"))
    spans = _spans(chunks, known, known.schema[time]).join(every, on=CHUNK, how="left", nulls_equal=True)
    spans = spans.with_columns(missing=pl.col("scored") - pl.col("rows")).drop("scored")
    return _table(values, spans, "realised", spec, {} if coverage is None else {INTERVAL_COVERAGE: coverage})


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


def _table(
    values: pl.DataFrame,
    spans: pl.DataFrame,
    kind: str,
    spec: MonitoringSpec,
    more_floors: dict[str, float] | None = None,
) -> pl.DataFrame:
    """Add times, rows, thresholds and alerts; a chunk without rows stands there with null values."""
    below, above = (_limit(limits) for limits in (spec.floors | (more_floors or {}), spec.ceilings))
    if "missing" not in spans.columns:
        spans = spans.with_columns(missing=pl.lit(None, pl.Int64))
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
