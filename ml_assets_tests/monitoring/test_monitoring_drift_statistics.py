"""A drift statistic is one class and one line of registration."""

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from pydantic import ValidationError

from ml_assets.monitoring.drift.measure import measure_drift, no_drift
from ml_assets.monitoring.drift.statistics.statistic import FeatureStatistic
from ml_assets.monitoring.drift_statistics import DRIFT_STATISTICS, declarable, with_own_threshold
from ml_assets.monitoring.spec import MonitoringSpec

START = datetime(2021, 5, 1, tzinfo=UTC)


class MedianShift(FeatureStatistic):
    name = "median_shift"
    numeric = True

    def compare(self, reference: pl.Series, chunk: pl.Series) -> float:
        return abs(chunk.median() - reference.median())


@pytest.fixture
def registered():
    DRIFT_STATISTICS.register("median_shift", MedianShift())
    yield
    DRIFT_STATISTICS.unregister("median_shift")


def frame(heights: list[float | None], start: datetime = START) -> pl.DataFrame:
    at = [start + timedelta(days=7) * i / len(heights) * 2 for i in range(len(heights))]
    return pl.DataFrame({"at": at, "height": heights, "colour": ["red", "blue"] * (len(heights) // 2)})


@pytest.mark.usefixtures("registered")
def test_a_statistic_of_ones_own_is_measured_beside_the_others():
    spec = MonitoringSpec(
        continuous_methods=["median_shift"],
        categorical_methods=[],
        method_thresholds={"median_shift": 1.5},
        reconstruction=False,
        min_chunk_rows=1,
    )
    reference = frame([1.0, 2.0, 3.0, 2.0, 1.0, 3.0], START - timedelta(days=14))  # median 2
    analysis = frame([2.0, 3.0, 4.0, 4.0, None, 6.0])  # medians: of the first week 3, of the second 5
    drift = measure_drift(reference, analysis, features=["height", "colour"], time="at", spec=spec)
    assert drift.schema == no_drift(pl.Datetime("us", "UTC")).schema
    own = drift.filter(method="median_shift")
    assert own.select("scope", "feature", "value", "threshold", "alert").rows() == [
        ("chunk", "height", 1.0, 1.5, False),
        ("chunk", "height", 3.0, 1.5, True),
    ]
    assert set(drift["method"]) == {"psi", "median_shift"}


def test_what_is_not_registered_cannot_be_declared():
    with pytest.raises(ValidationError, match="continuous_methods: median_shift cannot be given here; choose"):
        MonitoringSpec(continuous_methods=["median_shift"])
    with pytest.raises(ValidationError, match="categorical_methods: wasserstein cannot be given here; choose"):
        MonitoringSpec(categorical_methods=["wasserstein"])


def test_each_statistic_says_what_it_compares():
    assert declarable("numeric") == ["kolmogorov_smirnov", "jensen_shannon", "wasserstein", "hellinger"]
    assert declarable("text") == ["jensen_shannon", "hellinger", "chi2", "l_infinity"]
    assert "chi2" not in with_own_threshold()
    assert "psi" not in with_own_threshold()
    assert [DRIFT_STATISTICS.get(name).name for name in DRIFT_STATISTICS.names()] == DRIFT_STATISTICS.names()
