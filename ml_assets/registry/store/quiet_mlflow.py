"""The one place that imports MLflow: silent, and never talking to anyone but the tracking store."""

import logging
import os
from types import ModuleType

# Read by MLflow while it is imported, so they must be set before.
_ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "GIT_PYTHON_REFRESH": "quiet",
}
_DEFAULTS = {
    # A server that fails is tried three times within some seconds, not eight times within minutes.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
}
_LEVELS = {
    "alembic": logging.WARNING,
    "mlflow.store.db.utils": logging.WARNING,
    # Warns with every model when the environment holds no pip, as those made by uv do.
    "mlflow.utils.environment": logging.ERROR,
}


def import_mlflow() -> ModuleType:
    """Import MLflow with telemetry off, no progress bars and no idle messages."""
    os.environ.update(_ENVIRONMENT)
    for name, value in _DEFAULTS.items():
        os.environ.setdefault(name, value)
    for name, level in _LEVELS.items():
        logging.getLogger(name).setLevel(level)
    import mlflow

    return mlflow
