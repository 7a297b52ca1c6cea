"""The one place that imports MLflow: silent, and never talking to anyone but the tracking store."""

import logging
from types import ModuleType

from ml_assets.environment import prepare_mlflow

_LEVELS = {
    "alembic": logging.WARNING,
    "mlflow.store.db.utils": logging.WARNING,
    # Warns with every model when the environment holds no pip, as those made by uv do.
    "mlflow.utils.environment": logging.ERROR,
}


def import_mlflow() -> ModuleType:
    """Import MLflow with telemetry off, no progress bars and no idle messages."""
    prepare_mlflow()
    for name, level in _LEVELS.items():
        logging.getLogger(name).setLevel(level)
    import mlflow
    from mlflow.utils import environment

    environment.warn_dependency_requirement_mismatches = _pinned_here  # pyright: ignore[reportPrivateImportUsage]
    return mlflow


def _pinned_here(requirements: list[str]) -> None:
    """Say nothing of a saved model's requirements.

    MLflow warns of those that this environment does not meet, for which it reads the names of all files of all
    installed packages; that takes longer than to train a small model. These requirements are of this environment.
    """
