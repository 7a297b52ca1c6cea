"""A training run as the code that trains sees it: handed on to MLflow and to every other tracker."""

import tempfile
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import polars as pl

from ml_assets.registry.model_files import write_model_files
from ml_assets.registry.records import LoggedModel
from ml_assets.registry.trackers.interface import RunStatus, SearchTrial, TrackedRun, Tracker
from ml_assets.registry.trackers.listening import Listening
from ml_assets.registry.trackers.mlflow import MlflowRun
from ml_assets.training.fit import TrainedModel

FAILED = "tracker_failed."
"""Tag of a run, followed by the name of the tracker that failed; the value is the error."""


class TrainingRun:
    """One run, kept by MLflow and followed by other trackers.

    An error of MLflow is raised. Another tracker that fails is left out of the rest of the run: a warning in the log,
    and a tag ``tracker_failed.<name>`` of the run in MLflow.
    """

    def __init__(self, kept: MlflowRun) -> None:
        self.run_id = kept.run_id
        self._kept = kept
        self._listening: Listening[TrackedRun] = Listening({}, self._note)

    def begin(self, trackers: Mapping[str, Tracker], begin: Callable[[Tracker], TrackedRun]) -> None:
        """Let other trackers follow the run from now on."""
        self._listening = Listening(Listening(trackers, self._note).call(begin), self._note)

    def log_parameters(self, parameters: Mapping[str, Any]) -> None:
        """Record parameters; a run keeps the first value of each."""
        self._each(lambda run: run.log_parameters(parameters))

    def log_metrics(self, metrics: Mapping[str, float]) -> None:
        """Record metrics without steps."""
        self._each(lambda run: run.log_metrics(metrics))

    def log_curve(self, metric: str, values: Sequence[float]) -> None:
        """Record a metric after each boosting round; steps count from 1."""
        self._each(lambda run: run.log_curve(metric, values))

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """Set tags; an existing one is replaced."""
        self._each(lambda run: run.set_tags(tags))

    def describe(self, text: str) -> None:
        """Set the description of the run."""
        self._each(lambda run: run.describe(text))

    def log_dataset(self, rows: pl.DataFrame, *, name: str, table: str, version: int, used_for: str) -> None:
        """Record which rows of a table the run looks at; see `TrackedRun.log_dataset`."""
        self._each(lambda run: run.log_dataset(rows, name=name, table=table, version=version, used_for=used_for))

    def log_files(self, files: Mapping[str, bytes | str]) -> None:
        """Store files by their path within the run, such as ``{"evaluation.json": text}``."""
        self._each(lambda run: run.log_files(files))

    def log_json(self, name: str, content: Any) -> None:
        """Store JSON values as a file."""
        self._each(lambda run: run.log_json(name, content))

    def log_plots(self, plots: Mapping[str, bytes]) -> None:
        """Store plots, PNG by name."""
        self._each(lambda run: run.log_plots(plots))

    def log_table(self, name: str, rows: pl.DataFrame) -> None:
        """Store a small table."""
        self._each(lambda run: run.log_table(name, rows))

    def log_trials(self, read: Callable[[], Sequence[SearchTrial]]) -> None:
        """Log the trials of a search.

        Args:
            read: reads the trials; called only if a tracker keeps them.
        """
        read_once = cache(read)
        self._listening.call(lambda run: run.log_trials(read_once()) if run.keeps_trials else None)

    def log_model(self, name: str, model: TrainedModel, example: pl.DataFrame) -> LoggedModel:
        """Store a model in its library's own format, with signature, input example and encoding.

        Args:
            name: shown in the UI.
            example: rows with the model's features.
        """
        with tempfile.TemporaryDirectory() as folder, self._kept.new_model(name, model.model_kind.name) as logged:
            directory = Path(folder, "model")
            write_model_files(model, example, directory, model_id=logged.model_id, run_id=self.run_id)
            self._each(lambda run: run.log_model_files(name, directory, logged.model_id))
        return logged

    def end(self, status: RunStatus) -> None:
        """Close the run in every tracker, in MLflow last."""
        try:
            self._listening.call(lambda run: run.end(status))
        finally:
            self._kept.end(status)

    def _each(self, log: Callable[[TrackedRun], None]) -> None:
        log(self._kept)
        self._listening.call(log)

    def _note(self, failed: Mapping[str, str]) -> None:
        self._kept.set_tags({f"{FAILED}{name}": error for name, error in failed.items()})
