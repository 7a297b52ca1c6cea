"""Parquet folders with and without hive partitions, Parquet over HTTP, and Delta tables."""

import functools
import gzip
import http.server
import io
import os
import threading
import zipfile
from datetime import UTC, date, datetime

import polars as pl
import pytest

from ml_assets.sources.delivery.read import fingerprint, list_drops, read_drops
from ml_assets.sources.errors import SourceError
from ml_assets.sources.readers import scan
from ml_assets.sources.schema import DropSchema
from ml_assets.sources.watch import due_drops, watch

NOW = 1_800_000_000.0
DAILY = {"grain": "daily", "column": "at", "start": "2024-01-01"}
DAYS = ["2024-01-15", "2024-01-16", "2024-01-18"]


def rows(*numbers, day=15):
    moments = [datetime(2024, 1, day, 12, tzinfo=UTC)] * len(numbers)
    schema = {"id": pl.Int64, "amount": pl.Float64, "shop": pl.String, "at": pl.Datetime("us", "UTC")}
    return pl.DataFrame({"id": numbers, "amount": 9.5, "shop": "Oslo", "at": moments}, schema=schema)


def write(folder, name, frame, age=60.0):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    frame.write_parquet(path)
    os.utime(path, ns=(0, int((NOW - age) * 1e9)))


@pytest.fixture
def folder(tmp_path):
    """Three days in three files, with what writers leave beside them."""
    for day in (15, 16, 18):
        write(tmp_path / "orders", f"part-{day}.parquet", rows(day, day + 100, day=day))
    write(tmp_path / "orders", "_temporary/part-0.parquet", rows(999))
    write(tmp_path / "orders", ".hidden.parquet", rows(999))
    (tmp_path / "orders" / "_SUCCESS").touch()
    return tmp_path / "orders"


@pytest.fixture
def selected(monkeypatch):
    """How many rows each read of Parquet or Delta has fetched."""
    seen, only = [], scan._only

    def counted(*arguments):
        frame = only(*arguments)
        seen.append(frame.select(pl.len()).collect().item())
        return frame

    monkeypatch.setattr(scan, "_only", counted)
    return seen


def looked(spec, schema, before, ingested, now=NOW):
    tokens = watch(spec, schema, before, now)
    return tokens, due_drops(spec, schema, tokens, before, ingested, now)


def hashes(spec, schema):
    return {name: drop.content_hash for name, drop in read_drops(spec, None, schema).items()}


@pytest.mark.usefixtures("folder")
def test_a_folder_is_one_table(orders, orders_schema):
    spec = orders("orders", format="parquet")
    assert list_drops(spec, orders_schema) == ["whole"]
    drop = read_drops(spec, None, orders_schema)["whole"]
    assert drop.frame["id"].to_list() == [15, 115, 16, 116, 18, 118]
    assert list_drops(orders("absent", format="parquet"), orders_schema) == []


@pytest.mark.usefixtures("folder")
def test_a_folder_is_cut_by_its_column_and_only_the_asked_days_are_read(orders, orders_schema, selected):
    spec = orders("orders", format="parquet", drops=DAILY)
    assert list_drops(spec, orders_schema) == DAYS
    read = read_drops(spec, ["2024-01-16"], orders_schema)
    assert selected == [2]
    assert read["2024-01-16"].frame["id"].to_list() == [16, 116]
    assert list(read_drops(spec, ["2024-01-15", "2024-01-18"], orders_schema)) == ["2024-01-15", "2024-01-18"]
    assert selected[1:] == [4]


def test_one_file_is_cut_the_same_way(orders, orders_schema, tmp_path, selected):
    zone = {"grain": "daily", "column": "at", "start": "2024-01-01", "time_zone": "Pacific/Auckland"}
    pl.concat([rows(1), rows(2, day=16)]).write_parquet(tmp_path / "o.parquet")
    spec = orders("o.parquet", drops=zone)
    assert list_drops(spec, orders_schema) == ["2024-01-16", "2024-01-17"]  # noon UTC is past midnight there
    assert read_drops(spec, ["2024-01-17"], orders_schema)["2024-01-17"].frame["id"].to_list() == [2]
    assert selected == [1]


