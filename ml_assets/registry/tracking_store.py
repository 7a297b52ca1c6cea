"""The database behind MLflow."""

from pathlib import Path

from ml_assets.training.sqlite_file import create_whole, sqlite_path


def ensure_tracking_store(tracking_uri: str, artifact_root: str | None) -> None:
    """Create the tables of an SQLite tracking store that does not exist yet; another store is left as it is.

    MLflow would do so by itself, but table by table: see ``create_whole``.
    """
    path = sqlite_path(tracking_uri)
    if path is None:
        return

    def create_tables(url: str) -> None:
        from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

        store = SqlAlchemyStore(url, str(artifact_root or Path(path).parent))
        store.engine.dispose()

    create_whole(path, create_tables)
