from datetime import UTC, date, datetime, timedelta

import polars as pl
import pytest
from polars.testing import assert_frame_equal
from pydantic import BaseModel

from ml_assets.lake import Lake, TableMissing, TableVersion
from ml_assets.lake.parsing import parse_record
from ml_assets.lake.tables import TableUnreadable


@pytest.fixture
def lake(tmp_path):
    return Lake(str(tmp_path / "lake"))


def months(rows):
    return pl.DataFrame(rows, schema={"month": pl.String, "value": pl.Int64}, orient="row")


def content(lake, key, version=None):
    return lake.scan(key, version).sort("month", "value").collect()


def test_a_written_frame_comes_back_with_its_types(lake):
    frame = pl.DataFrame(
        {
            "text": ["a", None],
            "whole": [1, None],
            "real": [0.1, float("nan")],
            "flag": [True, None],
            "day": [date(2020, 2, 29), None],
            "moment": [datetime(2020, 2, 29, 23, 59, 59, 999_999, tzinfo=UTC), None],
            "several": [["a", "b"], []],
        },
        schema_overrides={"moment": pl.Datetime("us", "UTC")},
    )
    written = lake.replace("shop/orders", frame)
    assert written == TableVersion("shop/orders", version=0, rows=2)
    assert_frame_equal(lake.scan("shop/orders").collect(), frame)


def test_scan_is_lazy(lake):
    lake.replace("t", months([("a", 1)]))
    assert isinstance(lake.scan("t"), pl.LazyFrame)


def test_nanoseconds_are_kept_as_microseconds(lake):
    nanoseconds = pl.Series("at", [1_600_000_000_123_456_789]).cast(pl.Datetime("ns", "UTC"))
    lake.replace("t", nanoseconds.to_frame())
    stored = lake.scan("t").collect()["at"]
    assert stored.dtype == pl.Datetime("us", "UTC")
    assert stored.to_physical().to_list() == [1_600_000_000_123_456]


def test_replacing_a_whole_table_leaves_nothing_of_the_old_rows(lake):
    lake.replace("t", months([("a", 1), ("b", 2)]))
    assert lake.replace("t", months([("c", 3)])) == TableVersion("t", version=1, rows=1)
    assert content(lake, "t").rows() == [("c", 3)]


def test_replacing_a_whole_table_may_change_its_columns(lake):
    lake.replace("t", months([("a", 1)]))
    lake.replace("t", pl.DataFrame({"other": [0.5]}))
    assert lake.scan("t").collect().to_dict(as_series=False) == {"other": [0.5]}


def test_replacing_a_partition_leaves_the_others_alone(lake):
    lake.replace("t", months([("a", 1), ("a", 2), ("b", 3)]), {"month": ["a", "b"]})
    written = lake.replace("t", months([("a", 9)]), {"month": ["a"]})
    assert written == TableVersion("t", version=1, rows=1)
    assert content(lake, "t").rows() == [("a", 9), ("b", 3)]


def test_a_new_partition_is_added(lake):
    lake.replace("t", months([("a", 1)]), {"month": ["a"]})
    lake.replace("t", months([("b", 2)]), {"month": ["b"]})
    assert content(lake, "t").rows() == [("a", 1), ("b", 2)]
    assert lake.partitions("t", "month") == ["a", "b"]


def test_several_partitions_are_replaced_in_one_version(lake):
    lake.replace("t", months([("a", 1), ("b", 2), ("c", 3)]), {"month": ["a", "b", "c"]})
    assert lake.replace("t", months([("a", 8), ("b", 9)]), {"month": ["a", "b"]}).version == 1
    assert content(lake, "t").rows() == [("a", 8), ("b", 9), ("c", 3)]


def test_a_partition_replaced_by_no_rows_is_empty(lake):
    lake.replace("t", months([("a", 1), ("b", 2)]), {"month": ["a", "b"]})
    lake.replace("t", months([]), {"month": ["a"]})
    assert content(lake, "t").rows() == [("b", 2)]


