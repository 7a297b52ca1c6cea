"""The interface of a tracker: subclass `Tracker` and `TrackedRun`, and write what is abstract.

A tracker is registered under the entry point group `ml_assets.trackers` and switched on by ``ML_ASSETS_TRACKERS``.
"""

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

import polars as pl

from ml_assets.registry.records import RegisteredVersion, RunOrigin

RunStatus = Literal["FINISHED", "FAILED", "KILLED"]


@dataclass(frozen=True)
class TrackingPlace:
    """Where runs are kept.

    Attributes:
        tracking_uri: of MLflow: ``sqlite:////path/mlflow.db``, another database, or the URL of a server.
        artifact_root: local directory or URL under which files are kept; None leaves it to MLflow's server.
        experiment: what the runs belong to.
    """

    tracking_uri: str
    artifact_root: str | None
    experiment: str


@dataclass(frozen=True)
class RunStart:
    """A training run that begins.

    Attributes:
        run_id: the id that MLflow gave it, by which it is resumed.
        name: shown to people.
        origin: the code, tables and declaration that it rests on.
    """

    run_id: str
    name: str
    origin: RunOrigin
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class SearchTrial:
    """One trial of a hyperparameter search.

    Attributes:
        number: from 0.
        value: of the metric on the validation rows; None if the trial was pruned.
        rounds: boosting rounds that it took; None where nothing learns in rounds.
    """

    number: int
    state: Literal["complete", "pruned"]
    parameters: Mapping[str, Any]
    value: float | None
    rounds: int | None
    seconds: float


class TrackedRun(ABC):
    """What one tracker keeps of one run.

    Methods that are not abstract keep their content as files or tags; override them where the tracker has a better
    place for it. An error that a method raises fails the training if the tracker is MLflow; any other tracker is left
    out of the rest of the run, with a warning.
    """

    keeps_trials: ClassVar[bool] = False
    """Whether `log_trials` is to be called: the trials are read only if a tracker keeps them."""

    @abstractmethod
    def log_parameters(self, parameters: Mapping[str, Any]) -> None:
        """Record parameters; a run keeps the first value of each."""

    @abstractmethod
    def log_metrics(self, metrics: Mapping[str, float]) -> None:
        """Record metrics without steps."""

    @abstractmethod
    def log_curve(self, metric: str, values: Sequence[float]) -> None:
        """Record a metric after each boosting round; steps count from 1."""

    @abstractmethod
    def set_tags(self, tags: Mapping[str, str]) -> None:
        """Set tags; an existing one is replaced."""

    @abstractmethod
    def log_files(self, files: Mapping[str, bytes | str]) -> None:
        """Store files by their path within the run, such as ``{"plots/roc.png": png, "evaluation.json": text}``."""

    @abstractmethod
    def end(self, status: RunStatus) -> None:
        """Close the run. Not called for a run that was resumed, which has ended already."""

    def describe(self, text: str) -> None:
        """Set the description of the run."""
        self.set_tags({"description": text})

    def log_json(self, name: str, content: Any) -> None:
        """Store JSON values as a file."""
        self.log_files({name: json.dumps(content, indent=1)})

    def log_plots(self, plots: Mapping[str, bytes]) -> None:
        """Store plots, PNG by name."""
        self.log_files({f"plots/{name}.png": png for name, png in plots.items()})

    def log_table(self, name: str, rows: pl.DataFrame) -> None:
        """Store a small table: as JSON, rows as objects."""
        self.log_files({f"tables/{name}.json": rows.write_json()})

    def log_dataset(self, rows: pl.DataFrame, *, name: str, table: str, version: int, used_for: str) -> None:
        """Record which rows the run looks at.

        Args:
            rows: the rows themselves, which lie in the lake and are not to be stored again.
            table: asset key of the table that holds them.
            version: of the table.
            used_for: training, validation or evaluation.
        """
        about = {"name": name, "table": table, "version": version, "rows": rows.height, "columns": rows.columns}
        self.log_json(f"datasets/{used_for}.json", about)

    def log_model_files(self, name: str, directory: Path, model_id: str) -> None:
        """Store the files of a model.

        Args:
            name: shown to people.
            directory: an MLflow model directory, which is gone after the call.
            model_id: the id that MLflow gave the model.
        """
        files = sorted(path for path in directory.rglob("*") if path.is_file())
        self.log_files({f"{name}/{path.relative_to(directory).as_posix()}": path.read_bytes() for path in files})
        self.set_tags({"model_id": model_id})

    def log_trials(self, trials: Sequence[SearchTrial]) -> None:  # noqa: B027 - a tracker need not keep them
        """Record the trials of the search that found the parameters, as children of the run."""


class Tracker(ABC):
    """Keeps training runs; made with the place where MLflow keeps them."""

    def __init__(self, place: TrackingPlace) -> None:
        self.place = place

    @abstractmethod
    def start(self, run: RunStart) -> TrackedRun:
        """Start to track a run."""

    @abstractmethod
    def resume(self, run_id: str) -> TrackedRun:
        """Resume a run that has ended, to log more, such as an evaluation made in a later step."""

    def version_registered(self, version: RegisteredVersion) -> None:  # noqa: B027 - a tracker may do without
        """Record that a model of a run became a version in the registry."""

    def alias_moved(self, model: str, alias: str, version: str | None) -> None:  # noqa: B027 - likewise
        """Record that an alias, such as champion, points to another version; None where it was taken away."""
