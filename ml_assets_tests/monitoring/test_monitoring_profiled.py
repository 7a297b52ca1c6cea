"""What is computed of profiles, beside what is computed of all rows: equal where it is called exact, else as near as
the error says."""

from collections import Counter
from math import inf, log

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import jensenshannon
from scipy.stats import chi2_contingency, ks_2samp, wasserstein_distance

from ml_assets.monitoring.drift.statistics.counts import CHI2, L_INFINITY
from ml_assets.monitoring.drift.statistics.numbers import KOLMOGOROV_SMIRNOV, WASSERSTEIN
from ml_assets.monitoring.drift.statistics.profiled import Distance
from ml_assets.monitoring.drift.statistics.psi import compare_psi
from ml_assets.monitoring.drift.statistics.shares import HELLINGER, JENSEN_SHANNON
from ml_assets.profiles import Grid, profile

FLOOR = 1e-4
SHAPES = st.sampled_from(["even", "tied", "skewed", "few", "far"])


def draw(shape: str, rows: int, seed: int, shift: float) -> np.ndarray:
    rng = np.random.default_rng(seed)
    drawn = {
        "even": rng.normal(shift, 1, rows),
        "tied": rng.normal(shift, 1, rows).round(2),
        "skewed": np.exp(rng.normal(shift, 2, rows)),
        "few": rng.integers(0, 5, rows) + round(shift),
        "far": np.append(rng.normal(shift, 1, rows - 1), 1e6),
    }
    return drawn[shape].astype(float)


def compared(statistic, reference, now) -> Distance:
    known, current = (pl.DataFrame({"x": values}) for values in (reference, now))
    grid = Grid.of(known)
    return statistic.compare("x", profile(known, grid), profile(current, grid), grid)


@settings(max_examples=40, deadline=None)
@given(SHAPES, SHAPES, st.integers(2, 2_000), st.integers(2, 900), st.integers(0, 99), st.floats(-1, 1))
def test_distribution_functions_are_as_near_to_scipys_as_the_error_says(shape, other, rows, now_rows, seed, shift):
    reference, now = draw(shape, rows, seed, 0.0), draw(other, now_rows, seed + 1, shift)
    smirnov = compared(KOLMOGOROV_SMIRNOV, reference, now)
    exact = ks_2samp(reference, now).statistic
    assert smirnov.value - 1e-12 <= exact <= smirnov.value + smirnov.error + 1e-12
    area = compared(WASSERSTEIN, reference, now)
    exact = wasserstein_distance(reference, now)
    assert area.value == pytest.approx(exact, rel=1e-9, abs=area.error * (1 + 1e-9) + 1e-9)


def test_of_values_that_are_bins_by_themselves_distribution_functions_are_exact():
    reference, now = draw("few", 900, 1, 0.0), draw("few", 500, 2, 0.0)[::2] // 2
    for statistic, exact in (
        (KOLMOGOROV_SMIRNOV, ks_2samp(reference, now).statistic),
        (WASSERSTEIN, wasserstein_distance(reference, now)),
    ):
        found = compared(statistic, reference, now)
        assert (found.value, found.error) == (pytest.approx(exact, rel=1e-12), 0.0)


def test_the_error_of_many_values_is_at_most_two_bins():
    found = compared(KOLMOGOROV_SMIRNOV, draw("even", 20_000, 1, 0.0), draw("even", 20_000, 2, 0.1))
    assert 0 < found.error < 2 / 300


def test_infinite_and_private_values_have_no_area():
    assert compared(WASSERSTEIN, [1.0, 2.0], [1.0, inf]).value is None
    rows = pl.DataFrame({"x": [1.0, 2.0]})
    grid = Grid.of(rows, private={"x"})
    counted = profile(rows, grid)
    assert WASSERSTEIN.compare("x", counted, counted, grid).value is None
    assert KOLMOGOROV_SMIRNOV.compare("x", counted, counted, grid) == Distance(0.0)


@st.composite
def many_categories(draw) -> list[str]:
    """Categories beyond what a grid counts, and beyond what is counted outside of it."""
    rng = np.random.default_rng(draw(st.integers(0, 50)))
    return [
        f"c{i}" for i in rng.integers(0, draw(st.sampled_from([3, 300, 450, 900])), draw(st.sampled_from([5, 3_000])))
    ]


def by_rows(reference: list[str], now: list[str]) -> dict:
    """The same statistics of every category."""
    known, current = Counter(reference), Counter(now)
    names = sorted({*known, *current})
    table = np.array([[known[name], current[name]] for name in names])
    r, a = (table / table.sum(axis=0)).T
    psi = sum((max(q, FLOOR) - max(p, FLOOR)) * log(max(q, FLOOR) / max(p, FLOOR)) for p, q in zip(r, a, strict=True))
    return {
        "psi": psi,
        JENSEN_SHANNON: jensenshannon(r, a, base=2),
        HELLINGER: np.sqrt(max(1 - np.sum(np.sqrt(r * a)), 0)),
        L_INFINITY: np.abs(r - a).max(),
        CHI2: chi2_contingency(table).statistic,
    }


@settings(max_examples=30, deadline=None)
@given(many_categories(), many_categories())
def test_statistics_of_categories_are_as_near_as_the_error_says(reference, now):
    known, current = (pl.DataFrame({"x": values}) for values in (reference, now))
    grid = Grid.of(known)
    profiles = profile(known, grid), profile(current, grid)
    exact = by_rows(reference, now)
    value, error = compare_psi("x", *profiles, grid, FLOOR)
    assert value == pytest.approx(exact.pop("psi"), rel=1e-9, abs=error * (1 + 1e-9) + 1e-9)
    for statistic, expected in exact.items():
        found = statistic.compare("x", *profiles, grid)
        assert found.value == pytest.approx(expected, rel=1e-9, abs=found.error * (1 + 1e-9) + 1e-7)
    if len(set(reference)) <= 400 and len({*now} - {*reference}) <= 64:
        assert error == 0.0


def test_profiles_of_another_grid_are_refused():
    one, other = (pl.DataFrame({"x": values}) for values in ([1.0, 2.0], [1.0, 3.0]))
    grid, another = Grid.of(one), Grid.of(other)
    with pytest.raises(ValueError, match="different grids"):
        KOLMOGOROV_SMIRNOV.compare("x", profile(one, grid), profile(one, another), grid)
    with pytest.raises(ValueError, match="different grids"):
        compare_psi("x", profile(one, grid), profile(one, another), grid, FLOOR)


def test_a_reference_of_one_cut_is_compared():
    assert compared(KOLMOGOROV_SMIRNOV, np.array([-inf, -inf]), np.array([-inf, 1.0])).value == 0.5
