"""Which drops are computed again when facts have come: those with a label that has become due, once."""

from datetime import UTC, datetime

import polars as pl

from ml_assets.outcomes.settling import drops_to_settle
from ml_assets.outcomes.spec import OutcomeSpec

OUTCOME = OutcomeSpec(
    name="churned", description="No order.", table="orders", entity=["id"], happened_at="at", window="30d",
    aggregate={"functions": ["count"]}, label="count = 0",
)  # fmt: skip
MOMENT = pl.Datetime("us", "UTC")


def day(number):
    return datetime(2024, 1, number, tzinfo=UTC)


def stored(*rows):
    schema = {"_drop": pl.String, "churned_known_at": MOMENT, "_complete_until": MOMENT}
    return pl.LazyFrame(rows, schema=schema, orient="row")


def settled(until, *rows):
    return drops_to_settle(OUTCOME, stored(*rows), partition="_drop", until=until)


def test_drops_with_a_label_that_has_become_due_are_named_once_in_order():
    rows = [
        ("b", day(10), day(9)), ("b", day(10), day(9)), ("a", day(20), day(9)), ("a", day(5), day(9)),
        ("known", day(9), day(9)), ("later", day(21), day(9)), ("never", None, day(9)), ("no facts yet", day(3), None),
    ]  # fmt: skip
    assert settled(day(20), *rows) == ["a", "b", "no facts yet"]
    assert settled(day(9), *rows) == ["no facts yet"]


def test_what_was_computed_with_all_facts_is_not_computed_again():
    assert settled(day(20), ("a", day(20), day(20)), ("b", day(19), day(20))) == []


def test_without_facts_or_outcomes_there_is_nothing_to_settle():
    assert settled(None, ("a", day(1), None)) == []
    assert drops_to_settle(OUTCOME, None, partition="_drop", until=day(1)) == []
