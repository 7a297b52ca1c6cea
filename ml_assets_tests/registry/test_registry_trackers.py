"""Trackers beside MLflow: a toy one that writes JSON lines sees what MLflow holds, and a broken one loses nothing."""

import json
from hashlib import sha256
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from ml_assets.extensions import ExtensionError
from ml_assets.registry.records import RunOrigin
from ml_assets.registry.registry import Registry
from ml_assets.registry.store.quiet_mlflow import import_mlflow
from ml_assets.registry.trackers.interface import SearchTrial, TrackedRun, Tracker
from ml_assets.registry.trackers.known import TRACKERS
from ml_assets.training.fit import fit_model
from ml_assets.training.spec import TrainingSpec

ORIGIN = RunOrigin(table_versions={"shop/orders": 4}, declaration={"name": "m"})
TRIALS = [
    SearchTrial(0, "complete", {"max_depth": 2}, 0.7, 12, 0.5),
    SearchTrial(1, "pruned", {"max_depth": 3}, None, 4, 0.2),
]


def write(place, **line):
    with Path(place.artifact_root, f"{place.experiment}.jsonl").open("a") as lines:
        lines.write(json.dumps(line) + "\n")


class LinesRun(TrackedRun):
    keeps_trials = True

    def __init__(self, place, run_id):
        self._place, self._run_id = place, run_id

    def _write(self, what, content):
        write(self._place, run=self._run_id, what=what, content=content)

    def log_parameters(self, parameters):
        self._write("parameters", {name: str(value) for name, value in parameters.items()})

    def log_metrics(self, metrics):
        self._write("metrics", dict(metrics))

    def log_curve(self, metric, values):
        self._write("curve", {metric: list(values)})

    def set_tags(self, tags):
        self._write("tags", dict(tags))

    def log_files(self, files):
        contents = {name: value.encode() if isinstance(value, str) else value for name, value in files.items()}
        self._write("files", {name: sha256(value).hexdigest() for name, value in contents.items()})

    def log_dataset(self, rows, *, name, table, version, used_for):
        self._write("datasets", {used_for: [name, table, version, rows.height]})

    def log_trials(self, trials):
        self._write("trials", {str(trial.number): [trial.state, trial.value] for trial in trials})

    def end(self, status):
        self._write("status", {"end": status})


class LinesTracker(Tracker):
    def start(self, run):
        write(self.place, run=run.run_id, what="start", content={run.name: run.origin.table_versions})
        return LinesRun(self.place, run.run_id)

    def resume(self, run_id):
        return LinesRun(self.place, run_id)

    def version_registered(self, version):
        write(self.place, run=version.run_id, what="version", content={version.name: version.version})

    def alias_moved(self, model, alias, version):
        write(self.place, run=None, what="alias", content={f"{model}@{alias}": version})


@pytest.fixture
def trackers():
    """Register trackers for the time of a test."""
    added = []

    def register(**classes):
        for name, implementation in classes.items():
            TRACKERS.register(name, implementation)
            added.append(name)

    yield register
    for name in added:
        TRACKERS.unregister(name)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """A folder whose database MLflow makes once; tests that need a registry of their own take an experiment."""
    return tmp_path_factory.mktemp("store")


def registry_in(folder, experiment, *names):
    return Registry(f"sqlite:///{folder}/mlflow.db", str(folder), experiment, names)


def client_of(registry):
    return import_mlflow().MlflowClient(registry.tracking_uri, registry.tracking_uri)


def rows():
    random = np.random.default_rng(0)
    frame = pl.DataFrame({"a": random.normal(size=300)})
    return frame.with_columns(y=pl.Series(frame["a"].to_numpy() + random.normal(size=300) > 0))


def model():
    training = TrainingSpec(threads=1, max_rounds=5)
    options = {
        "features": ["a"],
        "label": "y",
        "parameters": {"max_depth": 2},
        "training": training,
        "metric": "roc_auc",
        "seed": 0,
    }
    return fit_model(rows(), rows(), **options)


def seen(registry, what):
    """Everything of one kind that the toy tracker wrote, later content over earlier."""
    written = Path(registry.artifact_root, f"{registry.experiment}.jsonl").read_text()
    lines = [json.loads(line) for line in written.splitlines()]
    merged = {}
    for line in lines:
        merged |= line["content"] if line["what"] == what else {}
    return merged


def digests(folder):
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): sha256(path.read_bytes()).hexdigest() for path in files}


def local(location):
    return Path(location.removeprefix("file://"))


