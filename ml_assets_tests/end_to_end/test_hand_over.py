"""What the flights' home hands over to other tools says what the lake says."""

import importlib.util
import json
import os
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import polars as pl
import pytest

from ml_assets.components.feature_view import FeatureView
from ml_assets.online.stored import stored_features

pytestmark = pytest.mark.slow

HANDOVER = Path(__file__).parents[1] / "handover"
PROJECT = Path(__file__).parents[2]
_spec = importlib.util.spec_from_file_location("handover_peers", HANDOVER / "conftest.py")
handover = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(handover)

SINCE = "2013-10-10"


@pytest.fixture(scope="module")
def command(finished):
    home, *_ = finished

    def run(*arguments: object) -> dict:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("ML_ASSETS", "DAGSTER", "MLFLOW"))}
        done = subprocess.run(
            [Path(sys.executable).parent / "ml-assets", *map(str, arguments), "--json"], cwd=PROJECT, text=True,
            env={**kept, "ML_ASSETS_HOME": str(home)}, capture_output=True, check=False, timeout=600,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return run


@pytest.mark.parametrize("form", ["onnx", "bentoml", "mlflow-docker"])
def test_the_champion_is_handed_over_in_every_form(command, finished, tmp_path, form):
    told = command("package", "flight_delay", "--format", form, "--output", tmp_path / "out")
    reference = pl.read_delta(f"{finished[0]}/lake/flight_delay/reference")
    assert told["rows"] == reference.filter(pl.col("model_version") == told["version"]).height > 1000
    assert told["difference"] < 1e-6


def test_feast_serves_the_features_of_the_lake(command, finished, tmp_path):
    peers, lake, repository = handover.find_peers(), f"{finished[0]}/lake", tmp_path / "flights"
    told = command("feast-export", "flights", "--output", repository, "--since", SINCE)
    legs, begin = pl.read_delta(f"{lake}/flight_legs"), datetime.fromisoformat(f"{SINCE}T00:00Z")
    asked = legs.filter(pl.col("prediction_at") >= begin).sort("flight_id")
    assert set(told["left_out"]) == {"schedule"}
    spine = asked.sample(300, seed=0).with_row_index("row").select(
        "row", "carrier", "flight_number", "origin", "dest", "route", "tailnum",
        pl.lit(1).alias("everything"), pl.col("prediction_at").alias("event_timestamp"),
    )  # fmt: skip
    files = [tmp_path / f"{name}.parquet" for name in ("spine", "history", "online")]
    spine.write_parquet(files[0])
    peers.run("feast", "apply", cwd=repository)
    peers.run("feast", "materialize", SINCE, told["as_of"][:19], cwd=repository)
    peers.run("python", HANDOVER / "feast_client.py", *files, cwd=repository)
    history = pl.read_parquet(files[1]).sort("row")
    assert history.height == spine.height
    compared = 0
    for view in _views():
        stored = pl.read_delta(f"{lake}/{view.key}").unique([*view.spine_entity, "prediction_at"])
        on = [*view.spine_entity, "event_timestamp"]
        lake_rows = spine.join(stored.rename({"prediction_at": "event_timestamp"}), on=on, how="left",
                               maintain_order="left")  # fmt: skip
        # A flight whose aircraft nobody knows is an entity of no row: the engine counts 0, Feast has nothing to say.
        known = pl.Series([True] * spine.height)
        for key in view.spine_entity:
            known &= spine[key].is_not_null()
        for name in stored_features(view):
            ours, theirs = lake_rows[name].filter(known), history[name].filter(known)
            compared += len(ours)
            if ours.dtype.is_float():
                both_null = ours.is_null() & theirs.is_null()
                assert (((ours - theirs).abs() <= 1e-9 * ours.abs()).fill_null(False) | both_null).all(), name
            else:
                assert ours.eq_missing(theirs.cast(ours.dtype)).all(), name
    assert compared > 20_000
    online = pl.read_parquet(files[2])
    assert online.height == spine.drop_nulls().height
    assert online["region_waiting_sum_2h"].null_count() == 0


def _views() -> list[FeatureView]:
    from ml_assets.project import load_project

    declared = load_project(PROJECT / "ml_assets").component_tree.get_all_components(of_type=FeatureView)
    return [view for view in declared if view.table is not None and view.spine == "departures"]
