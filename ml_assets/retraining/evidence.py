"""Evidence: one measured value, its threshold, whether it is breached, and where it came from."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

import polars as pl
from pydantic import BaseModel, ConfigDict, Field

from ml_assets.monitoring.drift.statistics.statistic import ALL_FEATURES
from ml_assets.monitoring.performance.table import measured_rows, with_unpaid
from ml_assets.monitoring.spec import MonitoringSpec
from ml_assets.retraining.limits import CALIBRATION, NO_LIMIT, LearntLimits
from ml_assets.retraining.spec import RetrainingSpec
from ml_assets.retraining.window import describe_lag, matured_chunks
from ml_assets.spines.spec import STANDS_FOR
from ml_assets.training.tasks import estimable_metrics, find_metric

DAY = timedelta(days=1)
"""Threshold of what the policy does not limit."""


class Evidence(BaseModel):
    """One measured value and what it is held against."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: str = Field(description="What was measured: a kind of evidence, or the conditions gate, cooldown, new_rows.")
    observed: float | None = Field(description="Value in the latest chunk; null if it could not be measured.")
    threshold: float = Field(description="The limit it is held against.")
    breached: bool = Field(description="Whether the rule of n of the last m chunks fires.")
    breaches: int = Field(description="Chunks beyond the limit among those looked at.")
    chunks: int = Field(description="Chunks looked at.")
    unit: str = Field(description="Unit of observed and threshold.")
    side: Literal["above", "below"] = Field(description="On which side of the threshold a value breaches it.")
    source: str = Field(description="Where the value comes from and how its limit was set.")


@dataclass(frozen=True)
class Circumstances:
    """What is known beside the measurements.

    Attributes:
        as_of: the moment the decision looks from.
        trained_as_of: training cut-off of the champion; a failed challenge counts as ``last_trained``.
        last_trained: cut-off of the newest training, promoted or not, or the moment of a later roll-back.
        labelled_rows: labelled rows there are by ``as_of``.
        new_labels: those of them that became known after ``last_trained``.
        labelled_moments: entity-moments that ``labelled_rows`` stand for, of a spine that declares a sample; else None.
        new_moments: those of ``new_labels``.
        failed_gates: tables of the drop that failed a blocking check, with the reason.
    """

    as_of: datetime
    trained_as_of: datetime
    last_trained: datetime
    labelled_rows: int
    new_labels: int
    failed_gates: tuple[str, ...] = ()
    labelled_moments: float | None = None
    new_moments: float = 0.0


@dataclass(frozen=True)
class KnownLabelCounts:
    """How many labels are known: rows and new ones among them, and the entity-moments that both stand for."""

    rows: int
    new: int
    moments: float | None
    new_moments: float


def count_labels(known: pl.LazyFrame, new: pl.Expr, sampled: bool) -> KnownLabelCounts:
    """Count rows whose label is known.

    Args:
        known: the rows, of a spine that declares a sample with its STANDS_FOR.
        new: whether a row's label has become known since the last training.
        sampled: whether the spine declares a sample.
    """
    weight = pl.col(STANDS_FOR) if sampled else pl.lit(1.0)
    counted = known.select(rows=pl.len(), new=new.sum(), moments=weight.sum(), new_moments=weight.filter(new).sum())
    rows, fresh, moments, new_moments = counted.collect().row(0)
    return KnownLabelCounts(rows, fresh, moments, new_moments) if sampled else KnownLabelCounts(rows, fresh, None, 0.0)


def gather_evidence(
    *,
    drift: pl.DataFrame,
    performance: pl.DataFrame,
    limits: LearntLimits,
    metric: str,
    circumstances: Circumstances,
    monitoring: MonitoringSpec,
    retraining: RetrainingSpec,
    instead: str = "",
) -> list[Evidence]:
    """Gather everything a decision looks at, in the order in which people read it.

    Args:
        drift: rows of ``measure_drift`` of the champion's latest drops, weekly chunks and all; may span several drops.
        performance: rows of ``estimate_performance`` of the same drops, and of ``realise_performance`` as ``look_at``
            chooses them: of what is realised only chunks count whose labels have matured.
        limits: of the champion, from ``learn_limits``.
        metric: the model's metric.
        instead: why it is not the one that is declared to be watched, if so.
    """
    enough = pl.col("rows") >= monitoring.min_chunk_rows
    measured = with_unpaid(performance).filter(measured_rows() >= monitoring.min_chunk_rows, scope="chunk")
    vote, as_of = _Vote(retraining), circumstances.as_of
    moved = still_watched(drift, monitoring).filter(enough, scope="chunk")
    matured = matured_chunks(performance, monitoring, as_of)
    estimated = measured.filter(kind="estimated")
    lag = describe_lag(performance.filter(kind="realised", metric=metric), monitoring, as_of, retraining.of_last)
    return [
        *_performance_votes(
            vote,
            estimated,
            matured,
            limits,
            metric,
            monitoring,
            retraining.max_drop,
            lag,
            instead,
        ),
        *_drift_votes(vote, moved, limits, monitoring),
        _growth(circumstances, retraining),
        _age(circumstances, retraining),
        *_conditions(circumstances, retraining),
    ]


def still_watched(drift: pl.DataFrame, monitoring: MonitoringSpec) -> pl.DataFrame:
    """Return stored drift without the features that are left out of it by now.

    What all features together gave goes too where one of these was among them, as no part of it can be taken out.
    """
    left_out = pl.col("feature").is_in(monitoring.exclude)
    mixed = (pl.col("feature") == ALL_FEATURES) & left_out.any().over("scope", "chunk_start", "chunk_end")
    return drift.filter(~(left_out | mixed))


