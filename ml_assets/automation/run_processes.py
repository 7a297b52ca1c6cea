"""Runs that a code server starts begin at once: their processes are forked off one that has imported the libraries.

Dagster's code server starts a new interpreter for each run, which spends 2 to 6 seconds of processor time on imports.
Here Python's own fork server (``multiprocessing``'s start method `forkserver`) makes the process instead. It imports
libraries and this package, never a project's declarations: each run reads those anew, as before. It is started with the
first run, lives as long as the code server, and costs about the memory of one run.
"""

import multiprocessing
import sys
from collections.abc import Callable, Sequence
from multiprocessing import forkserver, popen_forkserver
from multiprocessing.context import SpawnProcess
from typing import Any

from ml_assets.environment import child_environment, replace_environment

CODE_SERVERS = (["api", "grpc"], ["code-server", "start"])
"""Commands of ``dagster`` that serve a project's definitions and start its runs."""

IMPORTED = [
    "dagster",
    "ml_assets.components.model.ml_model",
    "ml_assets.components.project.tree",
    "ml_assets.project",
    "polars",
    "pandera.polars",
    "deltalake",
    "mlflow.store.tracking.sqlalchemy_store",
    "xgboost",
    "optuna",
    "matplotlib.backends.backend_agg",
]
"""What most runs import."""


def is_code_server(arguments: Sequence[str]) -> bool:
    """Tell whether a process with these arguments is a code server of Dagster's."""
    return list(arguments[1:3]) in CODE_SERVERS


def fork_runs() -> None:
    """Let what this process starts by the method `spawn`, which is how Dagster starts runs, be forked instead."""
    forkserver.set_forkserver_preload(IMPORTED)
    setattr(SpawnProcess, "_Popen", staticmethod(_fork))  # noqa: B010 - declared for Windows alone


def _fork(process: Any) -> popen_forkserver.Popen:
    """Start a process with the environment of this one, which may have changed since the fork server began."""
    process._target, process._args = _with_environment, (child_environment(), process._target, *process._args)
    return popen_forkserver.Popen(process)


def _with_environment(environment: dict[str, str], target: Callable[..., object], *arguments: object) -> None:
    replace_environment(environment)
    target(*arguments)


def prepare_runs() -> None:
    """Fork runs if this process is a code server; do nothing in any other, such as a run, which has its arguments."""
    if is_code_server(sys.argv) and multiprocessing.parent_process() is None:
        fork_runs()
