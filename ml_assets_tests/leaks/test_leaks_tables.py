"""What the tables of a model show: moments that cannot be true, and rows that are others than they were."""

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from ml_assets.features.audit.timing import known_before_drop, timing_doubts
from ml_assets.features.audit.versions import compare_facts, compare_rows, compare_versions
from ml_assets.lake import Lake
from ml_assets.leaks.tables import Tables
from ml_assets.sources.drops.spec import Drops
from ml_assets_tests.leaks.planted_leaks import Planted, judge, made_up_orders, view

DAY = timedelta(days=1)


def at(day: int, hour: int = 0) -> datetime:
    return datetime(2024, 1, day, hour, tzinfo=UTC)


def facts(*rows: tuple[str, datetime, float]) -> pl.LazyFrame:
    schema = {"customer": pl.String, "known": pl.Datetime("us", "UTC"), "amount": pl.Float64}
    return pl.LazyFrame(rows, schema=schema, orient="row")


def spine(*rows: tuple[str, datetime]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema={"customer": pl.String, "at": pl.Datetime("us", "UTC")}, orient="row")


SPENT = view(
    "spent", entity=["customer"], table="t", known_at="known", latest={"newest": "amount"}, windows=["7d"],
    aggregates={"all": {"of": "amount", "functions": ["sum"]}, "times": {"functions": ["count"]}},
)  # fmt: skip


def test_a_row_that_came_late_changes_the_values_at_times_before():
    then = facts(("a", at(1), 1.0), ("b", at(5), 2.0))
    now = facts(("a", at(1), 1.0), ("a", at(3), 10.0), ("b", at(5), 2.0), ("b", at(8), 4.0))
    rows = spine(("a", at(2)), ("a", at(4)), ("b", at(5)), ("b", at(9)))  # the last lies after the earlier version
    changed = {one.feature: (one.changed, one.rows) for one in compare_versions(SPENT, then, now, rows, "at")}
    assert changed == {"newest": (1, 3), "all_sum_7d": (1, 3), "times_count_7d": (1, 3)}
    newest = compare_versions(SPENT, then, now, rows, "at")[0]
    assert newest.example == "at 2024-01-04 00:00 it was 1.0 and is 10.0 now"
    assert all(one.changed == 0 for one in compare_versions(SPENT, then, then, rows, "at"))


def test_a_row_that_was_updated_in_place_differs_from_itself():
    then, now = (
        facts(("a", at(1), 1.0), ("b", at(2), 2.0)),
        facts(("a", at(1), 3.0), ("b", at(2), 2.0), ("c", at(3), 1.0)),
    )
    changed = {one.feature: (one.changed, one.rows) for one in compare_facts(SPENT, then, now)}
    assert changed == {"newest": (1, 2), "all_sum_7d": (1, 2)}  # what is counted only has no value to differ in


def test_a_row_to_predict_that_was_filled_in_later_differs_from_itself():
    own = view("own", entity=["id"], request={"double": "amount * 2"})
    frame = pl.LazyFrame({"id": [1, 2, 3], "at": [at(1), at(2), at(3)], "amount": [1.0, None, 3.0]})
    filled = frame.with_columns(pl.col("amount").fill_null(2.0))
    (one,) = compare_rows(own, frame.head(2), filled, ["id"], "at")
    assert (one.feature, one.changed, one.rows) == ("double", 1, 2)
    assert one.example == "at 2024-01-02 00:00 it was None and is 4.0 now"


def test_a_static_table_is_compared_for_the_entities_that_it_had():
    looked_up = view("looked_up", entity=["customer"], table="t", lookups={"status": "amount"})
    then, now = facts(("a", at(1), 1.0)), facts(("a", at(1), 2.0), ("b", at(1), 1.0))
    (one,) = compare_versions(looked_up, then, now, spine(("a", at(9)), ("b", at(9))), "at")
    assert (one.changed, one.rows) == (1, 1)


