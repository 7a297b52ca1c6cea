"""Where rows lie, how they are read, and which of them are kept."""

import numpy as np
import polars as pl
import pytest
from deltalake import write_deltalake

from ml_assets.comparing.compare import compare
from ml_assets.comparing.errors import UnusableRows, WrongRequest
from ml_assets.comparing.rows.kept import KeptRows
from ml_assets.comparing.rows.kinds import LENGTH, MOMENT, NUMBER, OPAQUE, TEXT, TRUTH
from ml_assets.comparing.rows.place import find_place
from ml_assets.comparing.rows.table import Choice, learn_table
from ml_assets.comparing.rows.values import read_values
from ml_assets.comparing.rows.writing import Writing
from ml_assets.sources.csv import blocks
from ml_assets_tests.comparing.tables import compared

ROWS = pl.DataFrame({"a": range(30), "b": ["x", "y", "z"] * 10})


@pytest.fixture
def places(tmp_path):
    ROWS.write_csv(tmp_path / "one.csv")
    ROWS.write_parquet(tmp_path / "one.parquet")
    ROWS.write_ndjson(tmp_path / "one.jsonl")
    write_deltalake(tmp_path / "delta", ROWS.to_arrow())
    (tmp_path / "csvs").mkdir()
    (tmp_path / "parquets").mkdir()
    for number, part in enumerate((ROWS.head(10), ROWS.tail(20))):
        part.write_csv(tmp_path / "csvs" / f"{number}.csv")
        part.write_parquet(tmp_path / "parquets" / f"{number}.parquet")
    (tmp_path / "csvs" / ".hidden").write_text("")
    return tmp_path


@pytest.mark.parametrize(
    "place", ["one.csv", "one.parquet", "one.jsonl", "delta", "csvs", "parquets", "csvs/*.csv", "parquets/?.parquet"]
)
def test_a_side_is_a_file_a_folder_a_table_or_a_pattern(places, place):
    table, _ = learn_table(find_place("reference", str(places / place)), Choice())
    assert table.rows == 30
    assert table.complete
    assert sorted(table.kept.rows()) == [(float(number), "xyz"[number % 3]) for number in range(30)]


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("none.csv", "there is no such file or folder"),
        ("none/*.csv", "no file matches"),
        ("void", "the folder is empty"),
        ("rows.txt", "the name does not tell its format: let it end with one of .csv"),
        ("mixed", "beside parquet there is a.csv: choose by a pattern"),
        ("csvs", "has files of several formats, csv, ndjson: choose by a pattern"),
        ("{partition}.csv", "write \\* for any text"),
    ],
)
def test_a_place_that_cannot_be_meant_is_refused_in_one_line(tmp_path, place, message):
    (tmp_path / "void").mkdir()
    (tmp_path / "mixed").mkdir()
    (tmp_path / "csvs").mkdir()
    ROWS.write_csv(tmp_path / "csvs" / "a.csv")
    ROWS.write_ndjson(tmp_path / "csvs" / "b.ndjson")
    (tmp_path / "rows.txt").write_text("a\n1\n")
    ROWS.write_csv(tmp_path / "mixed" / "a.csv")
    ROWS.write_parquet(tmp_path / "mixed" / "b.parquet")
    with pytest.raises(WrongRequest, match=message) as raised:
        find_place("current", str(tmp_path / place))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a.csv", b"", "there is no row|the file is empty"),
        ("a.csv", b"a,b\n", "there is no row"),
        ("a.csv", b"a,b\n1,2\n", "one row alone"),
        ("a.csv", b"a,a\n1,2\n3,4\n", "more than once"),
        ("a.parquet", b"nonsense", "no readable Parquet file"),
        ("a.ndjson", b'{"a": 1}\n{"a"\n', "line 2 is no JSON"),
        ("a.csv.gz", b"nonsense", "damaged or cut off"),
    ],
)
def test_rows_that_cannot_be_used_are_refused_in_one_line(tmp_path, name, data, message):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(UnusableRows, match=message) as raised:
        learn_table(find_place("reference", str(tmp_path / name)), Choice())
    assert str(raised.value).startswith(f"--reference {tmp_path / name}: ")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("kind", "given", "read", "misfits"),
    [
        (NUMBER, pl.Series(["1", "2.5", "x", "NA", None]), [1.0, 2.5, None, None, None], 1),
        (NUMBER, pl.Series([1.0, float("nan"), float("inf")]), [1.0, None, float("inf")], 0),
        (NUMBER, pl.Series([True, False]), [1.0, 0.0], 0),
        (NUMBER, pl.Series([[1]]), [None], 1),
        (TRUTH, pl.Series([1, 0, 2]), [True, False, None], 1),
        (TRUTH, pl.Series(["TRUE", "no"]), [True, None], 1),
        (TEXT, pl.Series([7.0, None]), ["7", None], 0),
        (TEXT, pl.Series(["NA"]), ["NA"], 0),
        (LENGTH, pl.Series([1]), [None], 1),
        (OPAQUE, pl.Series([[1], None]), [True, None], 0),
        (OPAQUE, pl.Series(["x"]), [None], 1),
        (MOMENT, pl.Series([3]), [None], 1),
    ],
)
def test_values_are_read_missing_or_misfits(kind, given, read, misfits):
    values = read_values(given.alias("x"), kind, Writing())
    assert values.read.to_list() == read
    assert values.misfit.sum() == misfits
    assert not (values.misfit & values.missing).any()


