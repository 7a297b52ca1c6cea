"""Drift of the features: every statistic, feature and chunk in one long table."""

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from ml_assets.monitoring.chunks import CHUNK, Period, cut
from ml_assets.monitoring.drift.impact import SEASON
from ml_assets.monitoring.drift.statistics.profiles import DriftProfiles, ReferenceProfiles, by_chunk
from ml_assets.monitoring.drift.statistics.psi import measure_psi
from ml_assets.monitoring.drift.statistics.statistic import ERROR, DriftFrames
from ml_assets.monitoring.drift_statistics import DRIFT_STATISTICS, PSI, RECONSTRUCTION
from ml_assets.monitoring.inputs import Features, checked, plain, typed
from ml_assets.monitoring.spec import MonitoringSpec

_TYPES = {
    "rows": pl.Int64,
    "scope": pl.String,
    "feature": pl.String,
    "method": pl.String,
    "value": pl.Float64,
    "threshold": pl.Float64,
    "alert": pl.Boolean,
    ERROR: pl.Float64,
}


def no_drift(moment: pl.DataType) -> pl.DataFrame:
    """Return the drift of a period without scored rows; ``moment`` is the type of their time."""
    chunk = pl.Datetime("us", getattr(moment, "time_zone", None))
    return pl.DataFrame(schema={"chunk_start": chunk, "chunk_end": chunk, **_TYPES})


@dataclass(frozen=True)
class MeasuredDrift:
    """The drift of a period, and what it was computed of.

    Attributes:
        drift: the table that ``measure_drift`` returns.
        profiles: of the reference, and of the period's chunks that have rows.
        spans: a row per chunk in time's order: chunk_start, chunk_end, rows.
    """

    drift: pl.DataFrame
    profiles: DriftProfiles
    spans: pl.DataFrame


def measure_drift(
    reference: pl.DataFrame,
    analysis: pl.DataFrame,
    *,
    features: Sequence[str],
    time: str,
    spec: MonitoringSpec,
    period: Period | None = None,
    season: pl.DataFrame | None = None,
) -> pl.DataFrame:
    """Compare ``analysis`` with ``reference``, feature by feature and as a whole.

    Args:
        reference: the champion's out-of-sample rows: ``features`` and ``time`` (Date or Datetime).
            Several chunks long, because thresholds that are not declared are learned from the spread between them.
        analysis: the rows to judge, same columns; numbers and booleans are numeric, text is categorical.
        features: names; those in ``spec.exclude`` are left out.
        period: what ``analysis`` covers, see ``chunks.cut``; by default the whole days from its first to
            its last row.
        season: rows of the same season a year before, if there are any: ``psi_season`` compares with them.

    Returns:
        One row per scope, chunk, feature and method: chunk_start and chunk_end (Datetime[us], half-open),
        rows (Int64, of the chunk), scope (``chunk`` or ``period``), feature, method, value, threshold
        (Float64), alert (Boolean: above the threshold) and error (Float64: the true value lies at most so far from
        ``value``; 0 where that is exact, null where nothing is known about it). ``psi`` comes per chunk and for the
        period, the others per chunk, ``reconstruction_error`` for the feature ``(all)``. A value is null where a
        chunk has nothing to compare; a threshold is null for chi2, which alerts at p < 0.05.
        Chunks with fewer than ``spec.min_chunk_rows`` rows never alert.

    Raises:
        ValueError: a column is missing, a frame is empty, rows lie outside the period, ``spec.exclude`` or
            ``spec.private`` names no feature, or no feature is left.
        TypeError: a feature is neither number nor text.
        MonitoringError: a reference that is cut into bins holds infinite values.

    Statistics of single features come from profiles, of all rows. A large sample makes chi2 alert on any difference,
    and one far outlier in the reference blunts Jensen-Shannon and Hellinger, which use bins of equal width: PSI
    decides, the others explain.
    """
    return measure_profiled_drift(
        reference, analysis, features=features, time=time, spec=spec, period=period, season=season
    ).drift


def measure_profiled_drift(
    reference: pl.DataFrame,
    analysis: pl.DataFrame,
    *,
    features: Sequence[str],
    time: str,
    spec: MonitoringSpec,
    period: Period | None = None,
    season: pl.DataFrame | None = None,
    known: ReferenceProfiles | None = None,
) -> MeasuredDrift:
    """Do what ``measure_drift`` does, and return the profiles too.

    Args:
        known: the reference's profiles, where they were made before.
    """
    kept = _kept(features, spec)
    reference = checked(reference, "reference", time, kept)
    analysis = checked(analysis, "analysis", time, kept)
    compared_features = typed(reference, analysis, kept)
    _, reference = cut(plain(reference, compared_features, [time]), time, spec.chunk)
    chunks, analysis = cut(plain(analysis, compared_features, [time]), time, spec.chunk, period)
    dtype = analysis.schema[time]
    frames = _frames(reference.drop(time), analysis.drop(time), compared_features, spec, known)
    values = _values(frames)
    if season is not None:
        usual = plain(checked(season, "season", time, kept), compared_features, []).with_columns(
            pl.lit(0, pl.Int64).alias(CHUNK)
        )
        values = pl.concat([values, _season_values(usual, analysis.drop(time), compared_features, spec)])
    table = chunks.table(analysis, dtype)
    drift = _table(values, table, chunks.whole(analysis, dtype), spec)
    return MeasuredDrift(drift, frames.profiles, table.select("chunk_start", "chunk_end", "rows"))


