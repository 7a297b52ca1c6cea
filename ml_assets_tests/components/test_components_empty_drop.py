"""A month in which nothing was ordered goes through every asset; the months around it are as if it were not there."""

import polars as pl
import pytest

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("undrawn")]

HISTORY, EMPTY, NEXT = ["2024-01", "2024-02", "2024-03"], "2024-04", "2024-05"
FIRST = "2024-04-01"
TABLES = ("orders/raw", "orders/validated", "orders/quarantine", "features/order", "features/buying")
TRAINING = tuple(f"returns/{one}" for one in ("training_set", "tuned_parameters", "model", "evaluation", "reference"))
SCORING = tuple(f"returns/{one}" for one in ("predictions", "drift_report", "performance_report", "retrain_decision"))
SPLIT = {"validation": "14d", "holdout": "21d", "gap": "2d"}
BUYING = {
    "name": "buying", "description": "What the customer bought.", "spine": "orders", "entity": ["customer"],
    "table": "orders/validated", "known_at": "settled_at", "windows": ["7d"],
    "aggregates": {"spent": {"of": "amount", "functions": ["mean", "count"]}},
}  # fmt: skip


@pytest.fixture(scope="module")
def shop(make_project, made_up_orders, tmp_path_factory):
    """The history is in, the features too; a champion is trained while April's rows lie in the table already."""
    delivered = tmp_path_factory.mktemp("delivered")
    for month in (*HISTORY, NEXT):
        orders = made_up_orders.of(month, 20)
        if month == HISTORY[0]:  # of one order the outcome is never known
            orders = orders.with_columns(settled_at=pl.when(pl.col("id") != orders["id"][0]).then("settled_at"))
        orders.write_csv(delivered / f"{month}.csv")
    made_up_orders.of(EMPTY, 20).clear().write_csv(delivered / f"{EMPTY}.csv")
    declared = made_up_orders.declared(delivered, features=["order", "buying"], split=SPLIT)
    declared[0]["attributes"]["empty_drops"] = "accept"
    project = make_project(*declared, {"type": "ml_assets.FeatureView", "attributes": BUYING})
    assert project.run(*TABLES, drops=HISTORY).success
    return project


@pytest.fixture(scope="module")
def trained(shop):
    """Trained as of the end of March, when May's orders lie in the table already and have no features yet."""
    assert shop.run(*TABLES[:3], drops=[NEXT]).success
    outcome = shop.run(*TRAINING, "returns/champion", as_of=FIRST)
    assert outcome.success, outcome.errors
    return outcome


@pytest.fixture(scope="module")
def empty(shop, trained):  # noqa: ARG001 - there is a champion
    outcome = shop.run(*TABLES, *SCORING, drops=[EMPTY])
    assert outcome.success, outcome.errors
    return outcome


def test_rows_after_the_cut_off_are_left_out_of_training_and_counted(shop, trained):
    training_set = shop.lake.scan("returns/training_set").collect()
    assert training_set["placed_at"].dt.strftime("%Y-%m-%d").max() < FIRST
    assert trained.metadata("returns/training_set")["left_out_after_cut_off"] == 20 * 31


def test_facts_that_no_feature_can_count_are_counted(empty):
    assert empty.metadata("features/buying")["facts_left_out"] == {"without settled_at": 1}


def test_an_empty_drop_is_ingested_scored_and_reported_with_0_rows(shop, empty):
    assert set(empty.materialized) == {*TABLES, *SCORING}
    for key in ("orders/validated", "features/buying", "returns/predictions", "returns/drift_report"):
        assert empty.metadata(key)["dagster/row_count"] == 0, key
    failed = {
        f"{c.asset_key.to_user_string()}:{c.check_name}"
        for c in empty.result.get_asset_check_evaluations()
        if not c.passed
    }
    assert failed == {"orders/validated:row_count"}
    assert empty.metadata("returns/retrain_decision")["decision"] == "wait"
    assert "no row" in empty.metadata("returns/retrain_decision")["reason"]
    page = (shop.folder / "home/lake/returns/reports" / f"{EMPTY}.html").read_text()
    assert "no row" in page.lower()


def test_the_drop_after_an_empty_one_is_scored_and_decided_on(shop, empty):  # noqa: ARG001 - the drop before
    outcome = shop.run("features/order", "features/buying", *SCORING, drops=[NEXT])
    assert outcome.success, outcome.errors
    scored = shop.lake.scan("returns/predictions").group_by("_drop").len().collect().rows()
    assert scored == [(NEXT, 20 * 31)]
    assert outcome.metadata("returns/retrain_decision")["champion"] == "1"


def test_empty_and_full_drops_go_through_one_run(shop, empty):  # noqa: ARG001 - both are ingested
    outcome = shop.run("features/order", "features/buying", *SCORING, drops=[EMPTY, NEXT])
    assert outcome.success, outcome.errors
    assert shop.lake.scan("returns/retrain_decision").select(pl.col("_drop").sort()).collect()["_drop"].to_list() == [
        EMPTY,
        NEXT,
    ]
