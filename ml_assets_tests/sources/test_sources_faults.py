"""Every way in which a delivery can be broken, and the one line that says so."""

import csv
import gzip
import io
import zipfile
from datetime import date

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml_assets.sources.csv.dialect import CsvDialect
from ml_assets.sources.csv.text import open_csv
from ml_assets.sources.delivery.read import fingerprint, list_drops, read_drops
from ml_assets.sources.errors import DeliveryFault, SourceError

HEADER = b"id,amount,shop,at\n"
ROW = b"1,9.5,Oslo,2024-01-15T00:00:00Z\n"
LATER = b"2,1.0,Oslo,2024-02-15T00:00:00Z\n"
MONTHLY = {"grain": "monthly", "column": "at", "time_zone": "UTC", "start": "2024-01", "end": "2025-01"}


def zipped(**files):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(f"{name}.csv", data)
    return buffer.getvalue()


def fault(spec, schema, partitions=None):
    with pytest.raises(SourceError) as raised:
        read_drops(spec, partitions or ["whole"], schema)
    assert "\n" not in str(raised.value)
    return raised.value


def test_missing_file(orders, orders_schema, tmp_path):
    error = fault(orders("absent.csv"), orders_schema)
    assert str(error) == (
        f"source 'orders', drop 'whole': missing file: there is no file {tmp_path}/absent.csv; "
        "deliver it or change `where`"
    )
    assert (error.kind, error.source, error.drop, error.column) == ("missing file", "orders", "whole", None)


def test_missing_file_of_one_drop(orders, orders_schema, tmp_path):
    (tmp_path / "o-2024-01.csv").write_bytes(HEADER + ROW)
    spec = orders("o-{partition}.csv", drops={"grain": "monthly", "start": "2024-01"})
    error = fault(spec, orders_schema, ["2024-01", "2024-02"])
    assert str(error) == (
        f"source 'orders', drop '2024-02': missing file: there is no file {tmp_path}/o-2024-02.csv; "
        "deliver it or change `where`"
    )
    with pytest.raises(SourceError, match="drop '2024-02': missing file"):
        fingerprint(spec, ["2024-02"], orders_schema)


def test_package_that_is_not_installed(orders, orders_schema):
    spec = orders(where={"package": "no_such_package", "file": "orders.csv"})
    assert str(fault(spec, orders_schema)) == (
        "source 'orders', drop 'whole': missing file: package 'no_such_package' is not installed; "
        "`uv pip install no_such_package`, or change `where`"
    )


def test_renamed_column(orders, orders_schema):
    error = fault(orders(content=HEADER.replace(b"amount", b"sum") + ROW), orders_schema)
    assert str(error) == (
        "source 'orders', drop 'whole', column 'amount': missing column: the delivery has id, sum, shop, at; "
        "have it delivered under this name or change the contract"
    )
    assert (error.kind, error.column) == ("missing column", "amount")


def test_column_missing_in_parquet(orders, orders_schema, tmp_path):
    pl.DataFrame({"id": [1], "shop": ["Oslo"]}).write_parquet(tmp_path / "o.parquet")
    assert str(fault(orders("o.parquet"), orders_schema)) == (
        "source 'orders', drop 'whole', column 'amount': missing column: the delivery has id, shop; "
        "have it delivered under this name or change the contract"
    )


def test_wrong_type_names_the_first_value_its_row_and_its_drop(orders, orders_schema):
    content = HEADER + ROW + LATER.replace(b"1.0", b"one") + LATER.replace(b"1.0", b"two")
    error = fault(orders(content=content, drops=MONTHLY), orders_schema, ["2024-01", "2024-02"])
    assert str(error) == (
        "source 'orders', drop '2024-02', column 'amount': wrong type: 'one' in data row 2 is no Float64; "
        "correct the delivery or change the contract"
    )
    assert (error.kind, error.drop, error.column) == ("wrong type", "2024-02", "amount")


def test_wrong_type_in_one_month_leaves_the_others_readable(orders, orders_schema):
    spec = orders(content=HEADER + LATER.replace(b"1.0", b"one") + ROW, drops=MONTHLY)
    assert read_drops(spec, ["2024-01"], orders_schema)["2024-01"].frame["id"].to_list() == [1]


