"""What values each type of column takes when they are pushed: exactly those it holds, and no other gets past."""

import json
import math
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal

import polars as pl
import pytest

from ml_assets.features.spec import FeatureViewSpec
from ml_assets.online.facts.rows import PushError, check_rows, decode_facts_from_json, encode_facts_as_json, read_rows
from ml_assets.online.facts.table_rows import read_table_rows
from ml_assets.online.facts.values import exact_cast, value_type

VIEW = FeatureViewSpec(
    name="v", description="V.", entity=["id"], table="t", lookups={"feature": "value"}
)  # fmt: skip
MOMENT = datetime(2024, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
NAIVE = MOMENT.replace(tzinfo=None)
INTEGERS = [pl.Int8(), pl.Int16(), pl.Int32(), pl.Int64(), pl.Int128()]
UNSIGNED = [pl.UInt8(), pl.UInt16(), pl.UInt32(), pl.UInt64(), pl.UInt128()]


def bounds(dtype):
    """The least and most of a type; of 128 bits those of JSON's 64."""
    bits = min(int(str(dtype).strip("UInt")), 64)
    low, high = (0, 2**bits - 1) if str(dtype)[0] == "U" else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    return low, 2**64 - 1 if dtype == pl.Int128 else high


TAKEN = [
    *((dtype, value, value) for dtype in (*INTEGERS, *UNSIGNED) for value in (0, *bounds(dtype))),
    (pl.Float64(), 5, 5.0), (pl.Float64(), -1.7976931348623157e308, -1.7976931348623157e308),
    (pl.Float32(), 3.4028234663852886e38, 3.4028234663852886e38), (pl.Float32(), 2**63, 2.0**63),
    (pl.Float16(), 65504.0, 65504.0),
    (pl.Boolean(), True, True), (pl.Boolean(), False, False),
    (pl.String(), "", ""), (pl.String(), "ä\x00", "ä\x00"), (pl.Categorical(), "x", "x"),
    (pl.Enum(["a", "b"]), "b", "b"),
    (pl.Date(), "2024-02-29", date(2024, 2, 29)), (pl.Date(), date(1, 1, 1), date(1, 1, 1)),
    (pl.Time(), "08:30:00.5", time(8, 30, 0, 500000)), (pl.Time(), time(1), time(1)),
    (pl.Datetime("us", "UTC"), "2024-01-02T05:04:05.678901+02:00", MOMENT), (pl.Datetime("us", "UTC"), MOMENT, MOMENT),
    (pl.Datetime("us", "UTC"), "0001-01-01T00:00:00Z", datetime(1, 1, 1, tzinfo=UTC)),
    (pl.Datetime("us", "Europe/Berlin"), "2024-01-02T03:04:05.678901Z", MOMENT),
    (pl.Datetime("us"), "2024-01-02T03:04:05.678901", NAIVE), (pl.Datetime("us"), NAIVE, NAIVE),
    (pl.Datetime("ms"), "2024-01-02T03:04:05.678", NAIVE.replace(microsecond=678000)),
    (pl.Datetime("ns", "UTC"), MOMENT.isoformat(), MOMENT),
    (pl.Duration("us"), 5, timedelta(microseconds=5)), (pl.Duration("us"), timedelta(days=-1), timedelta(days=-1)),
    (pl.Duration("ms"), 5, timedelta(milliseconds=5)), (pl.Duration("ns"), timedelta(hours=1), timedelta(hours=1)),
    *((pl.Decimal(10, 2), text, Decimal(text)) for text in ("1.2", "-.5", "6", "12345678.90", "1e3", "1.230", "0e9")),
    (pl.Decimal(38, 10), "1234567890123456789012345678.0123456789", Decimal("1234567890123456789012345678.0123456789")),
    (pl.Decimal(10, 2), Decimal("1.2"), Decimal("1.2")),
]  # fmt: skip
TYPES = [
    *INTEGERS, *UNSIGNED, pl.Float16(), pl.Float32(), pl.Float64(), pl.Boolean(), pl.String(), pl.Categorical(),
    pl.Enum(["a", "b"]), pl.Date(), pl.Time(), *(pl.Datetime(unit, zone) for unit in ("ms", "us", "ns") for zone in
    (None, "UTC")), *(pl.Duration(unit) for unit in ("ms", "us", "ns")), pl.Decimal(10, 2), pl.Decimal(5, 0),
    pl.Binary(), pl.List(pl.Int64()), pl.Array(pl.Int64(), 2), pl.Struct({"a": pl.Int64()}), pl.Null(), pl.Object(),
]  # fmt: skip
ANYTHING = [
    5, -1, 0, 300, 2**63, 2**64, 10**400, 2.5, -0.0, 1e39, 1e308, math.nan, math.inf, True, False, "x", "", "a", "5",
    "10:00", "10:00+01:00", "2024-01-01", "2024-01-01T00:00:00", "2024-01-01T00:00:00Z", "2024-01-01T00:00:00.000001",
    "0001-01-01T00:00:00+14:00", "9999-12-31T23:00:00-14:00", "9999-01-01T00:00:00Z", "9999-01-01T00:00:00",
    "1.234", "1e999999999999", "1e-5", "NaN", "inf", "1_0", " 1", "١", "\ud800", [], {}, [1], [1, 2], {"a": 1}, [None],
    b"x", MOMENT, NAIVE, date(2024, 1, 1), time(1, tzinfo=UTC), time(1), timedelta.max, timedelta(microseconds=1),
    Decimal("1.234"), Decimal("NaN"), Decimal("1e99"), object(),
]  # fmt: skip
REFUSED = [
    *((dtype, value) for dtype in (*INTEGERS, *UNSIGNED) for low, high in [bounds(dtype)]
      for value in (low - 1, high + 1, 1.0, True, "1")),
    (pl.Float32(), 1e39), (pl.Float32(), 3.4028236e38), (pl.Float16(), 65520), (pl.Float64(), 10**400),
    (pl.Float64(), math.nan), (pl.Float64(), "1"), (pl.Float64(), True), (pl.Boolean(), 1), (pl.Boolean(), 0),
    (pl.Boolean(), "true"), (pl.String(), 5), (pl.String(), "\ud800"), (pl.Categorical(), 5), (pl.Enum(["a"]), "x"),
    (pl.Enum(["a"]), 0), *((pl.Date(), value) for value in (5, 2.5, True, [], {}, "x", MOMENT, "2024-02-30")),
    *((pl.Time(), value) for value in ("x", 5, "25:00", "10:00+01:00")),
    *((pl.Datetime("us", "UTC"), value) for value in (5, "2024-01-01", NAIVE, "0001-01-01T00:00:00+14:00", [])),
    *((pl.Datetime("us"), value) for value in (5, MOMENT, "2024-01-01T00:00:00Z", date(2024, 1, 1))),
    (pl.Datetime("ms"), NAIVE), (pl.Datetime("ns"), "3000-01-01T00:00:00"), (pl.Duration("us"), "x"),
    (pl.Duration("us"), 2.5), (pl.Duration("us"), 2**63), (pl.Duration("ms"), timedelta(microseconds=1)),
    *((pl.Decimal(10, 2), value) for value in ("abc", "1.234", "123456789", 6, 1.5, "1e999999999999", "NaN", "1_0")),
    (pl.Binary(), "x"), (pl.Binary(), b"x"), (pl.List(pl.Int64()), [1]), (pl.List(pl.Int64()), "x"),
    (pl.Array(pl.Int64(), 2), [1, 2]), (pl.Struct({"a": pl.Int64()}), {"a": 1}), (pl.Null(), 1), (pl.Object(), 1),
]  # fmt: skip


@pytest.mark.parametrize(("dtype", "value", "expected"), TAKEN, ids=str)
def test_a_value_that_the_type_holds_is_what_it_says(dtype, value, expected):
    read = read_table_rows([{"value": None}, {"value": value}], {"value": dtype})
    assert read.refused == []
    assert (read.rows.schema["value"], read.rows["value"].to_list()) == (dtype, [None, expected])


@pytest.mark.parametrize(("dtype", "value"), REFUSED, ids=lambda each: ascii(each)[:40])
def test_a_value_that_is_none_of_the_type_costs_its_own_row_alone(dtype, value):
    rows = [{"value": None}, {"value": value}, {"value": None}]
    read = read_table_rows(rows, {"value": dtype})
    assert read.refused == [(1, f"value: {value_type(dtype).must_be}", "value")]
    assert (read.numbers, read.rows.schema["value"], read.rows.height) == ([0, 2], dtype, 2)
    with pytest.raises(PushError) as caught:
        read_rows(VIEW, [{"id": n, **row} for n, row in enumerate(rows)], {"id": pl.Int64(), "value": dtype})
    assert str(caught.value).startswith("feature view 'v', row 1: 'value' is ")
    assert str(caught.value).endswith(f"; {value_type(dtype).or_null}")


@pytest.mark.parametrize("dtype", TYPES, ids=str)
def test_whatever_comes_is_taken_in_the_type_or_refused(dtype):
    for value in ANYTHING:
        read = read_table_rows([{"value": value}], {"value": dtype})
        assert read.rows.schema["value"] == dtype
        if not read.refused:
            (there,) = read.rows["value"]
            assert there is not None
            assert not isinstance(there, float) or math.isfinite(there)
            # What is kept is what was taken.
            kept = decode_facts_from_json(encode_facts_as_json(read.rows), {"value": dtype})
            assert kept["value"].equals(read.rows["value"]), (dtype, value)


@pytest.mark.parametrize(
    ("dtype", "must_be"),
    [
        (pl.Decimal(10, 2), "a number written as text, with at most 8 digits before and 2 after the point or null"),
        (pl.Enum(["a", "b"]), "one of 'a', 'b' or null"),
        (pl.Duration("us"), "a whole number of microseconds or null"),
        (pl.Time(), "a time of day in ISO 8601 without a zone or null"),
        (pl.Float32(), "a finite number (Float32) or null"),
        (pl.List(pl.Int64()), "null, as no List(Int64) can be pushed"),
    ],
)
def test_what_a_value_must_be_is_told(dtype, must_be):
    assert value_type(dtype).or_null == f"it must be {must_be}"


@pytest.mark.parametrize(
    ("values", "dtype", "first"),
    [
        (pl.Series([2.0, 2.5]), pl.Int64(), 1),
        (pl.Series([127, 128]), pl.Int8(), 1),
        (pl.Series([-1]), pl.UInt8(), 0),
        (pl.Series([1.0, 1e39]), pl.Float32(), 1),
        (pl.Series([0, 5]), pl.Date(), 0),
        (pl.Series([None, 1]), pl.Boolean(), 1),
        (pl.Series(["1"]), pl.Int64(), 0),
        (pl.Series(["a", "x"]), pl.Enum(["a"]), 1),
        (pl.Series([MOMENT]), pl.Date(), 0),
        (pl.Series([NAIVE]), pl.Datetime("us", "UTC"), 0),
        (pl.Series([NAIVE]), pl.Datetime("ms"), 0),
        (pl.Series(["1.20", "1.23"]).cast(pl.Decimal(10, 2)), pl.Decimal(10, 1), 1),
        (pl.Series([[1]]), pl.Int64(), 0),
        (pl.Series([b"x"]), pl.Binary(), 0),
    ],
)
def test_a_frame_is_held_to_the_types_too(values, dtype, first):
    rows = pl.DataFrame({"id": range(len(values)), "value": values})
    with pytest.raises(PushError, match=rf"feature view 'v', row {first}: 'value' is .*; it must be "):
        check_rows(VIEW, rows, {"id": pl.Int64(), "value": dtype})


@pytest.mark.parametrize(
    ("values", "dtype", "expected"),
    [
        (pl.Series([1, None]), pl.Float64(), [1.0, None]),
        (pl.Series([2.0]), pl.Int8(), [2]),
        (pl.Series([None, None]), pl.Date(), [None, None]),
        (pl.Series([0.1]), pl.Float32(), pl.Series([0.1], dtype=pl.Float32).to_list()),
        (pl.Series([NAIVE]).cast(pl.Datetime("ns")), pl.Datetime("us"), [NAIVE]),
        (pl.Series([MOMENT]).dt.convert_time_zone("Europe/Berlin"), pl.Datetime("us", "UTC"), [MOMENT]),
        (pl.Series(["a"], dtype=pl.Categorical), pl.String(), ["a"]),
        (pl.Series([timedelta(seconds=1)]), pl.Int64(), [1_000_000]),
        (pl.Series(["1.20"]).cast(pl.Decimal(10, 2)), pl.Decimal(5, 1), [Decimal("1.2")]),
        (pl.Series([[1]]), pl.List(pl.Int64()), [[1]]),
    ],
)
def test_a_frame_of_other_types_is_cast_where_its_values_stay(values, dtype, expected):
    cast, misfit = exact_cast(values, dtype)
    assert (cast.dtype, cast.to_list(), misfit.any()) == (dtype, expected, False)
    assert json.loads(encode_facts_as_json(pl.DataFrame({"value": cast}))[0])
