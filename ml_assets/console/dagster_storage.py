"""Dagster's storage: the one module of the console that loads Dagster."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dagster import DagsterInstance

    from ml_assets.home import Home


def open_instance(home: "Home") -> "DagsterInstance | None":
    """Open the storage of a home's runs and events; None where nothing was run in it."""
    if not (home.dagster / "dagster.yaml").exists():
        return None
    from dagster import DagsterInstance

    return DagsterInstance.from_config(str(home.dagster))