@pytest.mark.parametrize(
    ("dtype", "text", "spoken"),
    [
        (pl.Int64(), "abc", "Int64"),
        (pl.Int64(), "1.5", "Int64"),
        (pl.Int64(), "1.", "Int64"),
        (pl.Int64(), " 1", "Int64"),
        (pl.Int8(), "128", "Int8"),
        (pl.UInt8(), "-1", "UInt8"),
        (pl.Float64(), "1 000", "Float64"),
        (pl.Boolean(), "yes", "Boolean"),
        (pl.Date(), "31/12/2024", "Date"),
        (pl.Date(), "2023-02-29", "Date"),
        (pl.Datetime("us", "UTC"), "2024-01-01T10:00:00", "ISO 8601 moment with an offset"),
        (pl.Datetime("us", "UTC"), "01/02/2024", "ISO 8601 moment with an offset"),
        (pl.Datetime("us"), "2024-01-01T10:00:00Z", "ISO 8601 time without an offset"),
    ],
)
def test_texts_of_the_wrong_type(orders, dtype, text, spoken):
    error = fault(orders(content=f"id,x\n1,\n2,{text}\n".encode()), {"id": pl.Int64(), "x": dtype})
    assert str(error) == (
        f"source 'orders', drop 'whole', column 'x': wrong type: {text!r} in data row 2 is no {spoken}; "
        "correct the delivery or change the contract"
    )


@pytest.mark.parametrize(
    ("values", "dtype", "detail"),
    [
        ([1.5], pl.Int64(), "1.5 in data row 1 is no Int64: it would become 1"),
        ([1.5], pl.Decimal(10, 2), "Float64 does not become Decimal(10, 2)"),
        ([1, 0, 2], pl.Boolean(), "2 in data row 3 is no Boolean"),
        ([True], pl.Int64(), "Boolean does not become Int64"),
        ([1], pl.String(), "Int64 does not become String"),
        ([1, 300], pl.Int8(), "300 in data row 2 is no Int8"),
        ([date(2024, 1, 1)], pl.Datetime("us", "UTC"), "Date does not become ISO 8601 moment with an offset"),
    ],
)
def test_parquet_values_of_the_wrong_type(orders, tmp_path, values, dtype, detail):
    pl.DataFrame({"x": values}).write_parquet(tmp_path / "o.parquet")
    error = fault(orders("o.parquet", key_columns=["x"]), {"x": dtype})
    assert str(error) == (
        f"source 'orders', drop 'whole', column 'x': wrong type: {detail}; correct the delivery or change the contract"
    )


@pytest.mark.parametrize("place", ["value", "header"])
def test_undecodable_bytes(orders, orders_schema, place):
    content = {"value": HEADER + ROW + LATER.replace(b"Oslo", b"\xc5s"), "header": b"id,am\xf8unt\n"}[place]
    offset, line, byte = {"value": (56, 3, "c5"), "header": (5, 1, "f8")}[place]
    assert content[offset] == int(byte, 16)
    assert str(fault(orders(content=content), orders_schema)) == (
        f"source 'orders', drop 'whole': undecodable bytes: byte 0x{byte} at offset {offset} (line {line}) "
        "is no UTF-8; have the file delivered as UTF-8, or declare its `csv.encoding`"
    )


@pytest.mark.parametrize(
    ("encoding", "detail"),
    [
        (
            "utf-16",
            "byte 0xff at offset 0 (line 1) is no UTF-8; it begins as UTF-16 does: declare `csv.encoding: utf-16`",
        ),
        ("utf-16-le", "the file begins with zero bytes, as UTF-16 without a mark does; declare its `csv.encoding`"),
    ],
)
def test_utf_16_is_undecodable(orders, orders_schema, encoding, detail):
    error = fault(orders(content=(HEADER + ROW).decode().encode(encoding)), orders_schema)
    assert f"undecodable bytes: {detail}" in str(error)


def test_a_byte_that_the_declared_encoding_does_not_have(orders, orders_schema):
    spec = orders(content=HEADER + b"1,9.5,\x81slo,2024-01-15T00:00:00Z\n", csv={"encoding": "cp1252"})
    assert "undecodable bytes: byte 0x81 at offset 24 (line 2) is no cp1252; " in str(fault(spec, orders_schema))


QUOTE = "has a quote inside of a field; correct the delivered file, or declare how it is written: `csv.escape`, "
ONE_FIELD = "; declare the character between its fields, such as `csv.delimiter: "


