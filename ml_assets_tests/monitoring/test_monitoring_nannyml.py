"""The statistics of drift, and estimated losses, beside NannyML's own calculators, whose definitions they have."""

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from ml_assets.monitoring import nml
from ml_assets.monitoring.chunks import CHUNK
from ml_assets.monitoring.drift.statistics.reconstruction import measure_reconstruction
from ml_assets.monitoring.drift.statistics.statistic import DriftFrames
from ml_assets.monitoring.drift_statistics import DRIFT_STATISTICS
from ml_assets.monitoring.inputs import Features
from ml_assets.monitoring.performance.estimators import ESTIMATORS
from ml_assets.monitoring.performance.estimators.chunked import estimate_chunks
from ml_assets.monitoring.performance.estimators.estimator import EstimateRequest
from ml_assets.monitoring.spec import MonitoringSpec
from ml_assets.training.tasks.columns import ScoredColumns

NUMBERS = ["kolmogorov_smirnov", "jensen_shannon", "wasserstein", "hellinger"]
TEXTS = ["chi2", "jensen_shannon", "l_infinity", "hellinger"]
FEATURES = Features(("height", "income", "visits"), ("colour", "answer"))


def rows(count: int, chunks: int, seed: int, shift: float = 0.0) -> pl.DataFrame:
    """Return rows sorted by chunk; with a shift values lie beyond the reference's, and there is a colour more."""
    rng = np.random.default_rng(seed)

    def holed(column: str) -> pl.Expr:
        return pl.when(pl.Series(rng.random(count) > 0.1)).then(column).alias(column)

    return pl.DataFrame(
        {
            CHUNK: np.sort(rng.integers(0, chunks, count)),
            "height": rng.normal(size=count) * (1 + shift) + shift,
            "income": rng.exponential(size=count).round(1),
            "visits": np.where(rng.random(count) < 0.7, 0.0, rng.integers(1, 40, count)),
            "colour": rng.choice(["red", "green", "blue", *(["violet"] if shift else [])], count),
            "answer": rng.choice(["yes", "no"], count),
        }
    ).with_columns(holed("income"), holed("colour"))


def measured(reference: pl.DataFrame, analysis: pl.DataFrame, spec: MonitoringSpec) -> pl.DataFrame:
    frames = DriftFrames(reference, reference, analysis, FEATURES, spec)
    parts = []
    for method in dict.fromkeys([*NUMBERS, *TEXTS]):
        compared = Features(FEATURES.numeric if method in NUMBERS else (), FEATURES.text if method in TEXTS else ())
        parts.append(DRIFT_STATISTICS.get(method).measure(frames, compared).with_columns(method=pl.lit(method)))
    return pl.concat(parts).sort("feature", "method", CHUNK)


def by_nannyml(reference: pl.DataFrame, analysis: pl.DataFrame, spec: MonitoringSpec) -> pl.DataFrame:
    codes = [
        pl.col(name)
        .cast(pl.Enum(pl.concat([reference[name], analysis[name]]).drop_nulls().unique().sort()))
        .to_physical()
        for name in FEATURES.text
    ]
    thresholds = nml.load().thresholds
    with nml.calls("the oracle"):
        calculator = nml.load().UnivariateDriftCalculator(
            column_names=list(FEATURES.all),
            treat_as_categorical=list(FEATURES.text),
            treat_as_numerical=list(FEATURES.numeric),
            timestamp_column_name=CHUNK,
            continuous_methods=NUMBERS,
            categorical_methods=TEXTS,
            chunker=nml.run_chunker(CHUNK),
            thresholds={name: thresholds.ConstantThreshold(upper=at) for name, at in spec.method_thresholds.items()},
        )
        calculator.fit(reference.with_columns(codes).to_pandas())
        result = calculator.calculate(analysis.with_columns(codes).to_pandas()).filter(period="analysis").to_df()
    pairs = dict.fromkeys(column[:2] for column in result.columns if column[0] != "chunk")
    parts = [
        pl.DataFrame(
            {
                CHUNK: result[("chunk", "chunk", "key")].to_numpy(dtype="int64"),
                "feature": feature,
                "value": result[(feature, method, "value")].to_numpy(dtype="float64"),
                "threshold": result[(feature, method, "upper_threshold")].to_numpy(dtype="float64"),
                "alert": result[(feature, method, "alert")].to_numpy(dtype="bool"),
                "method": method,
            }
        )
        for feature, method in pairs
    ]
    return pl.concat(parts).with_columns(pl.col("value", "threshold").fill_nan(None)).sort("feature", "method", CHUNK)


ESTIMATES = ["kolmogorov_smirnov", "wasserstein"]


