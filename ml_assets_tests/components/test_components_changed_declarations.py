"""A champion whose declaration has changed since it was trained goes on with what it was trained on, or it is said."""

from pathlib import Path
from textwrap import dedent

import dagster as dg
import numpy as np
import polars as pl
import pytest
import yaml

from ml_assets.training.fit import predict

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("undrawn")]

HISTORY, APRIL, MAY = ["2024-01", "2024-02", "2024-03"], "2024-04", "2024-05"
FIRST, SECOND = "2024-04-01", "2024-05-01"
TABLES = ("orders/raw", "orders/validated", "orders/quarantine")
VIEWS = ("features/order", "features/past")
TRAINING = [f"returns/{asset}" for asset in ("training_set", "tuned_parameters", "model", "evaluation", "reference")]
SCORED = ("returns/predictions", "returns/drift_report", "returns/performance_report", "returns/retrain_decision")
CONTRACTS = """

class WithWeight(Orders):
    weight: pl.Int64 = pa.Field(description="Grams")
    late: pl.Boolean = pa.Field(nullable=True, description="Whether it came late")


class WithoutWeight(Orders):
    late: pl.Boolean = pa.Field(nullable=True, description="Whether it came late")
"""


def delivered_orders(made_up_orders, month):
    orders = made_up_orders.of(month, 40)
    random = np.random.default_rng(int(month[-2:]))
    weight = random.integers(1, 1000, orders.height)
    return orders.with_columns(
        weight=pl.Series(weight), late=pl.Series(weight > 500) & pl.col("settled_at").is_not_null(),
        customer=pl.Series([f"c{n}" for n in random.integers(0, 9, orders.height)]),
    )  # fmt: skip


@pytest.fixture(scope="module")
def declared(made_up_orders, tmp_path_factory):
    """What is declared at first, by name; and where orders are delivered."""
    folder = tmp_path_factory.mktemp("delivered")
    for month in (*HISTORY, APRIL, MAY):
        orders = delivered_orders(made_up_orders, month)
        (orders.drop("weight") if month == MAY else orders).write_csv(folder / f"{month}.csv")
    source, spine, view, model = made_up_orders.declared(
        folder, features=["order", "past"], split={"validation": "14d", "holdout": "21d", "gap": "2d"},
        promotion={"margin": 0.5, "resamples": 200}, after_correction="recompute",
    )  # fmt: skip
    source["attributes"] |= {"contract": "CONTRACTS:WithWeight"}
    view["attributes"] |= {"request": {"price": "amount", "heavy": "weight * 2"}}
    past = {
        "name": "past", "description": "The customer.", "spine": "orders", "entity": ["customer"],
        "table": "orders/validated", "known_at": "settled_at", "windows": ["7d"],
        "aggregates": {"bought": {"of": "amount", "functions": ["sum", "count"]}},
    }  # fmt: skip
    return {"source": source, "spine": spine, "order": view, "past": {"type": view["type"], "attributes": past},
            "model": model}  # fmt: skip


@pytest.fixture(scope="module")
def begun(make_project, declared):
    """History is in, version 1 is the champion and has scored April."""
    project = make_project(*declared.values())
    (contracts,) = project.folder.glob("*/contracts.py")
    contracts.write_text(contracts.read_text() + dedent(CONTRACTS))
    for keys, more in (
        ([*TABLES, *VIEWS], {"drops": [*HISTORY, APRIL]}),
        ([*TRAINING, "returns/champion"], {"as_of": FIRST}),
        (SCORED, {"drops": [APRIL]}),
    ):
        outcome = project.run(*keys, **more)
        assert outcome.success, outcome.errors
    return project


@pytest.fixture
def changed(begun, declared, tmp_path):
    """The same project, copied as it is, after some declarations were changed; None removes one."""
    import shutil

    def change(**changes):
        shutil.copytree(begun.folder / "home", tmp_path / "home")
        parts = {**declared, **changes}
        package = next(begun.folder.glob("*/contracts.py")).parent.name
        text = yaml.safe_dump_all([one for one in parts.values() if one]).replace("CONTRACTS", f"{package}.contracts")
        path = begun.folder / package / "defs/shop/defs.yaml"
        before = path.read_text()
        path.write_text(text)
        again = type(begun)(begun.folder)
        _ = again.definitions
        path.write_text(before)
        return _Elsewhere(again, tmp_path / "home")

    return change


def _Elsewhere(project, home: Path):
    """The project over another home."""
    from ml_assets.lake import Lake
    from ml_assets.registry.registry import Registry

    project.__dict__["lake"] = Lake(str(home / "lake"))
    project.__dict__["registry"] = Registry(f"sqlite:///{home}/mlflow.db", str(home / "artifacts"), "tests")
    return project


def with_attributes(one, **attributes):
    return one | {"attributes": one["attributes"] | attributes}


def scored_by_hand(project, drop):
    """What version 1 says about a drop, its features worked out here."""
    orders = project.lake.scan("orders/validated").collect()
    rows = orders.filter(pl.col("_drop") == drop)
    past = []
    for customer, at in rows.select("customer", "placed_at").iter_rows():
        within = (pl.col("customer") == customer) & pl.col("settled_at").is_between(
            at - pl.duration(days=7), at, closed="right"
        )
        past.append(orders.filter(within)["amount"])
    features = rows.select(
        price="amount", heavy=pl.col("weight") * 2,
        bought_sum_7d=pl.Series([own.sum() if len(own) else None for own in past]),
        bought_count_7d=pl.Series([len(own) for own in past]),
    )  # fmt: skip
    model = project.registry.load("returns", version="1")
    return dict(zip(rows["id"], predict(model, features), strict=True))


