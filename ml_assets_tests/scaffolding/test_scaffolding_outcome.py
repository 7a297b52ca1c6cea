"""Outcomes, and views and models that know them and made spines: what is inferred, and that it works as written."""

import json
from datetime import UTC, datetime, timedelta

import dagster as dg
import numpy as np
import polars as pl
import pytest
import yaml

from ml_assets.commands.init.project import create_project
from ml_assets.components.scaffolders.components import (
    FeatureViewScaffolder,
    MLModelScaffolder,
    OutcomeScaffolder,
    SourceScaffolder,
    SpineScaffolder,
)
from ml_assets.declarations.specs import DeclaredOutcome, DeclaredSource, DeclaredSpine
from ml_assets.scaffolding.columns import Column
from ml_assets.scaffolding.declared import ExistingDeclarations
from ml_assets.scaffolding.errors import ScaffoldError
from ml_assets.scaffolding.model import LabelColumns, infer_label, infer_model
from ml_assets.scaffolding.outcome import infer_outcome
from ml_assets.scaffolding.view import infer_view
from ml_assets_tests import processes

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

START = datetime(2023, 9, 1, tzinfo=UTC)
DAYS = 300
SCAFFOLDERS = {
    "Source": SourceScaffolder,
    "Spine": SpineScaffolder,
    "FeatureView": FeatureViewScaffolder,
    "Outcome": OutcomeScaffolder,
    "MLModel": MLModelScaffolder,
}


def orders() -> pl.DataFrame:
    """Sixty customers: half of them order about every ten days, half every forty."""
    random, rows = np.random.default_rng(2), []
    for customer in range(60):
        day = random.uniform(0, 20)
        while day < DAYS:
            rows.append((customer, START + timedelta(minutes=round(day * 1440)), round(random.gamma(2.0, 20.0), 2)))
            day += random.exponential(10 if customer % 2 else 40)
    frame = pl.DataFrame(rows, schema=["customer", "placed_at", "amount"], orient="row").sort("placed_at")
    return frame.with_row_index("order_id")


def returns(placed: pl.DataFrame) -> pl.DataFrame:
    """A fifth of the orders come back within three weeks."""
    random = np.random.default_rng(3)
    back = placed.filter(pl.Series(random.random(placed.height) < 0.2))
    days = pl.Series([timedelta(minutes=int(m)) for m in random.integers(1440, 21 * 1440, back.height)])
    return back.select("order_id", returned_at=pl.col("placed_at") + days).sort("returned_at")


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """A project of two use cases, each declaration of which was scaffolded, with what was given for it."""
    folder = tmp_path_factory.mktemp("scaffolded") / "outcome_shop"
    create_project(folder)
    placed = orders()
    placed.write_csv(folder / "orders.csv", datetime_format="%Y-%m-%dT%H:%M:%SZ")
    returns(placed).write_csv(folder / "returns.csv", datetime_format="%Y-%m-%dT%H:%M:%SZ")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("ML_ASSETS_HOME", str(folder / "home"))
        patch.syspath_prepend(folder)
        scaffold(folder, "Source", "shop/orders", path="orders.csv", timestamp="placed_at", key=["order_id"])
        scaffold(folder, "Source", "shop/returns", path="returns.csv", timestamp="returned_at", key=["order_id"])
        scaffold(folder, "Spine", "shop/customers", table="orders", key=["customer"], cron="0 6 * * mon")
        churned = {"table": "orders", "window": "30d", "settles": "1d", "label": "count == 0", "spine": "customers"}
        scaffold(folder, "Outcome", "shop/churned", **churned)
        scaffold(folder, "FeatureView", "shop/buying", spine="customers")
        scaffold(folder, "MLModel", "shop/churn", spine="customers")
        scaffold(folder, "Spine", "shop/sold", table="orders")
        scaffold(folder, "Outcome", "shop/comes_back", table="returns", window="21d", spine="sold")
        scaffold(folder, "FeatureView", "shop/order", spine="sold")
        scaffold(folder, "MLModel", "shop/send_back", spine="sold")
    return folder


def scaffold(folder, component, name, **given):
    target = folder / folder.name / "defs" / name
    target.mkdir(parents=True)
    params = SCAFFOLDERS[component].get_scaffold_params()(**given)
    request = dg.ScaffoldRequest(f"ml_assets.{component}", target, "yaml", folder, params)
    SCAFFOLDERS[component]().scaffold(request)


