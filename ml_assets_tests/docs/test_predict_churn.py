"""The guide to churn, executed as it stands, and what came of it beside a script that uses nothing of the platform."""

import importlib.util
import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import roc_auc_score
from threadpoolctl import threadpool_limits

from ml_assets.lake import Lake
from ml_assets.retraining.decide import read_decisions
from ml_assets_tests.docs.guide import Guide

PROJECT = Path(__file__).parents[2]
GUIDE = Guide(PROJECT / "docs/predict-churn.md", PROJECT / "ml_assets/defs/churn")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

CUSTOMERS = 2357
TRAINED_AS_OF = datetime(1998, 1, 1, tzinfo=UTC)
DROPS = ["1998-01", "1998-02", "1998-03"]
NEWEST = datetime(1998, 4, 1, tzinfo=UTC)
"""Up to when orders have come in."""


@pytest.mark.parametrize("number", range(len(GUIDE.blocks("yaml"))))
def test_what_the_guide_shows_is_what_ships(number):
    assert GUIDE.ships(GUIDE.blocks("yaml")[number])


@pytest.fixture(scope="module")
def followed(tmp_path_factory):
    """The folder in which every command of the guide was given, and what each printed."""
    return GUIDE.follow(tmp_path_factory.mktemp("churn"))


@pytest.fixture(scope="module")
def lake(followed):
    return Lake(str(followed[0] / ".ml_assets" / "lake"))


@pytest.fixture(scope="module")
def by_hand():
    """Every customer and Monday, in a loop over these: recency, frequency, value, and whether no order followed."""
    folder = Path(importlib.util.find_spec("lifetimes").submodule_search_locations[0])
    lines = [line.split() for line in (folder / "datasets/CDNOW_sample.txt").read_text().splitlines() if line.strip()]
    orders = pl.DataFrame(
        [
            (int(line[1]), datetime.strptime(line[2], "%Y%m%d").replace(tzinfo=UTC) + timedelta(days=1), float(line[4]))
            for line in dict.fromkeys(map(tuple, lines))
        ],
        schema={"customer_id": pl.Int64, "placed_at": pl.Datetime("us", "UTC"), "dollars": pl.Float64},
        orient="row",
    ).filter(pl.col("placed_at") < NEWEST)
    monday, parts = datetime(1997, 1, 6, 6), []
    while monday < NEWEST.replace(tzinfo=None):
        at = monday.replace(tzinfo=ZoneInfo("America/New_York")).astimezone(UTC)
        age = (pl.lit(at) - pl.col("placed_at")).dt.total_seconds() / 86400
        past = orders.filter(pl.col("placed_at") <= at).sort("placed_at")
        features = past.group_by("customer_id").agg(
            pl.lit(at).cast(pl.Datetime("us", "UTC")).alias("prediction_at"),
            age.min().alias("recency"),
            age.max().alias("tenure"),
            *((age < days).sum().alias(f"orders_{days}") for days in (28, 84, 168, 546)),
            pl.col("dollars").filter(age < 168).sum().alias("spent"),
            pl.col("dollars").mean().alias("mean_order"),
            pl.col("dollars").last().alias("last_order"),
        )
        after = orders.filter(pl.col("placed_at") > at, pl.col("placed_at") <= at + timedelta(days=30))
        back = pl.col("customer_id").is_in(after["customer_id"].unique().implode())
        parts.append(features.with_columns((~back).alias("churned")))
        monday += timedelta(weeks=1)
    return pl.concat(parts)


ROW = ["customer_id", "prediction_at"]


def test_the_rows_are_every_customer_on_every_monday_after_the_first_order(lake, by_hand):
    made = lake.scan("customers_weekly/rows").select(ROW).collect()
    assert made.sort(ROW).equals(by_hand.select(ROW).sort(ROW))


def test_the_outcomes_are_those_that_came_and_unknown_until_then(lake, by_hand):
    stored = lake.scan("outcomes/churned").select(*ROW, "churned", "churned_known_at").collect()
    both = by_hand.join(stored, on=ROW, suffix="_stored", validate="1:1")
    assert both.height == by_hand.height
    known = both.filter(pl.col("churned_stored").is_not_null())
    assert (known["churned_stored"] == known["churned"]).all()
    assert (known["churned_known_at"] - known["prediction_at"]).unique().to_list() == [timedelta(days=32)]
    last = NEWEST - timedelta(days=32)
    assert known["prediction_at"].max() == both.filter(pl.col("prediction_at") <= last)["prediction_at"].max()
    assert known.height == both.filter(pl.col("prediction_at") <= last).height


def test_the_declarations_are_right_and_a_try_suspects_nothing(followed):
    assert "All component YAML validated successfully" in followed[1]["dg check yaml"]
    told = followed[1]["ml-assets try churn_risk"]
    (auc,) = re.findall(r"roc_auc +([\d.]+) +0\.5000", told)
    assert 0.7 < float(auc) < 0.9
    assert "suspected" not in told


