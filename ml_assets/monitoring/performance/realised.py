"""Performance of predictions whose outcome is known."""

from collections.abc import Mapping, Sequence
from datetime import datetime

import polars as pl

from ml_assets.monitoring.chunks import CHUNK, Chunks, Period, cut, cut_as
from ml_assets.monitoring.inputs import checked
from ml_assets.monitoring.maturity import is_matured, known_share
from ml_assets.monitoring.performance.known_rows import DISTANCE, KNOWN_MEAN, UNKNOWN_MEAN, compare_scores
from ml_assets.monitoring.performance.table import AHEAD, WITHOUT_PAYOFF, chunk_spans, performance_table
from ml_assets.monitoring.spec import MonitoringSpec
from ml_assets.spines.spec import HORIZON
from ml_assets.training.calibration.intervals import covered_share
from ml_assets.training.metrics.metric import VALUE
from ml_assets.training.metrics.payoff import Payoff
from ml_assets.training.tasks import BINARY, Task, find_task
from ml_assets.training.tasks.columns import LOWER, NAIVE_ERROR, UPPER, ScoredColumns

INTERVAL_COVERAGE = "interval_coverage"
"""Share of known labels between the ends of their intervals, these included."""


def realise_performance(
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
    more: Sequence[str] = (),
    coverage: float | None = None,
    payoff: Payoff | None = None,
    as_of: datetime | None = None,
    horizon: str | None = None,
    estimated: pl.DataFrame | None = None,
) -> pl.DataFrame:
    """Measure the performance of the rows of ``analysis`` whose ``label`` is known.

    Args:
        analysis: ``probability``, ``prediction``, ``time``, and ``label`` (0/1 or Boolean, null where
            unknown), as for ``estimate_performance``; of forecasts ``NAIVE_ERROR`` too, by which rmsse is scaled.
        more: metrics measured beside those of every evaluation, such as pinball losses.
        coverage: least share of labels that intervals must hold; where given, ``analysis`` has ``lower`` and ``upper``,
            and interval_coverage is measured beside.
        payoff: what decisions bring; needed by the metric value, of rows whose label is known and that
            have every payoff.
        as_of: moment by which the labels were known, from which the age of a chunk is counted; None for no age.
        horizon: column of ``analysis`` with how far ahead a row looks (Int64, in seconds), by which rows are measured
            too where there are several; None of rows that look nowhere.
        estimated: what ``estimate_performance`` returned of the same rows: its chunks are kept while ``spec`` declares
            their length, so that each of its values can be judged; None to cut the rows anew.

    Returns:
        The columns of ``estimate_performance``, of scope ``horizon`` too, with kind ``realised``, lower and
        upper null, rows counting labelled rows, missing those whose label is not known, known_share (Float64),
        and what ``compare_scores`` finds between the two, and in the rows of value without_payoff (Int64), the
        labelled rows that it leaves out. Metrics: roc_auc, average_precision, log_loss, brier,
        calibration_error (as defined in ``training.metrics.ranked_scores``) and f1 of the prediction. A value
        is null where it is undefined, as roc_auc is for labels of one class. Alerts: below a floor or above a
        ceiling of ``spec``, in a chunk that has matured.

    Raises:
        ValueError: as ``estimate_performance``. A period without any label is no error: its values are null.
    """
    of, columns = find_task(task), ScoredColumns(label, probability, prediction, classes, payoff)
    ends = [LOWER, UPPER] if coverage is not None else []
    naive = [NAIVE_ERROR] if NAIVE_ERROR in analysis.columns else []
    needed = [*columns.predicted, label, *ends, *naive, *columns.paid, *([] if horizon is None else [horizon])]
    analysis = of.typed_scores(checked(analysis, "analysis", time, needed), "analysis", columns)
    analysis = analysis.with_columns((_NOWHERE if horizon is None else pl.col(horizon)).alias(AHEAD))
    before = None if estimated is None else cut_as(analysis, time, spec.chunk, estimated.filter(scope="chunk"))
    chunks, numbered = before or cut(analysis, time, spec.chunk, period)
    known = of.typed_labels(numbered.drop_nulls(label), "analysis", columns)
    horizons = _horizons(numbered)
    values = pl.DataFrame(
        [
            {**group, "metric": metric, "value": value, WITHOUT_PAYOFF: _unpaid(rows, metric, payoff)}
            for group, rows in _groups(known, horizons)
            for metric, value in measure_known(rows, of, columns, more, intervals=bool(ends)).items()
        ],
        schema=_GROUP | {"metric": pl.String, "value": pl.Float64, WITHOUT_PAYOFF: pl.Int64},
    )
    values = values.with_columns(
        lower=pl.lit(None, pl.Float64),
        upper=pl.lit(None, pl.Float64),
        past_errors=pl.lit(None, pl.Int64),
        margin=pl.lit(None, pl.Float64),
    )
    spans = _count_labels(chunks, numbered, known, time, horizons)
    spans = spans.join(_compared(numbered, label, probability, horizons), on=[*_GROUP], how="left", nulls_equal=True)
    spans = spans.with_columns(known_share=known_share(), matured=is_matured(spec.labels, as_of))
    return performance_table(values, spans, "realised", spec, {} if coverage is None else {INTERVAL_COVERAGE: coverage})


