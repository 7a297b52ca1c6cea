from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from ml_assets.monitoring.performance.realised import realise_performance
from ml_assets.monitoring.spec import MonitoringSpec
from ml_assets.training.evaluation.baseline import score_baseline
from ml_assets.training.evaluation.evaluate import evaluate, measure_slices, read_interval
from ml_assets.training.evaluation.seasonal import (
    Seasons,
    add_naive,
    add_naive_error,
    naive_errors,
    scale_as_reference,
)
from ml_assets.training.promotion.comparison import compare_on_same_rows
from ml_assets.training.spec import EvaluationSpec, ModelSpec
from ml_assets.training.splits import split_for_model
from ml_assets.training.tasks.columns import NAIVE, NAIVE_ERROR

START, DAY = datetime(2024, 1, 1, tzinfo=UTC), timedelta(days=1)
MOMENT = pl.Datetime("us", "UTC")


def seasons(length=7, **changes):
    declared = {"series": ("shop",), "time": "at", "moment": "target_at", "label": "units", "known_at": "known_at"}
    return Seasons(**(declared | changes), length=timedelta(days=length))


def rows_of(rows):
    """Rows of (shop, day, days ahead, days until the label is known, units)."""
    return pl.DataFrame(
        [
            {
                "shop": shop,
                "at": START + day * DAY,
                "target_at": START + (day + ahead) * DAY,
                "known_at": START + (day + ahead + delay) * DAY,
                "units": units,
            }
            for shop, day, ahead, delay, units in rows
        ],
        schema={"shop": pl.String, "at": MOMENT, "target_at": MOMENT, "known_at": MOMENT, "units": pl.Float64},
    )


def one_by_one(frame, length):
    """Look every row's forecast up by hand, row by row."""
    labels = {}
    for row in frame.drop_nulls(["shop", "units"]).sort("known_at").iter_rows(named=True):
        labels.setdefault((row["shop"], row["target_at"]), (row["units"], row["known_at"]))
    forecasts = []
    for row in frame.iter_rows(named=True):
        ago, value = timedelta(days=length), None
        while value is None and ago <= timedelta(days=400):
            units, known = labels.get((row["shop"], row["target_at"] - ago), (None, None))
            value = units if known is not None and known <= row["at"] else None
            ago += timedelta(days=length)
        forecasts.append(value)
    return forecasts


ROW = st.tuples(
    st.sampled_from(["a", "b", None]),
    st.integers(0, 30),
    st.integers(0, 9),
    st.integers(-2, 3),
    st.one_of(st.none(), st.floats(0, 9, width=16)),
)


@settings(max_examples=80, deadline=None)
@given(st.lists(ROW, min_size=1, max_size=40), st.sampled_from([1, 2, 7]))
def test_the_forecast_is_what_a_search_row_by_row_finds(rows, length):
    # One label per series and moment, whichever rows predict it.
    units = {(shop, day + ahead): value for shop, day, ahead, _, value in rows}
    frame = rows_of([(shop, day, ahead, delay, units[shop, day + ahead]) for shop, day, ahead, delay, _ in rows])
    found = add_naive(frame, seasons(length))
    assert found[NAIVE].to_list() == one_by_one(frame, length)
    assert_frame_equal(found.drop(NAIVE), frame)


def test_beyond_the_season_the_last_known_season_counts():
    history = [("a", day, 1, 0, float(day + 1)) for day in range(40)]
    # On day 30 all days up to 30 are known: 7 days ahead is a season after day 30, 8 and 28 need two and four.
    asked = [("a", 30, ahead, 0, None) for ahead in (7, 8, 28)]
    assert add_naive(rows_of([*history, *asked]), seasons())[NAIVE].tail(3).to_list() == [30.0, 24.0, 30.0]