def written(shop, name):
    text = (shop / shop.name / "defs/shop" / name / "defs.yaml").read_text()
    return next(yaml.safe_load_all(text))["attributes"]


def test_what_is_written_is_right_and_can_be_tried(shop):
    done = processes.run("dg", "check", "defs", cwd=shop, ML_ASSETS_HOME=shop / "home")
    assert done.returncode == 0, done.stdout + done.stderr
    done = processes.run("ml-assets", "try", "churn", "--json", cwd=shop, ML_ASSETS_HOME=shop / "home")
    assert done.returncode == 0, done.stdout + done.stderr
    tried = json.loads(done.stdout)
    # Who orders every ten days comes back, who orders every forty often does not.
    assert tried["metrics"]["roc_auc"]["model"] > 0.6
    assert tried["findings"] == []


def test_an_outcome_has_its_facts_its_entity_and_its_moment(shop):
    assert written(shop, "churned") == {
        "name": "churned", "description": "Whether `count == 0` holds after a row, within 30d, by the rows of "
        "orders/validated.", "spine": "customers", "table": "orders/validated", "entity": ["customer"],
        "happened_at": "placed_at", "window": "30d", "aggregate": {"functions": ["count"]}, "label": "count == 0",
        "settles": "1d",
    }  # fmt: skip
    comes_back = written(shop, "comes_back")
    assert (comes_back["entity"], comes_back["happened_at"]) == (["order_id"], "returned_at")
    assert (comes_back["label"], "settles" in comes_back) == ("count > 0", False)


def test_a_view_over_made_rows_summarises_the_entitys_own_facts(shop):
    view = written(shop, "buying")
    assert (view["table"], view["entity"], view["known_at"]) == ("orders/validated", ["customer"], "placed_at")
    assert view["windows"] == ["7d", "28d"]
    assert set(view["aggregates"]) == {"buying_rows", "buying_amount"}


def test_a_model_over_an_outcome_keeps_its_parts_apart_by_as_long_as_it_takes(shop):
    churn, send_back = written(shop, "churn"), written(shop, "send_back")
    assert (churn["label"], churn["features"], churn["task"]) == ({"outcome": "churned"}, ["buying"], "binary")
    assert churn["split"]["gap"] == "31d"
    assert (send_back["label"], send_back["split"]["gap"]) == ({"outcome": "comes_back"}, "21d")
    assert send_back["split"]["holdout"] == "28d"  # at most


@pytest.mark.parametrize(
    ("a_week", "watched"),
    [
        (1000, None),
        (600, None),
        (599, {"min_chunk_rows": 299}),
        (100, {"min_chunk_rows": 50}),
        (99, {"chunk": "28d", "min_chunk_rows": 198}),
        (5, {"chunk": "28d", "min_chunk_rows": 30}),
    ],
)
def test_chunks_hold_enough_rows_to_be_watched(a_week, watched):
    monday = datetime(2024, 1, 1, tzinfo=UTC)
    times = [monday + timedelta(weeks=week, seconds=n) for week in range(4) for n in range(a_week)]
    history = pl.DataFrame({"at": times, "y": True, "known_at": times})
    label = LabelColumns(Column("y", pl.Boolean()), "y", "known_at")
    model = infer_model("m", READ, label, ["row"], history=history)
    assert model.values.get("monitoring") == watched
    assert (f"A week has about {a_week} rows" in model.notes["monitoring"]) == (watched is not None)


DROPS = {"grain": "monthly", "start": "2024-01", "column": "at"}


def source(name, **more):
    about = {"description": name, "where": {"path": f"{name}.csv"}, "contract": f"{__name__}:Facts"}
    return DeclaredSource.model_validate({"name": name, "key_columns": ["id"], "drops": DROPS, **about, **more})


def _contract():
    import pandera.polars as pa

    class Facts(pa.DataFrameModel):
        id: pl.Int64
        customer: pl.String
        amount: pl.Float64
        at: pl.Datetime("us", "UTC")

    return Facts


Facts = _contract()
MADE = DeclaredSpine.model_validate(
    {
        "name": "weekly",
        "entities": {"table": "orders/validated", "key": ["customer"], "from": "at", "known_at": "at"},
        "every": {"cron": "0 6 * * mon"}, "drops": {"grain": "monthly", "start": "2024-01"},
    }
)  # fmt: skip
READ = DeclaredSpine.model_validate(
    {"name": "sold", "table": "orders/validated", "key": ["id"], "time": "at", "partition": "_drop", "drops": DROPS}
)
DECLARED = ExistingDeclarations({name: source(name) for name in ("orders", "visits")}, {"weekly": MADE, "sold": READ})