def test_an_empty_first_write_makes_an_empty_table(lake):
    lake.replace("t", months([]), {"month": ["a"]})
    assert lake.exists("t")
    assert lake.scan("t").collect().schema == {"month": pl.String, "value": pl.Int64}
    lake.replace("t", months([("a", 1)]), {"month": ["a"]})
    assert content(lake, "t").rows() == [("a", 1)]


def test_a_lazy_frame_is_written_as_the_frame_it_stands_for(lake):
    lake.replace("t", months([("a", 1), ("b", 2)]).lazy(), {"month": ["a", "b"]})
    written = lake.replace("t", months([("a", 8), ("a", 9)]).lazy(), {"month": ["a"]})
    assert written == TableVersion("t", version=1, rows=2)
    assert content(lake, "t").rows() == [("a", 8), ("a", 9), ("b", 2)]
    with pytest.raises(ValueError, match="month = 'b' lie outside"):
        lake.replace("t", months([("b", 9)]).lazy(), {"month": ["a"]})
    with pytest.raises(ValueError, match="Delta cannot hold odd"):
        lake.replace("t", pl.LazyFrame({"odd": [None]}))
    assert lake.replace("t", months([]).lazy()).rows == 0
    assert lake.scan("t").collect_schema() == {"month": pl.String, "value": pl.Int64}


@pytest.mark.parametrize("name", ["o'clock", "two words", "a/b", "50%", "2013-01", "Ö", 'say "x"'])
def test_partition_names_with_special_characters_stay_apart(lake, name):
    lake.replace("t", months([(name, 1), ("other", 2)]), {"month": [name, "other"]})
    lake.replace("t", months([(name, 3)]), {"month": [name]})
    assert sorted(content(lake, "t").rows()) == sorted([(name, 3), ("other", 2)])
    assert lake.partitions("t", "month") == sorted([name, "other"])


def test_two_partition_columns(lake):
    frame = pl.DataFrame({"month": ["a", "a", "b"], "region": ["n", "s", "n"], "value": [1, 2, 3]})
    lake.replace("t", frame, {"month": ["a", "b"], "region": ["n", "s"]})
    lake.replace("t", frame[:1].with_columns(value=pl.lit(9, pl.Int64)), {"month": ["a"], "region": ["n"]})
    assert lake.scan("t").sort("month", "region").collect()["value"].to_list() == [9, 2, 3]


def test_writing_the_same_again_changes_the_version_and_nothing_else(lake):
    frame = months([("a", 1), ("a", 1), ("b", 2)])
    for expected in range(3):
        assert lake.replace("t", frame, {"month": ["a", "b"]}).version == expected
        assert_frame_equal(content(lake, "t"), frame)


def test_older_versions_stay_readable(lake):
    lake.replace("t", months([("a", 1), ("b", 2)]), {"month": ["a", "b"]})
    lake.replace("t", months([("a", 10)]), {"month": ["a"]})
    lake.replace("t", months([("b", 20)]), {"month": ["b"]})
    assert lake.version("t") == 2
    assert content(lake, "t", 0).rows() == [("a", 1), ("b", 2)]
    assert content(lake, "t", 1).rows() == [("a", 10), ("b", 2)]
    assert content(lake, "t").rows() == [("a", 10), ("b", 20)]


def test_a_scan_keeps_reading_the_version_it_was_opened_at(lake):
    lake.replace("t", months([("a", 1)]), {"month": ["a"]})
    before = lake.scan("t")
    lake.replace("t", months([("a", 2)]), {"month": ["a"]})
    assert before.collect().rows() == [("a", 1)]


def noted(lake):
    return lake.scan("t").sort("month").select("month", "value", "note").collect().rows()


def test_a_new_column_is_null_in_the_partitions_written_before(lake):
    lake.replace("t", months([("a", 1)]), {"month": ["a"]})
    lake.replace("t", months([("b", 2)]).with_columns(note=pl.lit("new")), {"month": ["b"]})
    assert noted(lake) == [("a", 1, None), ("b", 2, "new")]


def test_a_column_left_out_later_is_null_there_and_kept_elsewhere(lake):
    lake.replace("t", months([("a", 1)]).with_columns(note=pl.lit("old")), {"month": ["a"]})
    lake.replace("t", months([("b", 2)]), {"month": ["b"]})
    assert noted(lake) == [("a", 1, "old"), ("b", 2, None)]


