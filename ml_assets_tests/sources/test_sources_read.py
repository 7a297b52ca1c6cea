"""What is read when the delivery is as declared."""

import gzip
import io
import sys
import zipfile
from datetime import UTC, date, datetime

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from ml_assets.sources.delivery.read import fingerprint, list_drops, read_drops

CSV = b"""id,amount,shop,at
1,9.5,Oslo,2024-01-31T22:59:59Z
2,NA,"Bergen, north",2024-01-31T23:00:00Z
3,-0.25,,2024-03-01T00:00:00+02:00
"""
MONTHLY = {"grain": "monthly", "column": "at", "time_zone": "UTC", "start": "2024-01", "end": "2024-06"}


def zipped(data, name="orders.csv"):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, data)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("orders.csv", CSV),
        ("orders.csv", CSV.replace(b"\n", b"\r\n")),
        ("orders.csv", CSV.rstrip(b"\n")),
        ("orders.csv", CSV + b"\n\n"),
        ("orders.csv", b"\xef\xbb\xbf" + CSV),
        ("orders.csv.gz", gzip.compress(CSV)),
        ("orders.csv.zip", zipped(CSV)),
    ],
    ids=["csv", "crlf", "no last line end", "blank lines at the end", "byte order mark", "gzip", "zip"],
)
def test_every_text_form_gives_the_same_typed_rows(orders, orders_schema, file, content):
    drops = read_drops(orders(file, content, null_values=["NA"]), None, orders_schema)
    assert list(drops) == ["whole"]
    drop = drops["whole"]
    expected = pl.DataFrame(
        {
            "id": [1, 2, 3],
            "amount": [9.5, None, -0.25],
            "shop": ["Oslo", "Bergen, north", None],
            "at": [
                datetime(2024, 1, 31, 22, 59, 59, tzinfo=UTC),
                datetime(2024, 1, 31, 23, tzinfo=UTC),
                datetime(2024, 2, 29, 22, tzinfo=UTC),
            ],
            "_drop": ["whole"] * 3,
            "_content_hash": [drop.content_hash] * 3,
        },
        schema=orders_schema | {"_drop": pl.String, "_content_hash": pl.String},
    )
    assert_frame_equal(drop.frame, expected)
    assert drop.name == "whole"
    assert drop.extra_columns == ()


def test_parquet_gives_the_same_rows_and_the_same_hash_as_csv(orders, orders_schema, tmp_path):
    text = read_drops(orders(content=CSV, null_values=["NA"]), ["whole"], orders_schema)["whole"]
    stored = text.frame.select(*orders_schema).with_columns(pl.col("id").cast(pl.Int16))
    stored.with_columns(note=pl.lit("x")).select("note", "at", "shop", "amount", "id").write_parquet(
        tmp_path / "orders.parquet"
    )
    drop = read_drops(orders("orders.parquet"), ["whole"], orders_schema)["whole"]
    assert_frame_equal(drop.frame, text.frame)
    assert drop.extra_columns == ("note",)


def test_extra_columns_are_named_and_left_out(orders, orders_schema):
    content = CSV.replace(b"\n", b",x\n").replace(b"at,x", b"at,colour")
    drop = read_drops(orders(content=content, null_values=["NA"]), None, orders_schema)["whole"]
    assert drop.extra_columns == ("colour",)
    assert drop.frame.columns == [*orders_schema, "_drop", "_content_hash"]


def test_columns_come_in_the_order_of_the_contract(orders, orders_schema):
    backwards = dict(reversed(orders_schema.items()))
    drop = read_drops(orders(content=CSV, null_values=["NA"]), None, backwards)["whole"]
    assert drop.frame.columns == ["at", "shop", "amount", "id", "_drop", "_content_hash"]
    assert drop.frame["id"].to_list() == [1, 2, 3]


@pytest.mark.parametrize(
    ("time_zone", "ids"),
    [
        ("UTC", {"2024-01": [1, 2], "2024-02": [3]}),
        ("Europe/Oslo", {"2024-01": [1], "2024-02": [2, 3]}),
        ("Europe/Helsinki", {"2024-02": [1, 2], "2024-03": [3]}),
    ],
)
def test_months_are_cut_in_the_declared_time_zone(orders, orders_schema, time_zone, ids):
    spec = orders(content=CSV, null_values=["NA"], drops=MONTHLY | {"time_zone": time_zone})
    assert list_drops(spec, orders_schema) == list(ids)
    drops = read_drops(spec, None, orders_schema)
    assert {name: drop.frame["id"].to_list() for name, drop in drops.items()} == ids
    assert {name: drop.frame["_drop"].unique().to_list() for name, drop in drops.items()} == {
        name: [name] for name in ids
    }


