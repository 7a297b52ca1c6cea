"""What a drop of monitoring comes down to: a few numbers, and a verdict with what to do."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import polars as pl

from ml_assets.monitoring.drift.impact import SEASON
from ml_assets.monitoring.performance.known_rows import DISTANCE, KNOWN_MEAN, UNKNOWN_MEAN, is_fair_sample
from ml_assets.monitoring.spec import MonitoringSpec


@dataclass(frozen=True)
class DriftSummary:
    """Drift of one period, by PSI.

    ``drifted`` are the features above ``threshold`` over the whole period, strongest first, and where the same season a
    year before is known, above it from there as well; ``sustained``
    those above it in enough of the latest chunks; ``drifted_share`` is the share of watched features that
    drifted, 0 to 1; ``reconstruction_alerts`` counts chunks.
    """

    rows: int
    features: int
    threshold: float
    strongest_feature: str
    strongest_psi: float
    drifted: tuple[str, ...]
    drifted_share: float
    sustained: tuple[str, ...]
    reconstruction_alerts: int

    @property
    def breached(self) -> bool:
        return bool(self.drifted)


@dataclass(frozen=True)
class Breach:
    """One metric beyond its limit, over the period or (``sustained``) in enough of its latest chunks."""

    kind: Literal["estimated", "realised"]
    metric: str
    value: float | None
    threshold: float
    sustained: bool


@dataclass(frozen=True)
class LabelSummary:
    """What is known of a period's labels, and whether the rows that have one are like the others.

    ``known_mean`` and ``unknown_mean`` are the mean scores of either, ``distance`` the greatest difference between
    their distributions.
    """

    known: int
    missing: int
    known_mean: float | None
    unknown_mean: float | None
    distance: float | None

    @property
    def share(self) -> float | None:
        scored = self.known + self.missing
        return self.known / scored if scored else None

    @property
    def fair(self) -> bool:
        return is_fair_sample(self.distance, self.known, self.missing)

    @property
    def sentence(self) -> str:
        """What to bear in mind about the realised values; empty where every label is known."""
        if self.share is None or not self.missing:
            return ""
        counted = f"{self.missing:,} of {self.known + self.missing:,} labels are missing ({self.share:.1%} are known)."
        if not self.known or self.known_mean is None or self.unknown_mean is None:
            return counted
        means = f"mean score {self.known_mean:.3f} where the label is known, {self.unknown_mean:.3f} where it is not"
        if self.fair:
            return f"{counted} By their scores the known rows are like the others: {means}."
        return (
            f"{counted} The rows whose label is known are no fair sample of all: {means}, and the distributions differ "
            f"by {self.distance:.2f}. The realised values will move as the other labels come."
        )


@dataclass(frozen=True)
class PerformanceSummary:
    """Performance of one period: metric -> value (None if undefined), and what is beyond its limit."""

    rows: int
    labels: LabelSummary
    estimated: dict[str, float | None]
    realised: dict[str, float | None]
    breaches: tuple[Breach, ...]

    @property
    def labelled_rows(self) -> int:
        return self.labels.known

    @property
    def missing_labels(self) -> int:
        return self.labels.missing

    @property
    def breached(self) -> bool:
        return bool(self.breaches)


def is_sustained(alerts: Sequence[bool], spec: MonitoringSpec) -> bool:
    """Return whether ``spec.breaches`` of the last ``spec.of_last`` chunks alert, the latest among them; ``alerts`` has
    the oldest first."""
    return bool(alerts) and alerts[-1] and sum(alerts[-spec.of_last :]) >= spec.breaches


def summarise_drift(drift: pl.DataFrame, spec: MonitoringSpec) -> DriftSummary:
    """Sum up what ``measure_drift`` returned for one period; of a period without rows the strongest PSI is 0."""
    if drift.is_empty():
        return DriftSummary(0, 0, spec.psi_threshold, "none", 0.0, (), 0.0, (), 0)
    psi = drift.filter(method="psi", scope="period").sort("value", "feature", descending=[True, False])
    season = drift.filter(method=SEASON, scope="period")
    drifted = tuple(psi.filter("alert")["feature"])
    if not season.is_empty():
        usual = set(season.filter(pl.col("value") <= pl.col("threshold"))["feature"])
        drifted = tuple(name for name in drifted if name not in usual)
    strongest = psi.row(0, named=True)
    return DriftSummary(
        rows=strongest["rows"],
        features=psi.height,
        threshold=strongest["threshold"],
        strongest_feature=strongest["feature"],
        strongest_psi=strongest["value"],
        drifted=drifted,
        drifted_share=len(drifted) / psi.height,
        sustained=tuple(_sustained(drift.filter(method="psi"), ["feature"], spec)["feature"]),
        reconstruction_alerts=drift.filter(pl.col("alert"), method="reconstruction_error").height,
    )


def summarise_performance(performance: pl.DataFrame, spec: MonitoringSpec) -> PerformanceSummary:
    """Sum up one period of what ``estimate_performance`` and ``realise_performance`` returned.

    ``performance`` holds the rows of either, or of both one below the other.
    """
    period = performance.filter(scope="period")
    sustained = _sustained(performance, ["kind", "metric"], spec).with_columns(sustained=True)
    beyond = period.join(sustained, on=["kind", "metric"], how="left").with_columns(
        pl.col("sustained").fill_null(False)
    )
    values = {kind: period.filter(kind=kind) for kind in ("estimated", "realised")}
    return PerformanceSummary(
        rows=_most(values["estimated"]["rows"]),
        labels=_labels(values["realised"]),
        estimated=dict(values["estimated"].select("metric", "value").iter_rows()),
        realised=dict(values["realised"].select("metric", "value").iter_rows()),
        breaches=tuple(
            Breach(*row)
            for row in beyond.filter(pl.col("alert") | pl.col("sustained"))
            .select("kind", "metric", "value", "threshold", "sustained")
            .iter_rows()
        ),
    )


def _labels(realised: pl.DataFrame) -> LabelSummary:
    compared: tuple = (None, None, None)
    if DISTANCE in realised.columns and realised.height:
        compared = realised.select(KNOWN_MEAN, UNKNOWN_MEAN, DISTANCE).row(0)
    return LabelSummary(_most(realised["rows"]), _most(realised["missing"]), *compared)


def _most(rows: pl.Series) -> int:
    """Return the greatest count, 0 if there is none."""
    return max(rows.drop_nulls().to_list(), default=0)


def _sustained(frame: pl.DataFrame, by: list[str], spec: MonitoringSpec) -> pl.DataFrame:
    """Return the ``by`` groups whose latest chunks alert often enough."""
    alerts = frame.filter(scope="chunk").sort("chunk_start").group_by(by, maintain_order=True).agg("alert")
    lasting = [is_sustained(each, spec) for each in alerts["alert"].to_list()]
    return alerts.filter(pl.Series(lasting, dtype=pl.Boolean)).select(by)
