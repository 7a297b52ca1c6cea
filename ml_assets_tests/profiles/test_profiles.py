"""A profile is the same whichever way its rows were divided, comes back from bytes, and never passes its bound."""

import re
from collections import Counter
from itertools import pairwise
from math import inf, nan

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from ml_assets.profiles import Grid, NumberProfile, Profile, TextProfile, profile
from ml_assets.profiles.cuts import MOST_CUTS
from ml_assets.profiles.encoding import MOST_ROWS
from ml_assets.profiles.profile import MOST_BYTES, column_from_bytes, column_to_bytes

NUMBERS = st.one_of(
    st.none(), st.just(nan), st.just(inf), st.just(-inf), st.integers(-3, 3).map(float), st.floats(-1e6, 1e6)
)
TEXTS = st.one_of(st.none(), st.sampled_from(["", "a", "b", "é" * 40, "<script>"]), st.text(max_size=3))
ROWS = st.lists(st.tuples(NUMBERS, TEXTS), max_size=30)


def frame(rows) -> pl.DataFrame:
    return pl.DataFrame(rows, schema={"x": pl.Float64, "c": pl.String}, orient="row")


def of_numbers(values, reference=None, **options) -> NumberProfile:
    column = pl.DataFrame({"x": pl.Series(values, dtype=pl.Float64)})
    known = column if reference is None else pl.DataFrame({"x": pl.Series(reference, dtype=pl.Float64)})
    counted = profile(column, Grid.of(known, **options)).columns["x"]
    assert isinstance(counted, NumberProfile)
    return counted


def of_texts(values, reference=None, **options) -> TextProfile:
    column = pl.DataFrame({"c": pl.Series(values, dtype=pl.String)})
    known = column if reference is None else pl.DataFrame({"c": pl.Series(reference, dtype=pl.String)})
    counted = profile(column, Grid.of(known, **options)).columns["c"]
    assert isinstance(counted, TextProfile)
    return counted


def exactly(whole: Profile) -> list:
    """All of a profile but the moments, which rounding changes."""
    x = whole.columns["x"]
    assert isinstance(x, NumberProfile)
    counted = [x.rows, x.missing, x.nan, x.infinite, x.counts.tolist(), x.low, x.high, x.distinct.hashes.tolist()]
    return [*counted, column_to_bytes(whole.columns["c"])]


@settings(max_examples=25, deadline=None)
@given(ROWS, st.tuples(ROWS, ROWS, ROWS))
def test_merged_parts_are_the_profile_of_all_rows(reference, parts):
    grid = Grid.of(frame(reference))
    a, b, c = (profile(frame(part), grid) for part in parts)
    whole = profile(frame([row for part in parts for row in part]), grid)
    for merged in (a.merge(b).merge(c), a.merge(b.merge(c)), c.merge(a).merge(b), profile(map(frame, parts), grid)):
        assert exactly(merged) == exactly(whole)
        one, other = merged.columns["x"].moments, whole.columns["x"].moments
        assert one.count == other.count
        assert one.mean == pytest.approx(other.mean, rel=1e-9, abs=1e-9)
        assert one.second == pytest.approx(other.second, rel=1e-9, abs=1e-4)


@settings(max_examples=50, deadline=None)
@given(ROWS, ROWS)
def test_bytes_come_back_as_the_same_profile(reference, rows):
    whole = profile(frame(rows), Grid.of(frame(reference)))
    again = Profile.from_bytes(whole.to_bytes())
    assert again.to_bytes() == whole.to_bytes()
    assert exactly(again) == exactly(whole)
    assert again.columns["x"].moments == whole.columns["x"].moments