# From 10,000 rows on NannyML compares distribution functions in bins, and is off itself by what one of them holds.
@pytest.mark.parametrize("size", [900, 12_000])
@pytest.mark.parametrize("declared", [{}, {"kolmogorov_smirnov": 0.2, "jensen_shannon": 0.1, "l_infinity": 0.05}])
def test_each_statistic_is_nannymls(size, declared):
    spec = MonitoringSpec(continuous_methods=NUMBERS, categorical_methods=TEXTS, method_thresholds=declared)
    reference, analysis = rows(size, 5, seed=1), rows(2_000, 4, seed=2, shift=0.4)
    # A chunk without any value of one feature.
    analysis = analysis.with_columns(pl.when(pl.col(CHUNK) != 2).then("income").alias("income"))
    found, expected = measured(reference, analysis, spec), by_nannyml(reference, analysis, spec)
    assert found.height == expected.height == 4 * (3 * len(NUMBERS) + 2 * len(TEXTS))
    assert found.select(CHUNK, "feature", "method").equals(expected.select(CHUNK, "feature", "method"))
    known = expected["value"].is_not_null()
    assert found["value"].is_null().equals(expected["value"].is_null())
    assert found["alert"].filter(known).equals(expected["alert"].filter(known))
    exact = ~expected["method"].is_in(ESTIMATES)
    assert found["error"].filter(exact & known).to_list() == [0.0] * (exact & known).sum()
    for column in ("value", "threshold"):
        ours, theirs = (frame[column].filter(exact & known).fill_null(-1).to_list() for frame in (found, expected))
        assert ours == pytest.approx(theirs, rel=1e-9, abs=1e-12, nan_ok=True)
    off = (found["value"] - expected["value"]).abs() - found["error"]
    binned = {"kolmogorov_smirnov": 0.002, "wasserstein": 0.005} if size > 10_000 else dict.fromkeys(ESTIMATES, 1e-12)
    for method, own in binned.items():
        assert off.filter(known & (expected["method"] == method)).max() <= own
    assert 0 < found["alert"].sum() < found.height


def test_the_reconstruction_error_is_nannymls():
    names = list(FEATURES.numeric)
    reference, analysis = rows(1_001, 5, seed=3), rows(600, 3, seed=4, shift=0.4)
    found = measure_reconstruction(reference, analysis, Features(tuple(names), ()), MonitoringSpec())
    learned = reference.gather_every(2).with_columns(pl.lit(0, pl.Int64).alias(CHUNK))
    unseen = reference.gather_every(2, offset=1)
    with nml.calls("the oracle"):
        calculator = nml.load().DataReconstructionDriftCalculator(
            column_names=names, timestamp_column_name=CHUNK, chunker=nml.run_chunker(CHUNK)
        )
        calculator.fit(learned.to_pandas())
        own, expected = (
            calculator.calculate(frame.to_pandas()).filter(period="analysis").to_df()["reconstruction_error"]
            for frame in (unseen, analysis)
        )
    assert found["value"].to_list() == expected["value"].to_list()
    spread = max(np.std(own["value"]), own["sampling_error"].max())
    assert found["threshold"].unique().to_list() == pytest.approx([np.mean(own["value"]) + 3 * spread], rel=1e-12)


def scored(count: int, chunks: int, seed: int, shift: float = 0.0) -> pl.DataFrame:
    """Return rows with predictions and labels, whose errors depend on a number and on a colour."""
    made, rng = rows(count, chunks, seed, shift), np.random.default_rng(seed)
    spread = made.select(1 + pl.col("height").abs() + pl.when(colour="red").then(3).otherwise(0)).to_series().to_numpy()
    prediction = made["income"].fill_null(1.0).to_numpy() * 10
    return made.with_columns(
        prediction=prediction, label=prediction + rng.normal(size=count) * spread, empty=pl.lit(None, pl.Float64)
    )


def losses_by_nannyml(reference: pl.DataFrame, analysis: pl.DataFrame, features: list[str], seed: int) -> pl.DataFrame:
    with nml.calls("the oracle"):
        estimator = nml.load().DLE(
            feature_column_names=features,
            y_pred="prediction",
            y_true="label",
            metrics=["mae", "rmse"],
            timestamp_column_name=CHUNK,
            chunker=nml.run_chunker(CHUNK),
            hyperparameters={"seed": seed, "num_threads": 1, "deterministic": True, "force_row_wise": True},
        )
        return estimate_chunks(estimator, reference, analysis, {"mae": "mae", "rmse": "rmse"}, seed)


@pytest.mark.parametrize(("size", "chunks", "shift"), [(900, 4, 1.5), (300, 1, 0.0), (60, 3, 0.0)])
def test_estimated_losses_are_nannymls(size, chunks, shift):
    reference, analysis = scored(2 * size, 3, seed=size), scored(size, chunks, seed=size + 1, shift=shift).drop("label")
    features = ["height", "income", "visits", "empty", "colour", "answer"]
    request = EstimateRequest(
        ScoredColumns("label", "prediction", "prediction", ()), features, {"mae": "mae", "rmse": "rmse"}, seed=3
    )
    found = ESTIMATORS.get("loss").estimate(reference, analysis, request).sort("metric", CHUNK)
    expected = losses_by_nannyml(reference, analysis, features, seed=3).sort("metric", CHUNK)
    assert found.height == 2 * (chunks + 1)
    assert_frame_equal(found, expected, rel_tol=1e-12, check_column_order=False)


def test_what_errors_cost_nothing_is_expected_to_cost_nothing():
    reference = scored(300, 2, seed=1).with_columns(label="prediction")
    columns = ScoredColumns("label", "prediction", "prediction", ())
    request = EstimateRequest(columns, ["height"], {"mae": "mae", "rmse": "rmse"}, seed=3)
    found = ESTIMATORS.get("loss").estimate(reference, reference.drop("label"), request)
    assert {*found.select("value", "lower", "upper").to_numpy().ravel()} == {0.0}
