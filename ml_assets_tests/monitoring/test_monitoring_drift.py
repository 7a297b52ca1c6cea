import logging
import warnings
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from scipy.spatial.distance import jensenshannon
from scipy.stats import chi2, chi2_contingency, ks_2samp, wasserstein_distance

from ml_assets.monitoring import nml
from ml_assets.monitoring.drift.measure import measure_drift
from ml_assets.monitoring.drift.statistics.counts import chance_above, independence
from ml_assets.monitoring.spec import MonitoringSpec

START = datetime(2021, 5, 1, tzinfo=UTC)
WEEK = timedelta(days=7)
NUMBERS = ["height", "weight", "age"]
FEATURES = [*NUMBERS, "colour", "is_new"]


def people(rows: int, seed: int, start: datetime = START, days: int = 28) -> pl.DataFrame:
    generator = np.random.default_rng(seed)
    height = generator.normal(170, 10, rows)
    return pl.DataFrame(
        {
            "at": [start + timedelta(days=days) * share for share in generator.random(rows)],
            "height": height,
            "weight": 0.9 * (height - 170) + generator.normal(70, 3, rows),
            "age": pl.Series(generator.gamma(4, 10, rows)).set(pl.Series(generator.random(rows) < 0.1), None),
            "colour": generator.choice(["red", "green", "blue"], rows, p=[0.5, 0.3, 0.2]),
            "is_new": generator.random(rows) < 0.3,
        }
    )


def drift(reference, analysis, features=FEATURES, **fields) -> pl.DataFrame:
    spec = MonitoringSpec(**{"min_chunk_rows": 50, **fields})
    return measure_drift(reference, analysis, features=features, time="at", spec=spec)


def alerting(found: pl.DataFrame) -> set[tuple[str, str]]:
    return set(found.filter("alert").select("method", "feature").iter_rows())


REFERENCE = people(2000, seed=1, start=START - 5 * WEEK)
STILL = people(2000, seed=2)


@pytest.fixture(scope="module")
def still() -> pl.DataFrame:
    return drift(REFERENCE, STILL)


def chunk_rows(frame: pl.DataFrame, start: datetime) -> pl.DataFrame:
    return frame.filter(pl.col("at") >= start, pl.col("at") < start + WEEK)


def test_one_row_per_scope_chunk_feature_and_method(still):
    assert dict(still.schema) == {
        "chunk_start": pl.Datetime("us", "UTC"),
        "chunk_end": pl.Datetime("us", "UTC"),
        "rows": pl.Int64,
        "scope": pl.String,
        "feature": pl.String,
        "method": pl.String,
        "value": pl.Float64,
        "threshold": pl.Float64,
        "alert": pl.Boolean,
        "error": pl.Float64,
    }
    keys = ["scope", "method"]
    numeric, text, chunks = 4, 1, 4
    assert {row[:2]: row[2] for row in still.group_by(keys).len().iter_rows()} == {
        ("chunk", "psi"): (numeric + text) * chunks,
        ("period", "psi"): numeric + text,
        ("chunk", "kolmogorov_smirnov"): numeric * chunks,
        ("chunk", "jensen_shannon"): (numeric + text) * chunks,
        ("chunk", "chi2"): text * chunks,
        ("chunk", "reconstruction_error"): chunks,
    }
    starts = still.filter(scope="chunk")["chunk_start"].unique().sort().to_list()
    assert starts == [START + i * WEEK for i in range(4)]
    assert still.filter(scope="period")["rows"].unique().to_list() == [2000]
    assert not still["value"].has_nulls()


@pytest.mark.parametrize("feature", NUMBERS)
def test_kolmogorov_smirnov_agrees_with_scipy(still, feature):
    for start, value, error in still.filter(feature=feature, method="kolmogorov_smirnov")[
        ["chunk_start", "value", "error"]
    ].iter_rows():
        now = chunk_rows(STILL, start)[feature].drop_nulls().to_numpy()
        exact = ks_2samp(REFERENCE[feature].drop_nulls().to_numpy(), now).statistic
        assert value - 1e-12 <= exact <= value + error + 1e-12
        assert error < 0.012


def test_jensen_shannon_of_numbers_agrees_with_scipy(still):
    reference = REFERENCE["height"].to_numpy()
    edges = np.histogram_bin_edges(reference, bins="doane")
    edges[0], edges[-1] = -np.inf, np.inf
    for start, value in still.filter(feature="height", method="jensen_shannon")[["chunk_start", "value"]].iter_rows():
        now = chunk_rows(STILL, start)["height"].to_numpy()
        inside = now[(now >= reference.min()) & (now <= reference.max())]
        shares = [np.histogram(reference, edges)[0] / reference.size, np.histogram(inside, edges)[0] / now.size]
        beyond = 1 - inside.size / now.size
        assert value == pytest.approx(jensenshannon([*shares[0], 0], [*shares[1], beyond], base=2))