def test_kinds_hold_for_rows_that_come_late(tmp_path, monkeypatch):
    """A sample of the first rows says that `late` is empty, `half` whole and `word` a number."""
    monkeypatch.setattr(blocks, "BLOCK", 4_000)
    monkeypatch.setattr("ml_assets.sources.readers.csv.BLOCK", 4_000)
    rows = 3_000
    late = ["" if number < 2_900 else str(number) for number in range(rows)]
    half = [str(number) if number < 2_900 else f"{number}.5" for number in range(rows)]
    word = [str(number % 7) if number < 2_000 else "seven" for number in range(rows)]
    few = [str(number % 7) if number < 2_995 else "seven" for number in range(rows)]
    lines = map(",".join, zip(late, half, word, few, strict=True))
    (tmp_path / "rows.csv").write_text("late,half,word,few\n" + "\n".join(lines) + "\n")
    table, inferred = learn_table(find_place("reference", str(tmp_path / "rows.csv")), Choice())
    assert [inferred.kinds[name] for name in ("late", "half", "word", "few")] == [NUMBER, NUMBER, TEXT, NUMBER]
    assert table.facts["late"].known == 100
    assert table.facts["half"].fractional == 100
    assert table.facts["word"].counts["seven"] == 1_000
    assert (table.facts["few"].misfits, dict(table.facts["few"].unfit)) == (5, {"seven": 5})


def test_each_row_is_as_likely_to_be_kept():
    counts = np.zeros(60)
    for seed in range(400):
        kept = KeptRows(6, seed)
        for part in range(6):
            kept.add(pl.DataFrame({"x": range(part * 10, part * 10 + 10)}))
        chosen = kept.frame()["x"].to_numpy()
        assert chosen.size == 6
        assert (np.diff(chosen) > 0).all()
        counts[chosen] += 1
    # 400 draws of 6 of 60: 40 each, with a standard deviation of 6.
    assert counts.min() > 14
    assert counts.max() < 66


def test_few_rows_are_all_kept():
    kept = KeptRows(10, 0)
    kept.add(pl.DataFrame({"x": range(10)}))
    assert kept.complete
    assert kept.frame()["x"].to_list() == list(range(10))


def test_columns_that_only_later_files_have_are_compared(tmp_path):
    for side in ("reference", "current"):
        (tmp_path / side).mkdir()
        pl.DataFrame({"a": range(40)}).write_csv(tmp_path / side / "1.csv")
    more = pl.DataFrame({"a": range(40), "day": ["28.03.2024", "05.04.2024"] * 20, "b": ["x", "y"] * 20})
    more.write_csv(tmp_path / "reference" / "2.csv")
    more.with_columns(b=pl.lit("z"), new=pl.lit(1)).write_csv(tmp_path / "current" / "2.csv")
    places = [find_place(side, str(tmp_path / side)) for side in ("reference", "current")]
    result = compare(*places).result
    assert {column.name: column.kind for column in result.left_out} == {"day": "a date or time"}
    assert [(breach.column, breach.rule, breach.rows) for breach in result.broken] == [("b", "choices", 40)]
    assert result.new_columns == {"new": "a number"}
    without = compare(places[0], find_place("current", str(tmp_path / "current" / "1.csv"))).result
    assert without.missing_columns == {"day": "a date or time", "b": "text"}


def test_any_name_is_a_column(tmp_path):
    rows = pl.DataFrame({name: [1.0, 2.0] * 20 for name in ("", "\0ticket", "rows", "text", "key")})
    assert len(compared(tmp_path, rows, rows).result.drift) == 5


def test_spaces_beside_a_delimiter_are_no_part_of_numbers_and_dates(tmp_path):
    (tmp_path / "a.csv").write_text("a, b, day, c\n" + "".join(f"{i}, {i / 8}, 2024-01-02, x\n" for i in range(40)))
    table, _ = learn_table(find_place("reference", str(tmp_path / "a.csv")), Choice())
    assert [facts.kind for facts in table.facts.values()] == [NUMBER, NUMBER, MOMENT, TEXT]
    assert table.kept.row(39)[1] == 39 / 8
    assert all(facts.missing == facts.misfits == 0 for facts in table.facts.values())
    assert table.kept.row(39)[3] == " x"