@pytest.mark.parametrize(
    "series",
    [
        pl.Series("odd", ["x"], dtype=pl.Categorical),
        pl.Series("odd", ["x"], dtype=pl.Enum(["x"])),
        pl.Series("odd", [timedelta(hours=1)]),
        pl.Series("odd", [None]),
        pl.Series("odd", [object()], dtype=pl.Object),
    ],
    ids=lambda series: str(series.dtype.base_type()),
)
def test_types_that_delta_cannot_hold_are_refused_before_anything_is_written(lake, series):
    with pytest.raises(ValueError, match=r"table 'shop/orders': Delta cannot hold odd \(.*\); cast first") as caught:
        lake.replace("shop/orders", pl.DataFrame({"fine": [1]}).with_columns(series))
    assert "fine" not in str(caught.value)
    assert not lake.exists("shop/orders")


def test_a_row_outside_the_replaced_partitions_is_refused(lake):
    lake.replace("t", months([("a", 1), ("b", 2)]), {"month": ["a", "b"]})
    with pytest.raises(ValueError, match=r"table 't': rows with month = 'b' lie outside .*\['a'\]"):
        lake.replace("t", months([("a", 1), ("b", 9)]), {"month": ["a"]})
    assert content(lake, "t").rows() == [("a", 1), ("b", 2)]


def test_a_row_without_a_partition_is_refused(lake):
    with pytest.raises(ValueError, match="month = None"):
        lake.replace("t", months([("a", 1), (None, 2)]), {"month": ["a"]})


@pytest.mark.parametrize("read", [Lake.scan, Lake.version], ids=["scan", "version"])
def test_a_table_nobody_wrote_says_what_to_do(lake, read):
    with pytest.raises(TableMissing) as caught:
        read(lake, "shop/orders")
    assert str(caught.value) == (
        f"table 'shop/orders' is not in the lake at {lake.root}: materialize the asset that writes it first"
    )


def test_a_table_nobody_wrote_does_not_exist_and_has_no_partitions(lake):
    assert not lake.exists("t")
    assert lake.partitions("t", "month") == []


def test_tables_lie_under_the_root_by_key(tmp_path):
    for root in (str(tmp_path / "lake"), str(tmp_path / "lake") + "/"):
        assert Lake(root).uri("shop/orders") == str(tmp_path / "lake/shop/orders")


def test_keys_under_one_another_are_different_tables(lake):
    lake.replace("shop", months([("a", 1)]))
    lake.replace("shop/orders", months([("b", 2)]))
    assert content(lake, "shop").rows() == [("a", 1)]
    assert content(lake, "shop/orders").rows() == [("b", 2)]


def test_appended_rows_lie_beside_those_that_are_there(lake):
    assert lake.append("log", months([("a", 1), ("b", 2)]), ["month"]) == TableVersion("log", version=0, rows=2)
    assert lake.append("log", months([("a", 1)]), ["month"]) == TableVersion("log", version=1, rows=1)
    assert content(lake, "log").rows() == [("a", 1), ("a", 1), ("b", 2)]
    assert lake.partitions("log", "month") == ["a", "b"]


def test_an_appended_column_that_is_new_is_null_in_older_rows(lake):
    lake.append("log", pl.DataFrame({"value": [1]}))
    lake.append("log", pl.DataFrame({"value": [2], "more": ["x"]}))
    assert lake.scan("log").sort("value").collect().rows() == [(1, None), (2, "x")]


def test_an_append_of_a_type_that_delta_has_not_is_refused(lake):
    with pytest.raises(ValueError, match="Delta cannot hold gone"):
        lake.append("log", pl.DataFrame({"gone": [None]}))


def test_rows_are_counted_by_partition_without_reading_them(lake):
    assert lake.rows_by("log", "month") == {}
    for number in range(3):
        lake.append("log", months([("a", number), ("b", number)]), ["month"])
    lake.append("log", months([("a", 3)]), ["month"])
    assert lake.rows_by("log", "month") == {"a": 4, "b": 3}


