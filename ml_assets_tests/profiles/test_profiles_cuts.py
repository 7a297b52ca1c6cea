import numpy as np
import pytest

from ml_assets.profiles.cuts import MOST_CUTS, below, doane_edges, fine_cuts
from ml_assets.profiles.grid import NumberGrid

SETS = {
    "normal": np.random.default_rng(0).normal(size=3_000),
    "skewed": np.random.default_rng(1).lognormal(sigma=1.5, size=28_000),
    "counts": np.random.default_rng(2).poisson(3, 5_000).astype(float),
    "one value": np.full(10, 3.5),
    "two rows": np.array([1.0, 2.0]),
    "far outlier": np.append(np.random.default_rng(3).normal(size=999), 1e9),
}


@pytest.mark.parametrize("name", SETS)
def test_edges_of_equal_width_are_numpys(name):
    values = SETS[name]
    edges = doane_edges(np.sort(values))
    assert edges.tolist() == np.histogram_bin_edges(values, bins="doane").tolist()


@pytest.mark.parametrize("name", SETS)
def test_counts_between_cuts_are_numpys_histogram(name):
    values = SETS[name]
    edges = doane_edges(np.sort(values))
    now = np.concatenate([values, edges, edges - 1e-9, [-1e12, 1e12]])
    ends = np.searchsorted(np.sort(now), below(edges), "right")
    assert np.diff(ends).tolist() == np.histogram(now, edges)[0].tolist()


@pytest.mark.parametrize("name", SETS)
def test_cuts_are_few_and_hold_those_of_every_rule(name):
    grid = NumberGrid.of(np.sort(SETS[name]), 10)
    assert np.all(np.diff(grid.cuts) > 0)
    assert len(grid.cuts) <= MOST_CUTS
    assert np.isin(below(doane_edges(np.sort(SETS[name]))), grid.cuts).all()


def test_few_values_are_each_by_themselves_and_many_share_bins_evenly():
    assert fine_cuts(np.array([1.0, 1.0, 4.0]), 10).tolist() == [np.nextafter(1, 0), 1.0, np.nextafter(4, 0), 4.0]
    ordered = np.sort(SETS["normal"])
    cuts = fine_cuts(ordered, 300)
    shares = np.diff(np.searchsorted(ordered, cuts, "right"), prepend=0, append=ordered.size) / ordered.size
    assert shares.max() <= 1 / 300 + 1e-9


def test_an_infinite_value_leaves_bins_of_equal_width_out_and_says_why():
    grid = NumberGrid.of(np.array([-np.inf, 1.0, np.inf]), 10)
    assert (grid.widths, grid.why_not) == (None, "2 of its values are infinite")


def test_values_too_close_for_bins_of_equal_width_say_so():
    grid = NumberGrid.of(np.array([1.0, 1.0, 1.0, np.nextafter(1.0, 2.0)]), 10)
    assert grid.widths is None
    assert "too close" not in grid.why_not
    assert "cannot be told apart" in grid.why_not


@pytest.mark.parametrize("values", [[-1.7e308, 1.7e308], [1.0, 2.0, 1.7976931348623157e308, 1.7976931348623157e308]])
def test_values_too_large_for_bins_of_equal_width_say_so(values):
    grid = NumberGrid.of(np.array(values), 10)
    assert grid.widths is None
    assert "are too large to be cut into bins of equal width" in grid.why_not
