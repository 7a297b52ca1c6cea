"""The database behind MLflow."""

import sqlite3
from contextlib import closing
from functools import partial
from pathlib import Path

from ml_assets.addresses import artifact_uri, local_path, sqlite_path
from ml_assets.registry.store.local import RegistryUnreadable
from ml_assets.training.search.sqlite_file import create_whole

_ADDRESSES = {
    "experiments": ("artifact_location",),
    "runs": ("artifact_uri",),
    "logged_models": ("artifact_location",),
    "model_versions": ("source", "storage_location"),
}
"""Where MLflow writes down absolute addresses of files, by table."""


def ensure_tracking_store(tracking_uri: str, artifact_root: str | None) -> None:
    """Create the tables of an SQLite tracking store that does not exist yet, or follow one that was moved or copied.

    MLflow would create them by itself, but table by table: see ``create_whole``. Another store is left as it is.
    """
    path = sqlite_path(tracking_uri)
    if path is None:
        return

    root = None if artifact_root is None else local_path(artifact_root)
    beside = root is not None and root.absolute().parent == path.absolute().parent
    tables = partial(create_tables, artifact_root=str(artifact_root or path.parent))
    create_whole(path, tables, named=f"mlflow with {root.name}" if root is not None and beside else "")
    # Only what lies beside the database has come along with it; one that homes share follows none of them.
    if root is not None and beside:
        try:
            _follow(path, root.absolute())
        except sqlite3.Error as error:
            raise RegistryUnreadable(
                f"the registry {path} cannot be read ({error}): put back a copy of it, or see ML_ASSETS_MLFLOW"
            ) from error


def create_tables(url: str, artifact_root: str) -> None:
    """Create MLflow's tables in an SQLite file, and its first experiment with files below `artifact_root`."""
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    SqlAlchemyStore(url, artifact_root).engine.dispose()


def _follow(path: Path, root: Path) -> None:
    """Change every address in the database to the folder in which the files lie now."""
    with closing(sqlite3.connect(path, timeout=60)) as connection:
        before = _root_before(connection)
        if before is None or before == root:
            return
        with connection:
            # Whoever comes second finds it done.
            connection.execute("BEGIN IMMEDIATE")
            if _root_before(connection) != before:
                return
            for old, new in ((f"{before}/", f"{root}/"), (f"{before.as_uri()}/", f"{artifact_uri(str(root))}/")):
                for table, columns in _ADDRESSES.items():
                    for column in columns:
                        connection.execute(
                            f"UPDATE {table} SET {column} = ? || substr({column}, ?) WHERE substr({column}, 1, ?) = ?",
                            (new, len(old) + 1, len(old), old),
                        )


def _root_before(connection: sqlite3.Connection) -> Path | None:
    """Read the folder of files from the database: MLflow's first experiment, made with the tables, lies in it."""
    row = connection.execute("SELECT artifact_location FROM experiments WHERE experiment_id = 0").fetchone()
    place = None if row is None else local_path(row[0])
    return None if place is None or not place.is_absolute() else place.parent
