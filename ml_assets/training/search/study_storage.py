"""Where Optuna keeps its studies."""

from typing import TYPE_CHECKING

from ml_assets.addresses import sqlite_path
from ml_assets.training.search.sqlite_file import create_whole

if TYPE_CHECKING:
    import optuna

_BUSY_SECONDS = 60  # how long a process waits while another one writes


def open_storage(url: str) -> "optuna.storages.RDBStorage":
    """Open the Optuna storage behind an SQLAlchemy URL; create its tables if there are none."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    path = sqlite_path(url)
    if path is None:
        return optuna.storages.RDBStorage(url)
    create_whole(path, _create_tables, named="studies")
    return optuna.storages.RDBStorage(_as_template(url), engine_kwargs={"connect_args": {"timeout": _BUSY_SECONDS}})


def check_studies_address(url: str) -> None:
    """Raise ValueError for a URL that is none of SQLAlchemy's, or whose database needs what is not installed."""
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError, NoSuchModuleError

    try:
        make_url(url).get_dialect().import_dbapi()
    except ArgumentError:
        raise ValueError("is no SQLAlchemy URL, such as postgresql+psycopg://user:password@host/name") from None
    except (NoSuchModuleError, ImportError) as error:
        raise ValueError(f"names a database whose driver cannot be loaded: {error}") from None


def _create_tables(url: str) -> None:
    import optuna

    storage = optuna.storages.RDBStorage(_as_template(url))
    storage.remove_session()
    storage.engine.dispose()


def _as_template(url: str) -> str:
    """Escape braces in a URL, which Optuna takes for placeholders."""
    return url.replace("{", "{{").replace("}", "}}")