def _performance_votes(
    vote: "_Vote",
    estimated: pl.DataFrame,
    matured: pl.DataFrame,
    limits: LearntLimits,
    metric: str,
    monitoring: MonitoringSpec,
    max_drop: float,
    lag: str,
    instead: str,
) -> list[Evidence]:
    below = find_metric(metric).greater_is_better
    basis = f"limit from resampled days of the reference ({limits.reference:.3f} there), tolerance {max_drop:g}"
    basis += f"; {instead}" if instead else ""
    unestimated = _unestimated(metric, monitoring)
    before = unestimated or f"before labels are known; {basis}"
    stands = "" if unestimated else "; the estimate stands for the time since"
    known = f"known labels; {basis}{f'; {lag}{stands}' if lag else ''}"
    return [
        vote("realised", matured.filter(metric=metric), limits.performance, below, metric, known),
        vote("estimated", estimated.filter(metric=metric), limits.performance, below, metric, before),
        vote("calibration", matured.filter(metric=CALIBRATION), limits.calibration, False, CALIBRATION, known),
    ]


def _unestimated(metric: str, monitoring: MonitoringSpec) -> str:
    """Return why a metric is not estimated before labels are known; empty if it is."""
    if metric not in estimable_metrics():
        return f"{metric} cannot be estimated before labels are known"
    if monitoring.estimated_metrics and metric not in monitoring.estimated_metrics:
        return f"{metric} is not estimated before labels are known: monitoring.estimated_metrics leaves it out"
    return ""


def _drift_votes(
    vote: "_Vote", chunks: pl.DataFrame, limits: LearntLimits, monitoring: MonitoringSpec
) -> list[Evidence]:
    psi = monitoring.psi_threshold
    by_feature = chunks.filter(method="psi").drop_nulls("value")
    shares = by_feature.group_by("chunk_start").agg(value=(pl.col("value") > psi).mean())
    joint = chunks.filter(method="reconstruction_error", feature=ALL_FEATURES)
    highest = max(joint["threshold"].drop_nulls().to_list(), default=0.0)
    return [
        vote(
            "drift", shares, limits.drift_share, False, "share of features",
            f"features with a PSI above {psi:g}; limit from resampled days of the reference",
        ),
        vote(
            "multivariate", joint, highest, False, "reconstruction error",
            "PCA reconstruction error; limit three deviations above the reference's",
        ),
    ]  # fmt: skip


@dataclass(frozen=True)
class _Vote:
    """Counts breaches among the latest chunks."""

    spec: RetrainingSpec

    def __call__(
        self, kind: str, chunks: pl.DataFrame, threshold: float, below: bool, unit: str, source: str
    ) -> Evidence:
        values: list[float] = chunks.drop_nulls("value").sort("chunk_start")["value"].tail(self.spec.of_last).to_list()
        beyond = [value < threshold if below else value > threshold for value in values]
        return Evidence(
            kind=kind,
            observed=values[-1] if values else None,
            threshold=threshold,
            breached=bool(beyond) and beyond[-1] and sum(beyond) >= self.spec.breaches,
            breaches=sum(beyond),
            chunks=len(values),
            unit=unit,
            side="below" if below else "above",
            source=source,
        )


def _single(kind: str, observed: float, threshold: float, breached: bool, unit: str, source: str, **more) -> Evidence:
    return Evidence(
        kind=kind, observed=observed, threshold=threshold, breached=breached, breaches=int(breached), chunks=1,
        unit=unit, source=source, **{"side": "above", **more},
    )  # fmt: skip


def _growth(known: Circumstances, spec: RetrainingSpec) -> Evidence:
    unit, moments = "times those at the last training", known.labelled_moments
    if moments is None:
        labelled, before = known.labelled_rows, known.labelled_rows - known.new_labels
        source = f"{labelled:,} labelled rows now, {before:,} at the last training"
    else:
        labelled, before = moments, moments - known.new_moments
        unit = f"{unit} by the entity-moments that they stand for"
        source = (
            f"{labelled:,.0f} labelled entity-moments now, {before:,.0f} at the last training: a row of a thinned drop"
            " counts as all that it stands for"
        )
    growth = labelled / max(before, 1)
    limit = NO_LIMIT if spec.growth is None else spec.growth
    return _single("new_labels", growth, limit, growth >= limit, unit, source)


def _age(known: Circumstances, spec: RetrainingSpec) -> Evidence:
    age, limit = known.as_of - known.trained_as_of, spec.max_age_time
    breached = limit is not None and age >= limit
    threshold = NO_LIMIT if limit is None else limit / DAY
    return _single("age", age / DAY, threshold, breached, "days", "since the champion's training cut-off")


def _conditions(known: Circumstances, spec: RetrainingSpec) -> list[Evidence]:
    since = known.as_of - known.last_trained
    return [
        _single(
            "gate", len(known.failed_gates), 0, bool(known.failed_gates), "failed tables",
            "; ".join(known.failed_gates) or "every blocking check of the drop passed",
        ),
        _single(
            "cooldown", since / DAY, spec.cooldown_time / DAY, since < spec.cooldown_time, "days",
            "since the last training or roll-back", side="below",
        ),
        _single(
            "new_rows", known.new_labels, spec.min_new_labels, known.new_labels < spec.min_new_labels, "rows",
            "labelled since the last training", side="below",
        ),
    ]  # fmt: skip
