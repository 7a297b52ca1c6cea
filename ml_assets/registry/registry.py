"""Training runs, registered versions and their aliases, kept in MLflow."""

import json
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ml_assets.addresses import artifact_uri, local_path, sqlite_path
from ml_assets.registry.recorder import RunRecorder
from ml_assets.registry.records import CHALLENGER, CHAMPION, LoggedModel, RegisteredVersion, RunOrigin
from ml_assets.registry.store.database import ensure_tracking_store
from ml_assets.registry.store.local import LocalModel, LocalStore
from ml_assets.registry.store.quiet_mlflow import import_mlflow
from ml_assets.registry.store.server import AnsweringClient
from ml_assets.training.fit import TrainedModel, load_model
from ml_assets.training.inputs import ModelInputs

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion, RegisteredModel

EXPERIMENT = "ml_assets"
"""MLflow experiment of everything that is trained here."""

_DAGSTER_RUN, _STALE = "dagster_run_id", "closed_as_stale"
_REPLACED, _ROLLED_BACK, _SETTLED = "replaced", "rolled_back_at", "decision_carried_out"

_KIND = "mlflow.experimentKind"
_ABOUT = {
    # MLflow's pages otherwise open in their mode for generative models.
    _KIND: "custom_model_development",
    "mlflow.note.content": "Trainings of the models that are declared under `defs/`, one run each: parameters, "
    "metrics on the holdout, plots, data sets, and the model, which is registered with the decision on it.",
}
"""Tags of the experiment."""