@pytest.mark.parametrize(
    ("content", "detail"),
    [
        (b"id;amount;shop;at\n1;9.5;x;y\n", f"""the header is one field, 'id;amount;shop;at'{ONE_FIELD}";"`"""),
        (b"id\tamount\n1\t9.5\n", f"""the header is one field, 'id\\tamount'{ONE_FIELD}"\\t"`"""),
        (b"i" * 140_000 + b",amount\n", "the header cannot be read (field larger than field limit (131072)); correct"),
        (b'"id,amount\n1,2\n', "the header cannot be read (unexpected end of data); correct"),
        (HEADER + b'1,2,"say \\"hi\\"",\n', f"data row 1 {QUOTE}"),
        (HEADER + ROW + b'2,5" a,x,\n3,6" b,y,\n', f"data row 2 {QUOTE}"),
        (HEADER + ROW + b'2,"a"b,x,\n', f"data row 2 {QUOTE}"),
        (HEADER + b"1,2,x,y,\n2,1,x,y,z\n", "data row 2 has 5 fields where the header has 4; correct"),
    ],
    ids=[
        "semicolons",
        "tabs",
        "long",
        "open header",
        "backslashes",
        "inches",
        "text after quote",
        "trailing comma once",
    ],
)
def test_a_file_in_another_dialect_than_declared(orders, orders_schema, content, detail):
    line = str(fault(orders(content=content), orders_schema))
    assert line.startswith(f"source 'orders', drop 'whole': unparsable: {detail}")


@settings(max_examples=300, deadline=None, derandomize=True)
@given(
    st.one_of(st.binary(max_size=200), st.text(alphabet="a1,;\"'\\\r\n\t\0 \u00e9\ufeff", max_size=60).map(str.encode)),
    st.sampled_from(
        [
            {},
            {"escape": "\\"},
            {"quote": "", "delimiter": ";"},
            {"encoding": "utf-16"},
            {"encoding": "cp1252"},
            {"skip_lines": 1},
        ]
    ),
)
def test_whatever_the_bytes_are_a_file_is_read_or_told_to_be_at_fault(content, dialect):
    try:
        file = open_csv(content, CsvDialect(**dialect))
        table = file.read(file.names)
    except DeliveryFault as told:
        line = f"{told.detail} {told.remedy}"
    else:
        line = "read"
        assert table.columns == file.names
    assert "\n" not in line


@settings(max_examples=500, deadline=None, derandomize=True)
@given(st.text(alphabet='a1,"\n', max_size=30))
def test_a_file_that_is_read_has_the_rows_that_another_reader_finds(text):
    try:
        file = open_csv(text.encode())
        table = file.read(file.names)
    except DeliveryFault:
        return
    rows = [row[: len(file.names)] for row in csv.reader(io.StringIO(text, newline=""))][1:]
    while rows and len(file.names) > 1 and not rows[-1]:
        rows.pop()
    assert [[value or "" for value in row] for row in table.rows()] == [row or [""] for row in rows]


