"""False alarms of one drift report: how many there are without drift, and limits that keep them to a declared rate."""

from collections.abc import Mapping

import numpy as np
import polars as pl
from pydantic import BaseModel, ConfigDict, Field

from ml_assets.durations import parse_duration
from ml_assets.monitoring.drift.error_rates.distances import DISTANCES
from ml_assets.monitoring.drift.error_rates.resampled_reports import (
    LEAST_STEPS,
    RESAMPLES,
    Limits,
    ReportLayout,
    ReportWindow,
    ResampledReports,
    resample_reports,
)
from ml_assets.monitoring.drift.error_rates.stepwise_counts import StepwiseCounts, count_steps
from ml_assets.monitoring.drift.impact import SEASON
from ml_assets.monitoring.drift.statistics.statistic import ALL_FEATURES
from ml_assets.monitoring.drift_statistics import PSI
from ml_assets.monitoring.inputs import checked, plain, typed
from ml_assets.monitoring.spec import MonitoringSpec

METHOD = "multiplier bootstrap of day blocks, greatest of all statistics (Westfall and Young)"
_TO_COUNT = 100
"""Resampled reports where alerts are only counted; a limit needs more."""


class FalseAlarms(BaseModel):
    """False alarms of a drift report, over all its features, chunks and statistics that are covered."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    declared: float | None = Field(description="Chance per report that was declared, `monitoring.false_alarms`.")
    expected: float | None = Field(description="Alerts per report without drift, on average; null if not known.")
    any_alert: float | None = Field(description="Chance of one or more of them; null if not known.")
    surely: float | None = Field(
        description="Least chance per report that a reference of so many chunks can promise whatever days depend on:"
        " 1 / (chunks + 1); less rests on days that are further apart than a block being independent."
    )
    statistics: list[str] = Field(description="Those that count here.")
    left_out: list[str] = Field(description="Those in the report that alert by their own thresholds, and do not count.")
    rows: int = Field(description="Rows of the reference.")
    days: int = Field(description="Days of the reference that have rows; steps of a chunk where these are shorter.")
    block_days: int | None = Field(description="Successive days that are resampled together.")
    resamples: int = Field(description="Resampled reports.")
    method: str = Field(description="How it was found.")

    @property
    def sentence(self) -> str:
        """Say how many alerts there are without drift, and what can be promised."""
        about = f"{METHOD}; reference: {self.rows:,} rows"
        if self.expected is None or self.any_alert is None or self.surely is None:
            return (
                f"How often chance alone alerts is not known: the reference spans {self.days} days with rows, of "
                f"{LEAST_STEPS} that are needed."
            )
        least = 1 / (self.resamples + 1)
        often = f"under {least:.1%}" if self.any_alert < least else f"{self.any_alert:.1%}"
        declared = f", {self.declared:.1%} declared" if self.declared is not None else ""
        outside = f" Not counted: {', '.join(self.left_out)}." if self.left_out else ""
        return (
            f"Expected false alarms per report: {self.expected:.2f}, any in {often} of reports without drift{declared}"
            f" ({', '.join(self.statistics)}; {about} of {self.days} days in blocks of {self.block_days}). Whatever"
            f" days depend on, so long a reference can promise no less than {self.surely:.0%}.{outside}"
        )


def hold_to_rate(
    drift: pl.DataFrame, reference: pl.DataFrame, *, time: str, spec: MonitoringSpec
) -> tuple[pl.DataFrame, FalseAlarms]:
    """Return the drift of a report by limits of the declared rate, and its false alarms.

    Where ``spec.false_alarms`` is declared, a value alerts where it passes its declared threshold and the limit that
    noise passes with that chance per report, whichever is greater; it is the threshold in the table returned. Without
    it the table is as given, and the false alarms are those of PSI at its threshold.

    Args:
        drift: what ``measure_drift`` returned for one period of ``reference``.
    """
    chunks = drift.filter(scope="chunk").select("chunk_start", "chunk_end", "rows").unique().sort("chunk_start")
    methods = drift.group_by("method", maintain_order=True).agg(pl.col("feature").unique(maintain_order=True))
    statistics = {
        name: of for name, of in methods.iter_rows() if name in DISTANCES and (spec.false_alarms or name == PSI)
    }
    left_out = [name for name in methods["method"] if name not in statistics and name != SEASON]
    kept = [name for name in drift["feature"].unique(maintain_order=True) if name != ALL_FEATURES]
    reference = checked(reference, "reference", time, kept)
    features = typed(reference, reference, kept)
    counts = count_steps(
        plain(reference, features, [time]),
        features,
        time=time,
        chunk=parse_duration(spec.chunk),
        bins=spec.psi_bins,
        statistics=statistics,
    )
    windows = tuple(ReportWindow(end - start, rows) for start, end, rows in chunks.iter_rows())
    layout = ReportLayout(windows, spec.min_chunk_rows)
    about = {
        "declared": spec.false_alarms,
        "statistics": list(statistics),
        "left_out": left_out,
        "rows": reference.height,
        "days": len(counts.rows),
        "method": METHOD,
    }
    if len(counts.rows) < LEAST_STEPS:
        none = {"expected": None, "any_alert": None, "surely": None, "block_days": None, "resamples": 0}
        return drift, FalseAlarms(**about, **none)
    resamples = _TO_COUNT if spec.false_alarms is None else RESAMPLES
    reports = resample_reports(counts, layout, floor=spec.psi_floor, resamples=resamples, seed=spec.seed)
    limits: Mapping[str, float] | Limits = {PSI: spec.psi_threshold}
    if spec.false_alarms is not None:
        drift = _limited(drift, counts, reports.limits(spec.false_alarms))
        limits = _in_force(drift, counts, reports)
    alarms = reports.alarms(limits)
    found = FalseAlarms(
        **about,
        expected=float(alarms.mean()),
        any_alert=float((alarms > 0).mean()),
        surely=1 / (len(counts.rows) // counts.steps_of(parse_duration(spec.chunk)) + 1),
        block_days=reports.block,
        resamples=len(alarms),
    )
    return drift, found


_LENGTH, _LIMIT = "__length__", "__limit__"


def _limited(drift: pl.DataFrame, counts: StepwiseCounts, limits: Limits) -> pl.DataFrame:
    """Return drift whose thresholds are no less than the limits."""
    parts = [
        pl.DataFrame({"feature": counts.binned[name].features, _LIMIT: limit}).with_columns(
            pl.lit(name).alias("method"), pl.lit(length, pl.Duration("us")).alias(_LENGTH)
        )
        for (name, length), limit in limits.items()
    ]
    beside = drift.with_columns((pl.col("chunk_end") - pl.col("chunk_start")).alias(_LENGTH)).join(
        pl.concat(parts), on=["feature", "method", _LENGTH], how="left", maintain_order="left"
    )
    noise = (pl.col("value") <= pl.col(_LIMIT)).fill_null(False)
    return beside.with_columns(threshold=pl.max_horizontal("threshold", _LIMIT), alert=pl.col("alert") & ~noise).drop(
        _LENGTH, _LIMIT
    )


def _in_force(drift: pl.DataFrame, counts: StepwiseCounts, reports: ResampledReports) -> Limits:
    """Return the thresholds of a table by statistic and length, in the order of the features."""
    lengths = drift.with_columns((pl.col("chunk_end") - pl.col("chunk_start")).alias(_LENGTH))
    in_force = {}
    for name, length in reports.drawn:
        rows = lengths.filter(pl.col(_LENGTH) == length, method=name).drop_nulls("threshold")
        by_feature = dict(rows.select("feature", "threshold").iter_rows())
        in_force[name, length] = np.array([by_feature[feature] for feature in counts.binned[name].features])
    return in_force
