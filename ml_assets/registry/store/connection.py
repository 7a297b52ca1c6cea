"""One MLflow store: its client, its experiment, and its file where that can be read without MLflow."""

from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

from ml_assets.addresses import artifact_uri, sqlite_path
from ml_assets.registry.store.database import ensure_tracking_store
from ml_assets.registry.store.local import LocalStore
from ml_assets.registry.store.quiet_mlflow import import_mlflow
from ml_assets.registry.store.server import AnsweringClient, require_database

if TYPE_CHECKING:
    from mlflow import MlflowClient

_KIND = "mlflow.experimentKind"
_EXPERIMENT_TAGS = {
    # MLflow's pages otherwise open in their mode for generative models.
    _KIND: "custom_model_development",
    "mlflow.note.content": "Trainings of the models that are declared under `defs/`, one run each: parameters, "
    "metrics on the holdout, plots, data sets, and the model, which is registered with the decision on it.",
}


class MlflowConnection:
    """An MLflow tracking store with its registry, opened when first used.

    Nothing is global: every call names its run or version, and MLflow's own tracking URI and active run are left alone.

    Raises:
        ValueError: an SQLite store without an artifact root, which MLflow would put into the working directory.
    """

    def __init__(self, tracking_uri: str, artifact_root: str | None, experiment: str) -> None:
        if tracking_uri.startswith("sqlite:") and artifact_root is None:
            raise ValueError(f"{tracking_uri} needs an artifact root: give a directory or URL for model files")
        self.tracking_uri = tracking_uri
        self.artifact_root = artifact_root
        self.experiment = experiment

    @cached_property
    def client(self) -> "MlflowClient":
        """MLflow's client; creates the tables of a new SQLite store."""
        mlflow = import_mlflow()
        ensure_tracking_store(self.tracking_uri, self.artifact_root)
        if not self.tracking_uri.startswith(("http", "sqlite:", "databricks")):
            require_database(self.tracking_uri)
        client = mlflow.MlflowClient(tracking_uri=self.tracking_uri, registry_uri=self.tracking_uri)
        if not self.tracking_uri.startswith("http"):
            return client
        return cast("MlflowClient", AnsweringClient(client, self.tracking_uri))

    @cached_property
    def experiment_id(self) -> str:
        """Id of the experiment, which is created if need be."""
        from mlflow.exceptions import MlflowException

        existing = self.client.get_experiment_by_name(self.experiment)
        if existing is not None:
            if _KIND not in existing.tags:
                for key, value in _EXPERIMENT_TAGS.items():
                    self.client.set_experiment_tag(existing.experiment_id, key, value)
            return existing.experiment_id
        location = None if self.artifact_root is None else f"{artifact_uri(self.artifact_root)}/{self.experiment}"
        try:
            return self.client.create_experiment(self.experiment, artifact_location=location, tags=_EXPERIMENT_TAGS)
        except MlflowException as error:
            created = self.client.get_experiment_by_name(self.experiment)
            if error.error_code != "RESOURCE_ALREADY_EXISTS" or created is None:
                raise
            return created.experiment_id

    @property
    def is_sqlite(self) -> bool:
        """Whether the store is an SQLite file."""
        return sqlite_path(self.tracking_uri) is not None

    @property
    def local(self) -> LocalStore | None:
        """The SQLite file, which can be read without MLflow; None for another store, and before there is a file."""
        path = sqlite_path(self.tracking_uri)
        if path is None or not path.exists():
            return None
        ensure_tracking_store(self.tracking_uri, self.artifact_root)
        return LocalStore(path)


def all_pages(search: Any, **query: Any) -> list[Any]:
    """Collect every result of a paged search of MLflow's client."""
    results, token = [], None
    while True:
        page = search(**query, page_token=token)
        results.extend(page)
        token = page.token
        if not token:
            return results