def test_truncated_zip(orders, orders_schema):
    whole = zipped(orders=HEADER + ROW * 200)
    error = fault(orders("o.csv.zip", whole[: len(whole) // 2]), orders_schema)
    assert str(error) == (
        f"source 'orders', drop 'whole': corrupt archive: the zip of {len(whole) // 2} bytes is damaged or cut off "
        "(File is not a zip file); have it delivered again"
    )


def test_zip_with_a_changed_byte(orders, orders_schema):
    whole = bytearray(zipped(orders=HEADER + ROW * 200))
    whole[60] ^= 0xFF
    error = fault(orders("o.csv.zip", bytes(whole)), orders_schema)
    assert error.kind == "corrupt archive"


@pytest.mark.parametrize(("files", "held"), [({}, "none"), ({"a": HEADER + ROW, "b": HEADER + ROW}, "a.csv, b.csv")])
def test_zip_without_exactly_one_file(orders, orders_schema, files, held):
    assert str(fault(orders("o.csv.zip", zipped(**files)), orders_schema)) == (
        f"source 'orders', drop 'whole': corrupt archive: the zip must hold one file, it holds {held}; "
        "zip the one CSV file"
    )


def test_truncated_gzip(orders, orders_schema):
    whole = gzip.compress(HEADER + ROW * 200)
    error = fault(orders("o.csv.gz", whole[:-20]), orders_schema)
    assert str(error) == (
        f"source 'orders', drop 'whole': corrupt archive: the gzip of {len(whole) - 20} bytes is damaged or cut "
        "off (Compressed file ended before the end-of-stream marker was reached); have it delivered again"
    )


def test_something_else_named_gzip(orders, orders_schema):
    assert fault(orders("o.csv.gz", HEADER + ROW), orders_schema).kind == "corrupt archive"


def test_truncated_parquet(orders, orders_schema, tmp_path):
    pl.DataFrame({"id": range(1000)}).write_parquet(tmp_path / "whole.parquet")
    error = fault(orders("o.parquet", (tmp_path / "whole.parquet").read_bytes()[:-50]), orders_schema)
    assert error.kind == "unparsable"
    assert str(error).startswith("source 'orders', drop 'whole': unparsable: no readable Parquet file (")


@pytest.mark.parametrize("content", [b"", b"\n\n"])
def test_empty_file(orders, orders_schema, content):
    assert str(fault(orders(content=content), orders_schema)) == (
        "source 'orders', drop 'whole': empty drop: the file is empty; have it delivered again"
    )


@pytest.mark.parametrize("drops", [{}, MONTHLY])
def test_file_with_a_header_only(orders, orders_schema, drops):
    name = "2024-01" if drops else "whole"
    assert str(fault(orders(content=HEADER, drops=drops), orders_schema, [name])) == (
        f"source 'orders', drop '{name}': empty drop: the delivery has no row for it; have it delivered, then run "
        "again; if a drop may be empty, declare `empty_drops: accept`"
    )


def test_month_without_rows(orders, orders_schema):
    spec = orders(content=HEADER + ROW + LATER, drops=MONTHLY)
    assert str(fault(spec, orders_schema, ["2024-01", "2024-03"])) == (
        "source 'orders', drop '2024-03': empty drop: the delivery has no row for it; have it delivered, then run "
        "again; if a drop may be empty, declare `empty_drops: accept`"
    )


@pytest.mark.parametrize(
    ("rows", "detail"),
    [
        (ROW + b"2,1.0", "data row 2 has 2 fields where the header has 4"),
        (ROW + b"2,1.0,Oslo\n" + LATER, "data row 2 has 3 fields where the header has 4"),
        (ROW + b"\n" + LATER, "data row 2 has 1 fields where the header has 4"),
        (ROW + ROW + b"3,1,x,2024-01-15T00:00:00Z,y\n", "data row 3 has 5 fields where the header has 4"),
        (b'1,9,"a,b",2024-01-15T00:00:00Z\n2,"x,y\nz",3\n', "data row 2 has 3 fields where the header has 4"),
        (b'1,9,"a,2024-01-15T00:00:00Z\n', "a quoted field is opened and never closed"),
    ],
    ids=["cut off", "short", "blank", "long", "short and quoted", "open quote"],
)
def test_rows_that_do_not_fit_the_header(orders, orders_schema, rows, detail):
    assert str(fault(orders(content=HEADER + rows), orders_schema)) == (
        f"source 'orders', drop 'whole': unparsable: {detail}; correct the delivered file"
    )


def test_short_and_long_row_that_make_up_for_each_other(orders, orders_schema):
    rows = b"1,1,x\n2,1,x,2024-01-15T00:00:00Z,y\n"
    assert "data row 1 has 3 fields" in str(fault(orders(content=HEADER + rows), orders_schema))


def test_header_that_names_a_column_twice(orders, orders_schema):
    assert str(fault(orders(content=b"id,id,amount,shop,at\n"), orders_schema)) == (
        "source 'orders', drop 'whole': unparsable: the header names id more than once; rename the columns"
    )


def test_where_no_row_has_a_moment_there_is_no_drop(orders, orders_schema):
    spec = orders(content=HEADER + b"2,1.0,Oslo,\n3,1.0,Oslo,\n", drops=MONTHLY)
    expected = "column 'at': wrong type: none of 2 rows has a value, so that they belong to no drop; have"
    with pytest.raises(SourceError, match=f"source 'orders', drop 'all', {expected}"):
        list_drops(spec, orders_schema)


def test_drops_cut_by_a_column_that_is_no_date(orders, orders_schema):
    spec = orders(content=HEADER + ROW, drops=MONTHLY | {"column": "id"})
    assert str(fault(spec, orders_schema, ["2024-01"])) == (
        "source 'orders', drop '2024-01', column 'id': wrong type: months cannot be told from Int64; "
        "cut the drops by a date or datetime column of the contract"
    )
    spec = orders(content=HEADER + ROW, drops=MONTHLY | {"column": "sold_at"})
    with pytest.raises(SourceError, match="column 'sold_at': missing column: "):
        list_drops(spec, orders_schema)


def test_directory_in_place_of_a_file(orders, orders_schema, tmp_path):
    (tmp_path / "orders.csv").mkdir()
    error = fault(orders("orders.csv"), orders_schema)
    assert error.kind == "unreachable"
    assert "IsADirectoryError" in str(error)