@settings(max_examples=50, deadline=None)
@given(ROWS, ROWS)
def test_counts_are_those_of_a_loop(reference, rows):
    grid = Grid.of(frame(reference))
    counted = profile(frame(rows), grid)
    x, c = counted.columns["x"], counted.columns["c"]
    values = [value for value, _ in rows if value is not None and value == value]
    ends = [-inf, *grid.columns["x"].cuts.tolist(), inf]
    # The first bin holds -inf too; where a cut is infinite, the bin above it is empty.
    assert x.counts.tolist() == [
        sum(low < value <= high or (i == 0 and value == low) for value in values)
        for i, (low, high) in enumerate(pairwise(ends))
    ]
    assert (x.rows, x.missing, x.present) == (len(rows), sum(v is None for v, _ in rows), len(values))
    assert x.distinct.number == len(set(values))
    finite = [value for value in values if abs(value) < inf]
    assert (x.low, x.high) == ((min(finite), max(finite)) if finite else (None, None))

    texts = Counter(text for _, text in rows if text is not None)
    assert c.distinct == len(texts)
    assert dict(zip(grid.columns["c"].categories, c.counts.tolist(), strict=True)) == {
        category: texts[category] for category in grid.columns["c"].categories
    }
    unknown = sorted(rows for text, rows in texts.items() if text not in grid.columns["c"].categories)
    assert sorted(c.others.counts.tolist()) == unknown


def test_moments_are_scipys():
    values = np.random.default_rng(1).gamma(2.0, size=5000)
    parts = [of_numbers(part, values) for part in np.array_split(values, 7)]
    whole = parts[0]
    for part in parts[1:]:
        whole = whole.merge(part)
    assert whole.moments.mean == pytest.approx(values.mean(), rel=1e-12)
    assert whole.moments.variance == pytest.approx(values.var(), rel=1e-12)
    assert whole.moments.skewness == pytest.approx(stats.skew(values), rel=1e-10)
    assert whole.moments.kurtosis == pytest.approx(stats.kurtosis(values, fisher=False), rel=1e-10)


@pytest.mark.parametrize(
    ("values", "reference"),
    [
        (np.random.default_rng(0).normal(size=20_000), None),
        (np.random.default_rng(0).normal(size=20_000), [1.0] * 50 + [2.0]),
        (np.random.default_rng(0).zipf(1.3, 20_000), None),
        (np.arange(1_000.0), np.arange(1_000.0)),
        ([inf, -inf, nan, None, 1e308, -1e308, 5e-324], None),
        ([], None),
    ],
)
def test_a_column_of_numbers_stays_below_the_bound(values, reference):
    counted = of_numbers(values, reference, quantiles=150)
    assert len(counted.counts) <= MOST_CUTS + 1
    assert len(column_to_bytes(counted)) <= MOST_BYTES


@pytest.mark.parametrize("length", [1, 400])
@pytest.mark.parametrize("rows", [300, 3_000])
def test_a_column_of_many_long_categories_stays_below_the_bound(rows, length):
    values = [f"{i}é" * length for i in range(rows)]
    assert len(column_to_bytes(of_texts(values))) <= MOST_BYTES
    assert len(column_to_bytes(of_texts(values, reference=["a"]))) <= MOST_BYTES


def test_very_many_categories_stay_below_the_bound():
    values = pl.Series(np.arange(200_000)).cast(pl.String)
    counted = of_texts(pl.concat([values, values]), reference=["7"])
    assert len(column_to_bytes(counted)) <= MOST_BYTES
    assert counted.distinct == pytest.approx(200_000, abs=4 * counted.distinct_error)


