"""How long labels take, seen from a cut-off behind which the long delays of the newest rows are hidden."""

import math
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml_assets.training.evaluation.label_lag import ENOUGH, label_lag
from ml_assets.training.spec import ModelSpec
from ml_assets.training.splits import split_for_model

CUT_OFF = datetime(2024, 6, 1, tzinfo=UTC)
DAY = timedelta(days=1)


def rows_of(ages: list[float], delays: list[float | None]) -> pl.DataFrame:
    """Rows so many days before the cut-off, whose label is known so many days later."""
    at = [CUT_OFF - age * DAY for age in ages]
    known = [None if delay is None else moment + delay * DAY for moment, delay in zip(at, delays, strict=True)]
    return pl.DataFrame({"at": at, "known": known}, schema=dict.fromkeys(["at", "known"], pl.Datetime("us", "UTC")))


def lag(frame: pl.DataFrame, quantile: float = 0.99) -> float | None:
    found = label_lag(frame, time="at", known_at="known", as_of=CUT_OFF, quantile=quantile)
    return None if found is None else found / DAY


def by_definition(ages: list[float], delays: list[float], quantile: float) -> float | None:
    """The shortest delay whose share may reach the quantile, by the product-limit estimate for delays truncated on the
    right and the one-sided 95 % limit of its logarithm, row by row; None where too few rows are old enough."""
    seen = [(age, delay) for age, delay in zip(ages, delays, strict=True) if delay <= age]
    at_risk = {longest: sum(delay <= longest <= age for age, delay in seen) for _, longest in seen}
    solid = [delay for delay, rows in at_risk.items() if rows >= ENOUGH]
    log_share, variance, answer = 0.0, 0.0, None
    for longest in sorted((delay for delay in at_risk if delay <= max(solid, default=-1)), reverse=True):
        if log_share + 1.645 * math.sqrt(variance) >= math.log(quantile) - 1e-12:
            answer = longest
        rows, late = at_risk[longest], sum(delay == longest for _, delay in seen)
        if rows == late:
            break
        log_share += math.log(1 - late / rows)
        variance += late / (rows * (rows - late))
    return answer


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 40), st.integers(0, 30)), min_size=ENOUGH, max_size=4 * ENOUGH),
    st.sampled_from([0.5, 0.9, 0.99]),
)
def test_the_lag_is_the_product_limit_estimate(rows, quantile):
    ages, delays = map(list, zip(*rows, strict=True))
    assert lag(rows_of(ages, delays), quantile) == pytest.approx(by_definition(ages, delays, quantile))


@pytest.mark.parametrize("history", [70, 365])
def test_a_history_little_longer_than_the_lag_shows_the_whole_of_it(history):
    # Delays are even between 0 and 60 days, so 99 % of labels are known within 59.4.
    random = np.random.default_rng(1)
    ages, delays = random.uniform(0, history, 20_000), random.uniform(0, 60, 20_000)
    frame = rows_of(ages.tolist(), delays.tolist())
    assert lag(frame) == pytest.approx(59.4, abs=0.5)
    known = frame.filter(pl.col("known") <= CUT_OFF)
    if history == 70:  # the known delays as they are say much less
        assert known.select((pl.col("known") - pl.col("at")).quantile(0.99)).item() / DAY < 58
        assert known.select((pl.col("known") - pl.col("at")).median()).item() / DAY < 26


@pytest.mark.parametrize("place", [-1, int(5_000 * 0.99), int(5_000 * 0.985), 2_500])
def test_one_late_label_makes_no_lag_wherever_it_stands(place):
    ages, delays = np.linspace(1.5, 300, 5_000), np.ones(5_000)
    delays[place] = ages[place] - 0.1
    assert lag(rows_of(ages.tolist(), delays.tolist())) == 1.0


def test_one_row_far_older_than_the_others_makes_no_lag():
    assert lag(rows_of([300.0, *[10.0] * 199], [299.5, *[1.0] * 199])) == 1.0


@pytest.mark.parametrize(("late", "expected"), [(4, 1.0), (5, 50.0)])
def test_late_labels_make_a_lag_as_soon_as_chance_does_not_explain_them(late, expected):
    # Of 120 rows: 4 - 1.645 * 2 = 0.7 late ones at the least, which is less than 1 %; 5 - 1.645 * 2.24 = 1.3 more.
    assert lag(rows_of([60.0] * 120, [*[50.0] * late, *[1.0] * (120 - late)])) == expected


@pytest.mark.parametrize(("share", "expected"), [(0.02, 60.0), (0.005, 1.0)])
def test_of_a_share_of_late_labels_the_lag_tells_whether_it_is_more_than_one_in_a_hundred(share, expected):
    random = np.random.default_rng(0)
    ages, delays = random.uniform(0, 400, 20_000), np.where(random.random(20_000) < share, 60.0, 1.0)
    assert lag(rows_of(ages.tolist(), delays.tolist())) == expected


def test_labels_that_never_come_or_few_labels_say_nothing():
    assert lag(rows_of([50.0] * 99, [3.0] * 99)) is None
    assert lag(rows_of([50.0] * 110, [*[3.0] * 100, *[None] * 10])) == 3.0
    assert lag(rows_of([1.0] * 200, [3.0] * 200)) is None


MODEL = {
    "name": "m", "description": "Any.", "spine": {"table": "t", "key": ["id"], "time": "at"},
    "label": {"column": "y", "known_at": "known"}, "features": ["view"],
}  # fmt: skip


def model(gap: str) -> ModelSpec:
    split = {"validation": "20d", "holdout": "20d", "gap": gap, "min_rows": 10}
    return ModelSpec.model_validate({**MODEL, "split": split})


@pytest.fixture(scope="module")
def slow_labels():
    """A row every hour for 200 days; its label takes 0.5 to 10 days, in turn."""
    hours = range(200 * 24)
    frame = rows_of([(hour + 1) / 24 for hour in hours], [0.5 * (1 + hour % 20) for hour in hours])
    return frame.with_columns(id=pl.int_range(pl.len()), y=pl.int_range(pl.len()) % 2 == 0)


def test_a_gap_shorter_than_labels_take_is_refused_by_both_numbers(slow_labels):
    with pytest.raises(ValueError, match=r"split\.gap: 9d is shorter than labels take: 99 % .* within 10\.0 days"):
        split_for_model(slow_labels, model("9d"), CUT_OFF)


def test_a_gap_as_long_as_labels_take_leaves_rows_as_new_as_the_lag_allows(slow_labels):
    split = split_for_model(slow_labels, model("10d"), CUT_OFF)
    assert split.holdout["at"].max() == CUT_OFF - 10 * DAY - timedelta(hours=1)
    assert split.dropped["label_too_late"] == 0
    assert split.holdout["known"].max() <= CUT_OFF