def test_jensen_shannon_and_chi2_of_text_agree_with_scipy():
    new_colour = pl.when(pl.int_range(pl.len()) % 7 == 0).then(pl.lit("violet")).otherwise("colour")
    analysis = STILL.with_columns(colour=pl.when(pl.int_range(pl.len()) % 5 > 0).then(new_colour))
    found = drift(REFERENCE, analysis, ["colour"], reconstruction=False).filter(scope="chunk")
    names = ["red", "green", "blue", "violet"]
    for start in found["chunk_start"].unique():
        counts = np.array(
            [
                [frame["colour"].drop_nulls().to_list().count(name) for name in names]
                for frame in (REFERENCE, chunk_rows(analysis, start))
            ]
        )
        value = dict(found.filter(chunk_start=start).select("method", "value").iter_rows())
        assert value["chi2"] == pytest.approx(chi2_contingency(counts).statistic)
        shares = counts / counts.sum(axis=1, keepdims=True)
        assert value["jensen_shannon"] == pytest.approx(jensenshannon(*shares, base=2))


def test_no_drift_raises_no_alert():
    generator = np.random.default_rng(5)
    at = people(4000, seed=4)["at"]
    frames = [
        pl.DataFrame({"at": at, **{f"x{i}": generator.normal(size=4000) for i in range(12)}}).with_columns(
            kind=pl.Series(generator.choice(list("abcdefgh"), 4000))
        )
        for _ in range(2)
    ]
    found = drift(*frames, features=frames[0].columns[1:])
    assert alerting(found.filter(pl.col("method") != "chi2")) == set()
    assert {"psi", "kolmogorov_smirnov", "jensen_shannon", "reconstruction_error"} < set(found["method"])


def test_planted_drift_is_found_in_that_feature_only(still):
    moved = STILL.with_columns(pl.col("age") + 30)
    found = drift(REFERENCE, moved)
    expected = {(method, "age") for method in ("psi", "kolmogorov_smirnov", "jensen_shannon")}
    by_psi_ks_js = found.filter(pl.col("method").is_in([method for method, _ in expected]))
    assert alerting(by_psi_ks_js) == expected
    assert not still.filter(pl.col("method") != "chi2")["alert"].any()


def test_drift_from_one_week_on_alerts_from_then_on():
    later = pl.col("at") >= START + 2 * WEEK
    moved = STILL.with_columns(pl.when(later).then(pl.lit("red")).otherwise("colour").alias("colour"))
    psi = drift(REFERENCE, moved).filter(method="psi", feature="colour", scope="chunk").sort("chunk_start")
    assert psi["alert"].to_list() == [False, False, True, True]


def test_features_that_part_company_show_in_the_reconstruction_error_alone():
    parted = STILL.with_columns(pl.col("weight").shuffle(seed=1))
    found = drift(REFERENCE, parted, NUMBERS)
    assert alerting(found) == {("reconstruction_error", "(all)")}


def test_nulls_that_spread_alert_by_psi():
    holes = STILL.with_columns(height=pl.when(pl.int_range(pl.len()) % 2 == 0).then("height"))
    assert alerting(drift(REFERENCE, holes, ["height"], reconstruction=False)) == {("psi", "height")}


def test_a_small_chunk_is_reported_and_never_alerts():
    moved = people(100, seed=6).with_columns(pl.col("height") + 50)
    found = drift(REFERENCE, moved, ["height"], min_chunk_rows=60)
    psi = found.filter(method="psi")
    assert psi["value"].min() > 0.2
    assert psi.filter(scope="chunk")["alert"].any() is False
    assert psi.filter(scope="period")["alert"].to_list() == [True]


def test_a_chunk_without_rows_has_no_values_and_no_alert():
    gap = STILL.filter(~pl.col("at").is_between(START + WEEK, START + 2 * WEEK, closed="left"))
    empty = drift(REFERENCE, gap).filter(chunk_start=START + WEEK)
    psi, kolmogorov_smirnov, jensen_shannon, chi2, reconstruction_error = 5, 4, 5, 1, 1
    assert empty.height == psi + kolmogorov_smirnov + jensen_shannon + chi2 + reconstruction_error
    assert empty["rows"].unique().to_list() == [0]
    assert empty["value"].null_count() == empty.height
    assert not empty["alert"].any()


