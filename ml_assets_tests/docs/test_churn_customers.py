"""The guide to churn where customers are a table of their own: its files make a project, through which customers go."""

from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import polars as pl
import pytest

from ml_assets import testing
from ml_assets.commands.init.project import create_project
from ml_assets.declarations.coherence.problems import problems_among
from ml_assets.declarations.coherence.tables import DeclaredTables, PlacedDeclaration
from ml_assets.spines.rows import make_rows
from ml_assets_tests.docs.guide import Guide

PROJECT = Path(__file__).parents[2]
GUIDE = Guide(PROJECT / "docs/predict-churn.md", PROJECT / "ml_assets/defs/churn")
FIRST, STAYS, LEAVES, LATER = 1, 2, 3, 4
CUSTOMERS = [
    {"customer_id": FIRST, "signed_up_at": "2023-12-01", "closed_at": None},
    {"customer_id": STAYS, "signed_up_at": "2024-01-08T05:00", "closed_at": None},  # six in the morning in Paris
    {"customer_id": LEAVES, "signed_up_at": "2023-12-24", "closed_at": "2024-01-08T05:00"},
    {"customer_id": LATER, "signed_up_at": "2024-01-08T05:01", "closed_at": "2024-01-15T05:01"},
]
ORDERS = [
    {"order_id": 1, "customer_id": FIRST, "placed_at": "2023-12-11T05:00", "total": 20.0},
    {"order_id": 2, "customer_id": FIRST, "placed_at": "2024-01-08T05:00", "total": 5.0},
    {"order_id": 3, "customer_id": STAYS, "placed_at": "2024-02-07T05:00", "total": 7.0},
]
MONDAYS = [datetime(2024, 1, day, 6, tzinfo=ZoneInfo("Europe/Paris")).astimezone(UTC) for day in (1, 8, 15)]


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """The shop of the guide, with the customers and orders above."""
    folder = tmp_path_factory.mktemp("guide") / "studio"
    create_project(folder)
    for name, text in GUIDE.files():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    opened = testing.project(folder)
    return opened.given("customers/validated", CUSTOMERS).given("orders/validated", ORDERS)


def test_the_declarations_agree_with_each_other(project):
    of = project.project
    declared = [each for kind in (of.sources, of.spines, of.views, of.declared_outcomes) for each in kind.values()]
    assert len(declared) == 6
    placed = [PlacedDeclaration(each, "members") for each in declared]
    known = dict.fromkeys([*of.declared_tables, "customers_weekly/rows"])
    tables = DeclaredTables(placed, known)
    assert [message for each in placed for message in problems_among(tables, each)] == []


@pytest.fixture(scope="module")
def rows(project, tmp_path_factory):
    made = project.project.spines["customers_weekly"].made
    table = project.project.table("customers/validated")
    drops = ["2024-01-01", "2024-01-08", "2024-01-15"]
    return make_rows(made, table, drops, tmp_path_factory.mktemp("rows")).rows.collect()


def test_a_customer_is_predicted_from_signing_up_until_leaving(rows):
    active = rows.sort("prediction_at", "customer_id").group_by("prediction_at", maintain_order=True)
    of_mondays = active.agg("customer_id").rows()
    assert of_mondays == [
        (MONDAYS[0], [FIRST, LEAVES]),
        (MONDAYS[1], [FIRST, STAYS]),
        (MONDAYS[2], [FIRST, STAYS, LATER]),
    ]


def test_who_orders_within_thirty_days_has_not_churned(project, rows):
    outcomes = project.outcome("churned", rows, complete_until="2024-02-10T05:00").sort("prediction_at", "customer_id")
    known = outcomes.select("customer_id", "churned", pl.col("churned_known_at") - pl.col("prediction_at"))
    assert known["churned"].to_list() == [False, True, True, False, None, None, None]
    assert known["churned_known_at"].dt.total_days().unique().to_list() == [32]


def test_what_is_known_of_a_customer_ends_on_the_monday(project, rows):
    features = project.features("order_habits", rows).filter(customer_id=FIRST).sort("prediction_at")
    told = features.select("orders_count_28d", "orders_count_84d", "spent_sum_28d", "last_total").rows()
    # The order of 11 December lies 28 days before the second Monday, and is no longer in its window.
    assert told == [(1, 1, 20.0, 20.0), (1, 2, 5.0, 5.0), (1, 2, 5.0, 5.0)]
    member = project.features("membership", at=MONDAYS[1], customer_id=STAYS, signed_up_at=MONDAYS[1])
    assert member == {"days_a_customer": 0.0}
