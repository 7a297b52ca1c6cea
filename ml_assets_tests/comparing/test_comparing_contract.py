"""What a reference leads to expect, and which current rows break it."""

import datetime as dt

import polars as pl
import pytest

from ml_assets.comparing.contract.identity import identifies_rows
from ml_assets.comparing.rows.kinds import NUMBER, TEXT
from ml_assets_tests.comparing.tables import compared

ROWS = 40
REFERENCE = pl.DataFrame(
    {
        "colour": ["red", "green", "blue", "red"] * 10,
        "age": [18 + number % 30 for number in range(ROWS)],
        "weight": [number / 8 - 1 for number in range(ROWS)],
        "source": ["web"] * ROWS,
        "paid": [True, False] * 20,
        "note": [None, "some words"] * 20,
    }
)


def breaches(result):
    return {
        (breach.column, breach.rule): (breach.rows, dict(breach.examples), breach.broken) for breach in result.breaches
    }


@pytest.mark.parametrize("form", ["csv", "parquet", "ndjson"])
def test_the_same_rows_break_nothing_and_have_not_drifted(tmp_path, form):
    result = compared(tmp_path, REFERENCE, REFERENCE, form).result
    assert result.passed
    assert not result.breaches
    assert {measure.value for column in result.drift for measure in column.measures} == {0.0}


@pytest.mark.parametrize("form", ["csv", "parquet", "ndjson"])
def test_each_rule_counts_the_rows_that_break_it(tmp_path, form):
    current = REFERENCE.with_columns(
        colour=pl.Series(["mars", "mars", "venus", *REFERENCE["colour"][3:]]),
        age=pl.Series([None, -1.0, -1.0, 20.5, *REFERENCE["age"][4:].cast(float)]),
        source=pl.Series(["app", *["web"] * (ROWS - 1)]),
        paid=pl.Series([None, *REFERENCE["paid"][1:]]),
    )
    assert breaches(compared(tmp_path, REFERENCE, current, form).result) == {
        ("colour", "choices"): (3, {"mars": 2, "venus": 1}, True),
        ("age", "required"): (1, {}, True),
        ("age", "not negative"): (2, {"-1.0": 2}, True),
        ("age", "whole"): (1, {"20.5": 1}, True),
        ("source", "constant"): (1, {"app": 1}, True),
        ("paid", "required"): (1, {}, True),
    }


def test_tolerance_is_a_share_of_the_rows(tmp_path):
    current = REFERENCE.with_columns(source=pl.Series(["app", *["web"] * (ROWS - 1)]))
    assert not compared(tmp_path, REFERENCE, current, tolerance=0.0).result.passed
    assert compared(tmp_path, REFERENCE, current, tolerance=1 / ROWS).result.passed


def test_a_range_is_broken_by_more_rows_than_chance_explains(tmp_path):
    few = REFERENCE.with_columns(weight=pl.Series([99.0, *REFERENCE["weight"][1:]]))
    assert breaches(compared(tmp_path, REFERENCE, few).result) == {("weight", "greatest"): (1, {"99.0": 1}, False)}
    many = REFERENCE.with_columns(weight=pl.Series([99.0] * 20 + REFERENCE["weight"][20:].to_list()))
    assert breaches(compared(tmp_path, REFERENCE, many).result)[("weight", "greatest")] == (20, {"99.0": 20}, True)


def test_columns_that_are_missing_new_or_of_another_type_are_said(tmp_path):
    current = REFERENCE.drop("note").with_columns(
        age=pl.Series([*["n.a."] * 3, *map(str, REFERENCE["age"][3:])]),
        extra=pl.lit(1),
        weight=pl.col("weight").cast(pl.Float32),
    )
    result = compared(tmp_path, REFERENCE, current).result
    assert result.missing_columns == {"note": "text"}
    assert result.new_columns == {"extra": "a number"}
    assert breaches(result)[("age", "type")] == (3, {"n.a.": 3}, True)
    assert result.other_types == (
        "age is kept as String, and in the reference as Int64",
        "weight is kept as Float32, and in the reference as Float64",
    )


def test_a_text_of_the_usual_words_for_nothing_is_a_missing_number(tmp_path):
    current = REFERENCE.with_columns(age=pl.Series(["NA", *map(str, REFERENCE["age"][1:])]))
    result = compared(tmp_path, REFERENCE, current, "csv").result
    assert list(breaches(result)) == [("age", "required")]