def test_days_are_counted_on_the_clock_of_the_time_zone():
    # Mondays at six in Paris: 05:00 UTC in winter, 04:00 UTC from 31 March 2024 on.
    mondays = pl.datetime_range(
        datetime(2024, 3, 18, 6), datetime(2024, 4, 8, 6), "1w", time_zone="Europe/Paris", eager=True
    ).dt.convert_time_zone("UTC")
    frame = pl.DataFrame({"at": mondays, "known_at": mondays + DAY, "units": [1.0, 2.0, 3.0, None]})
    assert mondays.dt.hour().to_list() == [5, 5, 4, 4]
    own = seasons(series=(), moment="at")
    assert add_naive(frame, seasons(series=(), moment="at", time_zone="Europe/Paris"))[NAIVE].to_list() == [
        None,
        1.0,
        2.0,
        3.0,
    ]
    assert add_naive(frame, own)[NAIVE].to_list() == [None, 1.0, None, 3.0]


def test_the_scale_of_a_series_is_the_error_of_one_season_before_over_the_training_rows():
    units = {"a": [1, 5, 4, 5, 9, 3], "b": [7, 7, 7, 7, 7, 7], "c": [2]}
    # Two rows predict each moment, one and two days before; a moment counts once.
    rows = rows_of(
        [(shop, day - ahead, ahead, 0, value) for shop, those in units.items() for ahead in (1, 2)
         for day, value in enumerate(those, 2)]
    )  # fmt: skip
    train = rows.filter(pl.col("target_at") < START + 7 * DAY)
    found = naive_errors(train, rows, seasons(2))
    # a: pairs (1, 4), (5, 5), (4, 9); 3 is no training row. b never changes, c has nothing two days before.
    assert found.to_dict(as_series=False) == {"shop": ["a"], NAIVE_ERROR: [pytest.approx(((9 + 0 + 25) / 3) ** 0.5)]}
    joined = add_naive_error(rows, found)
    assert_frame_equal(joined.drop(NAIVE_ERROR), rows)
    assert joined.filter(pl.col("shop") != "a")[NAIVE_ERROR].is_null().all()


def test_without_series_all_rows_are_one():
    rows = rows_of([("a", day, 1, 0, float(day % 3)) for day in range(10)])
    own = seasons(3, series=())
    assert naive_errors(rows, rows, own).is_empty()
    assert add_naive_error(rows, naive_errors(rows, rows, own))[NAIVE_ERROR].null_count() == 10
    assert naive_errors(rows, rows, seasons(9, series=())).is_empty()
    apart = add_naive_error(rows, naive_errors(rows, rows, seasons(1, series=())))
    # From day to day +1, +1, -2 and so on, three of each in nine differences.
    assert apart[NAIVE_ERROR].unique().to_list() == [pytest.approx(2**0.5)]


def test_a_column_that_is_missing_or_taken_is_named():
    rows = rows_of([("a", 0, 1, 0, 1.0)])
    with pytest.raises(ValueError, match=r"baseline\.series names \['item'\]"):
        add_naive(rows, seasons(series=("shop", "item")))
    with pytest.raises(ValueError, match=f"'{NAIVE}'.* another name"):
        add_naive(rows.with_columns(pl.lit(1.0).alias(NAIVE)), seasons())


# In a model's split, evaluation and promotion

DECLARATION = {
    "name": "units",
    "description": "Units sold.",
    "task": "regression",
    "spine": {"table": "t", "key": ["shop"], "time": "at"},
    "label": {"column": "units", "known_at": "known_at"},
    "features": ["f"],
    "slices": ["shop"],
    "split": {"validation": "14d", "holdout": "21d", "gap": "2d", "min_rows": 10},
    "baseline": {"seasonal": "7d"},
}


def declare(**changes):
    return ModelSpec(**(DECLARATION | changes))


@pytest.fixture(scope="module")
def weekly():
    """Two shops with a week's rhythm, one ten times as large; the label is known a day and an hour later."""
    rng = np.random.default_rng(4)
    days = np.arange(120)
    return pl.concat(
        pl.DataFrame(
            {
                "shop": shop,
                "at": pl.Series([START + int(day) * DAY for day in days], dtype=MOMENT),
                "units": size * (10 + 5 * (days % 7 == 5) + rng.normal(0, 1, 120)),
            }
        ).with_columns(known_at=pl.col("at") + timedelta(hours=25))
        for shop, size in (("small", 1.0), ("large", 10.0))
    )


