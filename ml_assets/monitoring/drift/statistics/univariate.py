"""NannyML's univariate drift statistics, per feature and chunk."""

from dataclasses import dataclass
from typing import Any

import polars as pl

from ml_assets.monitoring import nml
from ml_assets.monitoring.chunks import CHUNK
from ml_assets.monitoring.drift.statistics.statistic import MEASURED, DriftFrames, DriftStatistic
from ml_assets.monitoring.inputs import Features
from ml_assets.monitoring.spec import MonitoringSpec


@dataclass(frozen=True)
class NannymlStatistic(DriftStatistic):
    """One of NannyML's methods. Those that are declared share one calculator, which is most of what they cost."""

    name: str
    numeric: bool = False
    text: bool = False
    takes_threshold: bool = True

    def measure(self, frames: DriftFrames, features: Features) -> pl.DataFrame:
        """Compare with the reference's sample; skip a feature without any value there."""
        every = frames.shared(
            "nannyml", lambda: measure_univariate(frames.sample, frames.analysis, frames.features, frames.spec)
        )
        return every.filter(pl.col("method") == self.name, pl.col("feature").is_in(features.all)).select(*MEASURED)


KOLMOGOROV_SMIRNOV = NannymlStatistic("kolmogorov_smirnov", numeric=True)
JENSEN_SHANNON = NannymlStatistic("jensen_shannon", numeric=True, text=True)
WASSERSTEIN = NannymlStatistic("wasserstein", numeric=True)
HELLINGER = NannymlStatistic("hellinger", numeric=True, text=True)
CHI2 = NannymlStatistic("chi2", text=True, takes_threshold=False)  # it always alerts at p < 0.05
L_INFINITY = NannymlStatistic("l_infinity", text=True)
_OWN = {each.name for each in (KOLMOGOROV_SMIRNOV, JENSEN_SHANNON, WASSERSTEIN, HELLINGER, CHI2, L_INFINITY)}


def measure_univariate(
    reference: pl.DataFrame, analysis: pl.DataFrame, features: Features, spec: MonitoringSpec
) -> pl.DataFrame:
    """Run NannyML's ``UnivariateDriftCalculator`` over frames sorted by their column CHUNK.

    A feature without any value in the reference is skipped: there is nothing to compare with.

    Returns:
        CHUNK (Int64), feature, method, value, threshold (Float64; null for chi2), alert (Boolean).
    """
    kept = [name for name in features.all if reference[name].null_count() < reference.height]
    if not kept:
        return _EMPTY
    codes = {name: f"f{i}" for i, name in enumerate(kept)}
    shared = [name for name in features.text if name in codes]
    reference, analysis = (
        frame.select(CHUNK, *kept).with_columns(_coded(reference, analysis, shared)).rename(codes)
        for frame in (reference, analysis)
    )
    with nml.calls("univariate drift"):
        calculator = _calculator(list(codes.values()), [codes[name] for name in shared], spec)
        calculator.fit(_chunked_as_needed(reference, spec).to_pandas())
        result = calculator.calculate(analysis.to_pandas()).filter(period="analysis").to_df()
    names = pl.DataFrame({"code": list(codes.values()), "feature": list(codes)})
    return _long(result).join(names, on="code", how="left").select(_EMPTY.columns)


_EMPTY = pl.DataFrame(schema={**MEASURED, "method": pl.String})


def _coded(reference: pl.DataFrame, analysis: pl.DataFrame, text: list[str]) -> list[pl.Expr]:
    """Encode categories as integers over one vocabulary: the counts are the same, and sorting is cheap."""
    vocabulary = {name: pl.concat([reference[name], analysis[name]]).drop_nulls().unique().sort() for name in text}
    return [pl.col(name).cast(pl.Enum(values)).to_physical().alias(name) for name, values in vocabulary.items()]


def _chunked_as_needed(reference: pl.DataFrame, spec: MonitoringSpec) -> pl.DataFrame:
    """Return the reference as one chunk, unless a threshold is learned from the spread between its chunks."""
    used = {*spec.continuous_methods, *spec.categorical_methods} & _OWN
    learned = used - {CHI2.name} - set(spec.method_thresholds)
    return reference if learned else reference.with_columns(pl.lit(0, pl.Int64).alias(CHUNK))


def _calculator(columns: list[str], categorical: list[str], spec: MonitoringSpec) -> Any:
    nannyml = nml.load()
    methods = {*spec.continuous_methods, *spec.categorical_methods} & _OWN
    return nannyml.UnivariateDriftCalculator(
        column_names=columns,
        treat_as_categorical=categorical,
        treat_as_numerical=[name for name in columns if name not in categorical],
        timestamp_column_name=CHUNK,
        continuous_methods=[name for name in spec.continuous_methods if name in _OWN],
        categorical_methods=[name for name in spec.categorical_methods if name in _OWN],
        chunker=nml.run_chunker(CHUNK),
        thresholds={
            method: nannyml.thresholds.ConstantThreshold(upper=value)
            for method, value in spec.method_thresholds.items()
            if method in methods
        },
    )


def _long(result: Any) -> pl.DataFrame:
    """Turn NannyML's wide table (column levels: feature, method, property) into one row per chunk and method."""
    keys = result[("chunk", "chunk", "key")].to_numpy(dtype="int64")
    pairs = dict.fromkeys(column[:2] for column in result.columns if column[0] != "chunk")
    return pl.concat(
        pl.DataFrame(
            {
                CHUNK: keys,
                "value": result[(*pair, "value")].to_numpy(dtype="float64"),
                "threshold": result[(*pair, "upper_threshold")].to_numpy(dtype="float64"),
                "alert": result[(*pair, "alert")].to_numpy(dtype="bool"),
            }
        ).with_columns(
            pl.col("value", "threshold").fill_nan(None),
            code=pl.lit(pair[0]),
            method=pl.lit(pair[1]),
        )
        for pair in pairs
    )