def scores(project, drop):
    stored = project.lake.scan("returns/predictions").filter(pl.col("_drop") == drop).collect()
    assert set(stored["model_version"]) == {"1"}
    return dict(stored.select("id", "score").iter_rows())


def decision(project):
    return project.run("returns/champion", as_of=SECOND).metadata("returns/champion")


CHANGES = {
    "feature dropped": {"order": {"request": {"price": "amount"}}},
    "feature of a table dropped": {"past": {"aggregates": {"bought": {"of": "amount", "functions": ["count"]}}}},
    "declared otherwise": {
        "order": {"request": {"price": "amount * -1", "heavy": "weight"}}, "past": {"windows": ["1d"]},
    },
}  # fmt: skip


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_the_champion_is_scored_with_the_features_that_it_was_trained_on(changed, declared, change):
    edited = {name: with_attributes(declared[name], **attributes) for name, attributes in change.items()}
    project = changed(**edited)
    expected = scored_by_hand(project, APRIL)
    outcome = project.run(*VIEWS, *SCORED, drops=[APRIL])
    assert outcome.success, outcome.errors
    assert scores(project, APRIL) == pytest.approx(expected, abs=1e-6)
    outcome = project.run(*TRAINING, as_of=SECOND)
    assert outcome.success, outcome.errors
    check = outcome.check("returns/training_set:declared_as_the_champion")
    assert (check.passed, check.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert "version 1 serves on with the features that it was trained on" in check.metadata["observed"].value
    told = decision(project)
    assert told["rule"] == "no_worse_than_champion"
    assert "rows" not in told["reason"].replace("on the same rows", "")


def test_a_view_that_is_no_longer_declared_still_serves_the_champion(changed, declared):
    renamed = with_attributes(declared["past"], name="before")
    model = with_attributes(declared["model"], features=["order", "before"])
    project = changed(past=renamed, model=model)
    expected = scored_by_hand(project, APRIL)
    outcome = project.run("features/order", "features/before", *SCORED, drops=[APRIL])
    assert outcome.success, outcome.errors
    assert scores(project, APRIL) == pytest.approx(expected, abs=1e-6)


def without_weight(declared):
    """The column has gone from the deliveries and the contract, and the feature with it."""
    return {
        "source": with_attributes(declared["source"], contract="CONTRACTS:WithoutWeight"),
        "order": with_attributes(declared["order"], request={"price": "amount"}),
    }


def test_where_a_column_has_gone_it_is_said_and_not_scored_without(changed, declared):
    project = changed(**without_weight(declared))
    outcome = project.run(*TABLES, *VIEWS, "returns/predictions", drops=[MAY])
    (error,) = outcome.errors
    assert (
        "version 1 of returns cannot score 2024-05: features heavy of view order: orders/validated has no weight"
        in error
    )
    assert "train a version without it" in error
    # April still holds the column, and so does the decision between two versions on its rows.
    assert project.run("features/order", "features/past", drops=[*HISTORY, APRIL]).success
    assert project.run(*TRAINING, as_of=SECOND).success
    assert decision(project)["rule"] == "no_worse_than_champion"


@pytest.fixture
def without_column(changed, declared):
    """As if the table had never had the column; a second version asks to serve."""
    project = changed(**without_weight(declared))
    validated = project.lake.scan("orders/validated").drop("weight").collect()
    project.lake.replace("orders/validated", validated)
    assert project.run("features/order", "features/past", drops=[*HISTORY, APRIL]).success
    assert project.run(*TRAINING, as_of=SECOND).success
    return project


def test_where_features_cannot_be_had_any_more_stored_scores_are_compared(without_column):
    told = decision(without_column)
    assert told["rule"] == "no_worse_than_champion"
    assert "by the scores that version 1 has given before" in told["reason"]
    assert "orders/validated has no weight" in told["reason"]


def test_where_nothing_is_stored_either_the_champion_stays_and_it_is_said(without_column):
    stored = without_column.lake.scan("returns/predictions").collect()
    without_column.lake.replace("returns/predictions", stored.head(0))
    told = decision(without_column)
    assert (told["promote"], told["rule"]) == (False, "comparable_with_champion")
    assert "version 1 has scored only 0 of the holdout's rows before" in told["reason"]
    assert "version 1 stays champion" in told["reason"]


def test_another_label_is_not_comparable_unless_that_is_accepted(changed, declared):
    label = {"column": "late", "known_at": "settled_at"}
    project = changed(model=with_attributes(declared["model"], label=label))
    assert project.run(*TRAINING, as_of=SECOND).success
    told = decision(project)
    assert (told["promote"], told["rule"]) == (False, "comparable_with_champion")
    assert "the label was returned and is late" in told["reason"]
    assert "promotion.accept_over: '1'" in told["reason"]


def test_what_is_not_comparable_may_be_accepted(changed, declared):
    label = {"column": "late", "known_at": "settled_at"}
    promotion = {"margin": 0.5, "resamples": 200, "accept_over": "1"}
    project = changed(model=with_attributes(declared["model"], label=label, promotion=promotion))
    assert project.run(*TRAINING, as_of=SECOND).success
    told = decision(project)
    assert (told["promote"], told["rule"]) == (True, "comparable_with_champion")
    assert project.registry.champion("returns").version == "2"