def test_a_split_carries_forecast_and_scale_of_what_was_known(weekly):
    spec, as_of = declare(), START + 118 * DAY
    split = split_for_model(weekly, spec, as_of)
    by_hand = one_by_one(weekly.with_columns(target_at=pl.col("at")), 7)
    values = {(s, at): v for (s, at), v in zip(weekly.select("shop", "at").iter_rows(), by_hand, strict=True)}
    for part in (split.train, split.validation, split.holdout):
        assert part[NAIVE].to_list() == [values[key] for key in part.select("shop", "at").iter_rows()]
    for shop in ("small", "large"):
        units = split.train.filter(shop=shop).sort("at")["units"].to_numpy()
        expected = np.sqrt(np.mean((units[7:] - units[:-7]) ** 2))
        for part in (split.train, split.holdout):
            assert part.filter(shop=shop)[NAIVE_ERROR].unique().to_list() == [pytest.approx(expected)]
    assert split.without_season == {f"holdout_without_{NAIVE}": 0, f"holdout_without_{NAIVE_ERROR}": 0}
    assert split_for_model(weekly, declare(baseline={}), as_of).without_season == {}


def test_nothing_that_was_not_known_at_a_row_changes_its_forecast(weekly):
    spec = declare()
    early, late = START + 90 * DAY, START + 118 * DAY
    before = split_for_model(weekly.filter(pl.col("at") < early), spec, early).holdout
    shaken = weekly.with_columns(pl.when(pl.col("known_at") <= early).then("units").otherwise(-1000.0).alias("units"))
    after = add_naive(shaken, Seasons.of(spec)).join(before.select("shop", "at"), on=["shop", "at"], how="semi")
    assert after.sort("at", "shop")[NAIVE].to_list() == before.sort("at", "shop")[NAIVE].to_list()
    assert late > early


def test_model_and_naive_forecast_are_measured_in_errors_of_each_series(weekly):
    spec = declare()
    split = split_for_model(weekly, spec, START + 118 * DAY)
    holdout, units = split.holdout, split.holdout["units"].to_numpy()
    score = units + np.where(holdout["shop"] == "large", 3.0, -0.5)
    naive = score_baseline(split.train, holdout, spec, None)
    assert naive.tolist() == holdout[NAIVE].to_list()
    found = evaluate(
        holdout, score, naive, label="units", time="at", threshold=None, slices=spec.slices,
        evaluation=EvaluationSpec(resamples=100), seed=0, task="regression", metrics=spec.extra_metrics,
    )  # fmt: skip
    scale = holdout[NAIVE_ERROR].to_numpy()
    assert read_interval(found.metrics, "model", "rmsse").estimate == pytest.approx(
        np.sqrt(np.mean(((score - units) / scale) ** 2))
    )
    assert read_interval(found.metrics, "baseline", "rmsse").estimate == pytest.approx(
        np.sqrt(np.mean(((naive - units) / scale) ** 2))
    )
    assert read_interval(found.metrics, "model", "wape").estimate == pytest.approx(
        np.abs(score - units).sum() / units.sum()
    )
    assert read_interval(found.metrics, "improvement", "rmsse").low > 0
    large = found.slices.filter(value="large").row(0, named=True)
    of_large = holdout.filter(shop="large")
    assert large["mae"] == pytest.approx(3)
    assert large["wape"] == pytest.approx(3 * of_large.height / of_large["units"].sum())
    assert large["rmsse"] == pytest.approx(3 / of_large[NAIVE_ERROR][0])


