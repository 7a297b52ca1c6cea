"""An outcome from its declaration: its asset, what it stores as facts come, and how a model's rows get their labels."""

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from ml_assets.components.conditions import follow_inputs
from ml_assets.components.stages import OUTCOME, STAGE
from ml_assets.declarations.specs import DeclaredModel, DeclaredOutcome, DeclaredSpine, DeclaredView
from ml_assets.modelling.context import ROW, ModelContext
from ml_assets.modelling.training_set import build_training_set

MONTHS = {"grain": "monthly", "start": "2024-01", "end": "2024-07"}
SOURCE = {
    "type": "ml_assets.Source",
    "attributes": {
        "name": "orders", "description": "Orders.", "where": {"path": "nowhere/{partition}.csv"}, "drops": MONTHS,
        "contract": "CONTRACTS:Orders", "key_columns": ["id"],
    },
}  # fmt: skip
SPINE = {
    "type": "ml_assets.Spine",
    "attributes": {
        "name": "customers", "table": "orders/validated", "key": ["id"], "time": "placed_at", "partition": "_drop",
        "drops": MONTHS, "columns": ["customer"],
    },
}  # fmt: skip
OUTCOME_DECLARED = {
    "type": "ml_assets.Outcome",
    "attributes": {
        "name": "churned", "description": "No order.", "spine": "customers", "table": "orders/validated",
        "entity": ["customer"], "happened_at": "placed_at", "window": "10d", "settles": "2d",
        "aggregate": {"functions": ["count"]}, "label": "count == 0",
    },
}  # fmt: skip
VIEW = {
    "type": "ml_assets.FeatureView",
    "attributes": {
        "name": "order", "description": "Order.", "spine": "customers", "entity": ["id"],
        "request": {"price": "amount"},
    },
}  # fmt: skip
MODEL = {
    "type": "ml_assets.MLModel",
    "attributes": {
        "name": "churn", "description": "Who churns.", "spine": "customers", "label": {"outcome": "churned"},
        "features": ["order"], "split": {"validation": "20d", "holdout": "20d", "gap": "12d", "min_rows": 2},
    },
}  # fmt: skip


def at(month, day, hour=0):
    return datetime(2024, month, day, hour, tzinfo=UTC)


# Ann orders every fifth day and stops in March; bob orders on the first of each month.
ANN = [at(1, 1) + timedelta(days=days) for days in range(0, 75, 5)]
BOB = [at(month, 1) for month in (1, 2, 3, 4)]
ORDERS = pl.DataFrame(
    [("ann", moment) for moment in ANN] + [("bob", moment) for moment in BOB],
    schema={"customer": pl.String, "placed_at": pl.Datetime("us", "UTC")},
    orient="row",
).with_columns(
    pl.int_range(pl.len()).alias("id"),
    pl.lit(1.0).alias("amount"),
    pl.col("placed_at").dt.strftime("%Y-%m").alias("_drop"),
)


@pytest.fixture(scope="module")
def shop(make_project):
    return make_project(SOURCE, SPINE, VIEW, OUTCOME_DECLARED, MODEL)


def deliver(shop, *drops):
    rows = ORDERS.filter(pl.col("_drop").is_in(drops))
    shop.lake.replace("orders/validated", rows, {"_drop": list(drops)})


def context() -> ModelContext:
    model, spine = DeclaredModel.model_validate(MODEL["attributes"]), DeclaredSpine.model_validate(SPINE["attributes"])
    views = [DeclaredView.model_validate(VIEW["attributes"])]
    outcomes = [DeclaredOutcome.model_validate(OUTCOME_DECLARED["attributes"])]
    return ModelContext.of(model, spine, views, "", outcomes=outcomes)


@pytest.fixture(scope="module")
def january(shop):
    """The first month has come, and nothing after it."""
    deliver(shop, "2024-01")
    outcome = shop.run("outcomes/churned", drops=["2024-01"])
    assert outcome.success, outcome.errors
    return outcome


@pytest.fixture(scope="module")
def april(shop, january):  # noqa: ARG001 - the second run comes after the first
    """Four months have come, and the outcomes of the last three were computed."""
    deliver(shop, "2024-02", "2024-03", "2024-04")
    outcome = shop.run("outcomes/churned", drops=["2024-02", "2024-03", "2024-04"])
    assert outcome.success, outcome.errors
    return outcome


def test_a_label_waits_for_its_window_and_what_settles_it(january):
    metadata = january.metadata("outcomes/churned")
    # Complete until the end of January: rows until the 20th are known, of ann four (1, 6, 11, 16), of bob one.
    assert (metadata["labels_known"], metadata["labels_pending"], metadata["labels_undefined"]) == (5, 3, 0)
    assert metadata["mean_of_known_labels"] == 0.2
    assert metadata["facts_too_late"] == 0
    assert metadata["facts_complete_until"] == "2024-01-31T23:59:59.999999+00:00"
    assert (metadata["facts_drops_without_rows"], metadata["facts_dated_ahead"]) == ([], 0)
    assert metadata["dagster/row_count"] == 8


