"""Marts as DuckDB writes them, in types that tables and requests hold."""

from datetime import UTC, date, datetime

import duckdb
import polars as pl
import pytest

from ml_assets.lake import Lake
from ml_assets.transform.mart import read_mart
from ml_assets.transform.project import DbtFailed

COLUMNS = {
    "CAST(12 AS DECIMAL(38, 0))": (pl.Int64, 12),
    "CAST(12.5 AS DECIMAL(10, 2))": (pl.Float64, 12.5),
    "sum(CAST(i AS DECIMAL(10, 2)))": (pl.Float64, 3.0),
    "sum(i)": (pl.Float64, 3.0),  # DuckDB writes its HUGEINT as a DOUBLE
    "count(*)": (pl.Int64, 2),
    "CAST(9 AS UTINYINT)": (pl.Int16, 9),
    "CAST(9 AS USMALLINT)": (pl.Int32, 9),
    "CAST(9 AS UINTEGER)": (pl.Int64, 9),
    "CAST(9 AS UBIGINT)": (pl.Int64, 9),
    "CAST('123e4567-e89b-12d3-a456-426655440000' AS UUID)": (pl.String, "123e4567-e89b-12d3-a456-426655440000"),
    "CAST('a' AS ENUM ('a', 'b'))": (pl.String, "a"),
    "TIME '08:30:00'": (pl.String, "08:30:00"),
    "INTERVAL 36 HOUR": (pl.Int64, 36 * 3_600_000_000),
    "CAST(NULL AS INTERVAL)": (pl.Int64, None),
    "DATE '2024-02-29'": (pl.Date, date(2024, 2, 29)),
    "TIMESTAMP_NS '2024-02-29 08:00:00.000001'": (pl.Datetime("us"), datetime(2024, 2, 29, 8, 0, 0, 1)),
    "TIMESTAMPTZ '2024-02-29 08:00:00+00'": (pl.Datetime("us", "UTC"), datetime(2024, 2, 29, 8, tzinfo=UTC)),
}


def mart(path, *columns):
    selected = ", ".join(f"{column} AS c{place}" for place, column in enumerate(columns))
    duckdb.sql(f"COPY (SELECT {selected} FROM (VALUES (1), (2)) AS t(i)) TO '{path}'")
    return path


@pytest.mark.parametrize(("column", "kept"), COLUMNS.items())
def test_a_column_of_a_mart_is_kept_as(tmp_path, column, kept):
    frame = read_mart("sales", mart(tmp_path / "sales.parquet", column, "max(i)"))
    assert (frame.schema["c0"], frame["c0"][0]) == kept
    lake = Lake(str(tmp_path / "lake"))
    lake.replace("sales", frame)
    assert lake.scan("sales").collect().equals(frame)


@pytest.mark.parametrize(
    ("column", "told"),
    [
        ("CAST('18446744073709551615' AS UBIGINT)", "18446744073709551615 in data row 1 is no Int64"),
        ("CAST('9223372036854775808' AS DECIMAL(38, 0))", "9223372036854775808 in data row 1 is no Int64"),
        ("CAST('9007199254740993.5' AS DECIMAL(38, 1))", "9007199254740993.5 in data row 1 is no Float64: it would"),
        ("INTERVAL 1 MONTH", "an INTERVAL with months in data row 1 is no Duration, as months differ in length"),
        ("TIMESTAMP_NS '2024-02-29 08:00:00.000000001'", "it would become 2024-02-29 08:00:00"),
    ],
)
def test_a_value_of_a_mart_that_cannot_be_kept_is_named(tmp_path, column, told):
    with pytest.raises(DbtFailed) as raised:
        read_mart("sales", mart(tmp_path / "sales.parquet", column, "max(i)"))
    assert str(raised.value).startswith("mart sales, column 'c0': ")
    assert told in str(raised.value)
    assert str(raised.value).endswith("; cast it in the model's SQL to what shall be kept")