def test_in_production_errors_are_scaled_as_they_were_at_the_training(weekly):
    spec = declare()
    split = split_for_model(weekly, spec, START + 90 * DAY)
    later = weekly.filter(pl.col("at") >= START + 95 * DAY).with_columns(
        score=pl.col("units") + 2.0, prediction=pl.col("units") + 2.0
    )
    unseen = later.filter(shop="small").with_columns(shop=pl.lit("new"), prediction=0.0)
    rows = scale_as_reference(pl.concat([later, unseen]), split.holdout, spec)
    found = realise_performance(
        rows, probability="score", prediction="prediction", label="units", time="at", task="regression",
        spec=MonitoringSpec(chunk="400d"), more=spec.extra_metrics,
    ).filter(scope="period")  # fmt: skip
    values = dict(found.select("metric", "value").iter_rows())
    scales = [split.train.filter(shop=shop)[NAIVE_ERROR][0] for shop in ("small", "large")]
    # As many rows of each of the two series; those of the third have no scale.
    assert values["rmsse"] == pytest.approx(np.sqrt(np.mean([(2 / scale) ** 2 for scale in scales])))
    assert values["wape"] == pytest.approx(
        (2 * later.height + unseen["units"].sum()) / (later["units"].sum() + unseen["units"].sum())
    )
    older = split.holdout.drop(NAIVE_ERROR)
    assert scale_as_reference(later, older, spec).columns == later.columns


@pytest.mark.parametrize(
    ("series", "scale"),
    [
        (["shop", "item"], [1.0, 5.0, None]),
        (["shop"], [None, None, None]),  # two items of one shop, each with its own scale
        (["item"], [1.0, 5.0, None]),
        (["item", "size"], [None, None, None]),
        ([], [None, None, None]),
    ],
)
def test_where_series_are_no_longer_those_of_the_training_the_scale_is_unknown(series, scale):
    spine = DECLARATION["spine"] | {"columns": ["item", "size"]}
    spec = declare(spine=spine, baseline={"seasonal": "7d", "series": series or ["shop"]})
    if not series:
        spec = declare(spine=spine | {"key": ["at"]}, slices=[])
        assert Seasons.of(spec).series == ()
    reference = pl.DataFrame({"shop": ["a", "a", "a"], "item": [1, 1, 2], NAIVE_ERROR: [1.0, 1.0, 5.0]})
    rows = pl.DataFrame({"shop": ["a", "a", "b"], "item": [1, 2, 3], "size": [1, 1, 1]})
    found = scale_as_reference(rows, reference, spec)
    assert found.drop(NAIVE_ERROR).equals(rows)
    assert found[NAIVE_ERROR].to_list() == scale


def test_a_season_declared_after_the_training_set_was_stored_says_to_materialize_it_again(weekly):
    split = split_for_model(weekly, declare(baseline={}), START + 118 * DAY)
    with pytest.raises(ValueError, match=r"baseline\.seasonal: .* materialize the training set again"):
        score_baseline(split.train, split.holdout, declare(), None)


def test_a_challenger_replaces_the_champion_by_the_scaled_error(weekly):
    spec = declare(promotion={"metric": "rmsse"})
    holdout = split_for_model(weekly, spec, START + 118 * DAY).holdout
    units, scale = holdout["units"].to_numpy(), holdout[NAIVE_ERROR].to_numpy()
    found = compare_on_same_rows(
        units, units + 0.5 * scale, units + scale, promotion=spec.promotion, seed=0, task="regression", rows=holdout
    )
    assert (found.estimate, found.low, found.high) == pytest.approx((0.5, 0.5, 0.5))


def test_rows_without_an_earlier_season_get_the_usual_value_and_are_counted(weekly):
    spec, as_of = declare(promotion={"metric": "mae"}), START + 118 * DAY
    opened = weekly.filter((pl.col("shop") == "large") | (pl.col("at") >= START + 100 * DAY))
    split = split_for_model(opened, spec, as_of)
    naive = score_baseline(split.train, split.holdout, spec, None)
    new = split.holdout[NAIVE].is_null().to_numpy()
    assert 0 < new.sum() < split.holdout.height
    assert set(naive[new]) == {split.train["units"].median()}
    assert split.without_season[f"holdout_without_{NAIVE}"] == new.sum()
    assert split.without_season[f"holdout_without_{NAIVE_ERROR}"] == split.holdout.filter(shop="small").height


