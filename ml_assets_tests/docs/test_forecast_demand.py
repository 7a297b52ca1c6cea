"""The guide to demand, executed as it stands, and what came of it beside forecasts that use nothing of the platform."""

import json
import re
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import holidays
import numpy as np
import polars as pl
import pytest
from sklearn.ensemble import HistGradientBoostingRegressor
from threadpoolctl import threadpool_limits

import ml_assets
from ml_assets.lake import Lake
from ml_assets.retraining.decide import read_decisions
from ml_assets.training.fit import fit_model, predict
from ml_assets.training.kinds.base import DEFAULT_KIND, find_kind
from ml_assets.training.spec import TrainingSpec
from ml_assets_tests.docs.guide import Guide
from ml_assets_tests.peers import find_peers

PROJECT = Path(__file__).parents[2]
GUIDE = Guide(PROJECT / "docs/forecast-demand.md", PROJECT / "ml_assets/defs/demand")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

STATIONS, HORIZONS = 10, (1, 7, 28)
TRAINED_AS_OF = datetime(2016, 2, 1, tzinfo=UTC)
DROPS = ["2016-02", "2016-03"]
COUNTED = date(2016, 3, 31)
"""The last day that has been counted."""
ROW = ["station", "prediction_at", "horizon"]
ZONE = "America/Chicago"
LABEL = "riders_that_day"
COUNTS = {"station": pl.String, "day": pl.Date, "riders": pl.Int64}
MARCH = datetime(2016, 3, 1, 8, tzinfo=UTC), datetime(2016, 3, 30, 12, tzinfo=UTC)
"""Mornings of days that have been counted when the guide ends."""


@pytest.mark.parametrize("number", range(len(GUIDE.blocks("yaml"))))
def test_what_the_guide_shows_is_what_ships(number):
    assert GUIDE.ships(GUIDE.blocks("yaml")[number])


@pytest.fixture(scope="module")
def followed(tmp_path_factory):
    """The folder in which every command of the guide was given, and what each printed."""
    return GUIDE.follow(tmp_path_factory.mktemp("demand"))


@pytest.fixture(scope="module")
def lake(followed):
    return Lake(str(followed[0] / ".ml_assets" / "lake"))


@pytest.fixture(scope="module")
def first(lake):
    """Tables of the first training."""

    def scan(name):
        table = lake.scan(f"station_demand/{name}")
        return table.filter(pl.col("_as_of") == pl.col("_as_of").min())

    return scan


@pytest.fixture(scope="module")
def counts():
    """Riders by station and day."""
    rows = pl.read_csv(GUIDE.declared / "data" / "entries.csv.gz", try_parse_dates=True)
    return {(station, day): riders for station, day, riders in rows.select("station", "day", "riders").iter_rows()}


def with_days(rows):
    """Add the day on which a forecast is made and the day that it is for."""
    made = pl.col("prediction_at").dt.convert_time_zone(ZONE).dt.date().alias("made_on")
    return rows.with_columns(made).with_columns((pl.col("made_on") + pl.duration(seconds="horizon")).alias("day"))


def looked_up(rows, counts, days_before):
    """Return the riders of each row's station that many days before the day that it is for; NaN where none."""
    days = zip(rows["station"], rows["day"], days_before, strict=True)
    return np.array([counts.get((station, day - timedelta(days=int(ago))), np.nan) for station, day, ago in days])


