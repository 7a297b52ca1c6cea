from math import log

import numpy as np
import polars as pl
import pytest

from ml_assets.monitoring.drift.statistics.psi import measure_psi, quantile_breaks
from ml_assets.monitoring.inputs import Features

FLOOR = 1e-4


def psi(reference, analysis, by=None, bins=2) -> list[float]:
    """PSI of one feature per value of ``by``, the one of all rows last."""
    column = pl.Series("x", reference)
    numeric = column.dtype.is_numeric()
    features = Features(numeric=("x",) if numeric else (), text=() if numeric else ("x",))
    kind = pl.Float64 if numeric else pl.String
    result = measure_psi(
        pl.DataFrame({"x": column.cast(kind)}),
        pl.DataFrame({"x": pl.Series(analysis, dtype=kind), "by": by or [0] * len(analysis)}),
        features=features,
        by="by",
        bins=bins,
        floor=FLOOR,
    )
    assert result.columns == ["by", "feature", "value"]
    return result.sort("by", nulls_last=True)["value"].to_list()


def by_hand(*pairs: tuple[float, float]) -> float:
    return sum((a - r) * log(a / r) for r, a in pairs)


def test_two_bins_by_hand():
    # The median of 1..10 is 5: half of the reference is at most 5, a quarter of the analysis is.
    found = psi(list(range(1, 11)), [1, 2, 6, 7, 8, 9, 10, 10])
    assert found == pytest.approx([0.25 * log(3)] * 2)


def test_categories_are_bins_and_an_unseen_one_meets_the_floor():
    found = psi(["a"] * 6 + ["b"] * 4, ["a"] * 3 + ["b"] * 2 + ["c"] * 5)
    assert found[0] == pytest.approx(by_hand((0.6, 0.3), (0.4, 0.2), (FLOOR, 0.5)))


def test_a_category_that_vanishes_meets_the_floor():
    found = psi(["a"] * 5 + ["b"] * 5, ["a"] * 4)
    assert found[0] == pytest.approx(by_hand((0.5, 1.0), (0.5, FLOOR)))


@pytest.mark.parametrize(
    ("reference", "analysis"),
    [([1.0, 1.0, 2.0, 2.0, None], [1.0, 2.0, None, None]), (["1", "1", "2", "2", None], ["1", "2", None, None])],
)
def test_nulls_are_a_bin_of_their_own(reference, analysis):
    assert psi(reference, analysis)[0] == pytest.approx(by_hand((0.4, 0.25), (0.4, 0.25), (0.2, 0.5)))


def test_a_text_feature_may_have_a_category_called_null():
    found = psi(["null", "null", None, None], ["null", "null", "null", None])
    assert found[0] == pytest.approx(by_hand((0.5, 0.75), (0.5, 0.25)))


@pytest.mark.parametrize("sign", [1, -1])
def test_a_value_that_fills_most_of_the_reference_is_a_bin_of_its_own(sign):
    reference = [sign * value for value in [10.0] * 95 + [1.0, 2.0, 3.0, 4.0, 5.0]]
    analysis = [sign * value for value in [10.0] * 60 + [1.0] * 40]
    assert psi(reference, analysis, bins=10)[0] == pytest.approx(by_hand((0.95, 0.6), (0.05, 0.4)))


def test_a_constant_feature_that_starts_to_vary_shows():
    found = psi([3.0] * 50, [3.0] * 25 + [4.0] * 25, bins=10)
    assert found[0] == pytest.approx(by_hand((1.0, 0.5), (FLOOR, 0.5)))


def test_a_feature_without_reference_values_compares_its_nulls():
    found = measure_psi(
        pl.DataFrame({"x": pl.Series([None] * 4, dtype=pl.Float64)}),
        pl.DataFrame({"x": [None, None, 1.0, 2.0], "by": [0] * 4}),
        features=Features(numeric=("x",), text=()),
        by="by",
        bins=10,
        floor=FLOOR,
    )
    assert found["value"].to_list() == pytest.approx([by_hand((1.0, 0.5), (FLOOR, 0.5))] * 2)


def test_chunks_are_measured_apart_and_together():
    found = psi(["a", "b"], ["a", "a", "a", "b", "c", "a", "b", "b"], by=[0, 0, 0, 0, 1, 2, 2, 2])
    assert found == pytest.approx(
        [
            by_hand((0.5, 0.75), (0.5, 0.25)),
            by_hand((0.5, FLOOR), (0.5, FLOOR), (FLOOR, 1.0)),
            by_hand((0.5, 1 / 3), (0.5, 2 / 3)),
            by_hand((0.5, 4 / 8), (0.5, 3 / 8), (FLOOR, 1 / 8)),
        ]
    )


def test_quantile_breaks_are_the_inverse_distribution():
    values = np.random.default_rng(1).normal(size=997)
    expected = np.quantile(values, np.arange(1, 10) / 10, method="inverted_cdf")
    assert quantile_breaks(pl.Series(values), 10) == pytest.approx(expected.tolist(), abs=0)


@pytest.mark.parametrize("seed", range(3))
def test_many_features_agree_with_a_plain_loop(seed):
    generator = np.random.default_rng(seed)
    reference = pl.DataFrame({f"x{i}": generator.normal(size=400) for i in range(5)})
    shifted = {f"x{i}": generator.normal(0.2 * i, 1 + 0.1 * i, size=300) for i in range(5)}
    analysis = pl.DataFrame(shifted).with_columns(by=pl.Series(generator.integers(0, 3, 300)))
    found = measure_psi(
        reference, analysis, features=Features(tuple(reference.columns), ()), by="by", bins=10, floor=FLOOR
    )
    assert found.height == 5 * 4
    for by, feature, value in found.iter_rows():
        edges = np.quantile(reference[feature], np.arange(1, 10) / 10, method="inverted_cdf")
        rows = analysis if by is None else analysis.filter(by=by)
        shares = [
            np.maximum(np.bincount(np.digitize(each, edges, right=True), minlength=10) / len(each), FLOOR)
            for each in (reference[feature].to_numpy(), rows[feature].to_numpy())
        ]
        assert value == pytest.approx(by_hand(*zip(*shares, strict=True)))


def test_the_same_rows_have_no_drift():
    values = list(np.random.default_rng(0).gamma(2.0, size=500))
    assert psi(values, values, bins=10) == pytest.approx([0, 0], abs=1e-12)
