"""A package brings a format of its own, one module and one line of registration: its rows are watched and ingested."""

import json
import os
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from ml_assets.scaffolding.samples.sample import read_sample
from ml_assets.scaffolding.sources.declaration import infer_source
from ml_assets.scaffolding.sources.wanted import Wanted
from ml_assets.sources.delivery.placement import place_rows
from ml_assets.sources.delivery.read import fingerprint, list_drops, read_drops
from ml_assets.sources.errors import SourceError
from ml_assets.sources.formats import READERS
from ml_assets.sources.watch import due_drops, watch

MODULE = """
import polars as pl

from ml_assets.sources.errors import check_columns
from ml_assets.sources.files.fetch import fetch
from ml_assets.sources.readers.reader import SourceReader


class LinesReader(SourceReader):
    what = "a file of JSON lines"

    def load(self, request):
        table = pl.read_ndjson(fetch(request.address))
        extra = check_columns(request.columns, table.columns, request.optional)
        return table.select(name for name in request.columns if name in table.columns), extra


READER = LinesReader()
"""
NOW = datetime(2024, 6, 1, tzinfo=UTC).timestamp()
MONTHLY = {"grain": "monthly", "start": "2024-01", "end": "2024-04"}
JANUARY = {"id": 1, "amount": 9.5, "shop": "Oslo", "at": "2024-01-15T12:00:00Z", "note": "beyond the contract"}
FEBRUARY = {**JANUARY, "id": 2, "at": "2024-02-15T12:00:00Z"}


@pytest.fixture
def records(tmp_path, monkeypatch):
    """The format `records`, installed as a package with an entry point."""
    site = tmp_path / "site"
    metadata = site / "json_lines-1.0.dist-info"
    metadata.mkdir(parents=True)
    (site / "json_lines.py").write_text(MODULE)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: json_lines\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[ml_assets.source_readers]\nrecords = json_lines:READER\n")
    monkeypatch.syspath_prepend(site)
    READERS.__dict__.pop("_installed", None)
    yield
    READERS.__dict__.pop("_installed", None)
    READERS.unregister("records")


def deliver(path: Path, *rows: dict) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    os.utime(path, (NOW - 60 + path.stat().st_size, NOW - 60 + path.stat().st_size))


pytestmark = pytest.mark.usefixtures("records")


def test_the_format_is_told_from_the_ending_and_its_drops_are_read(orders, orders_schema, tmp_path):
    source = orders("orders.records", drops={**MONTHLY, "column": "at"})
    assert source.format == "records"
    assert list_drops(source, orders_schema) == []
    deliver(tmp_path / "orders.records", JANUARY, FEBRUARY)
    assert list_drops(source, orders_schema) == ["2024-01", "2024-02"]
    drop = read_drops(source, ["2024-02"], orders_schema)["2024-02"]
    assert drop.frame.drop("_content_hash").rows() == [
        (2, 9.5, "Oslo", datetime(2024, 2, 15, 12, tzinfo=UTC), "2024-02")
    ]
    assert drop.extra_columns == ("note",)


@pytest.mark.parametrize("cut", ["by a column", "by files"])
def test_a_drop_is_due_when_it_arrives_and_when_it_is_corrected(orders, orders_schema, tmp_path, cut):
    january, february = (tmp_path / f"orders-2024-0{month}.records" for month in (1, 2))
    if cut == "by files":
        source = orders("orders-{partition}.records", drops=MONTHLY)
    else:
        january = february = tmp_path / "orders.records"
        source = orders("orders.records", drops={**MONTHLY, "column": "at"})

    def look(before: dict, ingested: dict) -> tuple[dict, dict]:
        tokens = watch(source, orders_schema, before, NOW)
        return tokens, due_drops(source, orders_schema, tokens, before, ingested, NOW)

    deliver(january, JANUARY)
    tokens, due = look({}, {})
    assert list(due) == ["2024-01"]
    ingested = due
    assert look(tokens, ingested) == (tokens, {})
    rows = [FEBRUARY] if cut == "by files" else [JANUARY, FEBRUARY]
    deliver(february, *rows)
    tokens, due = look(tokens, ingested)
    assert list(due) == ["2024-02"]
    ingested |= due
    rows = [JANUARY | {"amount": 10.25}] if cut == "by files" else [JANUARY | {"amount": 10.25}, FEBRUARY]
    deliver(january, *rows)
    assert list(look(tokens, ingested)[1]) == ["2024-01"]


def test_rows_in_no_drop_are_counted_and_a_change_changes_the_fingerprint(orders, orders_schema, tmp_path):
    source = orders("orders.records", drops={**MONTHLY, "column": "at"})
    deliver(tmp_path / "orders.records", JANUARY, FEBRUARY, JANUARY | {"id": 3, "at": "2023-12-31T23:00:00Z"})
    placed = place_rows(source, orders_schema, ["2024-01"])
    assert (placed.places, placed.waiting) == ({"before 2024-01": 1}, 1)
    first = fingerprint(source, ["2024-01"], orders_schema)
    deliver(tmp_path / "orders.records", JANUARY | {"amount": 10.25})
    assert fingerprint(source, ["2024-01"], orders_schema) != first


def test_a_declaration_is_suggested_from_its_rows(tmp_path):
    deliver(tmp_path / "orders.records", JANUARY, FEBRUARY)
    where = {"path": str(tmp_path / "orders.records")}
    new = infer_source("orders", "shop.contracts", Wanted(where), read_sample(where, None))
    assert new.values["key_columns"] == ["id"]
    assert "amount: pl.Float64" in new.contract


def test_what_such_rows_do_not_have_is_refused_and_a_broken_file_is_named(orders, orders_schema, tmp_path):
    with pytest.raises(ValueError, match="null_values: a file of JSON lines has nulls of its own"):
        orders("orders.records", null_values=["NA"])
    deliver(tmp_path / "orders.records", {"id": 1})
    with pytest.raises(SourceError, match="column 'amount': missing column: the delivery has id"):
        read_drops(orders("orders.records"), ["whole"], orders_schema)


def test_the_source_component_ingests_its_drops(tmp_path, monkeypatch, make_project):
    (tmp_path / "lines_contract.py").write_text(
        "import pandera.polars as pa\nimport polars as pl\n\n\n"
        "class Orders(pa.DataFrameModel):\n    id: pl.Int64 = pa.Field()\n    amount: pl.Float64 = pa.Field(gt=0)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    deliver(tmp_path / "orders-2024-01.records", JANUARY, JANUARY | {"id": 2, "amount": -1.0})
    declared = {
        "name": "orders",
        "description": "One row per order.",
        "where": {"path": str(tmp_path / "orders-{partition}.records")},
        "drops": MONTHLY,
        "contract": "lines_contract:Orders",
        "key_columns": ["id"],
        "max_bad_share": 0.5,
    }
    project = make_project({"type": "ml_assets.Source", "attributes": declared})
    outcome = project.run("orders/raw", "orders/validated", "orders/quarantine", drops=["2024-01"])
    assert outcome.errors == []
    kept = [project.lake.scan(f"orders/{table}").select("id").collect()["id"] for table in ("validated", "quarantine")]
    assert [ids.to_list() for ids in kept] == [[1], [2]]
    assert pl.Series(kept[0]).dtype == pl.Int64
