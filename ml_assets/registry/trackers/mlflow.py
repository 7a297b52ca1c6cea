"""MLflow as the tracker that keeps every run."""

import json
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from ml_assets.registry.records import LoggedModel, RunOrigin
from ml_assets.registry.store.connection import MlflowConnection
from ml_assets.registry.trackers.interface import RunStart, RunStatus, TrackedRun, Tracker, TrackingPlace
from ml_assets.registry.trackers.mlflow_datasets import dataset_input

if TYPE_CHECKING:
    from mlflow import MlflowClient

DAGSTER_RUN = "dagster_run_id"
"""Tag of a run: the Dagster run that it is made in."""
_TABLES, _CHANGED, _PLATFORM = "table_versions", "code_changed", "ml_assets_version"
_SOURCE, _COMMIT = "mlflow.source.name", "mlflow.source.git.commit"


class MlflowTracker(Tracker):
    """Runs of one experiment in MLflow."""

    def __init__(self, place: TrackingPlace) -> None:
        super().__init__(place)
        self.connection = MlflowConnection(place.tracking_uri, place.artifact_root, place.experiment)

    def create(self, name: str, origin: RunOrigin, tags: Mapping[str, str]) -> RunStart:
        """Create a run; its id identifies it for every tracker."""
        client, experiment = self.connection.client, self.connection.experiment_id
        run = client.create_run(experiment, run_name=name, tags={**_origin_tags(origin), **tags})
        return RunStart(run.info.run_id, name, origin, tags)

    def start(self, run: RunStart) -> "MlflowRun":
        """Start to write into a run that `create` made."""
        return MlflowRun(self.connection.client, run.run_id, self.connection.experiment_id)

    def resume(self, run_id: str) -> "MlflowRun":
        """Resume a run that has ended, to write more."""
        client = self.connection.client
        return MlflowRun(client, run_id, client.get_run(run_id).info.experiment_id)


class MlflowRun(TrackedRun):
    """Parameters, metrics, tags, files and models of one run, by its id; there is no "active run"."""

    def __init__(self, client: "MlflowClient", run_id: str, experiment_id: str) -> None:
        self.run_id = run_id
        self._client = client
        self._experiment_id = experiment_id

    def log_parameters(self, parameters: Mapping[str, Any]) -> None:
        from mlflow.entities import Param

        self._client.log_batch(self.run_id, params=[Param(key, str(value)) for key, value in parameters.items()])

    def log_metrics(self, metrics: Mapping[str, float]) -> None:
        from mlflow.entities import Metric

        now = _now()
        self._client.log_batch(self.run_id, metrics=[Metric(key, value, now, 0) for key, value in metrics.items()])

    def log_curve(self, metric: str, values: Sequence[float]) -> None:
        from mlflow.entities import Metric

        now = _now()
        steps = [Metric(metric, value, now, step) for step, value in enumerate(values, start=1)]
        self._client.log_batch(self.run_id, metrics=steps)

    def set_tags(self, tags: Mapping[str, str]) -> None:
        from mlflow.entities import RunTag

        self._client.log_batch(self.run_id, tags=[RunTag(key, value) for key, value in tags.items()])

    def log_dataset(self, rows: pl.DataFrame, *, name: str, table: str, version: int, used_for: str) -> None:
        """Record name, digest, source and schema of rows; see ``dataset_input``."""
        given = dataset_input(rows, name=name, table=table, version=version, used_for=used_for)
        self._client.log_inputs(self.run_id, [given])

    def describe(self, text: str) -> None:
        """Set what MLflow shows as the description of the run."""
        self.set_tags({"mlflow.note.content": text})

    def log_files(self, files: Mapping[str, bytes | str]) -> None:
        """Store files as the run's artifacts."""
        with tempfile.TemporaryDirectory() as folder:
            for name, content in files.items():
                path = Path(folder, name)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content.encode() if isinstance(content, str) else content)
            self._client.log_artifacts(self.run_id, folder)

    @contextmanager
    def new_model(self, name: str, model_type: str) -> Iterator[LoggedModel]:
        """Announce a model whose files are stored while the context is open; an error marks it as FAILED.

        Args:
            name: shown in the UI.
            model_type: shown in the UI, such as the library's name.
        """
        from mlflow.entities import LoggedModelOutput

        logged = self._client.create_logged_model(
            self._experiment_id, name=name, source_run_id=self.run_id, model_type=model_type
        )
        try:
            yield LoggedModel(model_id=logged.model_id, run_id=self.run_id, location=logged.artifact_location)
        except Exception:
            self._client.finalize_logged_model(logged.model_id, "FAILED")
            raise
        self._client.finalize_logged_model(logged.model_id, "READY")
        self._client.log_outputs(self.run_id, [LoggedModelOutput(logged.model_id, step=0)])

    def log_model_files(self, name: str, directory: Path, model_id: str) -> None:  # noqa: ARG002
        """Store the files of a model that `new_model` announced."""
        self._client.log_model_artifacts(model_id, str(directory))

    def end(self, status: RunStatus) -> None:
        self._client.set_terminated(self.run_id, status)


def _now() -> int:
    """Return when the metric was written down, in ms, as MLflow does for the run itself; no result depends on it."""
    return int(time.time() * 1000)


def _origin_tags(origin: RunOrigin) -> dict[str, str]:
    tags = {_TABLES: json.dumps(origin.table_versions, sort_keys=True)}
    if origin.dagster_run_id is not None:
        tags[DAGSTER_RUN] = origin.dagster_run_id
    if origin.source is not None:
        tags |= {_SOURCE: origin.source, "mlflow.source.type": "JOB"}
    if origin.code_commit is not None:
        tags[_COMMIT] = origin.code_commit
        tags[_CHANGED] = str(origin.code_changed).lower()
    if origin.platform is not None:
        tags[_PLATFORM] = origin.platform
    return tags


def origin_of(tags: Mapping[str, str]) -> RunOrigin:
    """Read an origin, but for the declaration, from the tags of a run."""
    return RunOrigin(
        dagster_run_id=tags.get(DAGSTER_RUN),
        code_commit=tags.get(_COMMIT),
        code_changed=tags.get(_CHANGED) == "true",
        platform=tags.get(_PLATFORM),
        table_versions=json.loads(tags.get(_TABLES, "{}")),
        source=tags.get(_SOURCE),
    )
