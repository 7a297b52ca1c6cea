"""One source at fault keeps no other from being looked at, and its fault is told by one run."""

import json
import os
import time

import dagster as dg
import pytest

from ml_assets.automation.sensors.drops import drop_sensor
from ml_assets.components.sources.source import Source
from ml_assets.resources import LakeResource
from ml_assets.sources.delivery.read import read_drops
from ml_assets.sources.errors import SourceError

CONTRACT = """
import pandera.polars as pa
import polars as pl


class Rows(pa.DataFrameModel):
    id: pl.Int64 = pa.Field()
"""
MONTHLY = {"grain": "monthly", "start": "2024-01", "end": "2024-04"}


@pytest.fixture
def shop(tmp_path, monkeypatch):
    """Looks at `visits` and `parcels`, both in monthly files, as the daemon does; `parcels` of January is there."""
    (tmp_path / "watched_contract.py").write_text(CONTRACT)
    monkeypatch.syspath_prepend(tmp_path)

    class Shop:
        cursor, folder = None, tmp_path

        def deliver(self, name, content):
            (tmp_path / name).write_bytes(content)
            os.utime(tmp_path / name, (0, time.time() - 60))

        def declare(self, name, **changed):
            where = {"path": str(tmp_path / f"{name}-{{partition}}.csv")}
            plain = {"name": name, "description": "Rows.", "where": where, "drops": MONTHLY, "key_columns": ["id"]}
            return Source(**plain | {"contract": "watched_contract:Rows"} | changed)

        def look(self, *sources):
            """Source and drop of every run that is asked for, and the runs' keys."""
            sensor = drop_sensor("shop", sources, 30)
            with dg.DagsterInstance.ephemeral() as instance:
                resources = {"lake": LakeResource(root=str(tmp_path / "lake"))}
                context = dg.build_sensor_context(instance, cursor=self.cursor, resources=resources)
                found = sensor(context)
            self.cursor = found.cursor
            return {(run.tags["ml_assets/sources"], run.partition_key): run.run_key for run in found.run_requests}

    made = Shop()
    made.deliver("parcels-2024-01.csv", b"id\n1\n")
    return made


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"i" * 140_000 + b"\n1\n", "the header cannot be read"),
        (b"id;other\r1;2\r", "the header is one field"),
        (b"\xff\xfei\x00d\x00", "undecodable bytes"),
        (b'"id\n1\n', "the header cannot be read"),
        (b"", "empty drop"),
        (None, "Too many levels of symbolic links"),
    ],
    ids=["long header", "one column", "utf-16", "open quote", "empty", "loop"],
)
@pytest.mark.parametrize("cut", [{}, {"drops": {"grain": "whole"}}])
def test_one_unreadable_file_stops_no_other_source(shop, content, why, cut):
    name = "visits.csv" if cut else "visits-2024-01.csv"
    if content is None:
        (shop.folder / name).symlink_to(shop.folder / name)
    else:
        shop.deliver(name, content)
    where = {"where": {"path": str(shop.folder / "visits.csv")}} if cut else {}
    visits = shop.declare("visits", **cut, **where)
    asked = shop.look(visits, shop.declare("parcels"))
    drop = None if cut else "2024-01"
    assert set(asked) == {("parcels", "2024-01"), ("visits", drop)}
    # The run says what is wrong; as its key is the same at each look, there is only one.
    with pytest.raises(SourceError, match=why):
        read_drops(visits, [drop or "whole"], {})
    assert (
        shop.look(visits, shop.declare("parcels")).get(("visits", drop), asked["visits", drop]) == asked["visits", drop]
    )


def test_a_place_that_cannot_be_reached_stops_no_other_source(shop):
    away = {"where": {"path": "http://127.0.0.1:9/visits-{partition}.csv"}}
    asked = shop.look(shop.declare("visits", **away), shop.declare("parcels"))
    assert set(asked) == {("parcels", "2024-01"), ("visits", "2024-01")}
    assert (
        shop.look(shop.declare("visits", **away), shop.declare("parcels"))["visits", "2024-01"]
        == asked["visits", "2024-01"]
    )
    assert "visits" not in json.loads(shop.cursor) or json.loads(shop.cursor)["visits"] == {}
    # Once it is there again it is looked at as before.
    shop.deliver("visits-2024-02.csv", b"id\n1\n")
    assert ("visits", "2024-02") in shop.look(shop.declare("visits"), shop.declare("parcels"))


def test_a_contract_that_is_gone_stops_no_other_source(shop):
    shop.deliver("visits-2024-01.csv", b"id\n1\n")
    asked = shop.look(shop.declare("visits", contract="watched_contract:Gone"), shop.declare("parcels"))
    assert ("parcels", "2024-01") in asked
    assert ("visits", "2024-01") in asked
