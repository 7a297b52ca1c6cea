"""How likely a difference is without a change, and how seldom a report is wrong."""

import datetime as dt
import json
from itertools import combinations

import numpy as np
import polars as pl
import pytest
from scipy import stats

from ml_assets.comparing.compare import compare
from ml_assets.comparing.drift import chance
from ml_assets.comparing.drift.limits import DriftLimits
from ml_assets.comparing.report.document import as_document
from ml_assets.comparing.report.page.render import as_html
from ml_assets.comparing.rows.place import find_place
from ml_assets.comparing.rows.table import Choice
from ml_assets.monitoring.drift.measure import measure_drift
from ml_assets.monitoring.spec import MonitoringSpec
from ml_assets_tests.comparing.tables import compared


def test_distances_are_judged_as_scipy_does():
    random = np.random.default_rng(0)
    before, now = random.normal(size=300), random.normal(0.1, 1, size=200)
    of_scipy = stats.ks_2samp(before, now, method="asymp")
    # SciPy's own limit is finer for few rows: kstwo of the rounded n, instead of n without end.
    limit = stats.kstwobign.sf(of_scipy.statistic * np.sqrt(300 * 200 / 500))
    assert chance.of_distance(of_scipy.statistic, 300, 200) == pytest.approx(limit, rel=1e-12)
    assert limit == pytest.approx(of_scipy.pvalue, rel=0.1)


@pytest.mark.parametrize("counts", [([30, 50, 20], [40, 40, 20]), ([30, 70], [45, 55]), ([50, 50, 0], [25, 100, 150])])
def test_counts_are_judged_as_scipy_does(counts):
    before, now = (np.array(side) for side in counts)
    assert chance.of_counts(before, now) == pytest.approx(stats.chi2_contingency(np.stack(counts))[1], rel=1e-12)


def test_rare_categories_are_put_together():
    before, now = np.array([100, 100, 1, 2, 1, 2]), np.array([100, 100, 2, 1, 2, 1])
    together = stats.chi2_contingency([[100, 100, 6], [100, 100, 6]])[1]
    assert chance.of_counts(before, now) == pytest.approx(together)


def test_strangers_are_as_likely_as_a_hypergeometric_draw():
    # All three lie among the 20 current rows of 50: none is drawn for the 30 of the reference.
    assert chance.of_strangers(3, 30, 20) == pytest.approx(stats.hypergeom.pmf(0, 50, 3, 30), rel=1e-12)
    assert chance.of_strangers(0, 30, 20) == 1.0


def test_a_range_that_is_left_by_few_of_many_rows_is_not_broken(tmp_path):
    """Twelve rows above all of the reference are no chance, and of 20,000 not one in a thousand."""
    reference = pl.DataFrame({"x": np.arange(20_000) % 50 + 0.5})
    current = reference.with_columns(x=pl.when(pl.int_range(pl.len()) < 12).then(99.0).otherwise("x"))
    (breach,) = compared(tmp_path, reference, current).result.breaches
    assert (breach.rows, breach.broken) == (12, False)
    assert breach.chance < 0.01
    more = reference.with_columns(x=pl.when(pl.int_range(pl.len()) < 30).then(99.0).otherwise("x"))
    assert [breach.rule for breach in compared(tmp_path, reference, more).result.broken] == ["greatest"]


def test_reports_on_unchanged_rows_alarm_as_seldom_as_they_say(tmp_path):
    """Of 60 rows a side, for which some PSI is above its limit in nearly every report."""
    random = np.random.default_rng(1)
    alarms = above = 0
    reports = 40
    for _ in range(reports):
        sides = [
            pl.DataFrame(
                {
                    **{f"x{number}": random.normal(size=60) for number in range(6)},
                    "few": random.poisson(2, 60),
                    "text": random.choice([f"c{number}" for number in range(15)], 60),
                    "gaps": pl.Series(np.where(random.random(60) < 0.3, np.nan, random.normal(size=60))),
                }
            )
            for _ in range(2)
        ]
        result = compared(tmp_path, *sides).result
        alarms += not result.passed
        above += any(column.beyond for column in result.drift)
    assert above > 0.9 * reports
    assert alarms <= stats.binom.ppf(0.999, reports, 0.05)


