"""A few stores of a chain: their sales, which are counted, and their areas."""

from datetime import UTC, datetime, timedelta

import polars as pl

from ml_assets.features.spec import FeatureViewSpec
from ml_assets.online.build import build_view
from ml_assets.online.push import push_facts
from ml_assets.online.values.record import microseconds

AS_OF = datetime(2024, 3, 10, tzinfo=UTC)
SALES = FeatureViewSpec(
    name="sales", description="Sales of the store.", entity=["store"], table="sales", known_at="known",
    windows=["2h"], aggregates={"amount": {"of": "amount", "functions": ["count"]}},
)  # fmt: skip
AREAS = FeatureViewSpec(
    name="areas", description="The store.", entity=["store"], table="areas", lookups={"area": "area"}
)


def sales(*stores, ago=1.0):
    types = {"store": pl.String, "known": pl.Datetime("us", "UTC"), "amount": pl.Float64}
    known = AS_OF - timedelta(hours=ago)
    return pl.DataFrame([(name, known, 1.0) for name in stores], schema=types, orient="row")


def build(store, *stores, view=SALES, name="b", **more):
    table = sales(*stores) if view is SALES else pl.DataFrame({"store": stores, "area": 1})
    return build_view(store, view, table.lazy(), as_of=AS_OF, max_age=timedelta(days=1), build=name, **more)


def push(store, name, ago=0.5):
    return push_facts(store, SALES, sales(name, ago=ago), arrived_at=microseconds(AS_OF))
