"""What the flights' home hands over to other tools says what the lake says."""

import json
from datetime import datetime
from pathlib import Path

import polars as pl
import pytest

from ml_assets.components.features.feature_view import FeatureView
from ml_assets.features.engine.checks import MOMENT
from ml_assets.features.engine.compute import compute_features
from ml_assets.features.stored import stored_features, stored_view
from ml_assets_tests import processes
from ml_assets_tests.peers import find_peers

pytestmark = pytest.mark.slow

HANDOVER = Path(__file__).parents[1] / "handover"
PROJECT = Path(__file__).parents[2]

SINCE, AS_OF = "2013-10-10T00:00:00", "2013-10-30T18:00:00"


@pytest.fixture(scope="module")
def command(finished):
    home, *_ = finished

    def run(*arguments: object) -> dict:
        done = processes.run("ml-assets", *arguments, "--json", ML_ASSETS_HOME=home)
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
    peers, lake, repository = find_peers(), f"{finished[0]}/lake", tmp_path / "flights"
    told = command("feast-export", "flights", "--output", repository, "--since", SINCE, "--as-of", AS_OF)
    begin, end = (datetime.fromisoformat(f"{moment}+00:00") for moment in (SINCE, AS_OF))
    legs = pl.read_delta(f"{lake}/flight_legs")
    asked = legs.filter(pl.col("prediction_at").is_between(begin, end)).sort("flight_id")
    assert set(told["left_out"]) == {"schedule"}
    spine = asked.sample(300, seed=0).with_row_index("row").select(
        "row", "carrier", "flight_number", "origin", "dest", "route", "tailnum",
        pl.lit(1).alias("everything"), pl.col("prediction_at").alias("event_timestamp"),
    )  # fmt: skip
    files = [tmp_path / f"{name}.parquet" for name in ("spine", "history", "online")]
    spine.write_parquet(files[0])
    peers.run("python", HANDOVER / "feast_client.py", SINCE, AS_OF, *files, cwd=repository)
    history, online = (pl.read_parquet(file).sort("row") for file in files[1:])
    assert history.height == spine.height
    assert online.height == spine.drop_nulls().height
    now = spine.drop_nulls().with_columns(pl.lit(end).cast(MOMENT).alias("event_timestamp"))
    compared = 0
    for view in _views():
        stored = pl.read_delta(f"{lake}/{view.key}").unique([*view.spine_entity, "prediction_at"])
        stored = stored.rename({"prediction_at": "event_timestamp"})
        then = spine.join(stored, on=[*view.spine_entity, "event_timestamp"], how="left", maintain_order="left")
        facts = pl.scan_delta(f"{lake}/{view.table}")
        # Of an entity without facts until then the engine counts 0, and Feast has nothing to say.
        known, known_now = (_has_facts(view, rows, facts) for rows in (spine, now))
        today = compute_features(stored_view(view), now, facts, time="event_timestamp")
        for name in stored_features(view):
            compared += _same(name, then[name].filter(known), history[name].filter(known))
            compared += _same(name, today[name].filter(known_now), online[name].filter(known_now))
    assert compared > 40_000


def _has_facts(view: FeatureView, rows: pl.DataFrame, facts: pl.LazyFrame) -> pl.Series:
    """Whether anything of a row's entity was known at its moment."""
    entity = [pl.col(own).alias(ours) for own, ours in zip(view.entity, view.spine_entity, strict=True)]
    moment = pl.lit(None, MOMENT) if view.known_at is None else pl.col(view.known_at).cast(MOMENT)
    every, by = pl.lit(1).alias("every"), ["every", *view.spine_entity]
    first = facts.select(every, *entity, first=moment).group_by(by).agg(pl.col("first").min(), there=True)
    of_rows = rows.with_columns(every).join(first.collect(), on=by, how="left", maintain_order="left")
    in_time = (pl.col("first") <= pl.col("event_timestamp")).fill_null(view.known_at is None)
    return of_rows.select(pl.col("there").fill_null(False) & in_time).to_series()


def _same(name: str, ours: pl.Series, theirs: pl.Series) -> int:
    """How many values were compared, not all of them null; they must be equal, floats to 1e-9."""
    equal = ours.eq_missing(theirs.cast(ours.dtype))
    if ours.dtype.is_float():
        equal |= ((ours - theirs).abs() <= 1e-9 * ours.abs()).fill_null(False)
    assert equal.all(), name
    assert ours.null_count() < len(ours), name
    return len(ours)


def _views() -> list[FeatureView]:
    from ml_assets.project import load_project

    declared = load_project(PROJECT / "ml_assets").component_tree.get_all_components(of_type=FeatureView)
    return [view for view in declared if view.table is not None and view.spine == "departures"]
