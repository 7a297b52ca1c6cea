"""Every type of every kind of store: what a value of it is read as, or the line that says why it is not.

The tests run on these tables, and `docs/types.md` shows them; run this file to write the page again.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa

PAGE = Path(__file__).parents[2] / "docs" / "types.md"
F64, I64, TEXT, DAY = pl.Float64(), pl.Int64(), pl.String(), pl.Date()
CLOCK, MOMENT, SPAN, CENTS = pl.Datetime("us"), pl.Datetime("us", "UTC"), pl.Duration("us"), pl.Decimal(10, 2)
UUID = "123e4567-e89b-12d3-a456-426655440000"
NOON = datetime(2024, 2, 29, 12, 0, 0, 1)
IMPOSSIBLE = "a moment that no calendar has, such as infinity or 0000-00-00"
MONTHS = "months differ in length"


@dataclass(frozen=True)
class Stored:
    """A value in a store.

    Attributes:
        type: as the store calls it.
        written: the value, as the store's language writes it.
        dtype: what the contract declares.
        becomes: what it is read as; or, where `refused`, of no meaning.
        refused: words of the fault that names it.
        by_type: whether the type is refused, whatever the value, so that the scaffolder leaves the column out.
        setup: what the store has to know of first.
    """

    type: str
    written: Any
    dtype: pl.DataType
    becomes: Any = None
    refused: str = ""
    by_type: bool = False
    setup: str = ""


def left_out(type_: str, written: Any, words: str, setup: str = "") -> Stored:
    return Stored(type_, written, TEXT, refused=words, by_type=True, setup=setup)


POSTGRESQL = [
    Stored("boolean", "true", pl.Boolean(), True),
    Stored("smallint", "-32768", I64, -32768),
    Stored("integer", "2147483647", I64, 2147483647),
    Stored("bigint", "9223372036854775807", I64, 9223372036854775807),
    Stored("bigint", "9007199254740993", F64, refused="9007199254740993 in data row 1 is no Float64"),
    Stored("real", "1.5", F64, 1.5),
    Stored("double precision", "0.1", F64, 0.1),
    Stored("numeric", "12.34", F64, 12.34),
    Stored("numeric(10, 2)", "12.34", CENTS, Decimal("12.34")),
    Stored("numeric", "1.239", CENTS, refused="'1.239' in data row 1 is no Decimal(10, 2): it would become 1.24"),
    Stored("numeric", "1e400", F64, refused="is no Float64: it would become inf"),
    Stored("money", "12.34", F64, 12.34),
    Stored("money", "-1234.50", CENTS, Decimal("-1234.50")),
    Stored("text", "'é'", TEXT, "é"),
    Stored("character varying(5)", "'ab'", TEXT, "ab"),
    Stored("character(5)", "'ab'", TEXT, "ab   "),
    Stored('"char"', "'a'", TEXT, "a"),
    Stored("name", "'a'", TEXT, "a"),
    Stored("uuid", f"'{UUID}'", TEXT, UUID),
    Stored("inet", "'10.0.0.1'", TEXT, "10.0.0.1"),
    Stored("inet", "'10.0.0.1/8'", TEXT, "10.0.0.1/8"),
    Stored("cidr", "'10.0.0.0/8'", TEXT, "10.0.0.0/8"),
    Stored("macaddr", "'08:00:2b:01:02:03'", TEXT, "08:00:2b:01:02:03"),
    Stored("macaddr8", "'08:00:2b:01:02:03:04:05'", TEXT, "08:00:2b:01:02:03:04:05"),
    Stored("json", """'{"a": 1}'""", TEXT, '{"a": 1}'),
    Stored("jsonb", """'{"a":1}'""", TEXT, '{"a": 1}'),
    Stored("xml", "'<a/>'", TEXT, "<a/>"),
    Stored("bit(3)", "B'101'", TEXT, "101"),
    Stored("bit varying", "B'10'", TEXT, "10"),
    Stored("date", "'2024-02-29'", DAY, date(2024, 2, 29)),
    Stored("date", "'infinity'", DAY, refused=IMPOSSIBLE),
    Stored("timestamp", "'2024-02-29 12:00:00.000001'", CLOCK, NOON),
    Stored("timestamp", "'-infinity'", CLOCK, refused=IMPOSSIBLE),
    Stored("timestamp", "'0044-03-15 12:00:00 BC'", CLOCK, refused=IMPOSSIBLE),
    Stored("timestamptz", "'2024-02-29 14:00:00.000001+02'", MOMENT, NOON.replace(tzinfo=UTC)),
    Stored("timestamptz", "'infinity'", MOMENT, refused=IMPOSSIBLE),
    Stored("time", "'08:30:00.5'", TEXT, "08:30:00.5"),
    Stored("timetz", "'08:30:00+02'", TEXT, "08:30:00+02"),
    Stored("interval", "'1 day 02:00:00.000001'", SPAN, timedelta(days=1, hours=2, microseconds=1)),
    Stored("interval", "'-3 days'", SPAN, timedelta(days=-3)),
    Stored("interval", "'1 mon'", SPAN, refused=f"'1 mon' in data row 1 is no Duration, as {MONTHS}"),
    Stored("oid", "4294967295", I64, 4294967295),
    Stored("xid", "'7'", I64, 7),
    Stored("cid", "'7'", I64, 7),
    Stored("xid8", "'7'", TEXT, "7"),
    Stored("tid", "'(0,1)'", TEXT, "(0,1)"),
    Stored("pg_lsn", "'16/B374D848'", TEXT, "16/B374D848"),
    Stored("regclass", "'pg_type'", TEXT, "pg_type"),
    Stored("an enum", "'calm'", TEXT, "calm", setup="CREATE TYPE mood AS ENUM ('calm', 'cross')"),
    Stored("a domain", "7", I64, 7, setup="CREATE DOMAIN a_number AS integer CHECK (value > 0)"),
    left_out("bytea", "'\\xdead'", "choose encode(it, 'hex')"),
    left_out("integer[]", "'{1,2}'", "choose its elements"),
    left_out("text[]", "'{a}'", "choose its elements"),
    left_out("int4range", "'[1,5)'", "choose lower(it) and upper(it)"),
    left_out("int8range", "'[1,5)'", "choose lower(it) and upper(it)"),
    left_out("numrange", "'[1,5)'", "choose lower(it) and upper(it)"),
    left_out("daterange", "'[2024-01-01,2024-01-02)'", "choose lower(it) and upper(it)"),
    left_out("tsrange", "'[2024-01-01,2024-01-02)'", "choose lower(it) and upper(it)"),
    left_out("tstzrange", "'[2024-01-01,2024-01-02)'", "choose lower(it) and upper(it)"),
    left_out("int4multirange", "'{[1,5)}'", "choose lower(it) and upper(it)"),
    left_out("point", "'(1,2)'", "choose its numbers"),
    left_out("line", "'{1,2,3}'", "choose its numbers"),
    left_out("lseg", "'[(0,0),(1,1)]'", "choose its numbers"),
    left_out("box", "'((0,0),(1,1))'", "choose its numbers"),
    left_out("path", "'[(0,0),(1,1)]'", "choose its numbers"),
    left_out("polygon", "'((0,0),(1,1),(1,0))'", "choose its numbers"),
    left_out("circle", "'<(0,0),1>'", "choose its numbers"),
    left_out("tsvector", "'a b'", "choose it::text"),
    left_out("tsquery", "'a & b'", "choose it::text"),
    left_out("jsonpath", "'$.a'", "choose it::text"),
    left_out("a composite type", "ROW(1, 2)", "choose its fields", setup="CREATE TYPE pair AS (a integer, b integer)"),
    left_out("txid_snapshot", "'1:1:'", "choose it::text"),
    left_out("pg_snapshot", "'1:1:'", "choose it::text"),
]
OF_ITS_OWN_NAME = {"an enum": "mood", "a domain": "a_number", "a composite type": "pair"}
"""What a type that is made is called."""

MARIADB = [
    Stored("tinyint", "-128", I64, -128),
    Stored("tinyint unsigned", "255", I64, 255),
    Stored("boolean", "true", pl.Boolean(), True),
    Stored("smallint unsigned", "65535", I64, 65535),
    Stored("mediumint", "-8388608", I64, -8388608),
    Stored("int unsigned", "4294967295", I64, 4294967295),
    Stored("bigint", "-9223372036854775808", I64, -9223372036854775808),
    Stored("bigint unsigned", "9", I64, 9),
    Stored("bigint unsigned", "18446744073709551615", TEXT, "18446744073709551615"),
    Stored("bigint unsigned", "18446744073709551615", I64, refused="18446744073709551615 in data row 1 is no Int64"),
    Stored("float", "16777215", F64, 16777215.0),
    Stored("double", "0.1", F64, 0.1),
    Stored("double", "9007199254740994", F64, 9007199254740994.0),
    Stored("decimal(10, 2)", "12.34", F64, 12.34),
    Stored("decimal(10, 2)", "12.34", CENTS, Decimal("12.34")),
    Stored(
        "decimal(10, 3)", "1.239", CENTS, refused="'1.239' in data row 1 is no Decimal(10, 2): it would become 1.24"
    ),
    Stored("decimal(65, 30)", "0.1", F64, 0.1),
    Stored("bit(5)", "b'101'", I64, 5),
    Stored("bit(64)", "18446744073709551615", TEXT, "18446744073709551615"),
    Stored("year", "2024", I64, 2024),
    Stored("date", "'2024-02-29'", DAY, date(2024, 2, 29)),
    Stored("date", "'0000-00-00'", DAY, refused=IMPOSSIBLE),
    Stored("datetime(6)", "'2024-02-29 12:00:00.000001'", CLOCK, NOON),
    Stored("datetime", "'0000-00-00 00:00:00'", CLOCK, refused=IMPOSSIBLE),
    Stored("datetime", "'2024-00-00 00:00:00'", CLOCK, refused=IMPOSSIBLE),
    Stored("timestamp(6) null", "'2024-02-29 12:00:00.000001'", MOMENT, NOON.replace(tzinfo=UTC)),
    Stored("timestamp null", "'0000-00-00 00:00:00'", MOMENT, refused=IMPOSSIBLE),
    Stored("time(1)", "'08:30:00.5'", TEXT, "08:30:00.5"),
    Stored("time", "'-838:59:59'", TEXT, "-838:59:59"),
    Stored("char(5)", "'ab'", TEXT, "ab"),
    Stored("varchar(5)", "'é'", TEXT, "é"),
    Stored("tinytext", "'é'", TEXT, "é"),
    Stored("text", "'é'", TEXT, "é"),
    Stored("mediumtext", "'é'", TEXT, "é"),
    Stored("longtext", "'é'", TEXT, "é"),
    Stored("enum('a','b')", "'a'", TEXT, "a"),
    Stored("set('a','b')", "'a,b'", TEXT, "a,b"),
    Stored("json", """'{"a": 1}'""", TEXT, '{"a": 1}'),
    Stored("uuid", f"'{UUID}'", TEXT, UUID),
    Stored("inet4", "'10.0.0.1'", TEXT, "10.0.0.1"),
    Stored("inet6", "'::1'", TEXT, "::1"),
    left_out("binary(2)", "'ab'", "choose HEX(it)"),
    left_out("varbinary(2)", "'ab'", "choose HEX(it)"),
    left_out("tinyblob", "'ab'", "choose HEX(it)"),
    left_out("blob", "'ab'", "choose HEX(it)"),
    left_out("mediumblob", "'ab'", "choose HEX(it)"),
    left_out("longblob", "'ab'", "choose HEX(it)"),
    left_out("point", "point(1,2)", "choose ST_X(it)"),
    left_out("geometry", "point(1,2)", "choose ST_X(it)"),
]

SQLITE = [
    Stored("integer", "9223372036854775807", I64, 9223372036854775807),
    Stored("integer", "1", pl.Boolean(), True),
    Stored("integer", "9007199254740993", F64, refused="9007199254740993 in data row 1 is no Float64"),
    Stored("real", "0.1", F64, 0.1),
    Stored("real", "2.0", I64, 2),
    Stored("real", "1.5", CENTS, refused="Float64 does not become Decimal(10, 2)"),
    Stored("text", "'é'", TEXT, "é"),
    Stored("text", "'2024-02-29'", DAY, date(2024, 2, 29)),
    Stored("text", "'2024-02-29 12:00:00.000001'", CLOCK, NOON),
    Stored("text", "'2024-02-29T14:00:00.000001+02:00'", MOMENT, NOON.replace(tzinfo=UTC)),
    Stored("decimal(10, 2)", "12", F64, 12.0),
    Stored("without a type", "'12.50'", CENTS, Decimal("12.50")),
    Stored("without a type", "'n/a'", F64, refused="'n/a' in data row 1 is no Float64"),
    left_out("blob", "x'ff'", "Binary does not become String"),
]


def arrow(type_: pa.DataType, value: Any, dtype: pl.DataType, becomes: Any = None, refused: str = "") -> Stored:
    return Stored(str(type_), pa.array([value, None], type_), dtype, becomes, refused)


def arrow_out(type_: pa.DataType, value: Any, words: str) -> Stored:
    return left_out(str(type_), pa.array([value, None], type_), words)


SECOND = NOON.replace(microsecond=0)
UNITS = ("s", "ms", "us", "ns")
BYTES = "Binary does not become String"
NANOSECOND = pa.scalar(1_709_208_000_000_000_001, pa.timestamp("ns"))
PARQUET = [
    Stored("null", pa.array([None, None], pa.null()), TEXT, None),
    arrow(pa.bool_(), True, pl.Boolean(), True),
    *(arrow(kind(), -8, I64, -8) for kind in (pa.int8, pa.int16, pa.int32, pa.int64)),
    *(arrow(kind(), 8, I64, 8) for kind in (pa.uint8, pa.uint16, pa.uint32, pa.uint64)),
    arrow(pa.uint64(), 2**64 - 1, TEXT, "18446744073709551615"),
    arrow(pa.uint64(), 2**64 - 1, I64, refused="18446744073709551615 in data row 1 is no Int64"),
    arrow(pa.int64(), 2**53 + 1, F64, refused="9007199254740993 in data row 1 is no Float64"),
    arrow(pa.int64(), 300, pl.Int8(), refused="300 in data row 1 is no Int8"),
    *(arrow(kind(), 0.5, F64, 0.5) for kind in (pa.float16, pa.float32, pa.float64)),
    arrow(pa.float64(), 2.0, I64, 2),
    *(
        arrow(kind(9, 2), Decimal("12.34"), F64, 12.34)
        for kind in (pa.decimal32, pa.decimal64, pa.decimal128, pa.decimal256)
    ),
    arrow(pa.decimal128(10, 3), Decimal("1.239"), CENTS, refused="1.239 in data row 1 is no Decimal(10, 2)"),
    arrow(pa.decimal128(38, 0), Decimal(2**64), TEXT, "18446744073709551616"),
    *(arrow(kind(), "é", TEXT, "é") for kind in (pa.string, pa.large_string, pa.string_view)),
    arrow(pa.dictionary(pa.int32(), pa.string()), "é", TEXT, "é"),
    arrow(pa.date32(), date(2024, 2, 29), DAY, date(2024, 2, 29)),
    arrow(pa.date64(), date(2024, 2, 29), DAY, date(2024, 2, 29)),
    arrow(pa.date32(), 2**31 - 1, DAY, refused=IMPOSSIBLE),
    *(arrow(pa.timestamp(unit), SECOND, CLOCK, SECOND) for unit in UNITS),
    arrow(pa.timestamp("us", "UTC"), NOON, MOMENT, NOON.replace(tzinfo=UTC)),
    arrow(pa.timestamp("us", "Europe/Oslo"), NOON, MOMENT, NOON.replace(tzinfo=UTC)),
    arrow(pa.timestamp("ns"), NANOSECOND, CLOCK, refused="it would become 2024-02-29 12:00:00"),
    arrow(pa.timestamp("us"), NOON, MOMENT, refused="does not become ISO 8601 moment with an offset"),
    arrow(pa.time32("ms"), 30_600_500, TEXT, "08:30:00.500"),
    arrow(pa.time64("us"), 30_600_000_001, TEXT, "08:30:00.000001"),
    *(arrow(pa.duration(unit), timedelta(days=1), SPAN, timedelta(days=1)) for unit in UNITS),
    arrow(pa.duration("ns"), pa.scalar(1, pa.duration("ns")), SPAN, refused="is no Duration"),
    Stored("INTERVAL (of DuckDB)", "INTERVAL '1 day 2 hours'", SPAN, timedelta(days=1, hours=2)),
    Stored("INTERVAL (of DuckDB)", "INTERVAL '1 month'", SPAN, refused=MONTHS),
    Stored("UUID", pa.array([bytes.fromhex(UUID.replace("-", "")), None], pa.uuid()), TEXT, UUID),
    Stored("JSON", pa.array(['{"a": 1}', None], pa.json_()), TEXT, '{"a": 1}'),
    *(arrow_out(kind(), b"\xff", BYTES) for kind in (pa.binary, pa.large_binary, pa.binary_view)),
    arrow_out(pa.binary(2), b"ab", "Binary does not become String"),
    arrow_out(pa.list_(pa.int64()), [1], "does not become String"),
    arrow_out(pa.large_list(pa.int64()), [1], "does not become String"),
    arrow_out(pa.list_(pa.int64(), 2), [1, 2], "does not become String"),
    arrow_out(pa.struct({"a": pa.int64()}), {"a": 1}, "does not become String"),
    arrow_out(pa.map_(pa.string(), pa.int64()), [("a", 1)], "does not become String"),
]  # fmt: skip

DELTA = [
    arrow(pa.bool_(), True, pl.Boolean(), True),
    *(arrow(kind(), -8, I64, -8) for kind in (pa.int8, pa.int16, pa.int32, pa.int64)),
    *(arrow(kind(), 0.5, F64, 0.5) for kind in (pa.float32, pa.float64)),
    arrow(pa.decimal128(10, 2), Decimal("12.34"), F64, 12.34),
    arrow(pa.decimal128(10, 2), Decimal("12.34"), CENTS, Decimal("12.34")),
    arrow(pa.decimal128(10, 3), Decimal("1.239"), CENTS, refused="1.239 in data row 1 is no Decimal(10, 2)"),
    arrow(pa.string(), "é", TEXT, "é"),
    arrow(pa.date32(), date(2024, 2, 29), DAY, date(2024, 2, 29)),
    arrow(pa.timestamp("us"), NOON, CLOCK, NOON),
    arrow(pa.timestamp("us", "UTC"), NOON, MOMENT, NOON.replace(tzinfo=UTC)),
    arrow_out(pa.binary(), b"\xff", "Binary does not become String"),
    arrow_out(pa.list_(pa.int64()), [1], "does not become String"),
    arrow_out(pa.struct({"a": pa.int64()}), {"a": 1}, "does not become String"),
    arrow_out(pa.map_(pa.string(), pa.int64()), [("a", 1)], "does not become String"),
]

STORES = {
    "PostgreSQL 15": POSTGRESQL,
    "MariaDB 10.11 and MySQL": MARIADB,
    "SQLite": SQLITE,
    "Parquet, as Arrow writes it": PARQUET,
    "Delta tables": DELTA,
}

HEAD = """# Which types are read, and as what