def _kept(features: Sequence[str], spec: MonitoringSpec) -> list[str]:
    for field, names in (("exclude", spec.exclude), ("private", spec.private)):
        if unknown := sorted(set(names) - set(features)):
            raise ValueError(f"{field}: {', '.join(unknown)} is no feature; there are {', '.join(features)}")
    kept = [name for name in dict.fromkeys(features) if name not in spec.exclude]
    if not kept:
        raise ValueError("exclude: no feature is left to watch; take at least one off the list")
    return kept


_VALUES = (CHUNK, "feature", "method", "value", "threshold", "alert", ERROR)


def _frames(
    reference: pl.DataFrame,
    analysis: pl.DataFrame,
    features: Features,
    spec: MonitoringSpec,
    known: ReferenceProfiles | None,
) -> DriftFrames:
    if known is None:
        known = ReferenceProfiles.of(reference, features, spec.psi_bins, spec.private)
    profiles = DriftProfiles(known, by_chunk(analysis, known.grid))
    return DriftFrames(reference, _sample(reference, spec), analysis, features, spec, profiles)


def _values(frames: DriftFrames) -> pl.DataFrame:
    """Return ``_VALUES`` of every statistic; a null CHUNK is the whole period."""
    features, spec = frames.features, frames.spec
    numeric, text = set(spec.continuous_methods), set(spec.categorical_methods)
    declared = {
        PSI: features,
        **{
            name: Features(features.numeric if name in numeric else (), features.text if name in text else ())
            for name in (*spec.continuous_methods, *spec.categorical_methods)
        },
        **({RECONSTRUCTION: features} if spec.reconstruction else {}),
    }
    parts = [
        _with_error(DRIFT_STATISTICS.get(name).measure(frames, compared), name) for name, compared in declared.items()
    ]
    return pl.concat(parts)


def _with_error(measured: pl.DataFrame, method: str) -> pl.DataFrame:
    known = measured if ERROR in measured.columns else measured.with_columns(pl.lit(None, pl.Float64).alias(ERROR))
    return known.with_columns(method=pl.lit(method)).select(_VALUES)


def _season_values(
    season: pl.DataFrame, analysis: pl.DataFrame, features: Features, spec: MonitoringSpec
) -> pl.DataFrame:
    """Return ``_VALUES``: PSI of the whole period against ``season``. It never alerts by itself."""
    psi = measure_psi(season, analysis, features=features, by=CHUNK, bins=spec.psi_bins, floor=spec.psi_floor)
    return psi.filter(pl.col(CHUNK).is_null()).select(
        CHUNK,
        "feature",
        pl.lit(SEASON).alias("method"),
        "value",
        pl.lit(spec.psi_threshold, pl.Float64).alias("threshold"),
        pl.lit(False).alias("alert"),
        pl.lit(None, pl.Float64).alias(ERROR),
    )


def _sample(reference: pl.DataFrame, spec: MonitoringSpec) -> pl.DataFrame:
    if reference.height <= spec.reference_rows:
        return reference
    return reference.sample(spec.reference_rows, seed=spec.seed, shuffle=False).sort(CHUNK, maintain_order=True)


def _table(values: pl.DataFrame, chunks: pl.DataFrame, whole: pl.DataFrame, spec: MonitoringSpec) -> pl.DataFrame:
    """Add the chunks' times and rows; a chunk without rows has null values."""
    by_chunk = chunks.join(values.filter(pl.col(CHUNK).is_not_null()).select("feature", "method").unique(), how="cross")
    of_period = whole.join(values.filter(pl.col(CHUNK).is_null()).select("feature", "method").unique(), how="cross")
    grid = pl.concat([by_chunk.with_columns(scope=pl.lit("chunk")), of_period.with_columns(scope=pl.lit("period"))])
    heard = pl.col("alert").fill_null(False) & pl.col("value").is_not_null() & (pl.col("rows") >= spec.min_chunk_rows)
    return (
        grid.join(values, on=[CHUNK, "feature", "method"], how="left", nulls_equal=True)
        .with_columns(alert=heard)
        .sort("scope", "feature", "method", "chunk_start")
        .select("chunk_start", "chunk_end", *_TYPES)
    )