def test_a_chunk_of_nulls_has_no_distance_and_no_alert_even_after_one_that_alerts():
    week = (pl.col("at") - START).dt.total_days() // 7
    hole = pl.when(week == 0).then(pl.lit("red")).when(week > 1).then("colour").alias("colour")
    found = drift(REFERENCE, STILL.with_columns(hole), ["colour"], reconstruction=False)
    alerts = {
        (method, start): alert
        for method, start, alert in found.filter(scope="chunk")[["method", "chunk_start", "alert"]].iter_rows()
    }
    assert alerts["chi2", START]
    assert alerts["jensen_shannon", START]
    empty = found.filter(chunk_start=START + WEEK)
    assert dict(empty.select("method", "alert").iter_rows()) == {"psi": True, "chi2": False, "jensen_shannon": False}
    assert empty.filter(pl.col("method") != "psi")["value"].null_count() == 2


def test_a_feature_without_reference_values_is_measured_by_psi_alone():
    blank = REFERENCE.with_columns(age=pl.lit(None, pl.Float64))
    found = drift(blank, STILL)
    assert set(found.filter(feature="age")["method"]) == {"psi"}
    assert found.filter(feature="age", scope="period")["alert"].to_list() == [True]
    assert found.filter(method="reconstruction_error")["value"].null_count() == 0


def test_nan_counts_as_null():
    nan = STILL.with_columns(pl.col("age").fill_null(float("nan")))
    assert drift(REFERENCE, nan, ["age"]).equals(drift(REFERENCE, STILL, ["age"]))


def test_excluded_features_are_left_out():
    assert set(drift(REFERENCE, STILL, exclude=["age", "colour"])["feature"]) == {
        "height",
        "weight",
        "is_new",
        "(all)",
    }


def test_declared_thresholds_replace_the_defaults():
    found = drift(REFERENCE, STILL, method_thresholds={"kolmogorov_smirnov": 0.0, "reconstruction_error": 0.0})
    assert found.filter(method="kolmogorov_smirnov")["alert"].all()
    assert found.filter(method="reconstruction_error")["alert"].all()
    learned = found.filter(method="jensen_shannon")["threshold"]
    assert learned.null_count() == 0
    assert learned.n_unique() == len(FEATURES)


def test_an_undeclared_threshold_is_learned_from_the_chunks_of_the_reference():
    found = drift(REFERENCE, STILL, ["height"], continuous_methods=["wasserstein"], reconstruction=False)
    whole = REFERENCE["height"].to_numpy()
    starts = [REFERENCE["at"].min().replace(hour=0, minute=0, second=0, microsecond=0) + i * WEEK for i in range(4)]
    apart = [wasserstein_distance(whole, chunk_rows(REFERENCE, start)["height"].to_numpy()) for start in starts]
    (threshold,) = found.filter(method="wasserstein")["threshold"].unique()
    assert threshold == pytest.approx(np.mean(apart) + 3 * np.std(apart), rel=0.05)


def test_a_sampled_reference_is_repeatable_and_leaves_psi_exact(still):
    sampled = [drift(REFERENCE, STILL, reference_rows=500, seed=3) for _ in range(2)]
    assert sampled[0].equals(sampled[1])
    psi = pl.col("method") == "psi"
    assert sampled[0].filter(psi).equals(still.filter(psi))
    assert not sampled[0].filter(~psi).equals(still.filter(~psi))


def test_row_order_and_column_names_do_not_matter(still):
    odd = {"height": "chunk", "weight": "__x__", "colour": "f0", "age": "f1"}
    shuffled = [frame.rename(odd).sample(fraction=1, shuffle=True, seed=8) for frame in (REFERENCE, STILL)]
    found = drift(*shuffled, features=[odd.get(name, name) for name in FEATURES])
    back = {new: old for old, new in odd.items()}
    found = found.with_columns(pl.col("feature").replace(back)).sort(still.columns[:6])
    same = still.sort(still.columns[:6])
    assert found.drop("value", "threshold").equals(same.drop("value", "threshold"))
    assert found["value"].to_list() == pytest.approx(same["value"].to_list())


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"features": ["height", "shoe"]}, ValueError, "reference: no column shoe"),
        ({"analysis": STILL.head(0)}, ValueError, "analysis: no rows"),
        ({"analysis": STILL.with_columns(pl.col("height").cast(pl.String))}, TypeError, "'height' is Float64 in"),
        ({"features": ["at"]}, TypeError, "feature 'at' is Datetime"),
        ({"exclude": ["shoe"]}, ValueError, "exclude: shoe is no feature"),
        ({"features": ["age"], "exclude": ["age"]}, ValueError, "no feature is left"),
        ({"analysis": STILL.with_columns(at=None)}, ValueError, "analysis: 2000 rows have no 'at'"),
    ],
)
def test_wrong_input_is_one_clear_error(change, error, message):
    given = {"reference": REFERENCE, "analysis": STILL, **change}
    with pytest.raises(error, match=message):
        drift(**given)