def test_labels_wait_for_a_drop_that_is_missing_in_between(make_project):
    shop = make_project(SOURCE, SPINE, VIEW, OUTCOME_DECLARED, MODEL)
    deliver(shop, "2024-01", "2024-03")
    metadata = shop.run("outcomes/churned", drops=["2024-01"]).metadata("outcomes/churned")
    assert metadata["facts_drops_without_rows"] == ["2024-02"]
    assert metadata["facts_complete_until"] == "2024-01-31T23:59:59.999999+00:00"
    assert metadata["labels_pending"] == 3


def test_a_drop_that_comes_settles_what_waited_in_earlier_ones_once(make_project):
    shop = make_project(SOURCE, SPINE, VIEW, OUTCOME_DECLARED, MODEL)
    deliver(shop, "2024-01")
    assert shop.run("outcomes/churned", drops=["2024-01"]).metadata("outcomes/churned")["earlier_drops"] == {}
    deliver(shop, "2024-02")
    told = [shop.run("outcomes/churned", drops=["2024-02"]).metadata("outcomes/churned") for _ in range(2)]
    assert [list(metadata["earlier_drops"]) for metadata in told] == [["2024-01"], []]
    stored = shop.lake.scan("outcomes/churned").collect()
    of_january = stored.filter(pl.col("_drop") == "2024-01").sort("placed_at")
    assert of_january.height == 8
    assert of_january["churned"].null_count() == 0
    # Of ann every order, of bob that of the 1st; both have one in each window but bob.
    assert of_january.filter(pl.col("churned"))["customer"].to_list() == ["bob"]


def test_the_asset_stores_key_aggregates_label_and_when_it_is_known(shop, april):
    stored = shop.lake.scan("outcomes/churned").collect().sort("placed_at", "customer")
    own = ["_drop", "customer", "placed_at", "count", "churned", "churned_known_at"]
    assert stored.columns == [*own, "_declaration", "_complete_until", "_inputs"]
    assert stored.select(own).head(2).rows() == [
        ("2024-01", "ann", at(1, 1), 2, False, at(1, 13)), ("2024-01", "bob", at(1, 1), 0, True, at(1, 13)),
    ]  # fmt: skip
    assert stored.filter(pl.col("customer") == "ann")["churned"].to_list() == [False] * 14 + [True]
    assert stored["churned"].null_count() == 0
    assert april.check("outcomes/churned:outcomes_recomputed").metadata["rows_recomputed"].value == 19


def test_the_asset_follows_rows_and_facts(shop):
    specs = {spec.key.to_user_string(): spec for assets in shop.definitions.assets for spec in assets.specs}
    spec = specs["outcomes/churned"]
    assert [dep.asset_key.to_user_string() for dep in spec.deps] == ["orders/validated"]
    assert spec.tags[STAGE] == OUTCOME
    assert spec.automation_condition == follow_inputs(spec.partitions_def)
    for asset in ("churn/training_set", "churn/performance_report"):
        assert "outcomes/churned" in {dep.asset_key.to_user_string() for dep in specs[asset].deps}


@pytest.mark.usefixtures("april")
def test_a_models_rows_have_the_outcome_as_their_label(shop):
    model = context()
    assert (model.spec.label.column, model.spec.label.known_at) == ("churned", "churned_known_at")
    rows = model.spine_rows(shop.lake, ["2024-01", "2024-03"])
    assert rows.columns[:4] == [ROW, "_drop", "placed_at", "id"]
    by_row = dict(rows.select("id", pl.struct("churned", "churned_known_at")).iter_rows())
    assert by_row[0] == {"churned": False, "churned_known_at": at(1, 13)}
    assert by_row[14] == {"churned": True, "churned_known_at": ANN[-1] + timedelta(days=12)}
    # The label of ann's last order and of bob's four orders: those of April are known on the 13th.
    counted = model.known_labels(shop.lake, at(4, 1)).select(pl.len(), pl.col("churned").sum()).collect().row(0)
    assert counted == (18, 4)


@pytest.mark.usefixtures("april")
def test_a_training_set_holds_the_labels_known_by_its_cut_off(shop):
    built = build_training_set(shop.lake, context(), at(4, 1))
    assert built.rows["churned_known_at"].max() <= at(4, 1)
    assert built.rows["churned"].null_count() == 0
    assert built.rows.height > 8


def test_without_its_outcome_a_row_is_scored_and_not_trained_on(make_project):
    shop = make_project(SOURCE, SPINE, VIEW, OUTCOME_DECLARED, MODEL)
    deliver(shop, "2024-01")
    model = context()
    assert model.spine_rows(shop.lake, ["2024-01"])["churned"].null_count() == 8
    with pytest.raises(ValueError, match="outcomes/churned is not there, which has the label: materialize it first"):
        build_training_set(shop.lake, model, at(4, 1))


@pytest.mark.usefixtures("april")
def test_what_another_declaration_stored_is_no_label(shop):
    model = context()
    longer = model.outcome.model_copy(update={"window": "20d"})
    rows = longer.beside(shop.lake, model.spine.scan(shop.lake, ["2024-01"], ["customer"]), model.spine).collect()
    assert rows["churned"].null_count() == rows.height == 8