class Registry:
    """One MLflow tracking store and its model registry.

    Nothing is global: every call names its run or version, and MLflow's own tracking URI and active run are left alone.

    Args:
        tracking_uri: ``sqlite:////path/mlflow.db``, another database, or the URL of an MLflow server.
        artifact_root: local directory or URL under which a new experiment keeps its files; None leaves it to a
            server.
        experiment: MLflow experiment that the runs belong to; created when first needed.

    Raises:
        ValueError: an SQLite store without an artifact root, which MLflow would put into the working directory.
    """

    def __init__(self, tracking_uri: str, artifact_root: str | None, experiment: str) -> None:
        if tracking_uri.startswith("sqlite:") and artifact_root is None:
            raise ValueError(f"{tracking_uri} needs an artifact root: give a directory or URL for model files")
        self.tracking_uri = tracking_uri
        self.artifact_root = artifact_root
        self.experiment = experiment

    @contextmanager
    def training_run(
        self, name: str, origin: RunOrigin, tags: Mapping[str, str] | None = None
    ) -> Iterator[RunRecorder]:
        """Open a run, hand out its recorder, and close it: FINISHED, FAILED on an error, KILLED on an interrupt."""
        run = self._client.create_run(self.experiment_id, run_name=name, tags={**_origin_tags(origin), **(tags or {})})
        recorder = RunRecorder(self._client, run.info.run_id, self.experiment_id)
        status = "KILLED"
        try:
            recorder.log_json("declaration.json", origin.declaration)
            yield recorder
            status = "FINISHED"
        except Exception:
            status = "FAILED"
            raise
        finally:
            self._client.set_terminated(recorder.run_id, status)

    def recorder(self, run_id: str) -> RunRecorder:
        """Write more into a run that has ended, such as an evaluation made in a later step."""
        return RunRecorder(self._client, run_id, self._client.get_run(run_id).info.experiment_id)

    def register(
        self,
        name: str,
        logged: LoggedModel,
        *,
        description: str = "",
        tags: Mapping[str, str] | None = None,
        about: str = "",
    ) -> RegisteredVersion:
        """Add a logged model to the registry as the next version of ``name``.

        Args:
            description: of the version.
            about: what the model is, whichever version.
        """
        self._ensure_registered_model(name, about)
        created = self._client.create_model_version(
            name,
            logged.location,
            run_id=logged.run_id,
            tags=dict(tags or {}),
            description=description,
            model_id=logged.model_id,
        )
        return _record(created)

    def set_alias(self, name: str, alias: str, version: str) -> None:
        """Point an alias to a version."""
        self._client.set_registered_model_alias(name, alias, version)

    def delete_alias(self, name: str, alias: str) -> None:
        """Take an alias away; nothing happens if it is not set."""
        self._client.delete_registered_model_alias(name, alias)

    def promote(self, name: str, version: str, *, over: str | None = None) -> None:
        """Make a version the champion; it remembers which one it replaced, and is no longer the challenger.

        Args:
            over: the champion that it replaces; default: the one that serves.
        """
        reigning = self.champion(name)
        replaced = over or (reigning and reigning.version)
        if replaced is not None and replaced != version:
            self._client.set_model_version_tag(name, version, _REPLACED, replaced)
        self.set_alias(name, CHAMPION, version)
        challenger = self.challenger(name)
        if challenger is not None and challenger.version == version:
            self.delete_alias(name, CHALLENGER)

    def find_earlier(self, name: str, to: str | None = None) -> tuple[str, str]:
        """Which version a roll-back lets serve again: by default the one that the champion replaced.

        Returns:
            The version that serves, and the one to serve again.

        Raises:
            LookupError: there is no champion, nothing it replaced, or no such version.
            ValueError: the version serves already.
        """
        reigning = self.champion(name)
        if reigning is None:
            raise LookupError(f"model {name} has no champion, so there is nothing to roll back")
        to = to or reigning.tags.get(_REPLACED)
        known = [item.version for item in self.versions(name)]
        if to is None:
            raise LookupError(f"version {reigning.version} of {name} replaced none: name one of {', '.join(known)}")
        if to not in known:
            raise LookupError(f"model {name} has no version {to}: there are {', '.join(known)}")
        if to == reigning.version:
            raise ValueError(f"version {to} of {name} is the champion already")
        return reigning.version, to

    def serve_again(self, name: str, version: str, *, as_of: datetime) -> None:
        """Let an earlier version serve from ``as_of`` on; decisions to retrain count their cooldown from then."""
        self._client.set_registered_model_tag(name, _ROLLED_BACK, as_of.isoformat())
        self.set_alias(name, CHAMPION, version)

    def settle(self, name: str, decision: str) -> None:
        """Note that a decision on the champion has been carried out."""
        self._client.set_registered_model_tag(name, _SETTLED, decision)

    def settled(self, name: str) -> str | None:
        """The decision on the champion that was carried out last, or None."""
        return self._tags(name).get(_SETTLED)

    def run_of(self, name: str, version: str) -> str | None:
        """The run that trained a version; None if there is no such version."""
        return next((item.run_id for item in self.versions(name) if item.version == version), None)

    def rolled_back_at(self, name: str) -> datetime | None:
        """The moment of the last roll-back, or None."""
        told = self._tags(name).get(_ROLLED_BACK)
        return None if told is None else datetime.fromisoformat(told)

    def find(self, name: str, alias: str) -> RegisteredVersion | None:
        """The version an alias points to; None only if the model is not registered or has no such alias.

        Raises:
            RegistryAway: a server does not answer.
            mlflow.exceptions.MlflowException: the store cannot be read.
        """
        version = self._aliases(name).get(alias)
        return None if version is None else self.version(name, version)

    def champion(self, name: str) -> RegisteredVersion | None:
        """The version that serves, or None before the first promotion."""
        return self.find(name, CHAMPION)

    def challenger(self, name: str) -> RegisteredVersion | None:
        """The version that asks to serve, or None."""
        return self.find(name, CHALLENGER)

    def version(self, name: str, version: str) -> RegisteredVersion:
        """One version by its number."""
        if self._local is not None and (found := self._local.version(name, version)):
            return found
        return _record(self._client.get_model_version(name, version))

    def versions(self, name: str) -> list[RegisteredVersion]:
        """Every version of a model, the oldest first; empty if it is not registered."""
        if sqlite_path(self.tracking_uri) is not None:
            return [] if self._local is None else self._local.versions(name)
        found = self._pages(self._client.search_model_versions, filter_string=f"name = '{name}'")
        return sorted((self.version(name, item.version) for item in found), key=lambda item: int(item.version))

    def load(self, name: str, *, alias: str | None = None, version: str | None = None) -> TrainedModel:
        """Load a version by alias or number, ready to score.

        Raises:
            ValueError: not exactly one of alias and version is given.
            LookupError: no version has the alias.
            FileNotFoundError: its files are not where they were registered.
        """
        if (alias is None) == (version is None):
            raise ValueError(f"load {name} by an alias or by a version: give exactly one")
        found = self.version(name, version) if alias is None else self.find(name, alias)
        if found is None:
            raise LookupError(f"no version of model {name} is its {alias}: train and promote one first")
        with self.files(found) as folder:
            return load_model(folder)

    def inputs(self, name: str, version: str) -> ModelInputs | None:
        """Where a version's features, rows and label come from; None for a version registered without it.

        Raises:
            FileNotFoundError: its files are not where they were registered.
        """
        with self.files(self.version(name, version)) as folder:
            return ModelInputs.read(folder)

    @contextmanager
    def files(self, version: RegisteredVersion) -> Iterator[Path]:
        """A version's MLflow model directory, as long as the context is open.

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

    def close_stale_runs(self, dagster_run_ids: Iterable[str]) -> int:
        """End the MLflow runs that killed Dagster runs left RUNNING: status KILLED, tag ``closed_as_stale``.

        Args:
            dagster_run_ids: Dagster runs known to be dead.

        Returns:
            The number of MLflow runs that were closed.
        """
        dead = set(dagster_run_ids)
        running = self._pages(
            self._client.search_runs,
            experiment_ids=[self.experiment_id],
            filter_string="attributes.status = 'RUNNING'",
        )
        stale = [run.info.run_id for run in running if run.data.tags.get(_DAGSTER_RUN) in dead]
        for run_id in stale:
            self._fail_pending_models(run_id)
            self._client.set_tag(run_id, _STALE, "true")
            self._client.set_terminated(run_id, "KILLED")
        return len(stale)

    @cached_property
    def experiment_id(self) -> str:
        """Id of the experiment, which is created if need be."""
        from mlflow.exceptions import MlflowException

        found = self._client.get_experiment_by_name(self.experiment)
        if found is not None:
            if _KIND not in found.tags:
                for key, value in _ABOUT.items():
                    self._client.set_experiment_tag(found.experiment_id, key, value)
            return found.experiment_id
        location = None if self.artifact_root is None else f"{artifact_uri(self.artifact_root)}/{self.experiment}"
        try:
            return self._client.create_experiment(self.experiment, artifact_location=location, tags=_ABOUT)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
            return self._client.get_experiment_by_name(self.experiment).experiment_id

    @cached_property
    def _client(self) -> "MlflowClient":
        mlflow = import_mlflow()
        ensure_tracking_store(self.tracking_uri, self.artifact_root)
        client = mlflow.MlflowClient(tracking_uri=self.tracking_uri, registry_uri=self.tracking_uri)
        return AnsweringClient(client, self.tracking_uri) if self.tracking_uri.startswith("http") else client

    def annotate(self, name: str, version: str, *, description: str, tags: Mapping[str, str]) -> None:
        """Say of a version what has become known since it was registered."""
        self._client.update_model_version(name, version, description)
        for key, value in tags.items():
            self._client.set_model_version_tag(name, version, key, value)

    def _ensure_registered_model(self, name: str, about: str) -> None:
        from mlflow.exceptions import MlflowException

        try:
            self._client.create_registered_model(name, description=about)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
            if about and self._client.get_registered_model(name).description != about:
                self._client.update_registered_model(name, about)

    @property
    def _local(self) -> LocalStore | None:
        """The file that can be read without MLflow; None for another store, and before there is one."""
        path = sqlite_path(self.tracking_uri)
        if path is None or not path.exists():
            return None
        ensure_tracking_store(self.tracking_uri, self.artifact_root)
        return LocalStore(path)

    def _aliases(self, name: str) -> Mapping[str, str]:
        found = self._registered(name)
        return {} if found is None else found.aliases

    def _tags(self, name: str) -> Mapping[str, str]:
        found = self._registered(name)
        return {} if found is None else found.tags

    def _registered(self, name: str) -> "LocalModel | RegisteredModel | None":
        path = sqlite_path(self.tracking_uri)
        if path is not None:
            # Before the file is there nothing is registered; whoever only looks does not make it.
            return None if self._local is None else self._local.model(name)
        from mlflow.exceptions import MlflowException

        try:
            return self._client.get_registered_model(name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            return None

    def _fail_pending_models(self, run_id: str) -> None:
        models = self._client.search_logged_models(
            experiment_ids=[self.experiment_id], filter_string=f"source_run_id = '{run_id}'"
        )
        for model in models:
            if model.status == "PENDING":
                self._client.finalize_logged_model(model.model_id, "FAILED")

    @staticmethod
    def _pages(search: Any, **query: Any) -> list[Any]:
        found, token = [], None
        while True:
            page = search(**query, page_token=token)
            found.extend(page)
            token = page.token
            if not token:
                return found


def _origin_tags(origin: RunOrigin) -> dict[str, str]:
    tags = {"table_versions": json.dumps(origin.table_versions, sort_keys=True)}
    if origin.dagster_run_id is not None:
        tags[_DAGSTER_RUN] = origin.dagster_run_id
    if origin.source is not None:
        tags |= {"mlflow.source.name": origin.source, "mlflow.source.type": "JOB"}
    if origin.code_commit is not None:
        tags["mlflow.source.git.commit"] = origin.code_commit
        tags["code_changed"] = str(origin.code_changed).lower()
    if origin.platform is not None:
        tags["ml_assets_version"] = origin.platform
    return tags


def _record(found: "ModelVersion") -> RegisteredVersion:
    return RegisteredVersion(
        name=found.name,
        version=str(found.version),
        run_id=found.run_id,
        location=found.source,
        aliases=tuple(sorted(found.aliases)),
        tags=dict(found.tags),
    )
