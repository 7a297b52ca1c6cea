"""Rows that are read some at a time are those that are read at once."""

import gzip
import io
import json
import zipfile

import polars as pl
import pytest
from deltalake import write_deltalake
from hypothesis import given, settings
from hypothesis import strategies as st

from ml_assets.sources.csv import blocks
from ml_assets.sources.csv.dialect import CsvDialect
from ml_assets.sources.csv.text import open_csv
from ml_assets.sources.errors import DeliveryFault
from ml_assets.sources.readers import ndjson
from ml_assets.sources.spec import SourceSpec
from ml_assets.sources.where import Where

FIELDS = st.text(st.sampled_from('ab ,;"\n\r7é'), max_size=6)


def source(path):
    return SourceSpec(
        name="rows", description="", where=Where(path=str(path)), contract="rows:Rows", key_columns=["id"]
    )


def streamed(path, rows=3):
    spec = source(path)
    parts = [part.tables[0] for part in spec.reader.stream(spec, rows)]
    return pl.concat(parts, how="diagonal_relaxed"), len(parts)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(FIELDS, FIELDS), min_size=1, max_size=12), st.integers(1, 40))
def test_blocks_of_any_size_hold_the_rows_of_the_file(rows, size):
    table = pl.DataFrame(rows, schema={"a, b": pl.String, "c": pl.String}, orient="row")
    data = table.write_csv(quote_style="always").encode()
    whole = open_csv(data)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks, "BLOCK", size)
        stream = io.BytesIO(data)
        parts = list(blocks.read_blocks(stream, stream.read(size), CsvDialect()))
    assert pl.concat([part.read(part.names) for part in parts]).equals(whole.read(whole.names))


def test_a_large_csv_file_comes_in_parts_and_keeps_its_dialect(tmp_path, monkeypatch):
    lines = ["näme;wert", *(f"ä{number};{number},5" for number in range(50))]
    (tmp_path / "rows.csv").write_bytes("\n".join(lines).encode("cp1252"))
    monkeypatch.setattr("ml_assets.sources.readers.csv.BLOCK", 300)
    monkeypatch.setattr(blocks, "BLOCK", 64)
    table, parts = streamed(tmp_path / "rows.csv")
    assert parts > 3
    assert table.rows() == [(f"ä{number}", f"{number},5") for number in range(50)]


def test_a_wrong_row_of_a_later_part_is_refused(tmp_path, monkeypatch):
    (tmp_path / "rows.csv").write_text("a,b\n" + "1,2\n" * 50 + "3\n" + "1,2\n" * 50)
    monkeypatch.setattr(blocks, "BLOCK", 64)
    with pytest.raises(DeliveryFault, match="has 1 fields where the header has 2"):
        streamed(tmp_path / "rows.csv")


def test_a_short_row_is_not_taken_for_another_delimiter(tmp_path):
    (tmp_path / "rows.csv").write_text("a,b\n1,2\n3\n")
    with pytest.raises(DeliveryFault, match="data row 2 has 1 fields where the header has 2"):
        streamed(tmp_path / "rows.csv")


def test_packed_files_are_read_bit_by_bit(tmp_path):
    text = b"a,b\n1,x\n2,y\n"
    (tmp_path / "rows.csv.gz").write_bytes(gzip.compress(text, mtime=0))
    with zipfile.ZipFile(tmp_path / "rows.csv.zip", "w") as archive:
        archive.writestr("rows.csv", text)
    for ending in ("gz", "zip"):
        assert streamed(tmp_path / f"rows.csv.{ending}")[0].rows() == [("1", "x"), ("2", "y")]
        (tmp_path / f"cut.csv.{ending}").write_bytes((tmp_path / f"rows.csv.{ending}").read_bytes()[:20])
        with pytest.raises(DeliveryFault, match="damaged or cut off"):
            streamed(tmp_path / f"cut.csv.{ending}")


def test_parquet_and_delta_come_in_parts(tmp_path):
    table = pl.DataFrame({"id": range(10), "tags": [["a"]] * 10})
    table.write_parquet(tmp_path / "rows.parquet")
    write_deltalake(tmp_path / "rows.delta", table.to_arrow())
    for name in ("rows.parquet", "rows.delta"):
        assert streamed(tmp_path / name)[0].sort("id").equals(table)
    table.clear().write_parquet(tmp_path / "empty.parquet")
    assert streamed(tmp_path / "empty.parquet")[0].schema == table.schema


def test_files_of_a_folder_may_differ_in_their_types(tmp_path):
    folder = tmp_path / "rows.parquet"
    folder.mkdir()
    pl.DataFrame({"a": [1]}).write_parquet(folder / "1.parquet")
    pl.DataFrame({"a": ["x"], "b": [2]}).write_parquet(folder / "2.parquet")
    assert streamed(folder)[0].rows() == [("1", None), ("x", 2)]


def test_ndjson_is_a_format_of_sources(tmp_path, monkeypatch):
    rows = [
        {"id": number, "at": "2024-01-01", "tags": ["a"], **({"late": 0.5} if number > 8 else {})}
        for number in range(10)
    ]
    (tmp_path / "rows.ndjson").write_text("".join(json.dumps(row) + "\n" for row in rows))
    spec = source(tmp_path / "rows.ndjson")
    assert spec.format == "ndjson"
    assert spec.reader.sample(spec, None).tables[0]["id"].to_list() == list(range(10))
    monkeypatch.setattr(ndjson, "_BLOCK", 100)
    table, parts = streamed(tmp_path / "rows.ndjson")
    assert parts > 3
    assert table["id"].to_list() == list(range(10))
    assert table["late"].to_list() == [None] * 9 + [0.5]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"a": 1}\n{"a":\n', "line 2 is no JSON"),
        ('{"a": 1}\n[1, 2]\n', "line 2 is no JSON object"),
    ],
)
def test_the_line_that_is_no_json_object_is_named(tmp_path, text, message):
    (tmp_path / "rows.jsonl").write_text(text)
    with pytest.raises(DeliveryFault, match=message):
        streamed(tmp_path / "rows.jsonl")
