"""What this process leaves in its environment: for libraries that read it, and for the processes that it starts.

The only module that writes variables. What they mean to the platform is read in ``ml_assets.settings``; what a
declaration names, such as the variable with a database's URL, is read here.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager

TELEMETRY_OFF = {
    "DO_NOT_TRACK": "1",
    "DAGSTER_DISABLE_TELEMETRY": "1",
    "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "NML_DISABLE_USAGE_LOGGING": "1",
}
"""Nobody is sent reports of usage."""

THREADS = {"OMP_WAIT_POLICY": "passive"}
"""Threads of XGBoost, LightGBM and scikit-learn sleep while they wait for one another. Where other processes want the
cores too, threads that spin meanwhile take a multiple of the processor time: a fit of 60,000 rows 17 s instead of 2.
Results are the same. OpenMP reads it when it is loaded."""

BATCHES = {"DAGSTER_EVENT_BATCH_SIZE": "1000"}
"""Events of many drops of one asset, and those that announce a run's assets, reach Dagster's storage together; without
it, each by itself."""

MLFLOW_QUIET = {
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "GIT_PYTHON_REFRESH": "quiet",
}
MLFLOW_DEFAULTS = {
    # Of a server that fails: asked three times within some seconds, not eight times within minutes.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
}
MLFLOW_SERVING = {
    # A server that begins asks little, and somebody waits: one that hangs is given up after two times four seconds.
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "4",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
}
"""Of a registry that a server of predictions reads; it asks again and again, and its models go on meanwhile."""

MLFLOW_SERVER = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
"""Without its eight processes for jobs of generative models, which take as much processor time to start as the rest
of the server twice over, and 1.5 GB of memory."""


def prepare_libraries() -> None:
    """Keep the tools that are used from reporting usage, and their threads from spinning; call it before they are
    imported. How threads wait is left as it is where the user has chosen it."""
    os.environ.update(TELEMETRY_OFF)
    set_defaults(THREADS | BATCHES)


def prepare_mlflow() -> None:
    """Set what MLflow reads while it is imported."""
    prepare_libraries()
    os.environ.update(MLFLOW_QUIET)
    set_defaults(MLFLOW_DEFAULTS)


def set_defaults(variables: dict[str, str]) -> None:
    """Set variables that are not set."""
    for name, value in variables.items():
        os.environ.setdefault(name, value)


def hand_down(**variables: str) -> None:
    """Set variables for the libraries of this process and for every process that it starts."""
    os.environ.update(variables)


@contextmanager
def handed_down(**variables: str) -> Iterator[None]:
    """Set variables for a while; afterwards they are what they were."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def child_environment(**variables: str) -> dict[str, str]:
    """Return the environment of a process to start: this one's, with some variables changed."""
    return {**os.environ, **variables}


def replace_environment(variables: dict[str, str]) -> None:
    """Give this process the environment of another, from which it was not started."""
    os.environ.clear()
    os.environ.update(variables)


def declared_variable(name: str) -> str | None:
    """Return the value of a variable that a declaration names, such as that of a database's URL; None if it is unset.

    This is the one way to a value that no setting describes.
    """
    return os.environ.get(name)