def test_every_kind_of_column_is_compared_or_named_with_the_reason(tmp_path):
    odd = pl.DataFrame(
        {
            "id": [f"k{number}" for number in range(ROWS)],
            "day": [dt.date(2024, 1, 1) + dt.timedelta(days=number) for number in range(ROWS)],
            "at": [dt.datetime(2024, 1, 1, number % 24, tzinfo=dt.UTC) for number in range(ROWS)],
            "took": [dt.timedelta(seconds=number) for number in range(ROWS)],
            "clock": [dt.time(number % 24) for number in range(ROWS)],
            "tags": [["a"]] * ROWS,
            "part": [{"a": number} for number in range(ROWS)],
            "raw": [b"a"] * ROWS,
            "price": pl.Series([f"{number}.50" for number in range(ROWS)]).cast(pl.Decimal(10, 2)),
            "shade": pl.Series(["x", "y"] * 20, dtype=pl.Categorical),
            "words": [f"a text {number}" for number in range(ROWS)],
            "empty": pl.Series([None] * ROWS, dtype=pl.Float64),
            "same": [1] * ROWS,
            "big": [float("inf"), *map(float, range(1, ROWS))],
            "flag": [True, False] * 20,
        }
    )
    result = compared(tmp_path, odd, odd).result
    assert result.passed
    assert sorted(column.name for column in result.drift) == ["big", "clock", "flag", "price", "shade", "took"]
    reasons = {column.name: column.reason for column in result.left_out}
    moves = "dates and times move on by themselves"
    nested = "nested or binary values have no distribution of their own: give each part a column"
    assert reasons == {
        "id": "it identifies rows: each has a value of its own",
        "day": f"{moves}: 2024-01-01 to 2024-02-09 in the reference, 2024-01-01 to 2024-02-09 now",
        "at": f"{moves}: 2024-01-01 to 2024-01-01 in the reference, 2024-01-01 to 2024-01-01 now",
        "tags": nested,
        "part": nested,
        "raw": nested,
        "words": "most rows have a text of their own",
        "empty": "the reference has no value in it",
        "same": "the reference has one value only, 1",
    }


def test_a_key_that_comes_up_again_breaks_the_contract(tmp_path):
    keys = pl.DataFrame({"id": [f"k{number}" for number in range(ROWS)], "x": REFERENCE["weight"]})
    current = keys.with_columns(id=pl.Series(["k9", *keys["id"][1:]]))
    assert breaches(compared(tmp_path, keys, current).result) == {("id", "unique"): (1, {"k9": 2}, True)}


@pytest.mark.parametrize(
    ("name", "values", "kind", "expected"),
    [
        ("x", range(1000, 1040), NUMBER, True),  # 40 of 40 numbers: 20 pairs of equal ones are expected
        ("x", [number * 977 for number in range(40)], NUMBER, False),
        ("order_id", [number * 977 for number in range(40)], NUMBER, True),
        ("x", [number / 7 for number in range(40)], NUMBER, False),
        ("x", [*range(39), 0], NUMBER, False),
        ("x", [f"k{number}" for number in range(40)], TEXT, True),
        ("x", [f"word {number}" for number in range(40)], TEXT, False),
        ("x", range(19), NUMBER, False),
    ],
)
def test_a_column_identifies_rows_if_its_values_differ_by_design(name, values, kind, expected):
    dtype = pl.Float64 if kind is NUMBER else pl.String
    assert identifies_rows(pl.Series(name, list(values), dtype, strict=False), kind) is expected


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_codes_beyond_the_whole_numbers_of_floats_are_told_apart(tmp_path, form):
    before = pl.DataFrame({"order_id": [2**60 + 1000 * row for row in range(40)], "v": [1, 2] * 20})
    now = before.with_columns(order_id=pl.Series([2**60 + row for row in range(40)]))
    assert compared(tmp_path, before, now, form).result.passed
    again = now.with_columns(order_id=pl.Series([2**60 + row // 2 for row in range(40)]))
    [breach] = compared(tmp_path, before, again, form).result.broken
    assert (breach.rule, breach.rows) == ("unique", 20)
