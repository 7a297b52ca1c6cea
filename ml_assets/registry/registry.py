"""Training runs, registered versions and their aliases, kept in MLflow."""

import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ml_assets.addresses import local_path
from ml_assets.registry.records import RegisteredVersion, RunOrigin
from ml_assets.registry.runs import close_stale_runs, resumed_run, training_run
from ml_assets.registry.store.quiet_mlflow import import_mlflow
from ml_assets.registry.trackers.interface import TrackingPlace
from ml_assets.registry.trackers.known import open_listeners
from ml_assets.registry.trackers.mlflow import MlflowTracker, origin_of
from ml_assets.registry.trackers.training_run import TrainingRun
from ml_assets.registry.versions import ModelVersions
from ml_assets.training.fit import TrainedModel, load_model
from ml_assets.training.records.inputs import ModelInputs

if TYPE_CHECKING:
    from mlflow import MlflowClient

EXPERIMENT = "ml_assets"
"""MLflow experiment of everything that is trained here."""


class Registry(ModelVersions):
    """One MLflow store: training runs, and the registered models that came out of them.

    Nothing is global: every call names its run or version, and MLflow's own tracking URI and active run are left alone.

    Args:
        tracking_uri: ``sqlite:////path/mlflow.db``, another database, or the URL of an MLflow server.
        artifact_root: local directory or URL under which a new experiment keeps its files; None leaves it to a
            server.
        experiment: MLflow experiment that the runs belong to; created when first needed.
        trackers: names of trackers beside MLflow, which follow the same runs, versions and aliases.

    Raises:
        ValueError: an SQLite store without an artifact root, which MLflow would put into the working directory; or a
            tracker is unknown.
    """

    def __init__(
        self, tracking_uri: str, artifact_root: str | None, experiment: str, trackers: Sequence[str] = ()
    ) -> None:
        place = TrackingPlace(tracking_uri, artifact_root, experiment)
        self._mlflow = MlflowTracker(place)
        super().__init__(self._mlflow.connection, open_listeners(trackers, place))
        self.tracking_uri = tracking_uri
        self.artifact_root = artifact_root
        self.experiment = experiment

    def training_run(
        self, name: str, origin: RunOrigin, tags: Mapping[str, str] | None = None
    ) -> AbstractContextManager[TrainingRun]:
        """Open a run and close it: FINISHED, FAILED on an error, KILLED on an interrupt."""
        return training_run(self._mlflow, self._listeners, name, origin, tags or {})

    def resumed_run(self, run_id: str) -> TrainingRun:
        """Resume a run that has ended, to log more, such as an evaluation made in a later step."""
        return resumed_run(self._mlflow, self._listeners, run_id)

    def close_stale_runs(self, dagster_run_ids: Iterable[str]) -> int:
        """End the MLflow runs that killed Dagster runs left RUNNING: status KILLED, tag ``closed_as_stale``.

        Args:
            dagster_run_ids: Dagster runs known to be dead.

        Returns:
            The number of MLflow runs that were closed.
        """
        return close_stale_runs(self._connection, dagster_run_ids)

    @property
    def experiment_id(self) -> str:
        """Id of the experiment, which is created if need be."""
        return self._connection.experiment_id

    @property
    def _client(self) -> "MlflowClient":
        return self._connection.client

    def load(self, name: str, *, alias: str | None = None, version: str | None = None) -> TrainedModel:
        """Load a version by alias or number, ready to score.

        Raises:
            ValueError: not exactly one of alias and version is given, or the version was registered without a run.
            LookupError: no version has the alias.
            FileNotFoundError: its files are not where they were registered.
        """
        if (alias is None) == (version is None):
            raise ValueError(f"load {name} by an alias or by a version: give exactly one")
        chosen = self.version(name, version) if version is not None else self.find(name, alias or "")
        if chosen is None:
            raise LookupError(f"no version of model {name} is its {alias}: train and promote one first")
        if not chosen.run_id:
            raise ValueError(
                f"version {chosen.version} of model {name} was registered without a run: what it learnt from is not "
                "known; train one, or move the alias back by `ml-assets rollback`"
            )
        with self.files(chosen) as folder:
            return load_model(folder)

    def inputs(self, name: str, version: str) -> ModelInputs | None:
        """Read where a version's features, rows and label come from; None for a version registered without it.

        Raises:
            FileNotFoundError: its files are not where they were registered.
        """
        with self.files(self.version(name, version)) as folder:
            return ModelInputs.read(folder)

    def origin(self, run_id: str) -> RunOrigin:
        """Return where a training run came from, without the declaration; what its tags do not say is null."""
        local = self._connection.local
        return origin_of(local.run_tags(run_id) if local is not None else self._client.get_run(run_id).data.tags)

    @contextmanager
    def files(self, version: RegisteredVersion) -> Iterator[Path]:
        """Provide a version's MLflow model directory, as long as the context is open.

        Raises:
            FileNotFoundError: its files are not where they were registered.
        """
        local = local_path(version.location)
        if local is not None and local.is_dir():
            yield local
            return
        mlflow = import_mlflow()
        with tempfile.TemporaryDirectory() as folder:
            try:
                path = mlflow.artifacts.download_artifacts(
                    artifact_uri=version.location, dst_path=folder, tracking_uri=self.tracking_uri
                )
            except mlflow.exceptions.MlflowException as error:
                raise FileNotFoundError(
                    f"version {version.version} of model {version.name} cannot be read from {version.location}: "
                    f"{str(error).splitlines()[-1]}"
                ) from error
            yield Path(path)
