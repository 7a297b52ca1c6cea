import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import textwrap
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from ml_assets.registry.records import RunOrigin
from ml_assets.registry.registry import Registry
from ml_assets.registry.store.quiet_mlflow import import_mlflow
from ml_assets.serving.rollout.champions import Champions
from ml_assets.training.fit import fit_model, predict
from ml_assets.training.spec import TrainingSpec

pytestmark = pytest.mark.slow

ORIGIN = RunOrigin(
    dagster_run_id="dagster-1",
    code_commit="abc123",
    code_changed=True,
    platform="0.1.0",
    table_versions={"shop/orders": 4},
    declaration={"name": "m"},
)


def rows(seed, size=600):
    rng = np.random.default_rng(seed)
    frame = pl.DataFrame({"a": rng.normal(size=size), "kind": rng.choice(["x", "y"], size)})
    odds = 2 * frame["a"].to_numpy() * np.where(frame["kind"] == "x", 1, -1)
    return frame.with_columns(y=pl.Series(rng.random(size) < 1 / (1 + np.exp(-odds))))


def registry_in(home):
    return Registry(f"sqlite:///{home}/mlflow.db", f"{home}/models", "training")


def train():
    return fit_model(
        rows(0),
        rows(1),
        features=["a", "kind"],
        label="y",
        parameters={"max_depth": 2},
        training=TrainingSpec(threads=1, max_rounds=20),
        metric="roc_auc",
        seed=0,
    )


@pytest.fixture(scope="module")
def model():
    return train()


@pytest.fixture(scope="module")
def registry(tmp_path_factory):
    return registry_in(tmp_path_factory.mktemp("registry"))


@pytest.fixture
def plain_client(registry):
    return import_mlflow().MlflowClient(registry.tracking_uri, registry.tracking_uri)


def register(registry, model, name):
    with registry.training_run(f"train {name}", ORIGIN) as run:
        logged = run.log_model(name, model, rows(1))
    return registry.register(name, logged, description="first", tags={"as_of": "2024-03-01"})


def test_a_run_keeps_what_it_was_told_and_where_it_comes_from(registry, plain_client):
    with registry.training_run("train m", ORIGIN, tags={"partition": "2024-03"}) as run:
        run.log_parameters({"max_depth": 3, "grow_policy": "lossguide"})
        run.log_metrics({"roc_auc": 0.75})
        run.log_curve("validation_roc_auc", [0.6, 0.7])
        run.log_files({"plots/roc.png": b"\x89PNG", "note.txt": "hello"})
        run.log_json("evaluation.json", {"rows": 3})
        assert plain_client.get_run(run.run_id).info.status == "RUNNING"
    found = plain_client.get_run(run.run_id)
    assert found.info.status == "FINISHED"
    assert found.data.params == {"max_depth": "3", "grow_policy": "lossguide"}
    assert found.data.metrics == {"roc_auc": 0.75, "validation_roc_auc": 0.7}
    history = plain_client.get_metric_history(run.run_id, "validation_roc_auc")
    assert [(point.step, point.value) for point in history] == [(1, 0.6), (2, 0.7)]
    tags = {
        "dagster_run_id": "dagster-1",
        "mlflow.source.git.commit": "abc123",
        "code_changed": "true",
        "ml_assets_version": "0.1.0",
        "table_versions": '{"shop/orders": 4}',
        "partition": "2024-03",
    }
    assert tags.items() <= found.data.tags.items()
    folder = Path(found.info.artifact_uri.removeprefix("file://"))
    assert (folder / "plots/roc.png").read_bytes() == b"\x89PNG"
    assert (folder / "note.txt").read_text() == "hello"
    assert json.loads((folder / "declaration.json").read_text()) == {"name": "m"}
    assert json.loads((folder / "evaluation.json").read_text()) == {"rows": 3}


def test_a_run_that_has_ended_takes_more(registry, plain_client):
    with registry.training_run("train m", ORIGIN) as run:
        pass
    registry.resumed_run(run.run_id).log_metrics({"holdout_roc_auc": 0.7})
    registry.resumed_run(run.run_id).set_tags({"promoted": "true"})
    found = plain_client.get_run(run.run_id)
    assert (found.info.status, found.data.metrics) == ("FINISHED", {"holdout_roc_auc": 0.7})
    assert found.data.tags["promoted"] == "true"


@pytest.mark.parametrize(("error", "status"), [(ValueError, "FAILED"), (KeyboardInterrupt, "KILLED")])
def test_a_run_that_breaks_is_closed_and_the_error_goes_on(registry, plain_client, error, status):
    with pytest.raises(error), registry.training_run("train m", ORIGIN) as run:
        raise error
    assert plain_client.get_run(run.run_id).info.status == status


def test_a_loaded_version_scores_exactly_as_the_model_did(registry, model):
    created = register(registry, model, "scores")
    registry.set_alias("scores", "champion", created.version)
    expected = predict(model, rows(2))
    for loaded in (registry.load("scores", version="1"), registry.load("scores", alias="champion")):
        np.testing.assert_array_equal(predict(loaded, rows(2)), expected)
        assert (loaded.threshold, loaded.encoding) == (model.threshold, model.encoding)


