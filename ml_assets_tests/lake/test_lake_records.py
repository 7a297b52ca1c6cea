from datetime import UTC, datetime

import polars as pl
import pytest
from pydantic import BaseModel

from ml_assets.lake import Lake
from ml_assets.lake.records import add_records, read_records


class Note(BaseModel):
    drop: str
    text: str
    by: str | None = None


def columns(note):
    return {"drop": note.drop, "by": note.by, "at": datetime(2024, 1, 1, tzinfo=UTC)}


def add(lake, *notes):
    return add_records(lake, "shop/notes", notes, [columns(note) for note in notes], "drop")


@pytest.fixture
def lake(tmp_path):
    return Lake(str(tmp_path))


def test_records_come_back_in_the_order_in_which_they_were_added(lake):
    assert read_records(lake, "shop/notes", Note) == []
    first, second = Note(drop="b", text="1"), Note(drop="a", text="2")
    third, fourth = Note(drop="b", text="3", by="ann"), Note(drop="a", text="2")
    add(lake, first, second)
    add(lake, third)
    add(lake, fourth)
    assert read_records(lake, "shop/notes", Note) == [first, second, third, fourth]


def test_what_was_added_stays_as_it_was(lake):
    add(lake, Note(drop="a", text="1"))
    before = lake.scan("shop/notes").collect()
    _, rows = add(lake, Note(drop="a", text="2", by="ann"))
    now = lake.scan("shop/notes").sort("_number").collect()
    assert now[:1].equals(before)
    assert now[1:].equals(rows.select(now.columns))
    assert now["by"].to_list() == [None, "ann"]


def test_records_from_before_they_were_numbered_are_the_oldest(lake):
    old = Note(drop="a", text="old")
    row = pl.DataFrame({"drop": ["a"], "record": [old.model_dump_json()]})
    lake.replace("shop/notes", row, {"drop": ["a"]})
    assert read_records(lake, "shop/notes", Note) == [old]
    add(lake, Note(drop="a", text="new"))
    assert [note.text for note in read_records(lake, "shop/notes", Note)] == ["old", "new"]
