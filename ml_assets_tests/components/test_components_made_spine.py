"""A spine that is made, from its declaration: its asset, its rows, and what is wrong with a declaration of one."""

from datetime import UTC, datetime

import polars as pl
import pytest
from pydantic import ValidationError

from ml_assets.components.conditions import follow_inputs
from ml_assets.components.stages import STAGE, TABLE
from ml_assets.declarations.specs import DeclaredSpine

MONTHS = {"grain": "monthly", "start": "2024-01", "end": "2024-04"}
MADE = {
    "name": "weekly",
    "entities": {"table": "orders/validated", "key": ["customer"], "from": "placed_at", "known_at": "placed_at"},
    "every": {"cron": "0 6 * * mon", "time_zone": "Europe/Paris"},
    "drops": MONTHS,
}
SOURCE = {
    "type": "ml_assets.Source",
    "attributes": {
        "name": "orders", "description": "Orders.", "where": {"path": "nowhere/{partition}.csv"}, "drops": MONTHS,
        "contract": "CONTRACTS:Orders", "key_columns": ["id"],
    },
}  # fmt: skip
VIEW = {
    "type": "ml_assets.FeatureView",
    "attributes": {
        "name": "spending", "description": "Spending.", "spine": "weekly", "table": "orders/validated",
        "entity": ["customer"], "known_at": "placed_at", "windows": ["30d"],
        "aggregates": {"spent": {"of": "amount", "functions": ["sum"]}},
    },
}  # fmt: skip


def at(month, day, hour=0):
    return datetime(2024, month, day, hour, tzinfo=UTC)


@pytest.fixture(scope="module")
def shop(make_project):
    project = make_project(SOURCE, {"type": "ml_assets.Spine", "attributes": MADE}, VIEW)
    orders = pl.DataFrame(
        [("2024-01", "ann", 10.0, at(1, 9)), ("2024-02", "bob", 5.0, at(2, 20)), ("2024-03", "ann", 7.0, at(3, 12))],
        schema={"_drop": pl.String, "customer": pl.String, "amount": pl.Float64, "placed_at": pl.Datetime("us", "UTC")},
        orient="row",
    )
    project.lake.replace("orders/validated", orders, {"_drop": ["2024-01", "2024-02", "2024-03"]})
    return project


def specs(project):
    return {spec.key.to_user_string(): spec for assets in project.definitions.assets for spec in assets.specs}


# Mondays at six in Paris: five in UTC, four from the last Sunday of March on, when there is none before April.
MONDAYS = {
    "2024-01": [at(1, day, 5) for day in (1, 8, 15, 22, 29)],
    "2024-02": [at(2, day, 5) for day in (5, 12, 19, 26)],
    "2024-03": [at(3, day, 5) for day in (4, 11, 18, 25)],
}


def test_the_rows_are_an_asset_of_one_partition_a_drop(shop):
    outcome = shop.run("weekly/rows", drops=["2024-01", "2024-02"])
    assert outcome.success, outcome.errors
    rows = shop.lake.scan("weekly/rows").collect()
    ann = [("2024-01", "ann", moment) for moment in MONDAYS["2024-01"] if moment.day > 8]
    ann += [("2024-02", "ann", moment) for moment in MONDAYS["2024-02"]]
    assert sorted(rows.rows()) == sorted([*ann, ("2024-02", "bob", at(2, 26, 5))])
    assert rows.columns == ["_drop", "customer", "prediction_at"]
    metadata = outcome.metadata("weekly/rows")
    assert metadata["rows_by_drop"] == {"2024-01": 3, "2024-02": 5}
    assert (metadata["moments"], metadata["entities_left_out"]) == (9, {})
    assert metadata["table_versions_read"] == {"orders/validated": 0}


def test_a_drop_made_again_replaces_its_rows(shop):
    for _ in range(2):
        assert shop.run("weekly/rows", drops=["2024-03"]).success
    of_march = shop.lake.scan("weekly/rows").filter(pl.col("_drop") == "2024-03").collect()
    assert sorted(of_march["prediction_at"]) == sorted(2 * MONDAYS["2024-03"])