def test_the_files_are_a_native_xgboost_model_that_mlflow_itself_can_use(registry, model):
    created = register(registry, model, "native")
    folder = Path(created.location.removeprefix("file://"))
    assert "xgboost" in (folder / "requirements.txt").read_text()
    assert not [path for path in folder.iterdir() if path.suffix in (".pkl", ".pickle", ".joblib")]
    mlflow = import_mlflow()
    loaded = mlflow.pyfunc.load_model(str(folder))
    assert loaded.metadata.get_input_schema().input_names() == ["a", "kind"]
    assert loaded.metadata.run_id == created.run_id
    example = mlflow.models.Model.load(str(folder)).load_input_example(str(folder))
    np.testing.assert_allclose(loaded.predict(example), predict(model, rows(1)[:5]), rtol=1e-6)


def test_versions_count_up_and_know_their_run_tags_and_aliases(registry, model):
    first, second = register(registry, model, "counted"), register(registry, model, "counted")
    assert (first.version, second.version) == ("1", "2")
    assert first.run_id != second.run_id
    registry.set_alias("counted", "champion", "2")
    found = registry.versions("counted")
    assert [(item.version, item.aliases) for item in found] == [("1", ()), ("2", ("champion",))]
    assert found[0].tags == {"as_of": "2024-03-01"}
    assert registry.version("counted", "2") == found[1]


def test_aliases_move_on_promotion_and_back_on_roll_back(registry, model):
    for _ in range(2):
        register(registry, model, "moving")
    assert registry.champion("moving") is None
    registry.promote("moving", "1")
    registry.set_alias("moving", "challenger", "2")
    assert (registry.champion("moving").version, registry.challenger("moving").version) == ("1", "2")
    registry.promote("moving", "2")
    assert (registry.champion("moving").version, registry.challenger("moving")) == ("2", None)
    registry.promote("moving", "1")
    assert registry.champion("moving").version == "1"
    registry.delete_alias("moving", "champion")
    registry.delete_alias("moving", "champion")
    assert registry.champion("moving") is None


def test_what_was_never_registered_has_no_champion_and_cannot_be_loaded(registry):
    assert registry.champion("unheard_of") is None
    assert registry.versions("unheard_of") == []
    with pytest.raises(LookupError, match="no version of model unheard_of is its champion"):
        registry.load("unheard_of", alias="champion")
    with pytest.raises(ValueError, match="exactly one"):
        registry.load("unheard_of")


def test_an_sqlite_store_needs_a_place_for_files():
    with pytest.raises(ValueError, match="needs an artifact root"):
        Registry("sqlite:///a.db", None, "training")


def test_mlflows_globals_are_left_alone(registry, model):
    mlflow = import_mlflow()
    before = (mlflow.get_tracking_uri(), mlflow.get_registry_uri())
    register(registry, model, "discreet")
    registry.load("discreet", version="1")
    assert (mlflow.get_tracking_uri(), mlflow.get_registry_uri(), mlflow.active_run()) == (*before, None)


CHILD = """
    import importlib.util, sys
    spec = importlib.util.spec_from_file_location("test_registry", sys.argv[1])
    tests = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tests)
    registry = tests.registry_in(sys.argv[2])
"""
WORK = """
    model = tests.train()
    for _ in range(2):
        created = tests.register(registry, model, "shared")
        registry.promote("shared", created.version)
"""
HANG = """
    from mlflow import MlflowClient
    import time
    with registry.training_run("train m", tests.ORIGIN) as run:
        logged = registry._client.create_logged_model(registry.experiment_id, source_run_id=run.run_id)
        print(run.run_id, logged.model_id, flush=True)
        time.sleep(60)
"""


