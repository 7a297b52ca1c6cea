"""Performance estimated before labels are known."""

from collections.abc import Callable, Sequence

import polars as pl

from ml_assets.monitoring.chunks import Period, cut
from ml_assets.monitoring.inputs import checked
from ml_assets.monitoring.performance.estimators import ESTIMATORS
from ml_assets.monitoring.performance.estimators.estimator import EstimateRequest
from ml_assets.monitoring.performance.record import ENOUGH, ERRORS, past_errors, reference_errors, widen
from ml_assets.monitoring.performance.table import SCOPES, chunk_spans, no_performance, performance_table
from ml_assets.monitoring.spec import MonitoringSpec
from ml_assets.training.tasks import BINARY, Task, find_task
from ml_assets.training.tasks.columns import ScoredColumns


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
    task: str = BINARY,
    classes: Sequence[str] = (),
    features: Sequence[str] = (),
    earlier: pl.DataFrame | None = None,
    record: pl.DataFrame | None = None,
) -> pl.DataFrame:
    """Estimate the performance of ``analysis`` without its labels; ``estimators`` has the methods and their limits,
    ``record`` describes where the bands come from.

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
    of, columns = find_task(task), ScoredColumns(label, probability, prediction, classes)
    metrics = spec.estimated(task)
    if of.estimator is None or not metrics:
        return no_performance(checked(analysis, "analysis", time, []).schema[time])
    estimator = ESTIMATORS.get(of.estimator)
    more = [name for name in features if name not in columns.predicted] if estimator.reads_features else []
    reference = _learned_from(of, columns, spec, time, more, reference, earlier)
    analysis = of.typed_scores(checked(analysis, "analysis", time, [*columns.predicted, *more]), "analysis", columns)
    _, reference = cut(reference, time, spec.chunk)
    chunks, analysis = cut(analysis, time, spec.chunk, period)
    reference = reference.drop(time)
    request = EstimateRequest(columns, features, {name: of.estimable[name] for name in metrics}, spec.seed)

    def estimate(known: pl.DataFrame, unknown: pl.DataFrame) -> pl.DataFrame:
        return estimator.estimate(known, unknown, request)

    values = estimate(reference, analysis.drop(time))
    errors = _errors(
        record, spec, lambda: reference_errors(reference, estimate, of, columns, metrics, estimator.most_rows)
    )
    spans = chunk_spans(chunks, analysis, analysis.schema[time])
    return performance_table(widen(values, errors), spans, "estimated", spec)


def _learned_from(
    task: Task,
    columns: ScoredColumns,
    spec: MonitoringSpec,
    time: str,
    features: Sequence[str],
    reference: pl.DataFrame,
    earlier: pl.DataFrame | None,
) -> pl.DataFrame:
    """Return the typed rows with known labels that an estimate learns from: the reference's and the earlier ones."""
    needed = [*columns.predicted, columns.label, *features]
    reference = _known(task, columns, checked(reference, "reference", time, needed), "reference")
    task.check_reference(reference, columns)
    if earlier is None or earlier.is_empty():
        return reference
    known = _known(task, columns, checked(earlier, "earlier", time, needed), "earlier")
    if known.height > spec.reference_rows:
        known = known.sample(spec.reference_rows, seed=spec.seed)
    return pl.concat([reference, known.select(reference.columns)], how="vertical_relaxed")


def _known(task: Task, columns: ScoredColumns, frame: pl.DataFrame, what: str) -> pl.DataFrame:
    return task.typed_labels(task.typed_scores(frame, what, columns).drop_nulls(columns.label), what, columns)


def _errors(
    record: pl.DataFrame | None, spec: MonitoringSpec, of_reference: Callable[[], pl.DataFrame]
) -> pl.DataFrame:
    """Return the known errors of chunks and of periods; where they are few, the reference's as well."""
    past = pl.DataFrame(schema=ERRORS) if record is None else past_errors(record, spec.min_chunk_rows)
    counts = past.group_by("scope", "metric").len().group_by("scope").agg(pl.col("len").min())
    enough = counts.filter(pl.col("len") >= ENOUGH)["scope"].to_list()
    few = [scope for scope in SCOPES if scope not in enough]
    if not few:
        return past
    own = of_reference()
    return pl.concat([past, *(own.select(pl.lit(scope).alias("scope"), "metric", "error") for scope in few)])