_GROUP: dict[str, type[pl.DataType]] = {CHUNK: pl.Int64, HORIZON: pl.Int64}
"""What a group of rows has in common: a chunk, a horizon, or neither."""
_NOWHERE = pl.lit(None, pl.Int64)


def _horizons(rows: pl.DataFrame) -> list[int]:
    """Return the horizons that the rows look ahead, where they are several."""
    lengths = rows[AHEAD].drop_nulls().unique().sort().to_list()
    return lengths if len(lengths) > 1 else []


def _groups(rows: pl.DataFrame, horizons: Sequence[int]) -> list[tuple[Mapping[str, int | None], pl.DataFrame]]:
    """Return the rows of each chunk, all of them, and those of each horizon."""
    by_chunk = [({CHUNK: chunk, HORIZON: None}, of_chunk) for (chunk,), of_chunk in rows.group_by(CHUNK)]
    whole = ({CHUNK: None, HORIZON: None}, rows)
    by_horizon = [({CHUNK: None, HORIZON: length}, rows.filter(pl.col(AHEAD) == length)) for length in horizons]
    return [*by_chunk, whole, *by_horizon]


def _count_labels(
    chunks: Chunks, numbered: pl.DataFrame, known: pl.DataFrame, time: str, horizons: Sequence[int]
) -> pl.DataFrame:
    """Return the spans with the rows whose label is known, and how many are missing."""
    moment = known.schema[time]
    scored = chunk_spans(chunks, numbered, moment, horizons).select(*_GROUP, pl.col("rows").alias("scored"))
    spans = chunk_spans(chunks, known, moment, horizons).join(scored, on=[*_GROUP], how="left", nulls_equal=True)
    return spans.with_columns(missing=pl.col("scored") - pl.col("rows")).drop("scored")


def _compared(numbered: pl.DataFrame, label: str, score: str, horizons: Sequence[int]) -> pl.DataFrame:
    """Compare the scores of rows with and without a label, of each chunk, all rows and each horizon."""
    known = pl.col(label).is_not_null()
    return pl.DataFrame(
        [
            {**group, **compare_scores(rows.filter(known)[score], rows.filter(~known)[score])}
            for group, rows in _groups(numbered, horizons)
        ],
        schema=_GROUP | {KNOWN_MEAN: pl.Float64, UNKNOWN_MEAN: pl.Float64, DISTANCE: pl.Float64},
    )


def _unpaid(rows: pl.DataFrame, metric: str, payoff: Payoff | None) -> int | None:
    """Count the rows that a value leaves out; None for another metric."""
    return None if payoff is None or metric != VALUE else rows.height - int(payoff.given_of(rows).sum())


def measure_known(
    rows: pl.DataFrame, task: Task, columns: ScoredColumns, more: Sequence[str] = (), *, intervals: bool = False
) -> dict[str, float | None]:
    """Measure the metrics of the task, as training evaluates them; None where undefined.

    Args:
        rows: what ``columns`` names, typed by the task; may be empty.
        more: metrics measured beside those of every evaluation.
        intervals: measure how many labels lie in their intervals, of which ``rows`` holds the ends.
    """
    names = task.measured_with(more)
    if rows.is_empty():
        return dict.fromkeys([*names, INTERVAL_COVERAGE] if intervals else names)
    values = task.realised(rows, columns, names)
    if intervals:
        label, lower, upper = (rows[name].to_numpy() for name in (columns.label, LOWER, UPPER))
        values[INTERVAL_COVERAGE] = covered_share(label, lower, upper)
    return values