@pytest.mark.parametrize("stored", [pl.Datetime("ms", "Europe/Oslo"), pl.Datetime("ns", "UTC"), pl.String])
def test_whatever_type_the_moment_is_stored_in_no_row_is_lost(orders, orders_schema, tmp_path, stored):
    text = pl.col("at").dt.strftime("%Y-%m-%dT%H:%M:%SZ")
    frame = pl.concat([rows(1), rows(2, day=16)])
    frame.with_columns(text if stored == pl.String else pl.col("at").cast(stored)).write_parquet(tmp_path / "o.parquet")
    read = read_drops(orders("o.parquet", drops=DAILY), ["2024-01-16"], orders_schema)
    assert read["2024-01-16"].frame["id"].to_list() == [2]


def test_rows_without_a_moment_hold_no_day_back(orders, orders_schema, tmp_path):
    lost = rows(1).with_columns(at=pl.lit(None, pl.Datetime("us", "UTC")))
    pl.concat([rows(2), lost]).write_parquet(tmp_path / "o.parquet")
    drops = read_drops(orders("o.parquet", drops=DAILY), ["2024-01-15"], orders_schema)
    assert drops["2024-01-15"].frame["id"].to_list() == [2]


def test_hive_partitions_are_columns_in_the_types_of_the_contract(orders, tmp_path, selected):
    schema = {"id": pl.Int64(), "store": pl.String(), "day": pl.Date()}
    for day in (15, 16):
        for store in ("007", "100"):
            write(tmp_path / "env=test" / "orders", f"day=2024-01-{day}/store={store}/a.parquet", rows(day))
    spec = orders("env=test/orders", format="parquet", drops=DAILY | {"column": "day"})
    assert list_drops(spec, schema) == ["2024-01-15", "2024-01-16"]
    frame = read_drops(spec, ["2024-01-16"], schema)["2024-01-16"].frame
    assert frame.select("id", "store", "day").rows() == [(16, "007", date(2024, 1, 16)), (16, "100", date(2024, 1, 16))]
    assert selected == [2]


def test_a_hive_key_that_is_no_date_is_told(orders, tmp_path):
    write(tmp_path / "orders", "day=15.1.2024/a.parquet", rows(1))
    write(tmp_path / "orders", "day=2024-01-16/a.parquet", rows(1))
    spec = orders("orders", format="parquet", drops=DAILY | {"column": "day"})
    with pytest.raises(SourceError, match=r"column 'day': wrong type: '15\.1\.2024' in data row"):
        read_drops(spec, ["2024-01-16"], {"id": pl.Int64(), "day": pl.Date()})


def test_a_folder_per_drop(orders, orders_schema, tmp_path):
    for day in (15, 16):
        write(tmp_path / "orders", f"day=2024-01-{day}/a.parquet", rows(day, day=day))
    spec = orders("orders/day={partition}", format="parquet", drops={"grain": "daily", "start": "2024-01-01"})
    assert list_drops(spec, orders_schema) == DAYS[:2]
    tokens, due = looked(spec, orders_schema, {}, {})
    assert due == hashes(spec, orders_schema)
    write(tmp_path / "orders", "day=2024-01-16/b.parquet", rows(17, day=16))
    tokens, due = looked(spec, orders_schema, tokens, due)
    assert list(due) == ["2024-01-16"]
    write(tmp_path / "orders", "day=2024-01-16/c.parquet", rows(18, day=16), age=1)
    assert looked(spec, orders_schema, tokens, due)[0].keys() == {"2024-01-15"}


def test_a_folder_is_watched_as_a_whole(orders, orders_schema, folder):
    spec = orders("orders", format="parquet", drops=DAILY)
    tokens, due = looked(spec, orders_schema, {}, {})
    assert list(due) == DAYS
    assert looked(spec, orders_schema, tokens, due) == (tokens, {})
    write(folder, "part-19.parquet", rows(19, day=18))
    assert list(looked(spec, orders_schema, tokens, due)[1]) == ["2024-01-18"]


