"""Multivariate drift: how much worse a PCA learned on the reference rebuilds the rows of a chunk."""

import polars as pl

from ml_assets.monitoring import nml
from ml_assets.monitoring.chunks import CHUNK
from ml_assets.monitoring.drift.statistics.statistic import ALL_FEATURES, MEASURED, DriftFrames, DriftStatistic
from ml_assets.monitoring.inputs import Features
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
    """Run NannyML's ``DataReconstructionDriftCalculator`` over frames sorted by their column CHUNK.

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
    """
    kept = [name for name in features.all if reference[name].null_count() < reference.height]
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


def _share_of_reference(column: pl.Series) -> pl.Expr:
    counts = column.value_counts(normalize=True, name="share")
    return pl.col(column.name).replace_strict(counts[column.name], counts["share"], default=0.0)


def _errors(learned: pl.DataFrame, frames: dict[str, pl.DataFrame], columns: list[str]) -> dict[str, pl.DataFrame]:
    """Return CHUNK, value (mean error of a chunk's rows) and its standard error, per frame."""
    with nml.calls(METHOD):
        calculator = nml.load().DataReconstructionDriftCalculator(
            column_names=columns, timestamp_column_name=CHUNK, chunker=nml.run_chunker(CHUNK)
        )
        # As one chunk: the threshold that NannyML would make of several is not used.
        calculator.fit(learned.with_columns(pl.lit(0, pl.Int64).alias(CHUNK)).to_pandas())
        results = {
            name: calculator.calculate(frame.to_pandas()).filter(period="analysis").to_df()
            for name, frame in frames.items()
        }
    return {
        name: pl.DataFrame(
            {
                CHUNK: result[("chunk", "key")].to_numpy(dtype="int64"),
                "value": result[(METHOD, "value")].to_numpy(dtype="float64"),
                "error": result[(METHOD, "sampling_error")].to_numpy(dtype="float64"),
            }
        )
        for name, result in results.items()
    }


def _above(unseen: pl.DataFrame) -> float:
    """Return the mean and a multiple of the spread between the reference's chunks.

    The spread is the standard error where that is larger, as it is with few chunks.
    """
    value, error = pl.col("value"), pl.col("error")
    mean, spread, error = unseen.select(value.mean(), value.std(ddof=0).alias("spread"), error.max()).row(0)
    return mean + SPREADS * max(spread, error)


STATISTIC = ReconstructionError()