def same_weekday(rows, weeks=1):
    """Return how many days before its day the last counted day of the same weekday lies, ``weeks`` of them back."""
    ahead = (rows["day"] - rows["made_on"]).dt.total_days().to_numpy()
    return (ahead // 7 + 1 + weeks - 1) * 7


def test_every_station_is_forecast_every_morning_for_every_horizon(lake):
    made = with_days(lake.scan("station_days/rows").collect())
    assert made.height == (COUNTED - date(2014, 2, 1) + timedelta(days=1)).days * STATIONS * len(HORIZONS)
    assert made.select(pl.struct(ROW).n_unique()).item() == made.height
    local = made.with_columns(pl.col("prediction_at", "target_at").dt.convert_time_zone(ZONE))
    for column in ("prediction_at", "target_at"):
        assert local[column].dt.time().unique().to_list() == [datetime(1, 1, 1, 3).time()]
    assert (local["target_at"].dt.date() == made["day"]).all()
    assert sorted(made["horizon"].unique()) == [days * 86_400 for days in HORIZONS]


def test_the_label_is_the_count_of_the_day_once_it_is_counted(lake, counts):
    stored = with_days(lake.scan("outcomes/riders_that_day").select(*ROW, "target_at", "^riders_that_day.*$").collect())
    known = stored.filter(pl.col("riders_that_day").is_not_null())
    assert known["riders_that_day"].to_list() == looked_up(known, counts, np.zeros(known.height)).tolist()
    assert (known["riders_that_day_known_at"] - known["target_at"]).unique().to_list() == [timedelta(days=1)]
    # The last day's count settles at three in the morning after, when that drop has come.
    assert known["day"].max() == COUNTED - timedelta(days=1)
    assert known.height == stored.filter(pl.col("day") < COUNTED).height


def test_the_declarations_are_right_and_a_try_beats_the_week_before(followed):
    assert "All component YAML validated successfully" in followed[1]["dg check yaml"]
    model, naive = re.findall(r"rmsse +([\d.]+) +([\d.]+)", followed[1]["ml-assets try station_demand"])[0]
    assert float(model) < float(naive)


@pytest.fixture(scope="module")
def holdout(first, counts):
    """The training rows, and the holdout with the champion's forecast, the naive one and that of trees on lags."""
    rows = with_days(first("training_set").collect())
    train, known = (rows.filter(split=part) for part in ("train", "holdout"))
    # Early stopping would hold out rows by their order, which a scan leaves open.
    trees = HistGradientBoostingRegressor(
        loss="absolute_error", max_iter=100, random_state=0, categorical_features=[0], early_stopping=False
    )
    with threadpool_limits(1):
        trees.fit(lags(train, counts), train["riders_that_day"].to_numpy())
    reference = first("reference").collect()
    holdout = known.join(reference.select(*ROW, "score"), on=ROW, validate="1:1")
    assert holdout.height == reference.height == 56 * STATIONS * len(HORIZONS)
    naive, other = looked_up(holdout, counts, same_weekday(holdout)), trees.predict(lags(holdout, counts))
    return train, holdout.with_columns(naive=pl.Series(naive), script=pl.Series(other))


def lags(rows, counts):
    """Make the features that forecasting libraries make: lags of the same weekday, the last day, and the date."""
    codes = {station: code for code, station in enumerate(sorted({station for station, _ in counts}))}
    ahead = (rows["day"] - rows["made_on"]).dt.total_days().to_numpy()
    columns = [
        rows["station"].replace_strict(codes).to_numpy(),
        ahead,
        rows["day"].dt.weekday().to_numpy(),
        rows["day"].dt.month().to_numpy(),
        rows["day"].dt.ordinal_day().to_numpy(),
        looked_up(rows, counts, ahead + 1),
        looked_up(rows, counts, np.full(rows.height, 364)),
        *(looked_up(rows, counts, same_weekday(rows, weeks)) for weeks in (1, 2, 3, 4)),
    ]
    return np.column_stack(columns).astype(float)


def test_the_naive_forecast_is_the_last_counted_day_of_the_same_weekday(holdout, counts):
    train, rows = holdout
    assert rows["seasonal_naive"].to_list() == rows["naive"].to_list()
    # The first label is of 2 February 2014: a week later is the first day with one a week before.
    days = train.select("station", "day").unique().filter(pl.col("day") >= date(2014, 2, 9))
    change = looked_up(days, counts, np.zeros(days.height)) - looked_up(days, counts, np.full(days.height, 7))
    errors = days.with_columns(change=pl.Series(change)).group_by("station").agg((pl.col("change") ** 2).mean().sqrt())
    scales = rows.select("station", "seasonal_naive_error").unique().join(errors, on="station")
    assert scales.height == STATIONS
    np.testing.assert_allclose(scales["seasonal_naive_error"], scales["change"], rtol=1e-9)


def rmsse(rows, column):
    errors = (rows[column] - rows[LABEL]) / rows["seasonal_naive_error"]
    return float(np.sqrt((errors**2).mean()))


def test_the_champion_beats_the_week_before_and_is_no_worse_than_lags(first, holdout):
    _, rows = holdout
    stored = first("evaluation").collect()
    measured = {
        (subject, metric): value for subject, metric, value in stored.select("subject", "metric", "value").iter_rows()
    }
    assert measured["model", "rmsse"] == pytest.approx(rmsse(rows, "score"))
    assert measured["baseline", "rmsse"] == pytest.approx(rmsse(rows, "naive"))
    for days in HORIZONS:
        ahead = rows.filter(horizon=days * 86_400)
        errors = (ahead["score"] - ahead["riders_that_day"]).abs()
        assert measured[f"horizon={days}d", "rmsse"] == pytest.approx(rmsse(ahead, "score"))
        assert measured[f"horizon={days}d", "mae"] == pytest.approx(errors.mean())
        assert measured[f"horizon={days}d", "wape"] == pytest.approx(errors.sum() / ahead["riders_that_day"].sum())
        assert rmsse(ahead, "score") < rmsse(ahead, "naive")
    assert gain(rows, "naive")[0] > 0
    assert gain(rows, "script")[1] > 0


@pytest.fixture(scope="module")
def beside(holdout, counts, tmp_path_factory):
    """The holdout with the forecasts of mlforecast, which has learnt from the same days and more before them."""
    train, rows = holdout
    folder, feasts = tmp_path_factory.mktemp("mlforecast"), holidays.country_holidays("US", years=range(2013, 2017))
    entries = pl.DataFrame([(*key, riders) for key, riders in counts.items()], COUNTS, orient="row")
    is_holiday = pl.col("day").is_in(list(feasts))
    entries.with_columns(holiday=is_holiday.cast(pl.Int8)).write_csv(folder / "entries.csv")
    days = [train["day"].max(), rows["made_on"].min(), rows["made_on"].max()]
    command = [PROJECT / "benchmarks/peers/mlforecast_entries.py", "entries.csv", *days, "made.csv"]
    find_peers().run("python", *command, cwd=folder)
    made = pl.read_csv(folder / "made.csv", try_parse_dates=True)
    return rows.join(made, on=["station", "made_on", "day"], validate="1:1")


def test_the_champion_is_no_worse_than_a_forecasting_library(holdout, beside):
    assert beside.height == holdout[1].height
    assert rmsse(beside, "mlforecast") < rmsse(beside, "naive") / 2
    assert gain(beside, "mlforecast")[1] > 0


def gain(rows, other, draws=1000):
    """Return the 95 % interval of how much lower our RMSSE is; days are drawn, as the forecasts of a day share it."""
    squared = [((pl.col(name) - pl.col(LABEL)) / pl.col("seasonal_naive_error")) ** 2 for name in ("score", other)]
    days = rows.group_by("made_on", maintain_order=True).agg(n=pl.len(), own=squared[0].sum(), other=squared[1].sum())
    drawn = np.random.default_rng(0).integers(0, days.height, (draws, days.height))
    n, own, other = (days[name].to_numpy()[drawn].sum(axis=1) for name in ("n", "own", "other"))
    return np.quantile(np.sqrt(other / n) - np.sqrt(own / n), [0.025, 0.975])


@pytest.fixture(scope="module")
def closures():
    return pl.read_csv(GUIDE.declared / "data" / "closures.csv", try_parse_dates=True)


def test_the_closures_are_the_days_without_riders(counts, closures):
    closed = {key for key, riders in counts.items() if riders < 100}
    spans = closures.with_columns(pl.col("begins_at", "ends_at").dt.convert_time_zone(ZONE).dt.date())
    days = pl.date_ranges("begins_at", "ends_at", closed="left").alias("day")
    assert {*spans.select("station", days).explode("day").iter_rows()} == closed


def test_a_closure_is_known_from_its_announcement_on(first, closures):
    rows = first("training_set").select("station", "prediction_at", "target_at", "closed_days").collect()
    plans = list(closures.iter_rows(named=True))
    expected = []
    for row in rows.iter_rows(named=True):
        holds = [plan for plan in plans if plan["station"] == row["station"] and plan["begins_at"] <= row["target_at"]]
        known = [
            plan
            for plan in holds
            if row["target_at"] < plan["ends_at"] and plan["announced_at"] <= row["prediction_at"]
        ]
        expected.append((known[0]["ends_at"] - known[0]["begins_at"]) / timedelta(days=1) if known else None)
    assert rows["closed_days"].to_list() == expected
    of_horizons = (
        rows.filter(pl.col("closed_days").is_not_null())["target_at"]
        - rows.filter(pl.col("closed_days").is_not_null())["prediction_at"]
    )
    assert {*of_horizons.dt.total_days()} == {1, 7}


@pytest.fixture(scope="module")
def march(followed, first, lake):
    """Forecasts of days in March by two models that are the same, but that one does not know what is planned."""
    training, project = first("training_set").collect(), ml_assets.open_project(followed[0])
    parameters = json.loads(first("tuned_parameters").collect()["record"].item())["parameters"]
    outcomes = lake.scan("outcomes/riders_that_day").filter(pl.col("target_at").is_between(*MARCH)).drop_nulls(LABEL)
    rows = project.features("station_demand", outcomes.select(*ROW, "target_at", LABEL).collect())
    known = [name for view in project.views_behind("station_demand") for name in view.feature_names]
    parts = [training.filter(split=part) for part in ("train", "validation")]
    for column, features in {"knows": known, "ignorant": [name for name in known if name != "closed_days"]}.items():
        with find_kind(DEFAULT_KIND).one_core():
            model = fit_model(
                *parts, features=features, label=LABEL, parameters=parameters, training=TrainingSpec(max_rounds=200),
                metric="mae", seed=13, task="regression",
            )  # fmt: skip
        rows = rows.with_columns(pl.Series(column, predict(model, rows)))
    return with_days(rows.join(training.select("station", "seasonal_naive_error").unique(), on="station"))


def test_who_knows_that_a_station_will_be_closed_forecasts_its_day_better(march, counts):
    closed = march.filter(pl.Series(looked_up(march, counts, np.zeros(march.height)) < 100))
    assert {*closed.select("station", "day").rows()} == {("Addison", date(2016, 3, day)) for day in (5, 6, 19, 20)}
    for days in HORIZONS:
        ahead = closed.filter(horizon=days * 86_400)
        assert ahead.height == 4
        if days == 28:  # not announced yet
            assert rmsse(ahead, "knows") == pytest.approx(rmsse(ahead, "ignorant"), rel=0.2)
        else:
            assert rmsse(ahead, "knows") < 0.5 * rmsse(ahead, "ignorant")
    assert rmsse(march, "knows") < rmsse(march, "ignorant")


def test_every_month_is_forecast_and_measured_as_its_days_are_counted(followed, lake):
    told = json.loads(followed[1]["ml-assets summary demand --json"])["station_demand"]
    drops = {drop["drop"]: drop for drop in told["drops"]}
    assert sorted(drops) == DROPS
    made = with_days(lake.scan("station_demand/predictions").select("_drop", *ROW, "target_at", "score").collect())
    for drop in DROPS:
        of_drop = made.filter(pl.col("_drop") == drop)
        assert drops[drop]["rows"] == of_drop.height
        assert drops[drop]["realised"] is not None
    report = lake.scan("station_demand/performance_report").filter(pl.col("scope") == "period").collect()
    assert {"mae", "wape", "rmsse"} <= {*report.filter(kind="realised")["metric"]}


def test_a_training_of_two_months_ago_calls_for_another_and_a_comparison_follows(lake):
    decided = {record.drop: record for record in read_decisions(lake, "station_demand")}
    assert sorted(decided) == DROPS
    assert not decided["2016-02"].retrain
    assert (decided["2016-03"].retrain, decided["2016-03"].rule) == (True, "age")
    age = next(item for item in decided["2016-03"].evidence if item.kind == "age")
    assert (age.observed, age.threshold) == (60, 56)
    compared = lake.scan("station_demand/champion").sort("_as_of").collect()
    assert compared["_as_of"].str.head(10).to_list() == ["2016-02-01", "2016-04-01"]
    assert compared.select("challenger", "champion").rows() == [("1", None), ("2", "1")]


def test_the_status_names_the_champion(followed):
    assert "station_demand" in followed[1]["ml-assets status"]


def test_the_replay_lives_the_months_under_two_policies(followed):
    command = next(command for command in followed[1] if command.startswith("ml-assets replay"))
    lived = {policy["policy"]: policy for policy in json.loads(followed[1][command])["policies"]}
    assert {name: policy["retrains"] for name, policy in lived.items()} == {"never": 0, "every-drop": 1}
    for policy in lived.values():
        assert [period["period"] for period in policy["periods"]] == DROPS
