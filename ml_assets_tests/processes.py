"""The platform's programs as users start them: each run is a process of its own, with its own folder and environment.

To start a program is mostly to import libraries, seconds of processor time each. So the process is forked off one that
has imported them and done nothing else: what the program does from its first line on is the same.
"""

import atexit
import gc
import importlib
import json
import logging
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path

PROJECT = Path(__file__).parents[1]
MAIN = {"ml-assets": ("ml_assets.cli", "app"), "dg": ("dagster_dg_cli.cli", "main")}
"""Program -> module and function, as the scripts of the installed packages name them."""
IMPORTED = [
    "ml_assets.cli",
    "ml_assets.components.model.ml_model",
    "ml_assets.components.project.tree",
    "dagster_dg_cli.cli",
    "dagster_dg_cli.cli.scaffold",
    "polars",
    "pandera.polars",
    "deltalake",
]
USED = {
    "ml_assets.registry.store.quiet_mlflow": "import_mlflow",
    "mlflow.store.tracking.sqlalchemy_store": None,
    "xgboost": None,
    "optuna": None,
    "matplotlib.backends.backend_agg": None,
    "matplotlib.dates": None,
    "ml_assets.monitoring.nml": "load",
}
"""What commands that train, score and monitor import besides -> the function that does so."""
TABLES = "optuna"
"""The last of these modules that makes tables."""
USED_BY = {"run", "try", "replay", "served", "online", "score", "package"}
OWN = ("ML_ASSETS", "DAGSTER", "MLFLOW", "ONLINE_STORE")
"""Beginnings of the variables that a program does not take over from the tests."""


def run(
    program: str, *arguments: object, cwd: Path | str = PROJECT, timeout: float = 600, **environment: object
) -> subprocess.CompletedProcess[str]:
    """Run `ml-assets` or `dg` to its end.

    Args:
        environment: variables that are set beside those of the tests, without the platform's own.
    """
    return run_in(program, *arguments, cwd=cwd, timeout=timeout, environment=inherited() | environment)


def run_in(
    program: str,
    *arguments: object,
    cwd: Path | str,
    environment: Mapping[str, object],
    timeout: float = 600,
    python: Path | str = sys.executable,
) -> subprocess.CompletedProcess[str]:
    """Run a program in exactly this environment.

    Args:
        python: the interpreter of the environment in which the program is installed.
    """
    command = [program, *map(str, arguments)]
    with tempfile.TemporaryDirectory(prefix="program-") as folder:
        request = {
            "command": command, "cwd": str(cwd), "folder": folder, "timeout": timeout,
            "environment": {name: str(value) for name, value in environment.items()},
            "used": _used(command, cwd),
        }  # fmt: skip
        server = _server(str(python))
        server.stdin.write(json.dumps(request) + "\n")
        server.stdin.flush()
        answer = server.stdout.readline()
        output, error = ((Path(folder) / name).read_text() for name in ("stdout", "stderr"))
    if not answer:
        raise RuntimeError(f"`{shlex.join(command)}` could not be started: the process that it is forked off has ended")
    code = json.loads(answer)
    if code is None:
        raise subprocess.TimeoutExpired(command, timeout, output, error)
    return subprocess.CompletedProcess(command, code, output, error)


def inherited() -> dict[str, str]:
    """Return the environment of the tests without the platform's own variables."""
    return {name: value for name, value in os.environ.items() if not name.startswith(OWN)}


def _used(command: list[str], cwd: Path | str) -> dict[str, str | None]:
    """Return what of ``USED`` the program is about to import; the shipped project transforms tables with dbt."""
    if not USED_BY.intersection(command[1:2]):
        return {}
    return USED | ({"dagster_dbt": None} if Path(cwd) == PROJECT else {})


@cache
def _server(python: str) -> subprocess.Popen[str]:
    server = subprocess.Popen(
        [python, __file__],
        cwd=Path(python).parent,
        env={name: value for name, value in inherited().items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    atexit.register(_stop, server)
    return server


def _stop(server: subprocess.Popen[str]) -> None:
    with suppress(BrokenPipeError):
        server.stdin.close()
    server.wait(30)


def _serve() -> None:
    """Fork a process for each request on stdin, one after the other; answers its exit status, None if it took too
    long."""
    sys.path[0] = ""  # as a script has it that is installed, but for its own folder
    gc.set_threshold(100_000, 20, 20)  # garbage is looked for less often: a twentieth of the time of a life
    imported = set()
    answers = os.fdopen(os.dup(1), "w")
    for line in sys.stdin:
        request = json.loads(line)
        _import(dict.fromkeys(IMPORTED) | request["used"], imported)
        child = os.fork()
        if child == 0:
            _become(request, answers)
        answers.write(json.dumps(_wait(child, request["timeout"])) + "\n")
        answers.flush()


def _import(modules: Mapping[str, str | None], imported: set[str]) -> None:
    """Import what has not been; what it registers for the end of a process is for this one, not for its children."""
    for module, function in modules.items():
        if module not in imported:
            found = importlib.import_module(module)
            if function is not None:
                getattr(found, function)()
            if module == TABLES:
                _make_tables()
            imported.add(module)
    gc.freeze()
    atexit._clear()


def _make_tables() -> None:
    """Make the tables of MLflow and Optuna once, which a process copies from then on."""
    from ml_assets.addresses import sqlite_url
    from ml_assets.registry.store.database import ensure_tracking_store
    from ml_assets.training.search.study_storage import open_storage

    with tempfile.TemporaryDirectory() as folder:
        ensure_tracking_store(sqlite_url(Path(folder) / "mlflow.db"), str(Path(folder) / "artifacts"))
        storage = open_storage(sqlite_url(Path(folder) / "studies.db"))
        storage.remove_session()
        storage.engine.dispose()


def _become(request: dict, answers) -> None:
    """Be the program, and end with it."""
    code = 1
    try:
        answers.close()
        folder = Path(request["folder"])
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        for number, name in ((1, "stdout"), (2, "stderr")):
            os.dup2(os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), number)
        os.chdir(request["cwd"])
        os.environ.clear()
        os.environ.update(request["environment"])
        program, *arguments = request["command"]
        sys.argv = [str(Path(sys.executable).parent / program), *arguments]
        path = [entry for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry]
        sys.path[:1] = [str(Path(sys.executable).parent), *path]
        module, function = MAIN[program]
        returned = getattr(importlib.import_module(module), function)()
        code = returned if isinstance(returned, int) else 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
        if isinstance(end.code, str):
            sys.stderr.write(f"{end.code}\n")
    except BaseException:  # noqa: BLE001 - as the interpreter does
        traceback.print_exc()
    finally:
        with suppress(Exception):
            atexit._run_exitfuncs()
            if "multiprocessing.util" in sys.modules:  # it was registered in the process that this one is forked off
                sys.modules["multiprocessing.util"]._exit_function()  # passes over what other processes made
            logging.shutdown()
        with suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def _wait(child: int, timeout: float) -> int | None:
    deadline = time.monotonic() + timeout
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > deadline:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return None
        time.sleep(0.02)


if __name__ == "__main__":
    _serve()