def test_features_are_computed_for_the_made_rows(shop):
    outcome = shop.run("weekly/rows", "features/spending", drops=["2024-01", "2024-02", "2024-03"])
    assert outcome.success, outcome.errors
    spent = shop.lake.scan("features/spending").filter(pl.col("customer") == "ann").collect()
    by_moment = dict(spent.select("prediction_at", "spent_sum_30d").iter_rows())
    # Of ann's order of 9 January until 8 February, of that of 12 March from 18 March on.
    assert [moment for moment, sum_ in sorted(by_moment.items()) if sum_ == 10.0] == [
        at(1, 15, 5), at(1, 22, 5), at(1, 29, 5), at(2, 5, 5),
    ]  # fmt: skip
    assert [moment for moment, sum_ in sorted(by_moment.items()) if sum_ == 7.0] == [at(3, 18, 5), at(3, 25, 5)]


def test_the_asset_follows_the_table_of_entities(shop):
    spec = specs(shop)["weekly/rows"]
    assert [dep.asset_key.to_user_string() for dep in spec.deps] == ["orders/validated"]
    assert spec.group_name == "shop"
    assert spec.automation_condition == follow_inputs(spec.partitions_def)
    assert spec.tags[STAGE] == TABLE
    assert spec.partitions_def.get_partition_keys()[:2] == ["2024-01", "2024-02"]
    assert {dep.asset_key.to_user_string() for dep in specs(shop)["features/spending"].deps} == {
        "weekly/rows", "orders/validated",
    }  # fmt: skip


def test_made_rows_have_a_key_a_time_and_a_partition_of_their_own():
    spine = DeclaredSpine.model_validate(MADE)
    assert (spine.table, spine.time, spine.partition) == ("weekly/rows", "prediction_at", "_drop")
    assert (spine.key, spine.entity, spine.row) == (
        ["customer", "prediction_at"], ["customer"], ["customer", "prediction_at"],
    )  # fmt: skip
    assert DeclaredSpine.model_validate(spine.model_dump(by_alias=True)) == spine
    named = DeclaredSpine.model_validate(MADE | {"time": "asked_at", "partition": "month"})
    assert (named.key, named.time, named.partition) == (["customer", "asked_at"], "asked_at", "month")


READ = {"name": "orders", "table": "orders", "key": ["id"], "time": "at", "partition": "_drop", "drops": MONTHS}


@pytest.mark.parametrize(
    ("declared", "message"),
    [
        ({"name": "weekly", "drops": MONTHS}, "table: is missing: name the table of the rows, or have them made"),
        ({k: v for k, v in READ.items() if k != "key"}, "key: is missing"),
        (READ | {"time": ""}, "time: is missing"),
        (READ | {"partition": ""}, "partition: is missing"),
        (READ | {"follows": "orders"}, "follows: belongs to made rows"),
        (MADE | {"table": "orders"}, "table: is given beside `entities` and `every`"),
        (MADE | {"every": None}, "every: is missing"),
        (MADE | {"entities": None}, "entities: is missing"),
        (MADE | {"key": ["customer"]}, "key: is that of made rows, customer, prediction_at: leave it out"),
        (MADE | {"drops": {}}, "drops: a calendar has no end: declare a grain"),
        (MADE | {"time": "customer"}, "time: 'customer' is also the name of another column"),
        (MADE | {"partition": "prediction_at"}, "time: 'prediction_at' is also the name of another column"),
        (MADE | {"every": {"cron": "mondays"}}, "'mondays' is no cron expression"),
        (
            MADE | {"every": {"cron": "0 0 6 * * mon"}},
            "'0 0 6 * * mon' has 6 fields, and there are no seconds or years",
        ),
        (MADE | {"every": {"cron": "0 6 * * *", "time_zone": "Paris"}}, "'Paris' is no IANA time zone"),
        (MADE | {"entities": MADE["entities"] | {"where": "a ="}}, "`a =` is no Polars SQL condition"),
        (MADE | {"entities": MADE["entities"] | {"columns": ["customer"]}}, "columns: customer is named twice"),
        (MADE | {"entities": MADE["entities"] | {"key": []}}, "key: must name at least one"),
    ],
)
def test_a_spine_is_either_read_or_made(declared, message):
    with pytest.raises(ValidationError) as raised:
        DeclaredSpine.model_validate(declared)
    assert message in str(raised.value)
