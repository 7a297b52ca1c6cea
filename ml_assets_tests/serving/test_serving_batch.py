"""Files scored in a stream are scored as in one piece."""

import polars as pl
import pytest

from ml_assets.scoring import batch
from ml_assets.scoring.batch import score_file
from ml_assets.training.predictions.scored import scored


@pytest.fixture
def numbered(rows):
    return rows.with_row_index("parcel")


@pytest.fixture(autouse=True)
def small_batches(monkeypatch):
    monkeypatch.setattr(batch, "BATCH", 7)


def sources(numbered, tmp_path):
    numbered.write_parquet(tmp_path / "rows.parquet", row_group_size=10)
    numbered.write_csv(tmp_path / "rows.csv")
    numbered.write_delta(tmp_path / "table")
    (tmp_path / "parts").mkdir()
    numbered.head(25).write_parquet(tmp_path / "parts" / "a.parquet")
    numbered.tail(15).write_parquet(tmp_path / "parts" / "b.parquet")


@pytest.mark.parametrize("name", ["late", "hours", "mood"])
@pytest.mark.parametrize("source", ["rows.parquet", "rows.csv", "table", "parts"])
@pytest.mark.parametrize("target", ["scores.parquet", "scores.csv"])
def test_each_form_gives_what_the_batch_path_gives(models, numbered, tmp_path, name, source, target):
    sources(numbered, tmp_path)
    told = []
    written = score_file(models[name], str(tmp_path / source), str(tmp_path / target), told.append)
    assert (written.rows, told[-1], len(told) > 1) == (40, 40, True)
    found = pl.read_csv(tmp_path / target) if target.endswith("csv") else pl.read_parquet(tmp_path / target)
    wanted = scored(numbered, models[name]).drop("km", "express", "courier")
    assert found.sort("parcel").to_dicts() == wanted.to_dicts()


@pytest.mark.parametrize(
    ("source", "target", "why"),
    [
        ("none.parquet", "out.csv", "there is no such file or folder"),
        ("rows.txt", "out.csv", r"must be a \.parquet or \.csv file, a folder"),
        ("rows.csv", "out.json", r"output .*out\.json: must be a path that ends with \.parquet or \.csv"),
        ("lacking.csv", "out.csv", r"features \['courier'\] are missing; it has parcel, km, express"),
        ("clashing.csv", "out.csv", r"columns \['score'\] have the names of what is predicted"),
        ("wild.csv", "out.csv", r"input .*wild\.csv: could not parse `far`"),
        ("empty.csv", "out.csv", "there is no row to score"),
    ],
)
def test_what_cannot_be_scored_leaves_no_file(models, numbered, tmp_path, source, target, why):
    numbered.write_csv(tmp_path / "rows.csv")
    (tmp_path / "rows.txt").touch()
    numbered.drop("courier").write_csv(tmp_path / "lacking.csv")
    numbered.with_columns(score=1).write_csv(tmp_path / "clashing.csv")
    numbered.with_columns(km=pl.lit("far")).write_csv(tmp_path / "wild.csv")
    numbered.head(0).write_csv(tmp_path / "empty.csv")
    before = set(tmp_path.iterdir())
    with pytest.raises((ValueError, FileNotFoundError), match=why):
        score_file(models["late"], str(tmp_path / source), str(tmp_path / target))
    assert set(tmp_path.iterdir()) == before
