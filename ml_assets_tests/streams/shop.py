"""A shop whose sales and returns come by stream, and what batch makes of them."""

from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl

from ml_assets.features.engine.compute import compute_features
from ml_assets.features.spec import FeatureViewSpec
from ml_assets.online.build import build_view
from ml_assets.online.lookup import OnlineFeatures
from ml_assets.online.stores.protocol import OnlineStore
from ml_assets.online.tables import PushedTable, Refused
from ml_assets.online.values.record import microseconds

NOW = datetime(2024, 3, 10, 12, tzinfo=UTC)
ARRIVED = microseconds(NOW)
SCHEMA = {"shop": pl.String, "at": pl.Datetime("us", "UTC"), "amount": pl.Float64}
VIEWS = {
    "sales": FeatureViewSpec(
        name="sold", description="Sales.", entity=["shop"], table="sales", known_at="at", windows=["3h"],
        latest={"last_amount": "amount"}, aggregates={"amount": {"of": "amount", "functions": ["sum", "count"]}},
    ),
    "shop/returns": FeatureViewSpec(
        name="returned", description="Returns.", entity=["shop"], table="shop/returns", known_at="at", windows=["3h"],
        aggregates={"back": {"of": "amount", "functions": ["sum", "count"]}},
    ),
}  # fmt: skip


class Positive:
    """A contract: no amount below 0."""

    def columns(self):
        return SCHEMA

    def judge(self, rows):
        wrong = (rows["amount"] < 0).fill_null(False)
        return rows.filter(~wrong), [Refused(number, "amount: at least 0", "amount") for number in wrong.arg_true()]


def tables() -> dict[str, PushedTable]:
    return {name: PushedTable(name, [view], Positive, timedelta(minutes=5)) for name, view in VIEWS.items()}


def build(store: OnlineStore) -> OnlineStore:
    """Build every view, without facts."""
    for view in VIEWS.values():
        known = pl.LazyFrame(schema=SCHEMA)
        build_view(store, view, known, as_of=NOW - timedelta(hours=4), max_age=timedelta(days=1), build="b1")
    return store


def sale(shop: str, minutes: int, amount: float) -> dict[str, Any]:
    """A row of so many minutes before NOW."""
    return {"shop": shop, "at": (NOW - timedelta(minutes=minutes)).isoformat(), "amount": amount}


def served(store: OnlineStore, shop: str) -> dict[str, Any]:
    (read,) = OnlineFeatures(store, list(VIEWS.values())).fetch([{"shop": shop}], ARRIVED)
    return dict(read.values)


def batch(rows: dict[str, list[dict[str, Any]]], shop: str) -> dict[str, Any]:
    """Return what the engine makes of all rows of each table."""
    spine = pl.DataFrame({"shop": [shop], "due": [NOW]}, schema={"shop": pl.String, "due": SCHEMA["at"]})
    values = {}
    for table, view in VIEWS.items():
        read = [row | {"at": datetime.fromisoformat(row["at"])} for row in rows[table]]
        facts = pl.DataFrame(read, schema=SCHEMA, orient="row")
        values |= compute_features(view, spine, facts, time="due").select(view.table_features).row(0, named=True)
    return values
