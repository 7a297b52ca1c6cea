"""Performance estimated before labels are known."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import polars as pl

from ml_assets.monitoring.chunks import CHUNK, Period, cut
from ml_assets.monitoring.inputs import checked
from ml_assets.monitoring.performance.estimators import ESTIMATORS
from ml_assets.monitoring.performance.estimators.estimator import EstimateRequest
from ml_assets.monitoring.performance.record import ENOUGH, ERRORS, past_errors, reference_errors, widen
from ml_assets.monitoring.performance.table import (
    SCOPES,
    WITHOUT_PAYOFF,
    chunk_spans,
    no_performance,
    performance_table,
)
from ml_assets.monitoring.spec import MonitoringSpec
from ml_assets.training.metrics.metric import VALUE
from ml_assets.training.metrics.payoff import Payoff
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
    payoff: Payoff | None = None,
    more: Sequence[str] = (),
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
        payoff: what decisions bring; every frame has its columns. Without it value is not estimated.
        more: metrics estimated too, where ``spec`` names none and they can be.

    Returns:
        One row per scope, chunk and metric of ``spec.estimated``: chunk_start, chunk_end
        (Datetime[us], half-open), rows (Int64), scope (``chunk``, or ``period`` for all rows taken as one
        chunk), kind (``estimated``), metric, value, lower and upper (``record.widen``), threshold (Float64, the floor
        declared in ``spec``), missing (null), without_payoff (Int64, in the rows of value: those that it leaves out),
        past_errors (Int64) and margin (Float64): known errors behind the band
        and how much of it they are, and alert (Boolean: value below the floor in a chunk of enough rows).

    Raises:
        ValueError: columns or rows are missing, values are out of range, the reference has one class only, or
            there is no such task.
        MonitoringError: NannyML failed.
    """
    of, columns = find_task(task), ScoredColumns(label, probability, prediction, classes, payoff)
    metrics = [name for name in spec.estimated(task, more) if name != VALUE or payoff is not None]
    if of.estimator is None or not metrics:
        return no_performance(checked(analysis, "analysis", time, []).schema[time])
    estimator = ESTIMATORS.get(of.estimator)
    read = [name for name in features if name not in columns.predicted] if estimator.reads_features else []
    frames = _Frames(of, columns, spec, time, [*read, *columns.paid])
    reference = frames.learned_from(reference, earlier)
    chunks, analysis = cut(frames.scored(analysis), time, spec.chunk, period)
    named = {name: of.estimable.get(name, name) for name in metrics}
    request = EstimateRequest(columns, features, named, spec.seed)

    def estimate(known: pl.DataFrame, unknown: pl.DataFrame) -> pl.DataFrame:
        return estimator.estimate(known, unknown, request)

    values = estimate(reference, analysis.drop(time))

    def of_reference() -> pl.DataFrame:
        return reference_errors(reference, estimate, of, columns, metrics, estimator.most_rows)

    errors = _errors(record, metrics, spec, of_reference)
    spans = chunk_spans(chunks, analysis, analysis.schema[time])
    return performance_table(_count_unpaid(widen(values, errors), analysis, payoff), spans, "estimated", spec)


@dataclass(frozen=True)
class _Frames:
    """Checks and types the rows that an estimate is made from.

    Attributes:
        more: columns that are read beside predictions and label.
    """

    task: Task
    columns: ScoredColumns
    spec: MonitoringSpec
    time: str
    more: Sequence[str]

    def scored(self, analysis: pl.DataFrame) -> pl.DataFrame:
        """Return rows whose labels are not looked at."""
        needed = [*self.columns.predicted, *self.more]
        return self.task.typed_scores(checked(analysis, "analysis", self.time, needed), "analysis", self.columns)

    def learned_from(self, reference: pl.DataFrame, earlier: pl.DataFrame | None) -> pl.DataFrame:
        """Return the reference's rows with known labels and the earlier ones, with CHUNK and without the time."""
        rows = self._known(reference, "reference")
        self.task.check_reference(rows, self.columns)
        if earlier is not None and not earlier.is_empty():
            known = self._known(earlier, "earlier")
            if known.height > self.spec.reference_rows:
                known = known.sample(self.spec.reference_rows, seed=self.spec.seed)
            rows = pl.concat([rows, known.select(rows.columns)], how="vertical_relaxed")
        return cut(rows, self.time, self.spec.chunk)[1].drop(self.time)

    def _known(self, frame: pl.DataFrame, what: str) -> pl.DataFrame:
        needed = [*self.columns.predicted, self.columns.label, *self.more]
        scores = self.task.typed_scores(checked(frame, what, self.time, needed), what, self.columns)
        return self.task.typed_labels(scores.drop_nulls(self.columns.label), what, self.columns)


def _count_unpaid(values: pl.DataFrame, analysis: pl.DataFrame, payoff: Payoff | None) -> pl.DataFrame:
    """Add WITHOUT_PAYOFF, the rows that the metric value leaves out; null for the others."""
    if payoff is None:
        return values
    unpaid = analysis.select(CHUNK, (~payoff.given_of(analysis)).cast(pl.Int64).alias(WITHOUT_PAYOFF))
    by_chunk = unpaid.group_by(CHUNK).sum()
    whole = unpaid.select(pl.lit(None, pl.Int64).alias(CHUNK), pl.col(WITHOUT_PAYOFF).sum())
    counts = pl.concat([by_chunk, whole]).with_columns(metric=pl.lit(VALUE))
    return values.join(counts, on=[CHUNK, "metric"], how="left", nulls_equal=True, maintain_order="left")


def _errors(
    record: pl.DataFrame | None,
    metrics: Sequence[str],
    spec: MonitoringSpec,
    of_reference: Callable[[], pl.DataFrame],
) -> pl.DataFrame:
    """Return the known errors of chunks and of periods; of each metric of which they are few, as of one that has not
    been estimated before, the reference's as well."""
    past = pl.DataFrame(schema=ERRORS) if record is None else past_errors(record, spec.min_chunk_rows)
    wanted = pl.DataFrame({"scope": SCOPES}).join(pl.DataFrame({"metric": metrics}), how="cross")
    counts = wanted.join(past.group_by("scope", "metric").len(), on=["scope", "metric"], how="left")
    few = counts.filter(pl.col("len").fill_null(0) < ENOUGH).drop("len")
    return past if few.is_empty() else pl.concat([past, few.join(of_reference(), on="metric").select(*ERRORS)])
