"""Writes into one MLflow run."""

import json
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from ml_assets.registry.datasets import dataset_input
from ml_assets.registry.model_files import write_model_files
from ml_assets.registry.records import LoggedModel
from ml_assets.training.fit import TrainedModel
from ml_assets.training.kinds.spaces import library

if TYPE_CHECKING:
    from mlflow import MlflowClient


class RunRecorder:
    """Parameters, metrics, tags, files and models of one run, by its id; there is no "active run"."""

    def __init__(self, client: "MlflowClient", run_id: str, experiment_id: str) -> None:
        self.run_id = run_id
        self._client = client
        self._experiment_id = experiment_id

    def log_parameters(self, parameters: Mapping[str, Any]) -> None:
        """Record parameters; a run keeps the first value of each."""
        from mlflow.entities import Param

        self._client.log_batch(self.run_id, params=[Param(key, str(value)) for key, value in parameters.items()])

    def log_metrics(self, metrics: Mapping[str, float]) -> None:
        """Record metrics without steps."""
        from mlflow.entities import Metric

        now = _now()
        self._client.log_batch(self.run_id, metrics=[Metric(key, value, now, 0) for key, value in metrics.items()])

    def log_history(self, metric: str, values: Sequence[float]) -> None:
        """Record a metric after each boosting round; steps count from 1."""
        from mlflow.entities import Metric

        now = _now()
        steps = [Metric(metric, value, now, step) for step, value in enumerate(values, start=1)]
        self._client.log_batch(self.run_id, metrics=steps)

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """Set tags; an existing one is replaced."""
        from mlflow.entities import RunTag

        self._client.log_batch(self.run_id, tags=[RunTag(key, value) for key, value in tags.items()])

    def log_dataset(self, rows: pl.DataFrame, *, name: str, table: str, version: int, used_for: str) -> None:
        """Name rows that the run looks at, with digest, source and schema; see ``dataset_input``."""
        given = dataset_input(rows, name=name, table=table, version=version, used_for=used_for)
        self._client.log_inputs(self.run_id, [given])

    def describe(self, text: str) -> None:
        """Say what the run is, where MLflow shows a description."""
        self.set_tags({"mlflow.note.content": text})

    def log_files(self, files: Mapping[str, bytes | str]) -> None:
        """Store files, such as ``{"plots/roc.png": png, "evaluation.json": text}``, as the run's artifacts."""
        with tempfile.TemporaryDirectory() as folder:
            for name, content in files.items():
                path = Path(folder, name)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content.encode() if isinstance(content, str) else content)
            self._client.log_artifacts(self.run_id, folder)

    def log_json(self, name: str, content: Any) -> None:
        """Store JSON values as an artifact."""
        self.log_files({name: json.dumps(content, indent=1)})

    def log_model(self, name: str, model: TrainedModel, example: pl.DataFrame) -> LoggedModel:
        """Store a model in its library's own format, with signature, input example and encoding.

        Args:
            name: shown in the UI.
            example: rows with the model's features.
        """
        from mlflow.entities import LoggedModelOutput

        logged = self._client.create_logged_model(
            self._experiment_id, name=name, source_run_id=self.run_id, model_type=library(model.kind)
        )
        try:
            with tempfile.TemporaryDirectory() as folder:
                directory = Path(folder, "model")
                write_model_files(model, example, directory, model_id=logged.model_id, run_id=self.run_id)
                self._client.log_model_artifacts(logged.model_id, str(directory))
        except Exception:
            self._client.finalize_logged_model(logged.model_id, "FAILED")
            raise
        self._client.finalize_logged_model(logged.model_id, "READY")
        self._client.log_outputs(self.run_id, [LoggedModelOutput(logged.model_id, step=0)])
        return LoggedModel(model_id=logged.model_id, run_id=self.run_id, location=logged.artifact_location)


def _now() -> int:
    """When the metric was written down, in ms, as MLflow does for the run itself; no result depends on it."""
    return int(time.time() * 1000)