def test_a_season_after_which_no_row_comes_again_is_refused(weekly):
    spec = declare(baseline={"seasonal": "7d", "series": ["shop", "at"]})
    split = split_for_model(weekly, spec, START + 118 * DAY)
    with pytest.raises(ValueError, match=r"baseline\.seasonal: none of \d+ rows has a label of its series"):
        score_baseline(split.train, split.holdout, spec, None)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"baseline": {"seasonal": "weekly"}}, "'weekly' is no duration"),
        ({"baseline": {}, "floors": {"rmsse": 1.0}}, r"baseline\.seasonal: is missing, and rmsse"),
        ({"baseline": {}, "evaluation": {"metrics": ["rmsse"]}}, r"baseline\.seasonal: is missing, and rmsse"),
        ({"baseline": {"series": ["shop"]}}, r"baseline\.series: belongs to baseline\.seasonal"),
        ({"evaluation": {"metrics": ["roc_auc"]}}, r"evaluation\.metrics: roc_auc does not fit"),
        ({"task": "binary", "metric": "roc_auc"}, r"baseline\.seasonal: is for the task regression"),
    ],
)
def test_a_wrong_declaration_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        declare(**changes)


def test_forecasts_are_measured_by_wape_and_rmsse():
    assert declare().extra_metrics == ["wape", "rmsse"]
    assert declare(baseline={}).extra_metrics == []
    assert declare(baseline={}, evaluation={"metrics": ["wape", "mae"]}).extra_metrics == ["wape"]


def test_a_season_of_rows_that_look_ahead_is_counted_from_the_moment_they_look_ahead_to():
    spine = {"table": "t", "key": ["shop", "at", "horizon"], "time": "at", "horizons": ["1d", "9d"]}
    found = Seasons.of(declare(spine=spine | {"time_zone": "Europe/Paris"}))
    assert found == seasons(moment="target_at", time_zone="Europe/Paris")
    rows = rows_of([("a", day, ahead, 0, float(day + ahead)) for ahead in (1, 9) for day in range(30)])
    naive = add_naive(rows, seasons())
    # One day ahead a week earlier is known, nine days ahead two weeks earlier.
    last = naive.filter(pl.col("at") == START + 29 * DAY).sort("target_at")
    assert last.select("units", NAIVE).rows() == [(30.0, 23.0), (38.0, 24.0)]


def test_slices_by_horizon_are_named_and_ordered_by_its_length():
    days = [28, 1, 7, 1]
    frame = pl.DataFrame({"horizon": [day * 86_400 for day in days], "units": [1.0, 2.0, 3.0, 6.0]})
    frame = frame.with_columns(pl.Series(NAIVE_ERROR, [2.0, 1.0, None, 2.0]))
    about = {"label": "units", "slices": ["horizon"], "task": "regression"}
    found = measure_slices(frame, np.array([2.0, 4.0, 3.0, 5.0]), **about, horizon="horizon")
    assert found.select("slice", "value", "rows", "mae", "wape", "rmsse").rows() == [
        ("horizon", "1d", 2, 1.5, 3 / 8, pytest.approx(((4 + 0.25) / 2) ** 0.5)),
        ("horizon", "7d", 1, 0.0, 0.0, None),
        ("horizon", "28d", 1, 1.0, 1.0, 0.5),
    ]


def test_a_slice_that_is_called_horizon_in_rows_that_look_nowhere_is_one_like_any_other():
    frame = pl.DataFrame({"horizon": [12, 36, 12], "units": [1.0, 2.0, 3.0]})
    found = measure_slices(frame, np.ones(3), label="units", slices=["horizon"], task="regression")
    assert found.select("value", "rows").rows() == [("12", 2), ("36", 1)]