@pytest.mark.parametrize(
    ("dtype", "values"),
    [(pl.Date(), ["2024-01-31", "2024-02-01"]), (pl.Datetime("us"), ["2024-01-31 23:59:59", "2024-02-01"])],
)
def test_columns_without_a_zone_are_cut_as_they_read(orders, dtype, values):
    content = "id,at\n" + "".join(f"{i},{value}\n" for i, value in enumerate(values))
    spec = orders(content=content.encode(), drops=MONTHLY | {"time_zone": "Asia/Tokyo"})
    drops = read_drops(spec, None, {"id": pl.Int64(), "at": dtype})
    assert {name: drop.frame["id"].to_list() for name, drop in drops.items()} == {"2024-01": [0], "2024-02": [1]}


def test_drops_of_a_shared_file_are_what_each_gives_alone(orders, orders_schema):
    spec = orders(content=CSV, null_values=["NA"], drops=MONTHLY)
    together = read_drops(spec, ["2024-02", "2024-01"], orders_schema)
    assert list(together) == ["2024-02", "2024-01"]
    for name, drop in together.items():
        alone = read_drops(spec, [name], orders_schema)[name]
        assert_frame_equal(alone.frame, drop.frame)
        assert alone.content_hash == drop.content_hash


def test_months_outside_the_declared_range_are_not_drops(orders, orders_schema):
    spec = orders(content=CSV, null_values=["NA"], drops=MONTHLY | {"start": "2024-02"})
    assert list_drops(spec, orders_schema) == ["2024-02"]
    with pytest.raises(ValueError, match="has no drop '2024-01'; it has the months from 2024-02 to before 2024-06"):
        read_drops(spec, ["2024-01"], orders_schema)
    with pytest.raises(ValueError, match="source 'orders' has no drop '2024-02'; it has only 'whole'"):
        read_drops(orders(content=CSV), ["2024-02"], orders_schema)


def test_one_file_per_drop(orders, orders_schema, tmp_path):
    spec = orders(
        "orders-{partition}.csv", drops={"grain": "monthly", "start": "2024-01", "end": "2024-06"}, null_values=["NA"]
    )
    for name in ("2024-02", "2024-01", "2024-07", "copy of 2024-01"):
        (tmp_path / f"orders-{name}.csv").write_bytes(CSV)
    assert list_drops(spec, orders_schema) == ["2024-01", "2024-02"]
    drops = read_drops(spec, None, orders_schema)
    assert {name: drop.frame["_drop"].unique().to_list() for name, drop in drops.items()} == {
        "2024-01": ["2024-01"],
        "2024-02": ["2024-02"],
    }


def test_a_source_that_has_not_been_delivered_holds_no_drops(orders, orders_schema):
    assert list_drops(orders("absent.csv"), orders_schema) == []
    assert list_drops(orders("absent.csv", drops=MONTHLY), orders_schema) == []
    assert read_drops(orders("absent.csv"), None, orders_schema) == {}
    by_file = orders("absent-{partition}.csv", drops={"grain": "monthly", "start": "2024-01"})
    assert list_drops(by_file, orders_schema) == []


def test_a_file_inside_a_package_is_read_without_importing_it(orders, orders_schema, tmp_path, monkeypatch):
    package = tmp_path / "shop_with_data"
    (package / "data").mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('imported')")
    (package / "data" / "orders.csv").write_bytes(CSV)
    monkeypatch.syspath_prepend(tmp_path)
    spec = orders(where={"package": "shop_with_data", "file": "data/orders.csv"}, null_values=["NA"])
    assert read_drops(spec, None, orders_schema)["whole"].frame["id"].to_list() == [1, 2, 3]
    assert "shop_with_data" not in sys.modules


def test_each_type_is_read_from_text(orders):
    schema = {
        "small": pl.Int8(),
        "natural": pl.UInt32(),
        "ratio": pl.Float32(),
        "price": pl.Decimal(10, 2),
        "flag": pl.Boolean(),
        "day": pl.Date(),
        "clock": pl.Datetime("us"),
        "moment": pl.Datetime("us", "America/New_York"),
    }
    content = (
        b"small,natural,ratio,price,flag,day,clock,moment\n"
        b"-128,4294967295,0.5,12.25,TRUE,2024-02-29,2024-02-29T12:30:00.5,2024-07-01T12:00:00.25Z\n"
        b"127,0,1e3,-1,0,1969-12-31,2024-02-29 12:30:00,2024-01-01 12:00:00+01:00\n"
        b",,,,,,,\n"
    )
    frame = read_drops(orders(content=content), None, schema)["whole"].frame
    assert dict(frame.schema) == schema | {"_drop": pl.String, "_content_hash": pl.String}
    assert frame["small"].to_list() == [-128, 127, None]
    assert frame["natural"].to_list() == [4294967295, 0, None]
    assert frame["ratio"].to_list() == [0.5, 1000.0, None]
    assert frame["price"].cast(pl.String).to_list() == ["12.25", "-1.00", None]
    assert frame["flag"].to_list() == [True, False, None]
    assert frame["day"].to_list() == [date(2024, 2, 29), date(1969, 12, 31), None]
    assert frame["clock"].to_list() == [
        datetime(2024, 2, 29, 12, 30, 0, 500000),
        datetime(2024, 2, 29, 12, 30),
        None,
    ]
    assert frame["moment"].dt.convert_time_zone("UTC").to_list() == [
        datetime(2024, 7, 1, 12, 0, 0, 250000, tzinfo=UTC),
        datetime(2024, 1, 1, 11, tzinfo=UTC),
        None,
    ]