@pytest.mark.parametrize(("zone", "early"), [("UTC", 2), ("Europe/Paris", 1), ("America/New_York", 2)])
def test_rows_known_before_their_drop_began_are_counted_in_its_zone(zone, early):
    table = pl.LazyFrame(
        {
            "_drop": ["2024-01", "2024-01", "2024-02", "2024-02"],
            "known": [at(1) - timedelta(minutes=30), at(9), at(20), None],  # in Paris the first is of the new year
        },
        schema_overrides={"known": pl.Datetime("us", "UTC")},
    )
    found = known_before_drop(table, "known", "_drop", Drops(grain="monthly", start="2024-01", time_zone=zone))
    assert (found.rows, found.of) == (early, 3)
    assert found.share == pytest.approx(early / 3)


def test_a_table_without_drops_says_nothing_of_when_it_came():
    assert (
        known_before_drop(facts(("a", at(1), 1.0)), "known", "_drop", Drops(grain="monthly", start="2024-01")) is None
    )


def test_doubts_name_what_speaks_against_a_table():
    table = facts(("a", at(1), 1.0), ("b", at(2), 1.0)).with_columns(updated=pl.col("known") + DAY)
    doubts = timing_doubts(SPENT, table, spine(("a", at(1)), ("b", at(9))), "at", 0.01)
    assert doubts["newest"] == [
        "100% of the rows of t hold a later moment in updated than known",
        "50% of the rows to predict have a fact in t that is known at their very time",
    ]
    assert timing_doubts(SPENT, table.drop("updated"), spine(("a", at(3)), ("b", at(9))), "at", 0.01) == {}


def test_earlier_versions_are_the_first_and_evenly_on(tmp_path):
    lake = Lake(str(tmp_path))
    tables = Tables(lake, lake.scan)
    assert tables.earlier("t") == []
    for number in range(7):
        lake.replace("t", pl.DataFrame({"number": [number]}))
    found = [(version, frame.collect().item()) for version, frame in tables.earlier("t")]
    assert found == [(0, 0), (2, 2), (4, 4)]


# In the made-up shop


@pytest.fixture(scope="module")
def orders():
    return made_up_orders()


def test_a_planned_moment_may_lie_after_the_prediction(orders, tmp_path):
    due = pl.when(pl.col("amount") > 10).then(pl.col("placed_at") + 3 * DAY)  # some orders are not to be delivered
    read = view("planned", entity=["id"], request={"days": "CAST(EXTRACT(epoch FROM due_at) AS DOUBLE) % 7"})
    assert judge(Planted(orders.with_columns(due_at=due), [read]), tmp_path).gates == set()


def test_outcomes_known_before_the_prediction_are_counted(orders, tmp_path):
    is_early = pl.col("id") % 20 == 0
    settled = pl.when(is_early).then(pl.col("placed_at") - DAY).otherwise("settled_at")
    judged = judge(Planted(orders.with_columns(settled_at=settled)), tmp_path)
    (finding,) = judged.signs.findings
    assert (finding.gate, finding.value) == ("label_before", pytest.approx(0.05, abs=1e-9))


def test_drops_that_came_in_another_order_are_no_rewriting(orders, tmp_path):
    visits = orders.select("customer", "_drop", "amount", at="settled_at")
    read = view("visits", entity=["customer"], table="visits", known_at="at", latest={"last": "amount"})
    weeks = visits["_drop"].unique().sort()
    newest_first = visits.filter(pl.col("_drop").is_in(weeks[8:].implode()))
    judged = judge(Planted(orders, [read], {"visits": [newest_first, visits]}), tmp_path / "backwards")
    assert "rewritten" not in judged.gates
    oldest_first = visits.filter(pl.col("_drop").is_in(weeks[:8].implode()))
    late = oldest_first.filter(pl.int_range(pl.len()) % 5 > 0)
    judged = judge(Planted(orders, [read], {"visits": [late, visits]}), tmp_path / "late")
    assert "rewritten" in judged.gates