def start(work, home):
    code = textwrap.dedent(CHILD) + textwrap.dedent(work)
    command = [sys.executable, "-c", code, __file__, str(home)]
    return subprocess.Popen(command, cwd=home, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_two_processes_at_once_on_a_new_store_lose_nothing_and_say_nothing(tmp_path):
    for process in [start(WORK, tmp_path), start(WORK, tmp_path)]:
        out, err = process.communicate(timeout=120)
        assert (process.returncode, out, err) == (0, "", "")
    registry = registry_in(tmp_path)
    versions = registry.versions("shared")
    assert [item.version for item in versions] == ["1", "2", "3", "4"]
    assert len({item.run_id for item in versions}) == 4
    assert registry.champion("shared") in versions
    assert sorted(path.name for path in tmp_path.iterdir() if not path.name.startswith("mlflow.db")) == ["models"]


def test_what_a_killed_process_left_running_is_closed(tmp_path):
    process = start(HANG, tmp_path)
    run_id, model_id = process.stdout.readline().split()
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    registry = registry_in(tmp_path)
    with registry.training_run("train m", ORIGIN.model_copy(update={"dagster_run_id": "alive"})) as other:
        assert registry.close_stale_runs(["dagster-1", "dagster-7"]) == 1
        client = import_mlflow().MlflowClient(registry.tracking_uri, registry.tracking_uri)
        assert client.get_run(other.run_id).info.status == "RUNNING"
    found = client.get_run(run_id)
    assert (found.info.status, found.data.tags["closed_as_stale"]) == ("KILLED", "true")
    assert client.get_logged_model(model_id).status == "FAILED"
    assert registry.close_stale_runs(["dagster-1"]) == 0


MOMENT = datetime(2024, 5, 1, tzinfo=UTC)


def roll_back(registry, name, to=None):
    served, serves = registry.find_earlier(name, to)
    registry.serve_again(name, serves, as_of=MOMENT)
    return served, serves


def test_a_roll_back_lets_the_replaced_champion_serve_again(registry, model):
    for _ in range(3):
        register(registry, model, "swung")
    for version in ("1", "2", "3"):
        registry.promote("swung", version)
    assert registry.rolled_back_at("swung") is None
    assert roll_back(registry, "swung") == ("3", "2")
    assert registry.champion("swung").version == "2"
    assert registry.rolled_back_at("swung") == MOMENT
    assert roll_back(registry, "swung", "3") == ("2", "3")
    assert roll_back(registry, "swung", "1") == ("3", "1")


def test_a_roll_back_that_cannot_be_says_why(registry, model):
    register(registry, model, "fixed")
    with pytest.raises(LookupError, match="fixed has no champion"):
        registry.find_earlier("fixed")
    registry.promote("fixed", "1")
    with pytest.raises(LookupError, match=r"version 1 of fixed replaced none, and there is no other to go back to$"):
        registry.find_earlier("fixed")
    register(registry, model, "fixed")
    with pytest.raises(LookupError, match=r"version 1 of fixed replaced none: name one of 2$"):
        registry.find_earlier("fixed")
    with pytest.raises(LookupError, match="no version 7"):
        registry.find_earlier("fixed", "7")
    with pytest.raises(ValueError, match="champion already"):
        registry.find_earlier("fixed", "1")


def test_a_registered_version_brings_rows_and_what_was_said_about_them(registry, model):
    created = register(registry, model, "known")
    known = registry.load("known", version="1").known
    assert list(known.rows) == rows(1).head(5).select("a", "kind").to_dicts()
    np.testing.assert_array_equal(known.scores, predict(model, rows(1).head(5)))
    Path(created.location.removeprefix("file://"), "known_answers.json").unlink()
    assert registry.load("known", version="1").known is None


def test_a_version_that_was_registered_without_a_run_is_known_and_refused(registry, plain_client, model):
    register(registry, model, "runless")
    source = registry.version("runless", "1").location
    plain_client.create_model_version("runless", source)
    registry.promote("runless", "2")
    assert (registry.champion("runless").version, registry.champion("runless").run_id) == ("2", "")
    assert [each.run_id == "" for each in registry.versions("runless")] == [False, True]
    with pytest.raises(ValueError, match="version 2 of model runless was registered without a run"):
        registry.load("runless", alias="champion")
    served = Champions(Either(registry, "1"), ["runless"])
    served._registry.number = "2"
    assert served.refresh() == []
    assert "without a run" in served.refused["runless", "2"]
    assert served.find("runless").version == "1"


class Either:
    """A registry whose champion is chosen by the test."""

    def __init__(self, registry, number):
        self._registry, self.number = registry, number

    def champion(self, name):
        return self._registry.version(name, self.number)

    def load(self, name, *, version):
        return self._registry.load(name, version=version)


@pytest.mark.parametrize("carry", [shutil.move, shutil.copytree])
def test_a_store_that_was_moved_or_copied_goes_on(tmp_path, model, carry):
    before, after = tmp_path / "first home", tmp_path / "another ü#1"
    before.mkdir()
    first = registry_in(before)
    register(first, model, "carried")
    first.promote("carried", "1")
    carry(before, after)
    originals = sorted(before.rglob("*")) if before.exists() else []
    moved = registry_in(after)
    np.testing.assert_array_equal(predict(moved.load("carried", alias="champion"), rows(2)), predict(model, rows(2)))
    second = register(moved, model, "carried")
    moved.resumed_run(second.run_id).log_files({"plots/roc.png": b"\x89PNG"})
    assert len(list(after.rglob("roc.png"))) == 1
    assert len(list(after.rglob("MLmodel"))) == 2
    with closing(sqlite3.connect(after / "mlflow.db")) as connection:
        stored = "\n".join(connection.iterdump())
    assert str(before) not in stored
    assert before.as_uri() not in stored
    assert (sorted(before.rglob("*")) if before.exists() else []) == originals


def test_a_store_whose_files_lie_elsewhere_is_left_as_it_is(tmp_path, model):
    uri = f"sqlite:///{tmp_path}/database/mlflow.db"
    first = Registry(uri, f"{tmp_path}/one/models", "training")
    register(first, model, "shared")
    other = Registry(uri, f"{tmp_path}/other/models", "training")
    assert other.load("shared", version="1").features == model.features
    assert not (tmp_path / "other").exists()
