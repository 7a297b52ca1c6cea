"""Realised performance of rows that look ahead, horizon by horizon."""

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import mean_absolute_error, mean_pinball_loss, roc_auc_score

from ml_assets.monitoring.maturity import MaturitySpec, completeness
from ml_assets.monitoring.performance.realised import realise_performance
from ml_assets.monitoring.performance.table import BY_HORIZON
from ml_assets.monitoring.performance.watch import watch_realised
from ml_assets.monitoring.report.render import render_report
from ml_assets.monitoring.spec import MonitoringSpec
from ml_assets.spines.spec import HORIZON
from ml_assets.training.spec import ModelSpec
from ml_assets.training.tasks.columns import NAIVE_ERROR

START, DAY = datetime(2024, 3, 1, tzinfo=UTC), 86_400
COLUMNS = {"probability": "score", "prediction": "prediction", "label": "units", "time": "at"}
SPEC = MonitoringSpec(min_chunk_rows=10, ceilings={"mae": 0.01}, labels={"matured": 0.5})


def forecasts() -> pl.DataFrame:
    """Return thirty days of forecasts, one, seven and 28 days ahead, whose labels are known by the end of March."""
    rng, days = np.random.default_rng(4), 30
    ahead = np.tile([1, 7, 28], days * 4)
    day = np.repeat(np.arange(days), 12)
    units = rng.uniform(5, 50, ahead.size)
    score = units + rng.normal(size=ahead.size) * ahead
    return pl.DataFrame(
        {
            "at": [START + timedelta(days=int(each)) for each in day],
            HORIZON: ahead * DAY,
            "score": score,
            "prediction": score,
            "units": np.where(day + ahead < days, units, np.nan),
            NAIVE_ERROR: rng.uniform(2, 9, ahead.size),
        }
    ).with_columns(pl.col("units").fill_nan(None))


def realised(rows: pl.DataFrame, **options) -> pl.DataFrame:
    options = {"task": "regression", "more": ["wape", "rmsse", "pinball_0.9"], "horizon": HORIZON} | options
    return realise_performance(rows, **COLUMNS, spec=SPEC, **options)


def test_every_horizon_is_measured_by_itself():
    rows, found = forecasts(), realised(forecasts())
    by_horizon = found.filter(scope=BY_HORIZON)
    assert by_horizon[HORIZON].unique().sort().to_list() == [DAY, 7 * DAY, 28 * DAY]
    assert by_horizon["metric"].unique().sort().to_list() == ["mae", "pinball_0.9", "r2", "rmse", "rmsse", "wape"]
    for horizon in (DAY, 7 * DAY, 28 * DAY):
        own = rows.filter(pl.col(HORIZON) == horizon)
        known = own.drop_nulls("units")
        label, score, scale = (known[name].to_numpy() for name in ("units", "score", NAIVE_ERROR))
        values = dict(by_horizon.filter(pl.col(HORIZON) == horizon).select("metric", "value").iter_rows())
        assert values["mae"] == pytest.approx(mean_absolute_error(label, score))
        assert values["pinball_0.9"] == pytest.approx(mean_pinball_loss(label, score, alpha=0.9))
        assert values["wape"] == pytest.approx(np.abs(label - score).sum() / label.sum())
        assert values["rmsse"] == pytest.approx(np.sqrt(np.mean(((label - score) / scale) ** 2)))
        row = by_horizon.filter(pl.col(HORIZON) == horizon).row(0, named=True)
        assert (row["rows"], row["missing"]) == (known.height, own.height - known.height)
        assert row["known_share"] == pytest.approx(known.height / own.height)
        assert (row["threshold"], row["alert"]) == (None, False)
    # A day ahead nearly all labels are there, 28 days ahead nearly none: together they are the period's.
    period = found.filter(scope="period", metric="mae").row(0, named=True)
    assert period["alert"]
    counts = by_horizon.filter(metric="mae")
    assert (period["rows"], period["missing"]) == (counts["rows"].sum(), counts["missing"].sum())


def test_chunks_and_the_period_are_what_they_are_without_horizons():
    rows = forecasts()
    of_all = realised(rows).filter(pl.col("scope") != BY_HORIZON)
    assert of_all.equals(realised(rows.drop(HORIZON), horizon=None))