def test_a_number_of_the_facts_is_predicted_as_a_number():
    outcome = infer_outcome(DECLARED, MADE, "spent", "14d", table="orders", function="sum", of="amount")
    assert outcome.values["aggregate"] == {"of": "amount", "functions": ["sum"]}
    assert outcome.values["label"] == "sum"
    both = ExistingDeclarations(
        DECLARED.sources, DECLARED.spines, {}, {"spent": DeclaredOutcome.model_validate(outcome.values)}
    )
    label = infer_label(both, MADE)
    model = infer_model("budget", MADE, label, ["buying"])
    assert (model.values["task"], model.values["label"]) == ("regression", {"outcome": "spent"})
    assert model.values["split"] == {"validation": "28d", "holdout": "28d", "gap": "14d"}


def test_horizons_make_the_gap():
    ahead = DeclaredSpine.model_validate(
        MADE.model_dump(by_alias=True, exclude={"table", "key", "time", "partition", "time_zone"})
        | {"horizons": ["7d", "28d"]}
    )
    outcome = DeclaredOutcome.model_validate(
        infer_outcome(DECLARED, MADE, "spent", "7d", table="orders", settles="2d").values
    )
    both = ExistingDeclarations(DECLARED.sources, {"weekly": ahead}, {}, {"spent": outcome})
    assert infer_label(both, ahead).after == timedelta(days=30)


@pytest.mark.parametrize(
    ("spine", "given", "why"),
    [
        (MADE, {}, "there are 2 sources of facts to choose from: give --table, one of orders, visits"),
        (READ, {"table": "orders"}, "--entity is missing: the columns by which a row of orders/validated belongs"),
        (READ, {"table": "returns"}, "--table: 'returns' is no source; there are orders, visits"),
        (MADE, {"table": "visits", "entity": ["client"]}, "--entity: there is no column 'client'"),
        (MADE, {"table": "visits", "entity": ["amount"]}, "--entity: the rows of weekly/rows have no amount"),
        (MADE, {"table": "visits", "happened_at": "customer"}, "--happened-at: column 'customer' of visits/validated"),
        (MADE, {"table": "visits", "window": "a month"}, "window: 'a month'"),
        (MADE, {"table": "visits", "label": "sum > 3"}, "label: there is no aggregate sum; there are count"),
        (MADE, {"table": "visits", "function": "sum"}, "stands for the facts themselves"),
        (MADE, {"table": "visits", "of": "price"}, "--of: there is no column 'price'"),
    ],
)  # fmt: skip
def test_what_cannot_be_an_outcome_says_which_option_to_give(spine, given, why):
    with pytest.raises(ScaffoldError) as error:
        infer_outcome(DECLARED, spine, "came", **{"window": "7d", **given})
    assert why in str(error.value)


def test_a_model_over_made_rows_needs_an_outcome_and_one_that_is_of_them():
    with pytest.raises(ScaffoldError, match="what comes of them has to be declared first"):
        infer_label(DECLARED, MADE)
    outcome = DeclaredOutcome.model_validate(infer_outcome(DECLARED, MADE, "came", "7d", table="orders").values)
    two = ExistingDeclarations(DECLARED.sources, DECLARED.spines, {}, {"came": outcome, "left": outcome})
    with pytest.raises(ScaffoldError, match="there are 2 outcomes to choose from: give --outcome, one of came, left"):
        infer_label(two, MADE)
    with pytest.raises(ScaffoldError, match="--outcome: 'gone' is no outcome of spine weekly; there are came, left"):
        infer_label(two, MADE, outcome="gone")


def test_a_table_with_one_row_per_entity_is_taken_as_it_is():
    customers = DeclaredSpine.model_validate(
        {
            "name": "members", "entities": {"table": "visits/validated", "key": ["id"], "from": "at"},
            "every": {"cron": "0 6 1 * *"}, "drops": {"grain": "monthly", "start": "2024-01"},
        }
    )  # fmt: skip
    view = infer_view(DECLARED, customers, "member")
    assert view.values["latest"] == {"member_customer": "customer", "member_amount": "amount"}
    assert (view.values["entity"], view.values["known_at"]) == (["id"], "at")