def test_the_champion_is_no_worse_than_a_script_on_the_same_rows(lake, by_hand):
    trainings = lake.scan("churn_risk/training_set").filter(pl.col("_as_of").str.starts_with("1998-01-01"))
    learnt = trainings.filter(pl.col("split") == "train").select(ROW).collect().join(by_hand, on=ROW)
    ours = lake.scan("churn_risk/reference").filter(pl.col("model_version") == "1").select(*ROW, "score").collect()
    holdout = ours.join(by_hand, on=ROW, validate="1:1")
    assert holdout.height == ours.height == 6 * CUSTOMERS
    assert learnt["prediction_at"].max() < holdout["prediction_at"].min() - timedelta(days=2 * 32 + 28)
    assert holdout["prediction_at"].max() + timedelta(days=32) <= TRAINED_AS_OF
    features = [name for name in by_hand.columns if name not in (*ROW, "churned")]
    # Early stopping would hold out rows by their order, which a join leaves open: the AUC varies by 0.01 with it.
    plain_model = HistGradientBoostingClassifier(
        random_state=0, max_iter=60, learning_rate=0.05, max_leaf_nodes=8, early_stopping=False
    )
    with threadpool_limits(1):
        plain_model.fit(learnt[features].to_numpy(), learnt["churned"].to_numpy())
    holdout = holdout.with_columns(script=plain_model.predict_proba(holdout[features].to_numpy())[:, 1])
    # Customers are drawn with their six Mondays, as the rows of one are alike.
    of_customers = holdout.sort("customer_id").select("churned", "score", "script").to_numpy().reshape(CUSTOMERS, 6, 3)
    random, gains = np.random.default_rng(0), []
    for _ in range(100):
        churned, score, script = of_customers[random.integers(0, CUSTOMERS, CUSTOMERS)].reshape(-1, 3).T
        gains.append(roc_auc_score(churned, score) - roc_auc_score(churned, script))
    assert _auc(holdout, "score") > 0.75
    assert np.quantile(gains, 0.975) > 0
    assert np.quantile(gains, 0.025) > -0.02


def _auc(rows, column):
    return roc_auc_score(rows["churned"].to_numpy(), rows[column].to_numpy())


def test_every_month_is_scored_and_measured_as_its_outcomes_come(followed, lake, by_hand):
    told = json.loads(followed[1]["ml-assets summary churn --json"])["churn_risk"]
    drops = {drop["drop"]: drop for drop in told["drops"]}
    assert sorted(drops) == DROPS
    scored = lake.scan("churn_risk/predictions").select("_drop", *ROW, "score").collect()
    for drop in DROPS:
        of_drop = scored.filter(pl.col("_drop") == drop)
        assert drops[drop]["rows"] == of_drop.height
        assert drops[drop]["estimated"] is not None
        known = of_drop.join(by_hand, on=ROW, validate="1:1").filter(
            pl.col("prediction_at") <= NEWEST - timedelta(days=32)
        )
        if known.is_empty():
            assert drops[drop]["realised"] is None
        else:
            assert drops[drop]["realised"] == pytest.approx(_auc(known, "score"), abs=1e-9)
        assert drops[drop]["missing_labels"] == of_drop.height - known.height


def test_a_fifth_more_outcomes_call_for_a_retraining_and_a_comparison_follows(lake, by_hand):
    decided = {record.drop: record for record in read_decisions(lake, "churn_risk")}
    assert [decided[drop].retrain for drop in DROPS] == [False, True, False]
    assert decided["1998-02"].rule == "new_labels"
    grown = next(item for item in decided["1998-02"].evidence if item.kind == "new_labels")
    known = [
        by_hand.filter(pl.col("prediction_at") + timedelta(days=32) <= as_of).height
        for as_of in (TRAINED_AS_OF, datetime(1998, 3, 1, tzinfo=UTC))
    ]
    assert grown.observed == pytest.approx(known[1] / known[0])
    assert grown.observed >= grown.threshold == 1.2
    compared = lake.scan("churn_risk/champion").sort("_as_of").collect()
    assert compared["_as_of"].str.head(10).to_list() == ["1998-01-01", "1998-03-01"]
    assert compared.select("challenger", "champion").rows() == [("1", None), ("2", "1")]


def test_the_status_names_the_champion(followed):
    assert "churn_risk" in followed[1]["ml-assets status"]


def test_the_replay_lives_two_months_under_two_policies(followed):
    command = next(command for command in followed[1] if command.startswith("ml-assets replay"))
    lived = {policy["policy"]: policy for policy in json.loads(followed[1][command])["policies"]}
    assert {name: policy["retrains"] for name, policy in lived.items()} == {"never": 0, "every-drop": 1}
    for policy in lived.values():
        assert [period["period"] for period in policy["periods"]] == DROPS[:2]
        assert all(0.7 < period["value"] < 0.95 for period in policy["periods"])
