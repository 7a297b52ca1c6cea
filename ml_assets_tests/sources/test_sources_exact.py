"""No value is changed by reading it: it is the same in the contract's type, or the fault names it."""

import io
import math
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from fractions import Fraction

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_assets.sources.delivery.read import read_drops
from ml_assets.sources.errors import DeliveryFault, SourceError
from ml_assets.sources.values.typed import typed_column

F64, F32, CENTS = pl.Float64(), pl.Float32(), pl.Decimal(10, 2)
IMPOSSIBLE = "a moment that no calendar has, such as infinity or 0000-00-00, in data row 1 is no"
NANO = pl.Datetime("ns", "UTC")


def typed(values, dtype, given_as=None):
    return typed_column(pl.Series("x", [None, *values], given_as), dtype)


@pytest.mark.parametrize(
    ("value", "dtype", "becomes"),
    [
        ("0.1", F64, 0.1),
        ("3.3333333333333333", F64, 10 / 3),
        ("9007199254740992", F64, 2.0**53),
        (str(2**200), F64, 2.0**200),
        ("1.7976931348623157e308", F64, 1.7976931348623157e308),
        ("0.000", F64, 0.0),
        ("inf", F64, math.inf),
        ("0.1", F32, float(pl.Series([0.1], dtype=F32)[0])),
        ("1.2300", CENTS, Decimal("1.23")),
        ("1.2e1", CENTS, Decimal("12.00")),
        (2**53, F64, 2.0**53),
        (7, CENTS, Decimal("7.00")),
        (2.0, pl.Int64(), 2),
        (Decimal("0.1"), F64, 0.1),
        (Decimal("2.00"), pl.Int64(), 2),
        (Decimal("1.230"), CENTS, Decimal("1.23")),
        (Decimal(2**64), pl.String(), "18446744073709551616"),
        (time(8, 30, 0, 500_000), pl.String(), "08:30:00.500"),
        (timedelta(days=1), pl.Duration("ms"), timedelta(days=1)),
        ("2024-01-01T00:00:00.123456000Z", pl.Datetime("us", "UTC"), datetime(2024, 1, 1, 0, 0, 0, 123456, UTC)),
        ("9999-12-31", pl.Date(), date(9999, 12, 31)),
    ],
)
def test_a_value_that_the_type_holds(value, dtype, becomes):
    assert typed([value], dtype).to_list() == [None, becomes]


@pytest.mark.parametrize(
    ("value", "given_as", "dtype", "message"),
    [
        ("1.239", None, CENTS, "'1.239' in data row 2 is no Decimal(10, 2): it would become 1.24"),
        ("-.005", None, CENTS, "'-.005' in data row 2 is no Decimal(10, 2): it would become"),
        ("1.239e0", None, CENTS, "is no Decimal(10, 2): it would become 1.24"),
        ("1e-99999999", None, CENTS, "is no Decimal(10, 2): it would become 0.00"),
        ("123456789.5", None, CENTS, "'123456789.5' in data row 2 is no Decimal(10, 2)"),
        ("1e400", None, F64, "'1e400' in data row 2 is no Float64: it would become inf"),
        ("-1e400", None, F64, "it would become -inf"),
        ("1e-400", None, F64, "it would become 0.0"),
        ("9007199254740993", None, F64, "is no Float64: it would become 9007199254740992.0"),
        ("9007199254740993.0", None, F64, "is no Float64: it would become 9007199254740992.0"),
        (str(2**200 + 1), None, F64, "is no Float64"),
        ("16777217", None, F32, "is no Float32: it would become 16777216.0"),
        (9007199254740993, None, F64, "9007199254740993 in data row 2 is no Float64: it would become"),
        (2**63 - 1, None, F64, "9223372036854775807 in data row 2 is no Float64"),
        (2**64 - 1, pl.UInt64, pl.Int64(), "18446744073709551615 in data row 2 is no Int64"),
        (300, None, pl.Int8(), "300 in data row 2 is no Int8"),
        (100_000_000, None, CENTS, "100000000 in data row 2 is no Decimal(10, 2)"),
        (1.5, None, pl.Int64(), "1.5 in data row 2 is no Int64: it would become 1"),
        (math.nan, None, pl.Int64(), "nan in data row 2 is no Int64"),
        (9.3e18, None, pl.Int64(), "9.3e+18 in data row 2 is no Int64"),
        (1e300, None, F32, "1e+300 in data row 2 is no Float32: it would become inf"),
        (1e-300, None, F32, "it would become 0.0"),
        (16777217.0, None, F32, "it would become 16777216.0"),
        (1.5, None, CENTS, "Float64 does not become Decimal(10, 2)"),
        (Decimal("1.239"), None, CENTS, "1.239 in data row 2 is no Decimal(10, 2): it would become 1.24"),
        (Decimal("1.50"), None, pl.Int64(), "1.50 in data row 2 is no Int64"),
        (Decimal("9007199254740993"), None, F64, "9007199254740993 in data row 2 is no Float64"),
        (timedelta(microseconds=1), None, pl.Duration("ms"), "0:00:00.000001 in data row 2 is no Duration"),
        ("2024-01-01T00:00:00.1234567Z", None, pl.Datetime("us", "UTC"), "it would become 2024-01-01 00:00:00.123456"),
    ],
)  # fmt: skip
def test_a_value_that_the_type_does_not_hold(value, given_as, dtype, message):
    with pytest.raises(DeliveryFault) as raised:
        typed([value], dtype, given_as)
    assert message in raised.value.detail
    assert (raised.value.kind, raised.value.column) == ("wrong type", "x")


