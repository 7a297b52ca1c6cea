"""Multivariate drift: how much worse a PCA learned on the reference rebuilds the rows of a chunk."""

import math
from collections.abc import Sequence

import numpy as np
import polars as pl

from ml_assets.monitoring.chunks import CHUNK, chunk_runs
from ml_assets.monitoring.drift.statistics.rebuilding import Components
from ml_assets.monitoring.drift.statistics.statistic import ALL_FEATURES, MEASURED, DriftFrames, DriftStatistic
from ml_assets.monitoring.inputs import Features
from ml_assets.monitoring.nml import MonitoringError
from ml_assets.monitoring.spec import MonitoringSpec

METHOD = "reconstruction_error"
SPREADS = 3
"""Standard deviations above the reference's own error at which a learned threshold lies, as in NannyML."""


class ReconstructionError(DriftStatistic):
    """How much worse a PCA learned on the reference rebuilds the rows of a chunk, all features together."""

    name = METHOD

    def measure(self, frames: DriftFrames, features: Features) -> pl.DataFrame:
        """Compare with the reference's sample."""
        errors = measure_reconstruction(frames.sample, frames.analysis, features, frames.spec)
        return errors.with_columns(feature=pl.lit(ALL_FEATURES)).select(*MEASURED)


def measure_reconstruction(
    reference: pl.DataFrame, analysis: pl.DataFrame, features: Features, spec: MonitoringSpec
) -> pl.DataFrame:
    """Measure what NannyML's ``DataReconstructionDriftCalculator`` does, of frames sorted by their column CHUNK.

    It catches a change in how features go together that no single feature shows. A category enters as its
    share of the reference's rows, a null of a text feature as a category, an unseen category as 0; nulls
    of numeric features become the reference's mean. Features without any value in the reference are left
    out.

    The PCA learns from every other reference row; the rows between, which it has not seen, give the
    threshold: a PCA rebuilds its own rows better than any others, and a threshold learned from those
    (NannyML's default) alerts where nothing has changed.

    Returns:
        CHUNK (Int64), value, threshold (Float64), alert (Boolean): alerts are errors above the
        threshold, not below.

    Raises:
        MonitoringError: no feature has a value, or a value is infinite.
    """
    kept = [name for name in features.all if reference[name].null_count() < reference.height]
    if not kept:
        raise MonitoringError("reconstruction error: no feature has any value in the reference: declare `exclude`")
    _refuse_infinite([reference, analysis], [name for name in features.numeric if name in kept])
    shares = [_share_of_reference(reference[name]) for name in features.text if name in kept]
    codes = {name: f"f{i}" for i, name in enumerate(kept)}
    reference, analysis = (
        frame.select(CHUNK, *kept).with_columns(shares).rename(codes) for frame in (reference, analysis)
    )
    learned, unseen = reference.gather_every(2), reference.gather_every(2, offset=1)
    errors = _errors(learned, {"reference": unseen, "analysis": analysis}, list(codes.values()))
    threshold = spec.method_thresholds.get(METHOD, _above(errors["reference"]))
    return errors["analysis"].select(
        CHUNK,
        "value",
        pl.lit(threshold, pl.Float64).alias("threshold"),
        (pl.col("value") > threshold).alias("alert"),
    )


def _refuse_infinite(frames: Sequence[pl.DataFrame], names: Sequence[str]) -> None:
    for frame in frames:
        counts = frame.select(pl.col(names).cast(pl.Float64).is_infinite().sum()).row(0, named=True)
        if infinite := {name: count for name, count in counts.items() if count}:
            raise MonitoringError(
                f"reconstruction error: infinite values of {infinite}: make them null, or exclude the features"
            )


def _share_of_reference(column: pl.Series) -> pl.Expr:
    counts = column.value_counts(normalize=True, name="share")
    return pl.col(column.name).replace_strict(counts[column.name], counts["share"], default=0.0)


def _errors(learned: pl.DataFrame, frames: dict[str, pl.DataFrame], columns: list[str]) -> dict[str, pl.DataFrame]:
    """Return CHUNK, value (mean error of a chunk's rows) and its standard error, per frame."""
    from threadpoolctl import threadpool_limits

    # Products of such sizes gain nothing by several threads, which take processor time while they wait for one another.
    with threadpool_limits(1, "blas"):
        components = Components.learn(_matrix(learned, columns))
        return {name: _by_chunk(frame, components, columns) for name, frame in frames.items()}


def _by_chunk(frame: pl.DataFrame, components: Components, columns: list[str]) -> pl.DataFrame:
    rows: list[tuple[int, float, float]] = []
    for chunk, start, length in chunk_runs(frame):
        off = components.errors(_matrix(frame.slice(start, length), columns))
        spread = off.std(ddof=1) if len(off) > 1 else math.nan
        rows.append((chunk, float(off.mean()), float(spread / np.sqrt(len(off)))))
    return pl.DataFrame(rows, schema={CHUNK: pl.Int64, "value": pl.Float64, "error": pl.Float64}, orient="row")


def _matrix(frame: pl.DataFrame, columns: list[str]) -> np.ndarray:
    return np.asfortranarray(frame.select(pl.col(columns).cast(pl.Float64).fill_null(math.nan)).to_numpy())


def _above(unseen: pl.DataFrame) -> float:
    """Return the mean and a multiple of the spread between the reference's chunks.

    The spread is the standard error where that is larger, as it is with few chunks.
    """
    value, error = pl.col("value"), pl.col("error")
    mean, spread, error = unseen.select(value.mean(), value.std(ddof=0).alias("spread"), error.max()).row(0)
    return mean + SPREADS * max(spread, error)


STATISTIC = ReconstructionError()
