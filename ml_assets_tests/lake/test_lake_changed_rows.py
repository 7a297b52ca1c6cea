"""The rows that tell two versions of a table apart are those of the files that only one of them has."""

import json
import shutil
from collections import Counter
from pathlib import Path

import polars as pl
import pytest

from ml_assets.lake import Lake

KEY = "orders"


@pytest.fixture
def lake(tmp_path):
    return Lake(str(tmp_path / "a lake"))


def frame(*rows):
    return pl.DataFrame(rows, schema={"day": pl.String, "shop": pl.String, "amount": pl.Int64}, orient="row")


def changed(lake, since, until, most=100):
    rows = lake.changed_rows(KEY, since, until, change="by", most=most)
    return None if rows is None else Counter(rows.select("day", "shop", "amount", "by").collect().rows())


def test_rows_that_came_and_went(lake):
    lake.replace(KEY, frame(("1", "a", 1), ("1", "b", 2)), {"day": ["1"]})
    lake.replace(KEY, frame(("2", "a", 3)), {"day": ["2"]})
    lake.append(KEY, frame(("2 %", "a", 4)), partition_by=["day"])
    lake.replace(KEY, frame(("1", "a", 1), ("1", "c", 5)), {"day": ["1"]})
    assert changed(lake, 0, 2) == Counter([("2", "a", 3, 1), ("2 %", "a", 4, 1)])
    # A row that both have is there once for either.
    assert changed(lake, 2, 3) == Counter([("1", "a", 1, -1), ("1", "b", 2, -1), ("1", "a", 1, 1), ("1", "c", 5, 1)])
    assert changed(lake, 3, 3) == Counter()
    assert changed(lake, 2, 3, most=4) is not None
    assert changed(lake, 2, 3, most=3) is None


def test_where_it_cannot_be_told(lake):
    lake.append(KEY, frame(("1", "a", 1)))
    lake.replace(KEY, frame(("1", "b", 1)))
    lake.append(KEY, frame(("1", "c", 1)).with_columns(more=1))
    assert changed(lake, 0, 1) == Counter([("1", "a", 1, -1), ("1", "b", 1, 1)])
    assert changed(lake, 1, 2) is None  # other columns
    for file in Path(lake.root, KEY).glob("*.parquet"):
        if pl.read_parquet(file)["shop"].to_list() == ["a"]:
            file.unlink()  # as a clean-up would
    assert changed(lake, 0, 1) is None
    Path(lake.root, KEY, "_delta_log", f"{0:020}.json").unlink()
    assert changed(lake, 0, 1) is None


def test_the_files_of_a_version_tell_tables_apart(lake, tmp_path):
    lake.append(KEY, frame(("1", "a", 1)))
    lake.append(KEY, frame(("1", "b", 1)))
    first, second = lake.files(KEY, 0), lake.files(KEY, 1)
    assert len({first, second, None}) == 3
    assert lake.files(KEY, 2) is None
    shutil.move(lake.root, tmp_path / "elsewhere")
    assert [Lake(str(tmp_path / "elsewhere")).files(KEY, version) for version in (0, 1)] == [first, second]
    lake.append(KEY, frame(("1", "a", 1)))
    assert lake.files(KEY, 0) not in (first, None)
    assert lake.files("other", 0) is None


def test_a_file_without_statistics_is_read_and_how_it_differs_cannot_be_told(lake):
    lake.append(KEY, frame(("1", "a", 1)))
    folder = Path(lake.root, KEY)
    frame(("2", "b", 2)).write_parquet(folder / "bare.parquet")
    size = (folder / "bare.parquet").stat().st_size
    added = {"path": "bare.parquet", "partitionValues": {}, "size": size, "modificationTime": 0, "dataChange": True}
    (folder / "_delta_log" / f"{1:020}.json").write_text(json.dumps({"add": added}))
    assert lake.scan(KEY).collect().height == 2
    assert changed(lake, 0, 1) is None
    assert changed(lake, 1, 0) is None
    lake.append(KEY, frame(("3", "c", 3)))
    assert changed(lake, 1, 2) == Counter([("3", "c", 3, 1)])