@pytest.fixture(scope="module")
def lived(store):
    """A training, its evaluation in a later step and a promotion, with the toy tracker beside MLflow."""
    TRACKERS.register("lines", LinesTracker)
    registry = registry_in(store, "lived", "lines")
    with registry.training_run("m", ORIGIN, tags={"as_of": "2024-03-01"}) as run:
        fitted = model()
        run.log_trials(lambda: TRIALS)
        run.log_parameters(fitted.parameters | {"trees": fitted.best_iteration + 1})
        run.log_curve("validation_roc_auc", fitted.history)
        run.log_dataset(rows(), name="m", table="m/training_set", version=4, used_for="training")
        logged = run.log_model("m", fitted, rows().head(5))
        run.set_tags({"task": "binary"})
        version = registry.register("m", logged, tags={"as_of": "2024-03-01"})
    registry.set_alias("m", "challenger", version.version)
    later = registry.resumed_run(run.run_id)
    later.log_metrics({"holdout_roc_auc": 0.75, "holdout_log_loss": 0.5})
    later.log_plots({"roc": b"\x89PNG curve", "calibration": b"\x89PNG bins"})
    later.log_table("slices", pl.DataFrame({"slice": ["a", "b"], "roc_auc": [0.7, 0.8]}))
    later.log_files({"note.txt": "as it is"})
    registry.promote("m", version.version)
    TRACKERS.unregister("lines")
    kept = client_of(registry).get_run(run.run_id)
    return registry, kept, version


def test_it_sees_the_parameters_that_mlflow_holds(lived):
    registry, kept, _ = lived
    assert kept.data.params.keys() == {"trees", "max_depth"}
    assert seen(registry, "parameters") == kept.data.params


def test_it_sees_the_metrics_and_curves_that_mlflow_holds(lived):
    registry, kept, _ = lived
    curves = seen(registry, "curve")
    assert curves.keys() == {"validation_roc_auc"}
    for name, values in curves.items():
        history = client_of(registry).get_metric_history(kept.info.run_id, name)
        assert [(point.step, point.value) for point in history] == list(enumerate(values, start=1))
    single = {name: value for name, value in kept.data.metrics.items() if name not in curves}
    assert seen(registry, "metrics") == single == {"holdout_roc_auc": 0.75, "holdout_log_loss": 0.5}


def test_it_sees_the_plots_tables_and_files_that_mlflow_holds(lived):
    registry, kept, version = lived
    artifacts = digests(local(kept.info.artifact_uri))
    names = {"declaration.json", "plots/roc.png", "plots/calibration.png", "tables/slices.json", "note.txt"}
    assert artifacts.keys() == names
    model_files = {f"m/{name}": digest for name, digest in digests(local(version.location)).items()}
    assert "m/MLmodel" in model_files
    assert seen(registry, "files") == artifacts | model_files


def test_it_sees_datasets_tags_versions_and_aliases_that_mlflow_holds(lived):
    registry, kept, version = lived
    (used,) = kept.inputs.dataset_inputs
    source, profile = json.loads(used.dataset.source), json.loads(used.dataset.profile)
    held = [used.dataset.name, source["delta_table_name"], source["delta_table_version"], profile["num_rows"]]
    assert seen(registry, "datasets") == {used.tags[0].value: held} == {"training": ["m", "m/training_set", 4, 300]}
    tags = seen(registry, "tags")
    assert tags.pop("model_id") == kept.outputs.model_outputs[0].model_id
    assert tags == {"task": "binary"}
    assert tags.items() <= kept.data.tags.items()
    assert seen(registry, "version") == {"m": version.version}
    assert seen(registry, "alias") == {"m@challenger": None, "m@champion": "1"}
    assert registry.versions("m")[0].aliases == ("champion",)
    assert seen(registry, "status") == {"end": kept.info.status} == {"end": "FINISHED"}


def test_it_sees_the_trials_of_the_search(lived):
    assert seen(lived[0], "trials") == {"0": ["complete", 0.7], "1": ["pruned", None]}


def test_trials_are_read_only_for_a_tracker_that_keeps_them(store):
    with registry_in(store, "trials").training_run("m", ORIGIN) as run:
        run.log_trials(lambda: pytest.fail("nobody keeps them"))


@pytest.mark.parametrize(("error", "status"), [(ValueError, "FAILED"), (KeyboardInterrupt, "KILLED")])
def test_it_hears_that_a_run_broke(store, trackers, error, status):
    trackers(lines=LinesTracker)
    registry = registry_in(store, status, "lines")
    with pytest.raises(error), registry.training_run("m", ORIGIN):
        raise error
    assert seen(registry, "status") == {"end": status}


class BrokenRun(LinesRun):
    def log_metrics(self, metrics):
        raise ConnectionError(f"the server is\naway with {len(metrics)}")


class BreaksLater(LinesTracker):
    def start(self, run):
        return BrokenRun(self.place, run.run_id)