def test_more_quantiles_than_a_profile_has_room_for_are_refused():
    with pytest.raises(ValueError, match="psi_bins: 151 is more than 150"):
        MonitoringSpec(psi_bins=151)


def test_rows_outside_the_period_are_an_error():
    with pytest.raises(ValueError, match="rows have a null 'at' or one outside"):
        measure_drift(
            REFERENCE,
            STILL,
            features=FEATURES,
            time="at",
            spec=MonitoringSpec(),
            period=(START, START + 2 * WEEK),
        )


def failing_twice() -> None:
    with nml.calls("this test"):
        logging.getLogger("nannyml.somewhere").error("broken")
        logging.getLogger("nannyml.elsewhere").error("broken again")


def test_what_nannyml_only_logs_is_raised_and_nothing_global_changes(monkeypatch):
    nml.load()
    logger, filters = logging.getLogger("nannyml"), list(warnings.filters)
    monkeypatch.setattr(logger, "propagate", True)
    before = logger.propagate, list(logger.handlers)
    with pytest.raises(nml.MonitoringError, match="this test: NannyML failed 2 times, first: broken"):
        failing_twice()
    assert (logger.propagate, logger.handlers) == before
    assert warnings.filters == filters


def test_infinite_values_are_an_error_not_a_missing_value():
    endless = STILL.with_columns(height=pl.lit(float("inf")))
    with pytest.raises(nml.MonitoringError, match="univariate drift"):
        drift(endless, STILL)


def test_numbers_that_no_bins_can_tell_apart_are_an_error_with_the_feature():
    large = STILL.with_columns(height=pl.lit(1.7e18))
    with pytest.raises(nml.MonitoringError, match=r"univariate drift: .* of feature 'height' cannot be learned"):
        drift(large, STILL)


def test_no_usage_event_leaves_the_machine(monkeypatch):
    sent = []
    tracker = nml.load().usage_logging.SegmentUsageTracker
    monkeypatch.setattr(tracker, "_log", lambda *event: sent.append(event))
    monkeypatch.delenv("NML_DISABLE_USAGE_LOGGING")
    calculator = nml.load().UnivariateDriftCalculator(column_names=["height"])
    calculator.fit(REFERENCE.select("height").to_pandas())
    assert len(sent) > 0, "the tracker is the one NannyML calls"
    sent.clear()
    nml.load.cache_clear()
    nml.load()
    calculator.fit(REFERENCE.select("height").to_pandas())
    assert sent == []


@given(st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 10_000)), min_size=1, max_size=12))
@example([(10, 0), (0, 7)])
@example([(5, 5), (3, 3)])
@example([(4, 9), (0, 0)])
@example([(10**9, 3), (10**9, 10**9), (1, 0)])
def test_chi2_is_what_scipy_gives_to_the_last_bit(counts):
    table = np.array(counts, dtype=np.int64)
    assume(table.sum(axis=0).all())
    tested = chi2_contingency(table[table.sum(axis=1) > 0])
    statistic, chance = independence(table[table.sum(axis=1) > 0])
    assert statistic == float(tested.statistic)
    assert chance == pytest.approx(float(tested.pvalue), rel=1e-9, abs=1e-300)


@pytest.mark.parametrize("freedom", [1, 2, 3, 10, 99, 400])
@pytest.mark.parametrize("statistic", [0.0, 0.3, 5.0, 120.0, 900.0])
def test_the_chance_of_chi2_is_scipys(freedom, statistic):
    assert chance_above(statistic, freedom) == pytest.approx(chi2.sf(statistic, freedom), rel=1e-9, abs=1e-300)


@pytest.mark.parametrize("broken", ["reference", "analysis"])
def test_an_infinite_value_is_named_before_rows_are_rebuilt(broken):
    frames = {"reference": REFERENCE, "analysis": STILL}
    frames[broken] = frames[broken].with_columns(height=pl.lit(float("inf")))
    with pytest.raises(nml.MonitoringError, match=r"reconstruction error: infinite values of \{'height': \d+\}"):
        drift(**frames, features=NUMBERS, continuous_methods=[], reconstruction=True)
