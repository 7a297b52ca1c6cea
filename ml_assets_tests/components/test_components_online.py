"""online/<view>: builds of a made-up shop, from the lake into the store, checked against a plain recomputation."""

import json
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from textwrap import dedent

import dagster as dg
import polars as pl
import pytest

from ml_assets.features.spec import FeatureViewSpec
from ml_assets.online import build as building
from ml_assets.online.export import facts_of, pushed_facts
from ml_assets.online.lookup import OnlineFeatures
from ml_assets.online.push import push_facts
from ml_assets.online.stores.opening import open_store
from ml_assets.online.values.moments import VALID_FROM
from ml_assets.online.values.record import Build, microseconds
from ml_assets_tests import processes

pytestmark = pytest.mark.slow

PROGRAM = Path(sys.executable).parent / "ml-assets"
SCHEMA = {"store": pl.String, "known": pl.Datetime("us", "UTC"), "amount": pl.Float64}
SALES = {
    "name": "sales", "description": "Sales of the store.", "table": "sales", "entity": ["store"],
    "spine_keys": {"store": "shop"}, "known_at": "known", "latest": {"last_amount": "amount"}, "windows": ["2d"],
    "aggregates": {"amount": {"of": "amount", "functions": ["sum"]}},
}  # fmt: skip
STORES = {
    "name": "stores", "description": "The store.", "table": "stores", "entity": ["store"],
    "spine_keys": {"store": "shop"}, "lookups": {"city": "city"},
}  # fmt: skip


def at(day, hour=0):
    return datetime(2024, 1, day, hour, tzinfo=UTC)


def sales(*rows):
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


@pytest.fixture
def shop(make_project):
    more = {"spine": "visits", "owners": ["team:shop"]}
    spine = {
        "name": "visits", "table": "visits", "key": ["id"], "time": "at", "partition": "month",
        "drops": {"grain": "monthly", "start": "2024-01", "end": "2024-05"},
    }  # fmt: skip
    request = {"name": "visit", "description": "Any.", "entity": ["id"], "request": {"number": "id"}}
    kept = {"online": {"max_age": "3d", "freshness": {"fail": "2d"}}}
    project = make_project(
        {"type": "ml_assets.Spine", "attributes": spine},
        {"type": "ml_assets.FeatureView", "attributes": SALES | more | kept},
        {"type": "ml_assets.FeatureView", "attributes": STORES | more | {"online": {}}},
        {"type": "ml_assets.FeatureView", "attributes": request | more},
    )
    project.lake.replace("sales", sales(("a", at(9), 10.0), ("a", at(10), 20.0), ("b", at(1), 5.0)))
    project.lake.replace("stores", pl.DataFrame({"store": ["a"], "city": ["Rome"]}))
    return project


def read(shop, name, moment):
    views = [FeatureViewSpec(**SALES), FeatureViewSpec(**STORES)]
    (fetched,) = OnlineFeatures(open_store(shop.online_store), views).fetch([{"shop": name}], microseconds(moment))
    return fetched


def test_a_build_looks_from_the_newest_fact_of_its_table(shop):
    outcome = shop.run("online/sales", "online/stores")
    assert outcome.success, outcome.errors
    fetched = read(shop, "a", at(10))
    # (8 Jan, 10 Jan] has 10 and 20; a day later the 10 of 9 January is two days old.
    assert fetched.values == {"last_amount": 20.0, "amount_sum_2d": 30.0, "city": "Rome"}
    assert read(shop, "a", at(11)).values["amount_sum_2d"] == 20.0
    assert fetched.states == {"sales": "fresh", "stores": "fresh"}
    told = outcome.metadata("online/sales")
    assert (told["as_of"], told["valid_until"]) == ("2024-01-10T00:00:00Z", "2024-01-13T00:00:00Z")
    assert (told["entities"], told["pushed_seq"], told["table_version"]) == (2, 0, 0)
    check = outcome.check("online/sales:agrees_with_offline")
    assert check.passed
    assert (check.metadata["observed"].value, check.metadata["rows_recomputed"].value) == (0, 50)


def test_a_build_can_look_from_any_moment_and_each_is_recorded(shop):
    shop.run("online/sales")
    shop.run("online/sales", as_of="2024-01-09T12:00:00")
    assert read(shop, "a", at(9, 12)).values["last_amount"] == 10.0
    builds = shop.lake.scan("online/sales").sort("as_of", descending=True).collect()
    assert builds["as_of"].to_list() == [at(10), at(9, 12)]
    assert builds["build"].n_unique() == 2
    assert read(shop, "a", at(9, 12)).versions["sales"] == (builds["build"][1], 0)