A value is in the contract's type exactly, or the drop is refused with a line that names column, row and value. This
page lists every type of each kind of store, with a value, what a contract declares for it and what it is read as. It is
written from the table that the tests run on.

What "exactly" means:

- A whole number or a Decimal is itself: 300 is no Int8, 1.239 no Decimal(10, 2).
- A Float64 is the nearest to a decimal fraction, as in every program: 0.1 is read. From 2^53 on, where a Float64 has no
  fractions, a number written in digits alone must be itself: 9007199254740993 is refused. A number with an exponent is
  a float already, and the nearest is taken. None becomes infinite (1e400) or zero (1e-400).
- A moment keeps its microseconds, and lies in the years 1 to 9999. What no calendar has, such as PostgreSQL's infinity
  and MySQL's 0000-00-00, is refused, or missing where the source declares `impossible_moments: missing`; a missing
  value goes to quarantine where the contract wants one.
- A Duration is kept as whole microseconds (Int64), which is what features and SQL see of it. Months and years have no
  fixed length.

A contract declares Boolean, Int8 to Int64, Float32, Float64, Decimal, String, Date, Datetime("us") without a zone or in
"UTC", and Duration("us"); any other is refused with the one to declare in its place. Only the contract's columns are
selected: what the others hold does not matter. `dg scaffold defs ml_assets.Source` leaves columns out that cannot be
read, and says so.