def test_a_shift_is_seen_in_few_rows_and_a_small_one_is_not_reported_in_many(tmp_path):
    random = np.random.default_rng(2)
    few = [pl.DataFrame({"x": random.normal(mean, 1, 80)}) for mean in (0, 1.5)]
    assert compared(tmp_path, *few).result.drifted == ("x",)
    many = [pl.DataFrame({"x": random.normal(mean, 1, 20_000)}) for mean in (0, 0.1)]
    (column,) = compared(tmp_path, *many).result.drift
    assert column.chance < 1e-6
    assert not column.drifted


def test_a_sample_of_rows_is_said_and_rules_are_counted_over_all(tmp_path):
    reference = pl.DataFrame({"x": np.arange(5_000) % 40, "s": ["a"] * 5_000})
    current = reference.with_columns(s=pl.Series(["b", *["a"] * 4_999]))
    result = compared(tmp_path, reference, current, choice=Choice(most=500)).result
    assert (result.reference.rows, result.reference.kept_rows) == (5_000, 500)
    assert [(breach.column, breach.rows) for breach in result.broken] == [("s", 1)]
    assert any("500 of 5,000 rows, chosen at random" in note for note in result.notes)
    again = compared(tmp_path, reference, current, choice=Choice(most=500)).result
    assert again == result


def test_limits_decide_by_the_methods_that_have_one(tmp_path):
    reference = pl.DataFrame({"x": np.arange(2_000) / 10})
    current = reference + 10
    assert compared(tmp_path, reference, current, limits=DriftLimits({"psi": 9.0})).result.drifted == ()
    limits = DriftLimits({"psi": 9.0, "kolmogorov_smirnov": 0.04})
    (column,) = compared(tmp_path, reference, current, limits=limits).result.drift
    assert column.drifted
    assert column.value("kolmogorov_smirnov") == pytest.approx(stats.ks_2samp(reference["x"], current["x"]).statistic)


def test_columns_are_chosen_by_name(tmp_path):
    frame = pl.DataFrame({"a": range(50), "b": range(50), "c": range(50)})
    path = tmp_path / "rows.parquet"
    frame.write_parquet(path)
    places = find_place("reference", str(path)), find_place("current", str(path))
    result = compare(*places, Choice(("a", "b"), ("b",))).result
    assert [column.name for column in (*result.drift, *result.left_out)] == ["a"]


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_values_are_those_of_monitoring_and_of_scipy(tmp_path, form):
    random = np.random.default_rng(3)
    sides = [
        pl.DataFrame(
            {
                "x": np.where(random.random(3_000) < gaps, np.nan, random.normal(mean, 1, 3_000)).round(3),
                "n": random.poisson(2 + mean, 3_000),
                "s": random.choice(["a", "b", "c", "d"], 3_000, p=[0.4, 0.3, 0.3 - mean / 4, mean / 4]),
            }
        ).with_columns(pl.col("x").fill_nan(None))
        for mean, gaps in ((0.0, 0.05), (0.4, 0.15))
    ]
    of_monitoring = measure_drift(
        *(side.with_columns(at=pl.lit(dt.datetime(2024, 1, 1))) for side in sides),
        features=["x", "n", "s"],
        time="at",
        spec=MonitoringSpec(
            reconstruction=False,
            continuous_methods=["jensen_shannon", "hellinger"],
            categorical_methods=["jensen_shannon", "hellinger", "l_infinity", "chi2"],
        ),
        period=(dt.datetime(2024, 1, 1), dt.datetime(2024, 1, 2)),
    )
    result = compared(tmp_path, *sides, form).result
    columns = {column.name: column for column in result.drift}
    expected = of_monitoring.filter((pl.col("scope") == "chunk") | (pl.col("method") == "psi"))
    for name, method, value in expected.select("feature", "method", "value").iter_rows():
        assert columns[name].value(method) == pytest.approx(value, rel=1e-9), (name, method)
    known = [side["x"].drop_nulls() for side in sides]
    exact = stats.ks_2samp(*known).statistic
    assert exact - 1 / 150 <= columns["x"].value("kolmogorov_smirnov") <= exact + 1e-12
    assert columns["n"].value("kolmogorov_smirnov") == pytest.approx(
        stats.ks_2samp(sides[0]["n"], sides[1]["n"]).statistic
    )
    assert columns["x"].current.mean == pytest.approx(known[1].mean())
    assert columns["x"].current.deviation == pytest.approx(known[1].std())