def test_a_horizon_without_labels_is_counted_and_one_alone_is_the_period():
    early = forecasts().with_columns(units=pl.when(pl.col(HORIZON) < 28 * DAY).then("units"))
    row = realised(early).filter(pl.col(HORIZON) == 28 * DAY, metric="rmsse").row(0, named=True)
    assert (row["rows"], row["missing"], row["value"]) == (0, 120, None)
    alone = forecasts().filter(pl.col(HORIZON) == DAY)
    assert realised(alone)["scope"].unique().sort().to_list() == ["chunk", "period"]


def test_a_drop_is_complete_by_its_chunks_not_by_its_horizons():
    measures = realised(forecasts()).with_columns(drop=pl.lit("2024-03"))
    spec = MaturitySpec(complete=0.1, matured=0.05)
    own = measures.filter(pl.col("scope") != BY_HORIZON)
    assert completeness(measures, "drop", spec, 10).equals(completeness(own, "drop", spec, 10))


def test_a_yes_or_no_at_several_horizons_is_measured_too():
    rng = np.random.default_rng(1)
    score = rng.random(600)
    rows = pl.DataFrame(
        {
            "at": [START + timedelta(hours=int(hour)) for hour in np.arange(600) // 2],
            HORIZON: np.tile([3_600, 7_200], 300),
            "score": score,
            "prediction": score > 0.5,
            "units": rng.random(600) < score,
        }
    )
    found = realised(rows, task="binary", more=[]).filter(scope=BY_HORIZON, metric="roc_auc")
    for horizon, value in found.select(HORIZON, "value").iter_rows():
        own = rows.filter(pl.col(HORIZON) == horizon)
        assert value == pytest.approx(roc_auc_score(own["units"], own["score"]))


def test_the_page_of_a_drop_shows_its_horizons():
    found = realised(forecasts())
    drift = pl.DataFrame(
        {
            "chunk_start": [START], "chunk_end": [START], "rows": [1], "scope": ["period"], "feature": ["day"],
            "method": ["psi"], "value": [0.0], "threshold": [0.2], "alert": [False],
        }
    )  # fmt: skip
    about = {"model": "demand", "version": "1", "period": "2024-03", "drift": drift, "spec": SPEC, "plots": {}}
    page = render_report(performance=found, **about)
    table = page.split("By horizon, realised")[1].split("</table>")[0]
    assert [length in table for length in ("<td>1d</td>", "<td>7d</td>", "<td>28d</td>")] == [True] * 3
    mae = found.filter(pl.col(HORIZON) == 7 * DAY, metric="mae")["value"].item()
    assert f"{mae:,.3f}" in table
    assert "By horizon" not in render_report(performance=found.filter(pl.col("scope") != BY_HORIZON), **about)


def model(label: str = "units", **spine) -> ModelSpec:
    declared = {
        "name": "demand", "description": "d", "task": "regression", "features": ["view"],
        "spine": {"table": "rows", "key": ["id"], "time": "at"} | spine,
        "label": {"column": label, "known_at": "known_at"},
        "split": {"validation": "9d", "holdout": "9d", "gap": "1d"},
    }  # fmt: skip
    return ModelSpec.model_validate(declared)


@pytest.mark.parametrize(
    "feature",
    [
        pl.Series(HORIZON, ["short", "long", None] * 120),
        pl.Series(HORIZON, np.linspace(0, 36, 360)),
        pl.Series(HORIZON, [12, 24, 36] * 120),
    ],
    ids=["text", "float", "integer"],
)
def test_a_feature_that_is_called_horizon_is_one_like_any_other(feature):
    rows = forecasts().drop(HORIZON)
    expected = watch_realised(rows, rows, model=model(), spec=SPEC)
    found = watch_realised(rows, rows.with_columns(feature), model=model(), spec=SPEC)
    assert found.equals(expected)
    assert found["scope"].unique().sort().to_list() == ["chunk", "period"]


def test_a_label_that_is_called_horizon_is_measured():
    rows = forecasts().drop(HORIZON)
    expected = watch_realised(rows, rows, model=model(), spec=SPEC)
    named = rows.rename({"units": HORIZON})
    assert watch_realised(named, named, model=model(HORIZON), spec=SPEC).equals(expected)


def test_rows_of_a_spine_with_horizons_are_measured_by_them():
    found = watch_realised(forecasts(), forecasts(), model=model(horizons=["1d", "7d", "28d"]), spec=SPEC)
    assert found.filter(scope=BY_HORIZON)[HORIZON].unique().sort().to_list() == [DAY, 7 * DAY, 28 * DAY]
