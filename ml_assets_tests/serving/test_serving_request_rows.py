"""Each value of a request is held against its field."""

import math
from datetime import UTC, date, datetime

import orjson
import polars as pl
import pytest

from ml_assets.serving.declared import RequestField
from ml_assets.serving.errors import BadRequest
from ml_assets.serving.prediction.request_rows import RowReader, polars_type

MOMENT = str(pl.Datetime("us", "UTC"))
FIELDS = [
    RequestField(name="parcel", kind="integer", dtype="Int32", nullable=False, minimum=0.5),
    RequestField(name="courier", kind="text", dtype="String", choices=["ann", "bob"]),
    RequestField(name="code", kind="text", dtype="String", nullable=False, pattern=r"^[0-9]{2}$"),
    RequestField(name="km", kind="number", dtype="Float64", minimum=0.0, maximum=2500.0),
    RequestField(name="weight", kind="number", dtype="Float32"),
    RequestField(name="express", kind="boolean", dtype="Boolean"),
    RequestField(name="due", kind="moment", dtype=MOMENT, nullable=False),
    RequestField(name="day", kind="date", dtype="Date"),
]
ROW = {
    "parcel": 7, "courier": "bob", "code": "42", "km": 3, "weight": 0.1, "express": True,
    "due": "2024-03-01T12:00:00+02:00", "day": "2024-03-01",
}  # fmt: skip


def read(rows, most=3):
    return RowReader(FIELDS).read(rows, most=most)


def test_values_become_what_their_columns_hold():
    (row,) = read([ROW])
    assert row == {
        "parcel": 7, "courier": "bob", "code": "42", "km": 3.0, "weight": 0.10000000149011612, "express": True,
        "due": datetime(2024, 3, 1, 10, tzinfo=UTC), "day": date(2024, 3, 1),
    }  # fmt: skip
    assert type(row["km"]) is float
    # Polars makes the same of the same values.
    schema = RowReader(FIELDS).schema
    frame = pl.DataFrame([ROW | {"due": row["due"], "day": row["day"]}], schema=schema)
    assert frame.row(0, named=True) == row


@pytest.mark.parametrize(
    ("text", "whole"),
    [
        ("2.0", 2),
        ("1e3", 1000),
        ("-0.0", 0),
        ("-7.0", -7),
        ("9007199254740991.0", 2**53 - 1),
        ("4611686018427387905", 2**62 + 1),
    ],
)
def test_a_whole_number_may_have_a_decimal_point(text, whole):
    reader = RowReader([RequestField(name="parcel", kind="integer", dtype="Int64")])
    (row,) = reader.read([{"parcel": orjson.loads(text)}], most=1)
    assert (row["parcel"], type(row["parcel"])) == (whole, int)


@pytest.mark.parametrize("text", ["9007199254740993.0", "-9007199254740992.0", "1e300"])
def test_a_float_that_may_stand_for_another_whole_number_is_refused(text):
    reader = RowReader([RequestField(name="parcel", kind="integer", dtype="Int64")])
    with pytest.raises(BadRequest, match="must be a whole number"):
        reader.read([{"parcel": orjson.loads(text)}], most=1)


def test_null_is_taken_where_it_may_be():
    nulls = dict.fromkeys(["courier", "km", "weight", "express", "day"])
    assert read([ROW | nulls])[0] | {} == read([ROW])[0] | nulls


@pytest.mark.parametrize(
    ("field", "value", "wanted"),
    [
        *(
            ("parcel", value, "a whole number from 1 to 2147483647")
            for value in (0, 2**31, 2**63, 1.5, 0.0, 2.0**31, math.inf, math.nan, "7", True, [7])
        ),
        *(("courier", value, "one of ann, bob") for value in ("cleo", "")),
        *(("courier", value, "text") for value in (3, True, {"a": 1})),
        *(("code", value, "text that matches") for value in ("4", "421", "a42", "42\n")),
        *(("km", value, "a number from 0 to 2500") for value in (-0.1, 2500.1, "3", True, math.inf, math.nan)),
        *(("weight", value, "a number") for value in (3.5e38, -1e300, "1", False)),
        *(("express", value, "true or false") for value in (0, 1, "true")),
        *(
            ("due", value, "a moment in ISO 8601 with its zone")
            for value in (3, "tomorrow", "2024-03-01", "2024-03-01T12:00:00", "0001-01-01T00:00:00+02:00", "")
        ),
        *(("day", value, "a date in ISO 8601") for value in (20240301, "1 March", "2024-02-30")),
    ],
)
def test_a_value_that_does_not_fit_names_row_field_and_what_it_must_be(field, value, wanted):
    with pytest.raises(BadRequest) as refused:
        read([ROW, ROW | {field: value}])
    assert str(refused.value).startswith(f"row 1, field {field}: must be {wanted}")
    assert refused.value.status == 422


@pytest.mark.parametrize(
    ("rows", "status", "why"),
    [
        (None, 400, "rows: must be a list of objects"),
        ({}, 400, "rows: must be a list of objects"),
        ([], 400, "rows: there is none"),
        ([ROW] * 4, 413, "4 rows are more than 3: send fewer at once"),
        ([ROW, 3], 422, "row 1: must be an object with a value for each of parcel, courier"),
        ([ROW | {"parcel": None}], 422, "row 0, field parcel: must not be null"),
        ([ROW | {"speed": 1}], 422, "row 0: there are no fields ['speed']"),
        (
            [{"parcel": 1}],
            422,
            "row 0: fields ['code', 'courier', 'day', 'due', 'express', 'km', 'weight'] are missing",
        ),
    ],
)
def test_what_is_no_row_of_these_fields_is_refused(rows, status, why):
    with pytest.raises(BadRequest) as refused:
        read(rows)
    assert (refused.value.status, why in str(refused.value)) == (status, True), str(refused.value)


def test_a_long_value_is_told_in_short():
    with pytest.raises(BadRequest) as refused:
        read([ROW | {"courier": "x" * 10_000}])
    assert len(str(refused.value)) < 150


@pytest.mark.parametrize(
    "dtype",
    [pl.Int8(), pl.UInt64(), pl.Float32(), pl.Boolean(), pl.String(), pl.Date(), pl.Datetime("ms", "Europe/Rome")],
)
def test_a_type_is_found_by_its_name(dtype):
    assert polars_type(str(dtype)) == dtype


@pytest.mark.parametrize(
    "dtype", [pl.Datetime("us"), pl.Decimal(10, 2), pl.List(pl.Int64), pl.Int128(), pl.Duration("us")]
)
def test_a_type_that_a_request_cannot_hold(dtype):
    with pytest.raises(ValueError, match="is no type that a request can hold"):
        polars_type(str(dtype))