def test_a_quoted_line_end_is_part_of_its_field(orders):
    content = b'id,note\n1,"two\nlines, one ""field"""\n2,\n'
    frame = read_drops(orders(content=content), None, {"id": pl.Int64(), "note": pl.String()})["whole"].frame
    assert frame["note"].to_list() == ['two\nlines, one "field"', None]


def test_fingerprint_follows_the_bytes_of_the_files(orders, orders_schema, tmp_path):
    spec = orders("o-{partition}.csv", drops={"grain": "monthly", "start": "2024-01"})
    (tmp_path / "o-2024-01.csv").write_bytes(b"id\n1\n")
    (tmp_path / "o-2024-02.csv").write_bytes(b"id\n2\n")
    before = fingerprint(spec, ["2024-01", "2024-02"], orders_schema)
    assert fingerprint(spec, ["2024-02", "2024-01"], orders_schema) == before
    assert fingerprint(spec, ["2024-01"], orders_schema) != fingerprint(spec, ["2024-02"], orders_schema)
    (tmp_path / "o-2024-02.csv").write_bytes(b"id\n3\n")
    assert fingerprint(spec, ["2024-01", "2024-02"], orders_schema) != before
    (tmp_path / "o-2024-02.csv").write_bytes(b"id\n2\n")
    assert fingerprint(spec, ["2024-01", "2024-02"], orders_schema) == before


def test_rows_of_a_later_drop_do_not_change_the_fingerprint_of_those_before(orders, orders_schema):
    january, february = b"1,9.5,Oslo,2024-01-31T22:59:59Z\n", b"2,1.0,Oslo,2024-02-03T00:00:00Z\n"
    header = b"id,amount,shop,at\n"
    before = fingerprint(orders(content=header + january, drops=MONTHLY), ["2024-01"], orders_schema)
    spec = orders(content=header + january + february, drops=MONTHLY)
    assert fingerprint(spec, ["2024-01"], orders_schema) == before
    both = fingerprint(spec, ["2024-01", "2024-02"], orders_schema)
    assert both != before
    corrected = february.replace(b"1.0", b"2.0")
    orders(content=header + january + corrected, drops=MONTHLY)
    assert fingerprint(spec, ["2024-01"], orders_schema) == before
    assert fingerprint(spec, ["2024-01", "2024-02"], orders_schema) != both


def test_fingerprint_of_a_shared_file_that_cannot_be_read_follows_its_bytes(orders, orders_schema):
    spec = orders(content=b"id,amount,shop,at\none,9.5,Oslo,2024-01-31T22:59:59Z\n", drops=MONTHLY)
    before = fingerprint(spec, ["2024-01"], orders_schema)
    orders(content=b"id,amount,shop,at\ntwo,9.5,Oslo,2024-01-31T22:59:59Z\n", drops=MONTHLY)
    assert fingerprint(spec, ["2024-01"], orders_schema) != before


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_columns_that_are_lined_up_are_read_as_if_one_blank_lay_between(orders, end):
    lines = ["   id  amount   at      ", "    1    9.50   20240115", "   20  129.00   20240229"]
    spec = orders(
        content=end.join([*lines, ""]).encode(),
        csv={"delimiter": " ", "quote": "", "aligned": True},
        columns={"at": {"format": "%Y%m%d", "time_zone": "UTC", "day": "end"}},
    )
    schema = {"id": pl.Int64(), "amount": pl.Float64(), "at": pl.Datetime("us", "UTC")}
    frame = read_drops(spec, None, schema)["whole"].frame
    assert frame.select("id", "amount", "at").rows() == [
        (1, 9.5, datetime(2024, 1, 16, tzinfo=UTC)),
        (20, 129.0, datetime(2024, 3, 1, tzinfo=UTC)),
    ]


def test_columns_that_are_lined_up_have_no_quotes(orders):
    with pytest.raises(ValueError, match="aligned: columns that are lined up have neither quotes nor escapes"):
        orders(csv={"delimiter": " ", "aligned": True})
