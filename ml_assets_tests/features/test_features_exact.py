import math
from datetime import UTC, datetime, timedelta
from fractions import Fraction

import numpy as np
import polars as pl
import pytest

from ml_assets.features.engine.compute import compute_features
from ml_assets.features.engine.windows import exact
from ml_assets.features.engine.windows.extremes import range_extremes
from ml_assets.features.spec import FeatureViewSpec

START = datetime(2024, 1, 1, tzinfo=UTC)


def total(limbs: exact.Limbs, row: int) -> Fraction:
    return sum(
        (Fraction(int(limb[row])) * Fraction(2) ** (exact.BITS * place) for place, limb in limbs.items()),
        Fraction(),
    )


COLUMNS = {
    "whole": np.array([0, 1, -1, 1300, -57, 2**29]),
    "large whole": np.array([2**62, -(2**62), -1, 2**30, -(2**30), np.iinfo(np.int64).min, np.iinfo(np.int64).max]),
    "tenths": np.array([0.1, -0.2, 0.3, 1e9 + 0.1, -1e-9, 0.0]),
    "far apart": np.array([1e300, -1e-300, 5e-324, 1.0, -1e17, 0.0]),
    "nothing": np.array([0.0, -0.0]),
    "empty": np.array([]),
}


@pytest.mark.parametrize("name", COLUMNS)
def test_limbs_hold_values_and_squares_exactly(name):
    column = COLUMNS[name]
    limbs = exact.split(column)
    squares = exact.square(limbs)
    for row, value in enumerate(column.tolist()):
        assert total(limbs, row) == Fraction(value)
        assert total(squares, row) == Fraction(value) ** 2


@pytest.mark.parametrize("name", ["whole", "large whole", "tenths", "far apart", "nothing"])
def test_differences_of_prefix_sums_are_exact_and_rounded_once(name):
    column = COLUMNS[name]
    start, end = (edge.ravel() for edge in np.triu_indices(column.size + 1))
    sums = exact.between(exact.prefix_sums(exact.split(column)), start, end)
    mantissa, place = exact.to_float(sums, start.size)
    for row, (low, high) in enumerate(zip(start, end, strict=True)):
        expected = sum(map(Fraction, column[low:high].tolist()), Fraction())
        assert total(sums, row) == expected
        if abs(expected) > Fraction(10) ** -290:
            assert np.ldexp(mantissa[row], exact.BITS * place) == pytest.approx(float(expected), rel=4e-16, abs=0)


def test_whole_sums_come_back_as_integers():
    values = np.array([2**62, -(2**62), -1, 2**61, -5, 7])
    sums = exact.between(
        exact.prefix_sums(exact.split(values)), np.array([0, 0, 2, 4, 5, 3]), np.array([2, 3, 5, 6, 5, 4])
    )
    assert exact.to_int(sums, 6).tolist() == [0, -1, 2**61 - 6, 2, 0, 2**61]


def test_a_whole_sum_beyond_int64_is_refused():
    sums = exact.between(exact.prefix_sums(exact.split(np.array([2**62, 2**62]))), np.array([0]), np.array([2]))
    with pytest.raises(OverflowError):
        exact.to_int(sums, 1)


@pytest.mark.parametrize("pick", [np.minimum, np.maximum])
def test_range_extremes_of_every_range(pick):
    values = np.random.default_rng(3).integers(-50, 50, 70)
    start, end = (edge.ravel() for edge in np.triu_indices(71, k=1))
    expected = [pick.reduce(values[low:high]) for low, high in zip(start, end, strict=True)]
    assert range_extremes(values, start, end, pick).tolist() == expected


def windows(values: np.ndarray, length: int) -> pl.DataFrame:
    """Features at every row of one entity, a row a minute, over windows of `length` rows."""
    times = pl.Series([START + timedelta(minutes=i) for i in range(values.size)], dtype=pl.Datetime("us", "UTC"))
    events = pl.DataFrame({"at": times, "x": values})
    functions = ["mean", "sum", "std"]
    spec = FeatureViewSpec(
        name="v",
        description="d",
        table="t",
        known_at="at",
        windows=[f"{length}m"],
        aggregates={"x": {"of": "x", "functions": functions}},
    )
    found = compute_features(spec, pl.DataFrame({"due": times}), events, time="due")
    return found.select(pl.col(f"x_{f}_{length}m").alias(f) for f in functions)


def exact_std(window: list[float]) -> float:
    seen = [Fraction(value) for value in window]
    mean = sum(seen) / len(seen)
    return math.sqrt(sum((value - mean) ** 2 for value in seen) / (len(seen) - 1))


rng = np.random.default_rng(11)
HARD_COLUMNS = {
    "noise on a large offset": 1e9 + rng.normal(size=20_000),
    "tiny noise on a huge offset": 1e15 + rng.integers(0, 3, 20_000),
    "huge values early, small ones later": np.concatenate([rng.normal(size=10_000) * 1e18, rng.normal(size=10_000)]),
    "sums that cancel": rng.normal(size=20_000) * np.tile([1.0, 1e12], 10_000),
    "tenths": np.round(rng.normal(size=20_000), 1),
    "extreme magnitudes": rng.normal(size=20_000) * 10.0 ** rng.integers(-100, 100, 20_000),
}


@pytest.mark.parametrize("name", HARD_COLUMNS)
def test_long_columns_lose_no_digits(name):
    values, length = HARD_COLUMNS[name], 250
    found = windows(values, length)
    for row in [*range(1, 20_000, 397), 19_999]:
        window = values[max(0, row + 1 - length) : row + 1].tolist()
        assert found["sum"][row] == pytest.approx(math.fsum(window), rel=1e-15, abs=0)
        assert found["mean"][row] == pytest.approx(math.fsum(window) / len(window), rel=1e-15, abs=0)
        assert found["std"][row] == pytest.approx(exact_std(window), rel=1e-14, abs=0)


def test_equal_values_have_no_spread():
    assert windows(np.full(500, 0.1), 40)["std"].to_list()[1:] == [0.0] * 499


def test_one_unit_in_the_last_place_is_a_spread():
    values = np.full(50, 0.1)
    values[25] = np.nextafter(0.1, 1)
    assert windows(values, 50)["std"][49] == pytest.approx(exact_std(values.tolist()), rel=1e-14, abs=0)
