"""What is told of columns from a sample."""

from datetime import UTC, date, datetime

import polars as pl
import pytest

from ml_assets.scaffolding.columns import guess_columns, is_code, with_role

MOMENT = pl.Datetime("us", "UTC")


def guessed(*values, name="x"):
    columns, nulls, rows = guess_columns(pl.DataFrame({name: list(values)}))
    return columns[0], nulls, rows[name]


@pytest.mark.parametrize(
    ("texts", "dtype", "values"),
    [
        (["1", "-2", "30"], pl.Int64(), [1, -2, 30]),
        (["1", "2.5", "1e3"], pl.Float64(), [1.0, 2.5, 1000.0]),
        (["true", "False", "TRUE"], pl.Boolean(), [True, False, True]),
        (["2024-01-31", "2024-02-29"], pl.Date(), [date(2024, 1, 31), date(2024, 2, 29)]),
        (
            ["2024-01-31T09:00:00Z", "2024-01-31T09:00:00+02:00"],
            MOMENT,
            [datetime(2024, 1, 31, 9, tzinfo=UTC), datetime(2024, 1, 31, 7, tzinfo=UTC)],
        ),
        (["2024-01-31 09:00:00"], MOMENT, [datetime(2024, 1, 31, 9, tzinfo=UTC)]),
        (["007", "12"], pl.String(), ["007", "12"]),  # a name: the zeros are part of it
        (["12345678901234567890", "1"], pl.String(), ["12345678901234567890", "1"]),  # no 64 bits hold it
        (["2024-02-30", "2024-01-01"], pl.String(), ["2024-02-30", "2024-01-01"]),
        (["1", "one"], pl.String(), ["1", "one"]),
    ],
)  # fmt: skip
def test_texts_become_the_narrowest_type_that_holds_them_all(texts, dtype, values):
    column, nulls, rows = guessed(*texts)
    assert (column.dtype, nulls, rows.to_list()) == (dtype, [], values)
    assert not column.nullable


def test_a_text_for_no_value_counts_only_where_the_rest_is_more_than_text():
    number, nulls, rows = guessed("1", "NA", "3")
    assert (number.dtype, number.nullable, nulls, rows.to_list()) == (pl.Int64(), True, ["NA"], [1, None, 3])
    text, nulls, rows = guessed("Natalie", "NA", "Bob")
    assert (text.dtype, text.nullable, nulls, rows.to_list()) == (pl.String(), False, [], ["Natalie", "NA", "Bob"])


def test_a_text_for_no_value_found_in_one_column_is_one_in_all_as_the_reader_takes_it():
    columns, nulls, rows = guess_columns(pl.DataFrame({"km": ["1", "-"], "note": ["-", "fragile"]}))
    assert nulls == ["-"]
    assert [column.nullable for column in columns] == [True, True]
    assert rows["note"].to_list() == [None, "fragile"]


def test_few_texts_that_come_up_often_are_the_choices():
    few = ["red", "blue"] * 10
    assert guessed(*few)[0].choices == ("blue", "red")
    assert guessed(*few[:-1])[0].choices == ()  # 19 values of 2: not ten of each on average
    assert guessed(*(["red"] * 20))[0].choices == ()
    assert guessed(*([f"c{i}" for i in range(20)] * 10))[0].choices != ()
    assert guessed(*([f"c{i}" for i in range(21)] * 10))[0].choices == ()
    assert guessed(*(["x" * 61, "y"] * 10))[0].choices == ()


def test_the_range_of_a_number_leaves_out_what_is_infinite_or_missing():
    column = guessed(1.5, float("inf"), None, float("nan"), -2.0)[0]
    assert (column.smallest, column.largest, column.nullable) == (-2.0, 1.5, True)


def test_types_of_their_own_are_kept_as_far_as_a_plain_table_holds_them():
    table = pl.DataFrame(
        {
            "i": pl.Series([1], dtype=pl.UInt8),
            "f": pl.Series([1.0], dtype=pl.Float32),
            "t": pl.Series([datetime(2024, 1, 1)], dtype=pl.Datetime("ms")),
            "z": pl.Series([datetime(2024, 1, 1)]).dt.replace_time_zone("Europe/Berlin"),
            "c": pl.Series(["a"], dtype=pl.Categorical),
            "l": [[1, 2]],
        }
    )
    columns, _, rows = guess_columns(table)
    assert {one.name: one.dtype for one in columns} == {
        "i": pl.Int64(), "f": pl.Float64(), "t": MOMENT, "z": MOMENT, "c": pl.String(),
    }  # fmt: skip
    assert rows["z"][0] == datetime(2023, 12, 31, 23, tzinfo=UTC)


def test_an_outcome_may_be_missing_though_the_sample_has_them_all():
    columns = guess_columns(pl.DataFrame({"late": [True, False], "km": [1, 2]}))[0]
    late, km = with_role(columns, "late", "label")
    assert (late.role, late.nullable, km.role, km.nullable) == ("label", True, None, False)


def test_a_name_tells_a_code():
    assert [is_code(name) for name in ("id", "order_no", "Zip_Code", "identity", "km")] == [True] * 3 + [False] * 2