def test_all_rows_of_a_large_file_are_counted(tmp_path):
    """Of what is kept bins are made alone: with the same bins, a file is compared as its rows in memory are."""
    random = np.random.default_rng(4)
    reference = pl.DataFrame({"n": random.poisson(3, 4_000)})
    current = pl.DataFrame({"n": random.poisson(4, 4_000)})
    few, all_rows = (
        compared(tmp_path, reference, current, choice=Choice(most=most)).result.drift[0] for most in (1_000, 10_000)
    )
    assert few.value("kolmogorov_smirnov") == pytest.approx(all_rows.value("kolmogorov_smirnov"), abs=0.002)
    assert few.value("kolmogorov_smirnov") == pytest.approx(
        stats.ks_2samp(reference["n"], current["n"]).statistic, abs=0.002
    )
    assert (few.current.mean, few.reference.rows) == (pytest.approx(current["n"].mean()), 4_000)


@pytest.mark.parametrize("distance", [0.0, 0.001, 0.03, 0.05, 0.0894, 0.0895, 0.1, 0.3, 1.0])
def test_kolmogorovs_limit_is_scipys(distance):
    expected = stats.kstwobign.sf(distance * np.sqrt(125))
    assert chance.of_distance(distance, 250, 250) == pytest.approx(expected, rel=1e-10, abs=1e-300)


def test_more_categories_than_are_counted_are_compared_by_the_rows_that_are_kept(tmp_path):
    before = pl.DataFrame({"place": [f"place {row % 10_500}" for row in range(42_000)]})
    now = pl.DataFrame({"place": [f"place {row % 10_500 + 5_250}" for row in range(42_000)]})
    assert compared(tmp_path, before, before).result.passed
    [column] = compared(tmp_path, before, now).result.drift
    assert column.drifted
    assert column.value("unseen") == pytest.approx(0.5)


@pytest.mark.parametrize(
    "values", [[2.0**60] * 399 + [0.0], [-1.7e308, 1.7e308] * 200, [1e200, -2e200] * 200, [1e300] * 399 + [2e300]]
)
def test_the_largest_numbers_are_compared_drawn_and_written(tmp_path, values):
    result = compared(tmp_path, pl.DataFrame({"a": values}), pl.DataFrame({"a": values})).result
    [column] = result.drift
    assert sum(column.shape.reference) == pytest.approx(1)
    json.dumps(as_document(result, ""), allow_nan=False)
    assert "nan" not in as_html(result, "").split("<main>")[1]


@pytest.mark.parametrize(("rows", "more"), [(900, 900), (2_000, 60), (60, 2_000)])
def test_rare_categories_that_give_way_to_others_are_no_chance_and_the_same_ones_are(rows, more):
    before, now = np.repeat([1.0, 0.0], 300), np.repeat([0.0, 1.0], 300)
    assert chance.of_categories(before * rows // 300 + before, now * more // 300 + now) < 1e-9
    rng = np.random.default_rng(0)
    shares = 1 / np.arange(1, 601)
    drawn = [rng.multinomial(size, shares / shares.sum(), 400) for size in (rows, more)]
    alike = [chance.of_categories(*counts) for counts in zip(*drawn, strict=True)]
    assert np.mean(np.array(alike) < 0.05) < 0.09


def test_lone_rows_are_at_most_as_likely_as_the_bound_says():
    both = np.array([1, 1, 2, 2, 3])
    pooled = np.repeat(range(5), both)
    ways = [np.bincount(pooled[list(which)], minlength=5) for which in combinations(range(9), 4)]
    lone = np.array([own[own == both].sum() for own in ways])
    for own, rows in zip(ways, lone, strict=True):
        assert np.mean(lone >= rows) <= chance._of_lone(both, own, 4, 9) + 1e-12