class BreaksAtOnce(LinesTracker):
    def start(self, run):  # noqa: ARG002
        raise PermissionError("no key")

    def alias_moved(self, model, alias, version):  # noqa: ARG002
        raise TimeoutError("no answer")


def test_a_tracker_that_fails_is_left_out_and_the_training_goes_on(store, trackers, caplog):
    trackers(later=BreaksLater, at_once=BreaksAtOnce)
    registry = registry_in(store, "broken", "later", "at_once")
    with registry.training_run("m", ORIGIN) as run:
        run.log_parameters({"max_depth": 3})
        run.log_metrics({"roc_auc": 0.75})
        run.log_curve("loss", [0.5])
    kept = client_of(registry).get_run(run.run_id)
    assert (kept.info.status, kept.data.params) == ("FINISHED", {"max_depth": "3"})
    assert kept.data.metrics == {"roc_auc": 0.75, "loss": 0.5}
    assert kept.data.tags["tracker_failed.later"] == "ConnectionError: the server is away with 1"
    assert kept.data.tags["tracker_failed.at_once"] == "PermissionError: no key"
    assert seen(registry, "parameters") == {"max_depth": "3"}
    assert (seen(registry, "curve"), seen(registry, "status")) == ({}, {})
    logged = [record.getMessage() for record in caplog.records if record.name.startswith("ml_assets")]
    assert logged == [f"tracker {name} failed and is left out from here on" for name in ("at_once", "later")]


def test_an_alias_that_a_tracker_does_not_take_moves_all_the_same(store, trackers):
    trackers(at_once=BreaksAtOnce)
    registry = registry_in(store, "alias", "at_once")
    with registry.training_run("m", ORIGIN) as run:
        registry.register("taken", run.log_model("m", model(), rows().head(5)))
    registry.promote("taken", "1")
    champion = registry.champion("taken")
    assert champion.version == "1"
    assert champion.tags["tracker_failed.at_once"] == "TimeoutError: no answer"


def test_an_error_of_mlflow_is_an_error(store, trackers):
    trackers(lines=LinesTracker)
    registry = registry_in(store, "strict", "lines")
    with registry.training_run("m", ORIGIN) as run:
        run.log_parameters({"max_depth": 3})
        with pytest.raises(import_mlflow().exceptions.MlflowException):
            run.log_parameters({"max_depth": 4})
    assert seen(registry, "parameters") == {"max_depth": "3"}


def test_a_tracker_must_be_known(tmp_path):
    with pytest.raises(ExtensionError, match=r"unknown tracker 'lines': known are mlflow; .* 'ml_assets.trackers'"):
        registry_in(tmp_path, "m", "lines")


class InterruptedAtStart(LinesTracker):
    def start(self, run):  # noqa: ARG002
        raise KeyboardInterrupt


class InterruptedAtEnd(LinesTracker):
    def start(self, run):
        class Run(LinesRun):
            def end(self, status):  # noqa: ARG002
                raise KeyboardInterrupt

        return Run(self.place, run.run_id)


@pytest.mark.parametrize(
    ("tracker", "status"), [(InterruptedAtStart, "KILLED"), (InterruptedAtEnd, "FINISHED")], ids=["start", "end"]
)
def test_an_interrupt_while_a_tracker_is_called_leaves_no_run_open(store, trackers, tracker, status):
    trackers(slow=tracker)
    registry = registry_in(store, f"interrupted_{status}", "slow")
    with pytest.raises(KeyboardInterrupt), registry.training_run("m", ORIGIN) as run:
        run.log_parameters({"max_depth": 3})
    (kept,) = client_of(registry).search_runs([registry.experiment_id])
    assert kept.info.status == status


def test_trials_that_cannot_be_read_cost_the_tracker_and_not_the_training(store, trackers):
    trackers(lines=LinesTracker)
    registry = registry_in(store, "no_trials", "lines")

    def read():
        raise ConnectionError("studies are away")

    with registry.training_run("m", ORIGIN) as run:
        run.log_trials(read)
    kept = client_of(registry).get_run(run.run_id)
    assert kept.info.status == "FINISHED"
    assert kept.data.tags["tracker_failed.lines"] == "ConnectionError: studies are away"


class NoKey(LinesTracker):
    def __init__(self, place):  # noqa: ARG002
        raise PermissionError("no key")


def test_a_tracker_that_cannot_be_opened_is_left_out(store, trackers, caplog):
    trackers(no_key=NoKey, lines=LinesTracker)
    registry = registry_in(store, "no_key", "no_key", "lines")
    with registry.training_run("m", ORIGIN) as run:
        run.log_parameters({"max_depth": 3})
    assert seen(registry, "parameters") == {"max_depth": "3"}
    assert "tracker no_key failed and is left out from here on" in caplog.text
