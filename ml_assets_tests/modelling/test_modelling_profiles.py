"""What is kept of drops and of references, and what is answered from it without their rows."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from ml_assets.lake import Lake
from ml_assets.modelling.drift import profiles as kept
from ml_assets.modelling.drift.measure import DropDrift, keep_drop_profiles
from ml_assets.monitoring.drift.measure import MeasuredDrift, measure_profiled_drift
from ml_assets.monitoring.drift.statistics.psi import compare_psi
from ml_assets.monitoring.spec import MonitoringSpec
from ml_assets.profiles import Grid, Profile, profile
from ml_assets.profiles.grid_bytes import grid_from_bytes, grid_to_bytes
from ml_assets.profiles.profile import column_to_bytes

FEATURES = ["x", "c"]
START = datetime(2024, 1, 1, tzinfo=UTC)


def rows(days: int, seed: int, start: datetime = START) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    at = [start + timedelta(hours=6 * i) for i in range(4 * days)]
    return pl.DataFrame({"at": at, "x": rng.normal(size=len(at)), "c": rng.choice(["a", "b", "é"], len(at))})


@pytest.fixture
def model() -> SimpleNamespace:
    return SimpleNamespace(
        key=lambda asset: f"risk/{asset}",
        spine=SimpleNamespace(partition="drop", time="at"),
        monitoring=MonitoringSpec(min_chunk_rows=1, reconstruction=False, private=["c"]),
        features=FEATURES,
    )


@pytest.fixture
def lake(tmp_path) -> Lake:
    lake = Lake(str(tmp_path))
    lake.replace("risk/reference", rows(28, 1).with_columns(model_version=pl.lit("1")), {"model_version": ["1"]})
    return lake


def measured(lake, model, analysis: pl.DataFrame) -> tuple[MeasuredDrift, bool]:
    """Measure a drop, and return whether the reference's profiles were there already."""
    known = kept.read_reference(lake, model, "1", FEATURES)
    reference = lake.scan("risk/reference").collect()
    drift = measure_profiled_drift(
        reference, analysis, features=FEATURES, time="at", spec=model.monitoring, known=known
    )
    return drift, known is not None


def keep(lake, model, drop: str, analysis: pl.DataFrame) -> bool:
    drift, was_known = measured(lake, model, analysis)
    of_drop = kept.profile_rows(drift, model, drop, "1")
    learned = None if was_known else drift.profiles.known
    keep_drop_profiles(
        lake, model, {drop: DropDrift(drift.drift, drift.drift, analysis, analysis, "1", of_drop, learned)}
    )
    return was_known


def test_drops_merge_into_the_profile_of_all_their_rows(lake, model):
    drops = {"2024-02": rows(14, 2, START + timedelta(days=31)), "2024-03": rows(21, 3, START + timedelta(days=60))}
    assert [keep(lake, model, drop, of) for drop, of in drops.items()] == [False, True]
    known = kept.read_reference(lake, model, "1")
    together = kept.read_profiles(lake, model, list(drops))
    everything = profile(pl.concat(drops.values()).select(FEATURES), known.grid)
    assert together["c"].counts.tolist() == everything.columns["c"].counts.tolist()
    assert together["c"].private
    assert column_to_bytes(together["c"]) == column_to_bytes(everything.columns["c"])
    assert together["x"].counts.tolist() == everything.columns["x"].counts.tolist()
    assert together["x"].moments.mean == pytest.approx(everything.columns["x"].moments.mean, rel=1e-12)
    asked = compare_psi("x", known.whole, Profile(together), known.grid, 1e-4)
    assert asked == compare_psi("x", known.whole, everything, known.grid, 1e-4)
    stored = lake.scan("risk/profiles").collect()
    assert stored.group_by("drop", "feature").agg(pl.col("rows").sum()).sort("drop", "feature").rows() == [
        ("2024-02", "c", 56), ("2024-02", "x", 56), ("2024-03", "c", 84), ("2024-03", "x", 84),
    ]  # fmt: skip
    assert stored["profile"].bin.size().max() <= 4096
    assert list(kept.read_profiles(lake, model, ["2024-02"], ["x"])) == ["x"]


def test_drift_by_kept_profiles_of_the_reference_is_the_same_to_the_last_bit(lake, model):
    analysis = rows(14, 2, START + timedelta(days=31))
    first, _ = measured(lake, model, analysis)
    keep(lake, model, "2024-02", analysis)
    again, was_known = measured(lake, model, analysis)
    assert was_known
    assert_frame_equal(again.drift, first.drift, check_exact=True)


@pytest.mark.parametrize("change", ["rows", "bins", "private"])
def test_what_another_reference_or_declaration_gave_is_made_anew(lake, model, change):
    analysis = rows(14, 2, START + timedelta(days=31))
    keep(lake, model, "2024-02", analysis)
    if change == "rows":
        lake.replace("risk/reference", rows(28, 9).with_columns(model_version=pl.lit("1")), {"model_version": ["1"]})
    else:
        model.monitoring = model.monitoring.model_copy(update={"psi_bins": 5} if change == "bins" else {"private": []})
    assert keep(lake, model, "2024-03", analysis) is False
    if change == "bins":  # the cuts are the same here: each value is by itself
        assert kept.read_profiles(lake, model, ["2024-02", "2024-03"])["x"].rows == 2 * 56
    else:
        with pytest.raises(ValueError, match="different grids"):
            kept.read_profiles(lake, model, ["2024-02", "2024-03"])


def test_a_drop_of_which_no_row_was_scored_keeps_no_profile(lake, model):
    analysis = rows(14, 2, START + timedelta(days=31))
    assert kept.read_profiles(lake, model, ["2024-02"]) == {}
    keep(lake, model, "2024-02", analysis)
    keep_drop_profiles(lake, model, {"2024-02": DropDrift(analysis, analysis, analysis, analysis)})
    assert kept.read_profiles(lake, model, ["2024-02"]) == {}


@pytest.mark.parametrize("values", [[1.0, 2.0, 2.5], [float("inf"), 1.0], [], ["a" * 100_000, "é", "é"]])
def test_grids_come_back_from_bytes(values):
    rows = pl.DataFrame({"x": values}, schema={"x": pl.String if values and isinstance(values[0], str) else pl.Float64})
    grid = Grid.of(rows).columns["x"]
    again = grid_from_bytes(grid_to_bytes(grid))
    assert again.digest == grid.digest
    assert grid_to_bytes(again) == grid_to_bytes(grid)
    counted = [column_to_bytes(profile(rows, Grid({"x": each})).columns["x"]) for each in (grid, again)]
    assert counted[0] == counted[1]
    with pytest.raises(ValueError, match="no grid"):
        grid_from_bytes(b"\x07\x00\x00")


def test_private_names_of_no_feature_are_refused(lake, model):
    model.monitoring = model.monitoring.model_copy(update={"private": ["secret"]})
    with pytest.raises(ValueError, match="private: secret is no feature; there are x, c"):
        measured(lake, model, rows(14, 2))