A mart of dbt is kept in the same types: DuckDB's Decimal(38, 0) as Int64, other decimals as Float64, an INTERVAL as
microseconds. DuckDB itself writes a HUGEINT, such as the sum of whole numbers, as a double: cast it to BIGINT where it
may go beyond 2^53.
"""


def page() -> str:
    """The text of `docs/types.md`."""
    parts = [HEAD]
    for store, cases in STORES.items():
        rows = [f"| {' | '.join(map(_cell, _row(case)))} |" for case in cases]
        parts.append(
            "\n".join([f"\n## {store}\n", "| type | value | contract | read as |", "|---|---|---|---|", *rows, ""])
        )
    return "".join(parts)


def _row(case: Stored) -> tuple[str, str, str, str]:
    from ml_assets.scaffolding.contract_text import dtype_text

    written = case.written
    if isinstance(written, pa.Array):
        scalar = written[0]
        beyond = pa.types.is_date32(written.type) and scalar.value is not None and scalar.value > 3_000_000
        written = f"day {scalar.value}" if beyond else _shown(scalar)
    declared = "-" if case.by_type else f"`{dtype_text(case.dtype)}`"
    outcome = f"refused: {case.refused}" if case.refused else f"`{_python(case.becomes)}`"
    return case.type, f"`{written}`", declared, outcome


def _shown(scalar: pa.Scalar) -> str:
    if pa.types.is_temporal(scalar.type) and getattr(scalar.type, "unit", "") == "ns":
        return f"{scalar.value} ns"
    return _python(scalar.as_py())


def _python(value: Any) -> str:
    return "null" if value is None else str(value)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(page())