@pytest.mark.parametrize(
    ("change", "kind", "told"),
    [
        (
            lambda frame: frame.with_columns(id=pl.lit("x")),
            "wrong type",
            "column 'id'.*part-20.parquet: 'x' in data row 1",
        ),
        (lambda frame: frame.drop("shop"), "missing column", "column 'shop'.*part-20.parquet: the delivery has"),
    ],
)
def test_files_that_differ_are_told(orders, orders_schema, folder, change, kind, told):
    write(folder, "part-20.parquet", change(rows(20)))
    with pytest.raises(SourceError, match=told) as raised:
        read_drops(orders("orders", format="parquet"), None, orders_schema)
    assert raised.value.kind == kind
    assert "\n" not in str(raised.value)


def test_a_column_that_only_later_files_have_is_no_fault(orders, orders_schema, folder):
    write(folder, "part-20.parquet", rows(20).with_columns(colour=pl.lit("red")))
    assert read_drops(orders("orders", format="parquet"), None, orders_schema)["whole"].frame.height == 7


def test_parquet_over_http(orders, orders_schema, tmp_path):
    pl.concat([rows(1), rows(2, day=16)]).write_parquet(tmp_path / "o.parquet")

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args):
            pass

    handler = functools.partial(Quiet, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever).start()
        try:
            address = f"http://127.0.0.1:{server.server_port}"
            spec = orders(where={"path": f"{address}/o.parquet"}, drops=DAILY)
            assert read_drops(spec, ["2024-01-16"], orders_schema)["2024-01-16"].frame["id"].to_list() == [2]
            absent = orders(where={"path": f"{address}/absent.parquet"})
            assert list_drops(absent, orders_schema) == []
            with pytest.raises(SourceError, match="missing file: there is no file http://127"):
                read_drops(absent, ["whole"], orders_schema)
        finally:
            server.shutdown()


@pytest.mark.parametrize("ending", ["csv.zip", "csv.gz"])
def test_packed_csv_of_a_day(orders, orders_schema, tmp_path, ending):
    content = b"id,amount,shop,at\n1,9.5,Oslo,2024-01-15T00:00:00Z\n"
    buffer = io.BytesIO()
    if ending == "csv.zip":
        with zipfile.ZipFile(buffer, "w") as archive:
            archive.writestr("o.csv", content)
    else:
        buffer.write(gzip.compress(content))
    (tmp_path / f"o-2024-01-15.{ending}").write_bytes(buffer.getvalue())
    spec = orders(f"o-{{partition}}.{ending}", drops={"grain": "daily", "start": "2024-01-01"})
    assert read_drops(spec, None, orders_schema)["2024-01-15"].frame["id"].to_list() == [1]


@pytest.fixture
def delta(tmp_path):
    """A Delta table with a file per day, which the returned function adds to."""
    path = str(tmp_path / "orders")
    for day in (15, 16, 18):
        rows(day, day + 100, day=day).write_delta(path, mode="append")
    return path


@pytest.mark.usefixtures("delta")
def test_a_delta_table(orders, orders_schema, selected):
    whole = orders("orders", format="delta")
    assert list_drops(whole, orders_schema) == ["whole"]
    assert read_drops(whole, None, orders_schema)["whole"].frame["id"].to_list() == [15, 16, 18, 115, 116, 118]
    spec = orders("orders", format="delta", drops=DAILY)
    assert list_drops(spec, orders_schema) == DAYS
    assert read_drops(spec, ["2024-01-18"], orders_schema)["2024-01-18"].frame["id"].to_list() == [18, 118]
    assert selected == [2]
    absent = orders("absent", format="delta")
    assert (list_drops(absent, orders_schema), watch(absent, orders_schema, {}, NOW)) == ([], {})
    with pytest.raises(SourceError, match=r"missing file: there is no Delta table .*absent; deliver it or change"):
        read_drops(absent, ["whole"], orders_schema)


@pytest.mark.parametrize("partitioned", [False, True])
def test_a_day_of_a_delta_table_is_due_when_a_file_of_it_changes(orders, tmp_path, partitioned, selected):
    schema = {"id": pl.Int64(), "day": pl.Date()}

    def add(number, day):
        options = {"partition_by": ["day"]} if partitioned else {}
        frame = pl.DataFrame({"id": [number], "day": [date(2024, 1, day)]})
        frame.write_delta(tmp_path / "orders", mode="append", delta_write_options=options)

    add(1, 15)
    add(2, 16)
    spec = orders("orders", format="delta", drops=DAILY | {"column": "day"})
    tokens, due = looked(spec, schema, {}, {})
    assert due == hashes(spec, schema)
    assert looked(spec, schema, tokens, due) == (tokens, {})
    add(3, 16)
    selected.clear()
    tokens, later = looked(spec, schema, tokens, due)
    assert list(later) == ["2024-01-16"]
    assert selected == [2]
    assert looked(spec, schema, tokens, due | later) == (tokens, {})