def test_the_largest_counts_stay_below_the_bound_and_larger_ones_are_refused():
    rng = np.random.default_rng(3)
    numbers, texts = of_numbers(rng.normal(size=3_000)), of_texts([f"{i}" * 30 for i in range(2_000)])
    for full in (numbers, texts):
        full.counts[:] = rng.integers(MOST_ROWS // 2, MOST_ROWS, len(full.counts))
    texts.others.counts[:] = rng.integers(MOST_ROWS // 2, MOST_ROWS, len(texts.others.counts))
    for full in (numbers, texts):
        content = column_to_bytes(full)
        assert len(content) <= MOST_BYTES
        assert column_from_bytes(content).counts.tolist() == full.counts.tolist()
        full.counts[0] = MOST_ROWS + 1
        with pytest.raises(OverflowError, match="at most"):
            column_to_bytes(full)


@pytest.mark.parametrize("different", [100, 191, 5_000, 200_000])
def test_distinct_numbers_are_exact_or_an_estimate_that_says_so(different):
    halves = np.array_split(np.arange(different) / 7, 2)
    a, b = (of_numbers(half, [0.0]).distinct for half in halves)
    both = a.merge(b)
    assert both.exact == (different < 192)
    assert both.number == pytest.approx(different, rel=4 * both.relative_error)
    assert both.hashes.tolist() == of_numbers(np.arange(different) / 7, [0.0]).distinct.hashes.tolist()


def test_distinct_categories_beyond_the_grid_are_estimated_with_their_error():
    counted = of_texts([f"c{i}" for i in range(5_000)], reference=["c0", "c1"])
    assert counted.distinct_error > 0
    assert counted.distinct == pytest.approx(5_000, abs=4 * counted.distinct_error)


PRIVATE = [f"secret-{i}" for i in range(300)] * 3


def test_a_private_column_keeps_no_value():
    values = [123456.789, 234567.891, 123456.789]
    numbers = of_numbers(values, private={"x"})
    assert (numbers.low, numbers.high, numbers.moments, numbers.distinct) == (None, None, None, None)
    texts = of_texts(PRIVATE, reference=PRIVATE[:100], private={"c"})
    known = Grid.of(pl.DataFrame({"c": PRIVATE[:100]}), private={"c"}).columns["c"]
    assert (texts.others.rows, texts.others.names, len(texts.others.hashes)) == (600, (), 0)
    assert (texts.distinct, texts.frequent(known)) == (None, {})
    for counted in (numbers, texts, texts.merge(texts)):
        again = column_from_bytes(column_to_bytes(counted))
        assert again.counts.tolist() == counted.counts.tolist()
        assert again.private
    assert np.float64(values[0]).tobytes() not in column_to_bytes(numbers)


def test_frequent_values_are_named_the_greatest_first():
    column = pl.DataFrame({"c": ["b"] * 3 + ["new"] * 2 + ["a"] + [None]})
    grid = Grid.of(pl.DataFrame({"c": ["a", "a", "b", "gone"]}))
    assert profile(column, grid).columns["c"].frequent(grid.columns["c"]) == {"b": 3, "new": 2, "a": 1}


def test_names_that_are_cut_are_neither_those_of_known_categories_nor_of_one_another():
    cut = "abcdefghijklmnopqrstuvwx"  # 24 bytes
    known = Grid.of(pl.DataFrame({"c": [cut, f"{cut}…", "b"]})).columns["c"]
    rows = {cut: 9, f"{cut}…": 8, f"{cut}-1": 7, f"{cut}-2": 6, "abcdefghijklmnopqrstuvwxyzß": 5, "b": 4, "é" * 13: 3}
    column = pl.DataFrame({"c": [name for name, times in rows.items() for _ in range(times)]})
    found = profile(column, Grid.of(pl.DataFrame({"c": [cut, f"{cut}…", "b"]}))).columns["c"]
    counted = found.merge(found).frequent(known)
    assert list(counted.values()) == [18, 16, 14, 12, 10, 8, 6]
    assert (counted[cut], counted[f"{cut}…"], counted["b"], counted["é" * 12 + "…"]) == (18, 16, 8, 6)
    assert all(re.fullmatch(rf"{cut}… [0-9a-f]{{12}}", name) for name in list(counted)[2:5])


def test_a_name_of_just_the_bytes_that_are_kept_is_whole():
    grid = Grid.of(pl.DataFrame({"c": ["a"]}))
    found = profile(pl.DataFrame({"c": ["x" * 24]}), grid).columns["c"]
    assert found.frequent(grid.columns["c"]) == {"x" * 24: 1}


def test_lazy_frames_and_batches_are_profiled_like_a_frame(tmp_path):
    rows = pl.DataFrame({"x": np.arange(5_000) % 70 / 8, "c": [f"{i % 9}" for i in range(5_000)], "more": 1})
    grid = Grid.of(rows.head(50).select("x", "c"))
    rows.write_parquet(tmp_path / "rows.parquet")
    whole = exactly(profile(rows, grid))
    assert exactly(profile(pl.scan_parquet(tmp_path / "rows.parquet"), grid)) == whole
    assert exactly(profile(rows.iter_slices(700), grid)) == whole
    assert profile(iter([]), grid).columns["x"].rows == 0


@pytest.mark.parametrize(
    ("values", "kind"),
    [([True, False, None], pl.Boolean), ([1, 2, 2**40], pl.Int64), ([1, 2, None], pl.Datetime("us")), ([3], pl.Date)],
)
def test_numbers_moments_and_booleans_are_numbers(values, kind):
    rows = pl.DataFrame({"x": pl.Series(values).cast(kind)})
    counted = profile(rows, Grid.of(rows)).columns["x"]
    known = [float(value) for value in values if value is not None]
    assert (counted.low, counted.high, counted.missing) == (min(known), max(known), values.count(None))


def test_categoricals_are_text():
    rows = pl.DataFrame({"c": pl.Series(["a", "b", "a"], dtype=pl.Categorical)})
    assert profile(rows, Grid.of(rows)).columns["c"].counts.tolist() == [2, 1]


def test_what_does_not_fit_is_refused():
    one, other = pl.DataFrame({"x": [1.0, 2.0]}), pl.DataFrame({"x": [1.0, 3.0]})
    grid = Grid.of(one)
    with pytest.raises(ValueError, match="column 'x' were counted on different grids"):
        profile(one, grid).merge(profile(one, Grid.of(other)))
    with pytest.raises(ValueError, match="only one of them has x, y"):
        profile(one, grid).merge(profile(pl.DataFrame({"y": [1]}), Grid.of(pl.DataFrame({"y": [1]}))))
    with pytest.raises(ValueError, match="no column x to profile; there are y"):
        profile(pl.DataFrame({"y": [1]}), grid)
    with pytest.raises(TypeError, match="'x' is String, and was a number in the grid's reference"):
        profile(pl.DataFrame({"x": ["1"]}), grid)
    with pytest.raises(TypeError, match="'x' is List"):
        Grid.of(pl.DataFrame({"x": [[1]]}))
    with pytest.raises(ValueError, match="quantiles: 1 is not between 2 and 150"):
        Grid.of(one, quantiles=1)
    with pytest.raises(ValueError, match="private: y is no column"):
        Grid.of(one, private={"y"})
    with pytest.raises(ValueError, match="later version"):
        column_from_bytes(b"\x09" + column_to_bytes(profile(one, grid).columns["x"])[1:])
    with pytest.raises(ValueError, match="no profile"):
        column_from_bytes(b"")


def test_the_largest_numbers_merge():
    grid = Grid.of(pl.DataFrame({"x": [0.0, 1.0]}))
    parts = [profile(pl.DataFrame({"x": values}), grid).columns["x"] for values in ([1e300, 2e300], [-1e300])]
    merged = parts[0].merge(parts[1])
    assert (merged.low, merged.high, merged.rows) == (-1e300, 2e300, 3)
    assert merged.moments.mean == pytest.approx(2e300 / 3)
    assert merged.moments.skewness is merged.moments.kurtosis is None


def test_the_grid_is_the_same_whichever_zero_comes_first():
    grids = [Grid.of(pl.DataFrame({"x": values})).columns["x"] for values in ([0.0, -0.0, 1.0], [-0.0, 0.0, 1.0])]
    assert grids[0].digest == grids[1].digest