def test_what_was_pushed_is_kept_in_the_lake_and_explains_every_value(shop):
    shop.run("online/sales")
    view, store = FeatureViewSpec(**SALES), open_store(shop.online_store)
    push_facts(store, view, sales(("a", at(10, 6), 40.0), ("new", at(10), 1.0)), arrived_at=microseconds(at(10, 7)))
    first = Build(**shop.lake.scan("online/sales").collect().row(0, named=True))
    outcome = shop.run("online/sales")
    assert outcome.success, outcome.errors
    pushed = shop.lake.scan("pushed/sales").sort("_seq").collect()
    assert pushed.drop("_arrived_at").rows() == [("a", at(10, 6), 40.0, 1), ("new", at(10), 1.0, 2)]
    assert set(pushed["_arrived_at"]) == {at(10, 7)}
    assert read(shop, "a", at(10, 6)).values["amount_sum_2d"] == 70.0
    assert outcome.metadata("online/sales")["pushed_seq"] == 2
    assert outcome.check("online/sales:agrees_with_offline").passed
    # Nothing is exported twice, and a version of a value leads to the facts behind it.
    shop.run("online/sales")
    assert pushed_facts(shop.lake, "sales", 2).collect().height == 2
    assert facts_of(shop.lake, view, first, 1).collect().sort("amount")["amount"].to_list() == [5.0, 10.0, 20.0, 40.0]


def test_what_does_not_agree_with_the_facts_is_found(shop, monkeypatch):
    honest = building.build_moments

    def late(*given):
        for part in honest(*given):
            yield part.with_columns(pl.col(VALID_FROM) + timedelta(hours=30) // timedelta(microseconds=1))

    monkeypatch.setattr(building, "build_moments", late)
    outcome = shop.run("online/sales")
    check = outcome.check("online/sales:agrees_with_offline")
    assert not check.passed
    assert check.severity == dg.AssetCheckSeverity.ERROR
    assert check.metadata["observed"].value > 0
    assert "last_amount" in check.metadata["differing"].value


def test_the_assets_are_those_of_views_that_are_kept(shop):
    specs = {spec.key.to_user_string(): spec for assets in shop.definitions.assets for spec in assets.specs}
    assert [key for key in specs if key.startswith("online/")] == ["online/sales", "online/stores"]
    spec = specs["online/sales"]
    assert [dep.asset_key.to_user_string() for dep in spec.deps] == ["sales"]
    assert (spec.group_name, spec.owners, spec.kinds) == ("shop", ["team:shop"], {"sqlite", "delta"})
    assert spec.freshness_policy.fail_window.to_timedelta() == timedelta(days=2)
    assert spec.partitions_def is None


TABLES = """
    import dagster as dg

    @dg.multi_asset(specs=[dg.AssetSpec(name) for name in ("visits", "sales", "stores")])
    def tables():
        ...
"""


def run(shop, *arguments):
    (declared,) = shop.folder.glob("*/defs")
    (declared / "tables.py").write_text(dedent(TABLES))
    own = {"ML_ASSETS_HOME": shop.folder / "home", "COLUMNS": 120}
    return processes.run("ml-assets", *arguments, cwd=shop.folder, timeout=300, **own)


@pytest.mark.timeout(300)
def test_the_command_builds_and_tells_of_each_view(shop):
    done = run(shop, "online", "shop", "--as-of", "2024-01-09T12:00:00", "--json")
    assert done.returncode == 0, done.stderr
    told = {one["view"]: one for one in json.loads(done.stdout)["views"]}
    assert list(told) == ["sales", "stores"]
    assert told["sales"].pop("seconds") > 0
    # Of a: the 10 of 9 January, and when it leaves the window; b is only in what is last, and changes no more.
    assert told["sales"] == {
        "view": "sales", "entities": 2, "moments": 3, "as_of": "2024-01-09T12:00:00Z", "agrees": True,
    }  # fmt: skip
    assert read(shop, "a", at(9, 12)).values["last_amount"] == 10.0
    table = run(shop, "online", "shop", "--view", "stores").stdout
    assert "stores" in table.split("agrees")[1]
    assert "sales" not in table.split("agrees")[1]


@pytest.mark.timeout(300)
def test_the_command_tells_what_cannot_be_built(shop):
    asked = {
        ("online", "shop", "--view", "visit"): "shop keeps no features of visit; it keeps those of sales, stores",
        ("online", "shops"): "shops keeps no features for requests: declare `online:` on a feature view with a table",
    }
    for arguments, told in asked.items():
        done = run(shop, *arguments)
        assert (done.returncode, done.stderr.splitlines()) == (2, [f"error: {told}"])