def test_a_delta_table_rewritten_with_the_same_rows_is_not_due(orders, orders_schema, delta):
    spec = orders("orders", format="delta", drops=DAILY)
    tokens, due = looked(spec, orders_schema, {}, {})
    before = fingerprint(spec, DAYS, orders_schema)
    pl.read_delta(delta).sample(fraction=1, shuffle=True, seed=1).write_delta(delta, mode="overwrite")
    later, again = looked(spec, orders_schema, tokens, due)
    assert again == {}
    assert later != tokens
    assert fingerprint(spec, DAYS, orders_schema) == before
    assert fingerprint(spec, DAYS[:1], orders_schema) != before


def test_a_delta_table_lacks_a_column(orders, orders_schema, tmp_path):
    rows(1).drop("shop").write_delta(tmp_path / "orders")
    with pytest.raises(SourceError) as raised:
        read_drops(orders("orders", format="delta"), None, orders_schema)
    assert str(raised.value) == (
        "source 'orders', drop 'whole', column 'shop': missing column: the delivery has id, amount, at; "
        "have it delivered under this name or change the contract"
    )


def test_columns_that_widen_or_begin_between_files_of_a_folder_are_read_exactly(orders, tmp_path):
    moment = pl.Series("at", [datetime(2024, 1, 15, tzinfo=UTC)]).cast(pl.Datetime("us", "UTC"))
    files = [
        {"id": pl.Series([1], dtype=pl.Int32), "amount": pl.Series([7])},
        {"id": pl.Series([2**40]), "amount": pl.Series([0.1])},
        {"id": pl.Series([3]), "amount": pl.Series([0.5], dtype=pl.Float32), "rain": pl.Series([1.5])},
    ]
    for number, columns in enumerate(files):
        write(tmp_path / "orders", f"{number}.parquet", pl.DataFrame(columns).with_columns(moment))
    columns = {"id": pl.Int64(), "amount": pl.Float64(), "rain": pl.Float64(), "at": pl.Datetime("us", "UTC")}
    spec = orders("orders", format="parquet", drops=DAILY)
    for begins in ({"rain": None}, {"rain": "2024-01-15"}):
        frame = read_drops(spec, ["2024-01-15"], DropSchema(columns, begins))["2024-01-15"].frame
        assert frame.select("id", "amount", "rain").sort("id").rows() == [
            (1, 7.0, None),
            (3, 0.5, 1.5),
            (2**40, 0.1, None),
        ]
    with pytest.raises(SourceError, match="column 'rain': missing column"):
        read_drops(spec, ["2024-01-15"], columns)
    large = pl.DataFrame({"id": [4], "amount": [2**53 + 1], "rain": [0.0]}).with_columns(moment)
    write(tmp_path / "orders", "3.parquet", large)
    with pytest.raises(SourceError, match=r"column 'amount': wrong type: .*3\.parquet: 9007199254740993 in data row 1"):
        read_drops(spec, ["2024-01-15"], DropSchema(columns, {"rain": None}))


@pytest.mark.parametrize("since", [None, "2024-01-16"])
def test_a_table_lacks_a_column_only_for_drops_before_it_begins(orders, orders_schema, tmp_path, since):
    schema = DropSchema(orders_schema | {"rain": pl.Float64()}, {"rain": since})
    pl.concat([rows(1), rows(2, day=16)]).write_parquet(tmp_path / "o.parquet")
    spec = orders("o.parquet", drops=DAILY)
    assert read_drops(spec, ["2024-01-15"], schema)["2024-01-15"].frame["rain"].to_list() == [None]
    if since is None:
        assert set(read_drops(spec, ["2024-01-15", "2024-01-16"], schema)) == {"2024-01-15", "2024-01-16"}
    else:
        with pytest.raises(SourceError, match="drop '2024-01-16', column 'rain': missing column"):
            read_drops(spec, ["2024-01-16"], schema)
