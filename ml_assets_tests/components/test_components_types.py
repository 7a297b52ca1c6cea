"""Spans, hashed identifiers and decimals, from a delivered file through gate, lake and features."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import polars as pl

CONTRACT = """

from datetime import timedelta


class Visits(pa.DataFrameModel):
    visitor: pl.String
    at: pl.Datetime("us", "UTC")
    waited: pl.Duration("us") = pa.Field(nullable=True, ge=timedelta(0))
    price: pl.Float64 = pa.Field(nullable=True)
"""
MONTHLY = {"grain": "monthly", "start": "2024-01", "end": "2024-02"}
SOURCE = {
    "name": "visits",
    "description": "One row per visit.",
    "contract": "CONTRACTS:Visits",
    "key_columns": ["visitor", "at"],
    "drops": MONTHLY | {"column": "at"},
    "max_bad_share": 0.5,
}
SPINE = {
    "name": "visits",
    "table": "visits/validated",
    "key": ["visitor"],
    "time": "at",
    "partition": "_drop",
    "drops": MONTHLY,
}
VIEW = {
    "name": "waiting",
    "description": "How long the visitor waits.",
    "spine": "visits",
    "entity": ["visitor"],
    "table": "visits/validated",
    "known_at": "at",
    "latest": {"last_price": "price"},
    "windows": ["7d"],
    "aggregates": {"waited_seconds": {"of": "waited / 1000000.0", "functions": ["mean"]}},
    "request": {"waited_minutes": "waited / 60000000.0"},
}


def test_spans_large_identifiers_and_decimals_from_a_file_to_features(make_project, tmp_path):
    at = [datetime(2024, 1, day, tzinfo=UTC) for day in (10, 11, 12)]
    visits = pl.DataFrame(
        {
            "visitor": pl.Series([2**64 - 1] * 3, dtype=pl.UInt64),
            "at": at,
            "waited": [timedelta(seconds=30), timedelta(seconds=90), timedelta(seconds=-1)],
            "price": [Decimal("0.10"), Decimal("0.20"), None],
        }
    )
    visits.write_parquet(tmp_path / "visits.parquet")
    documents = [
        {"type": f"ml_assets.{kind}", "attributes": attributes}
        for kind, attributes in (
            ("Source", SOURCE | {"where": {"path": str(tmp_path / "visits.parquet")}}),
            ("Spine", SPINE),
            ("FeatureView", VIEW),
        )
    ]
    project = make_project(*documents)
    contracts = next(project.folder.glob("made_up_shop_*/contracts.py"))
    contracts.write_text(contracts.read_text() + CONTRACT)
    keys = [f"visits/{table}" for table in ("raw", "validated", "quarantine")]
    run = project.run(*keys, "features/waiting", drops=("2024-01", "2024-01"))
    assert run.success, run.errors
    good = project.lake.scan("visits/validated").sort("at").collect()
    assert good["visitor"].to_list() == ["18446744073709551615"] * 2
    assert good["waited"].to_list() == [30_000_000, 90_000_000]
    assert good["price"].to_list() == [0.1, 0.2]
    bad = project.lake.scan("visits/quarantine").collect()
    assert bad["waited"].to_list() == [-1_000_000]
    assert "waited: greater_than_or_equal_to" in bad["_rules"][0]
    features = project.lake.scan("features/waiting").sort("at").collect()
    assert features["last_price"].to_list() == [0.1, 0.2]
    assert features["waited_seconds_mean_7d"].to_list() == [30.0, 60.0]