@pytest.mark.parametrize(
    ("physical", "given_as", "dtype", "message"),
    [
        (1_500, NANO, pl.Datetime("us", "UTC"), "it would become 1970-01-01 00:00:00.000001"),
        (
            2**63 - 1,
            pl.Datetime("us"),
            pl.Datetime("us"),
            IMPOSSIBLE,
        ),
        (2**60, pl.Datetime("ms"), pl.Datetime("us"), IMPOSSIBLE),
        (253_402_300_800_000_000, pl.Datetime("us"), pl.Datetime("us"), IMPOSSIBLE),
        (2**31 - 1, pl.Date(), pl.Date(), IMPOSSIBLE),
    ],
)
def test_a_moment_that_the_type_does_not_hold(physical, given_as, dtype, message):
    given_in = pl.Series("x", [physical]).cast(pl.Int32 if given_as == pl.Date else pl.Int64).cast(given_as)
    with pytest.raises(DeliveryFault) as raised:
        typed_column(given_in, dtype)
    assert message in raised.value.detail
    assert ("impossible_moments" in raised.value.remedy) == (message == IMPOSSIBLE)


DIGITS = st.text("0123456789", min_size=1, max_size=40)
PLAIN = st.builds(
    lambda sign, whole, fraction: sign + whole + ("." + fraction if fraction else ""),
    st.sampled_from(["", "-", "+"]),
    DIGITS,
    st.text("0123456789", max_size=6),
)


@given(PLAIN)
def test_a_decimal_text_is_the_nearest_float_and_a_large_one_is_itself(text):
    number, nearest = Fraction(text), float(text)
    holds = abs(nearest) < 2**53 or Fraction(nearest) == number
    try:
        assert typed([text], F64)[1] == nearest
        assert holds
    except DeliveryFault:
        assert not holds


@given(PLAIN, st.sampled_from(["", "e0", "E-2", "e3", "e-30"]), st.integers(0, 6))
def test_a_decimal_holds_exactly_the_texts_of_its_digits(text, exponent, scale):
    number = Fraction(text + exponent)
    holds = (number * 10**scale).denominator == 1 and abs(number) * 10**scale < 10**18
    try:
        assert Fraction(typed([text + exponent], pl.Decimal(18, scale))[1]) == number
        assert holds
    except DeliveryFault:
        assert not holds


@given(st.integers(-(2**63), 2**63 - 1))
def test_a_whole_number_is_a_float_only_as_itself(number):
    try:
        assert int(typed([number], F64)[1]) == number
    except DeliveryFault:
        assert int(float(number)) != number


DECIMALS = [Decimal("1.500"), Decimal("1.239")]


@pytest.mark.parametrize("store", ["csv", "parquet", "delta"])
def test_every_store_names_column_row_and_value(orders, tmp_path, store):
    frame = pl.DataFrame({"id": [1, 2], "amount": ["1.5", "1.239"] if store == "csv" else DECIMALS})
    place = tmp_path / f"orders.{store}"
    if store == "csv":
        written = io.BytesIO()
        frame.write_csv(written)
        place.write_bytes(written.getvalue())
    elif store == "parquet":
        frame.write_parquet(place)
    else:
        frame.write_delta(place)
    with pytest.raises(SourceError) as raised:
        read_drops(orders(place.name, format=store), None, {"id": pl.Int64(), "amount": CENTS})
    value = "'1.239'" if store == "csv" else "1.239"
    assert str(raised.value) == (
        f"source 'orders', drop 'whole', column 'amount': wrong type: {value} in data row 2 is no Decimal(10, 2): it "
        "would become 1.24; correct the delivery or change the contract"
    )
    frame = read_drops(orders(place.name, format=store), None, {"id": pl.Int64(), "amount": F64})["whole"].frame
    assert frame["amount"].to_list() == [1.5, 1.239]