def test_a_compacted_table_holds_the_same_in_fewer_files(lake):
    for number in range(5):
        lake.append("log", months([("a", number), ("b", number)]), ["month"])
    before = content(lake, "log")
    assert lake.compact("log") == 10
    assert content(lake, "log").equals(before)
    assert lake.rows_by("log", "month") == {"a": 5, "b": 5}
    version = lake.version("log")
    assert lake.compact("log") == 0
    assert lake.version("log") == version


def in_months(**values):
    """One month per keyword, with these values."""
    frames = [pl.DataFrame({"month": month, "value": series}) for month, series in values.items()]
    return pl.concat(frames)


@pytest.mark.parametrize(
    ("before", "after", "both"),
    [
        (pl.Series([1, None], dtype=pl.Int32), pl.Series([2**40]), [1, None, 2**40]),
        (pl.Series([1, None]), pl.Series([1.5]), [1.0, None, 1.5]),
        (pl.Series([1, None]), pl.Series(["1.50"]), ["1", None, "1.50"]),
        (pl.Series([1.5], dtype=pl.Float32), pl.Series([0.1]), [1.5, 0.1]),
        (pl.Series([1.0, 2.0]), pl.Series([3]), [1, 2, 3]),
        (
            pl.Series([date(2024, 1, 1)]),
            pl.Series([datetime(2024, 2, 1, 8)]),
            [datetime(2024, 1, 1), datetime(2024, 2, 1, 8)],
        ),
    ],
    ids=["wider", "with fractions", "text", "finer", "whole again", "with a time"],
)
def test_a_column_takes_its_new_type_in_every_partition_and_no_value_changes(lake, before, after, both):
    lake.replace("t", in_months(a=before), {"month": ["a"]})
    lake.replace("t", in_months(b=after), {"month": ["b"]})
    stored = lake.scan("t").sort("month", maintain_order=True).collect()
    assert stored.schema["value"] == after.dtype
    assert sorted(stored["value"].to_list(), key=str) == sorted(both, key=str)
    assert lake.partitions("t", "month") == ["a", "b"]
    assert lake.version("t") == 1


def test_a_new_type_that_would_change_a_value_of_another_partition_is_refused(lake):
    lake.replace("t", in_months(a=pl.Series([1.5, 2.0]), b=pl.Series([3.0])), {"month": ["a", "b"]})
    with pytest.raises(
        ValueError, match="table 't': column 'value' is Int64 now, which does not hold 1 values of other"
    ):
        lake.replace("t", in_months(b=pl.Series([4])), {"month": ["b"]})
    assert lake.version("t") == 0
    lake.replace("t", in_months(a=pl.Series([1]), b=pl.Series([4])), {"month": ["a", "b"]})
    assert lake.scan("t").collect()["value"].sort().to_list() == [1, 4]


def test_types_that_are_stored_as_others_are_no_change(lake):
    unsigned = pl.Series([1], dtype=pl.UInt32)
    lake.replace("t", in_months(a=unsigned), {"month": ["a"]})
    lake.replace("t", in_months(b=unsigned), {"month": ["b"]})
    assert lake.scan("t").collect()["value"].to_list() == [1, 1]


def test_a_table_whose_log_is_broken_is_told_in_one_line(tmp_path):
    lake = Lake(str(tmp_path))
    lake.replace("orders/raw", pl.DataFrame({"id": [1]}))
    (log,) = (tmp_path / "orders/raw/_delta_log").glob("*.json")
    log.write_text("no JSON")
    with pytest.raises(TableUnreadable, match=r"table 'orders/raw' in the lake at .* cannot be read: ") as told:
        lake.scan("orders/raw")
    assert "\n" not in str(told.value)


def test_a_record_that_is_none_is_told_with_its_table_and_field():
    class Decision(BaseModel):
        retrain: bool

    assert parse_record("a/decision", Decision, '{"retrain": true}').retrain is True
    with pytest.raises(ValueError, match=r"table 'a/decision': '{\"retrain\": 3}' is no Decision \(retrain: Input"):
        parse_record("a/decision", Decision, '{"retrain": 3}')
    with pytest.raises(ValueError, match=r"table 'a/decision': 'half a rec' is no Decision \(Invalid JSON"):
        parse_record("a/decision", Decision, "half a rec")
