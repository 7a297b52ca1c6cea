"""The platform's programs as users start them: each run is a process of its own, with its own folder and environment.

To start a program is mostly to import libraries, seconds of processor time each. So the process is forked off one that
has imported them and done nothing else: what the program does from its first line on is the same.
"""

import atexit
import gc
import hashlib
import importlib
import json
import logging
import os
import select
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path

from filelock import FileLock

PROJECT = Path(__file__).parents[1]
MAIN = {
    "ml-assets": ("ml_assets.cli", "app"),
    "dg": ("dagster_dg_cli.cli", "main"),
    "dagster": ("dagster._cli", "main"),
    "dagster-daemon": ("dagster._daemon.cli", "main"),
    "mkdocs": ("mkdocs.__main__", "cli"),
}
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
USED_BY = {"run", "try", "replay", "served", "online", "score", "package", "serve"}
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
    with tempfile.TemporaryDirectory(prefix="program-") as folder:
        process = start(program, *arguments, cwd=cwd, environment=environment, output=folder, python=python)
        try:
            code = process.wait(timeout)
        except subprocess.TimeoutExpired as late:
            process.kill()
            process.wait(30)
            raise subprocess.TimeoutExpired(process.args, timeout, process.stdout, process.stderr) from late
        return subprocess.CompletedProcess(process.args, code, process.stdout, process.stderr)


def start(
    program: str,
    *arguments: object,
    cwd: Path | str,
    environment: Mapping[str, object],
    output: Path | str,
    python: Path | str = sys.executable,
) -> "Started":
    """Start a program in exactly this environment, and go on.

    Args:
        output: a folder, in which what it prints is appended to the files `stdout` and `stderr`.
        python: as for ``run_in``.
    """
    command = [program, *map(str, arguments)]
    request = {
        "command": command, "cwd": str(cwd), "folder": str(output),
        "environment": {name: str(value) for name, value in environment.items()}, "used": _used(command, cwd),
    }  # fmt: skip
    for name in ("stdout", "stderr"):
        (Path(output) / name).touch()
    _server(str(python))
    answers = _connect(str(python), json.dumps(request))
    return Started(command, int(_line(answers)), Path(output), answers)


class Started:
    """A program that was started, with what of ``subprocess.Popen`` is needed; and what it has printed until now."""

    def __init__(self, args: list[str], pid: int, output: Path, answers: socket.socket) -> None:
        self.args, self.pid, self.returncode = args, pid, None
        self._output, self._answers = output, answers

    @property
    def stdout(self) -> str:
        return (self._output / "stdout").read_text()

    @property
    def stderr(self) -> str:
        return (self._output / "stderr").read_text()

    def poll(self) -> int | None:
        with suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float) -> int:
        """Wait for its end; return its exit status.

        Raises:
            subprocess.TimeoutExpired: it has not ended by then.
        """
        if self.returncode is None:
            if not select.select([self._answers], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(self.args, timeout)
            answer = _line(self._answers)
            if not answer:
                raise RuntimeError(f"the process that `{shlex.join(self.args)}` was forked off has ended")
            self.returncode = int(answer)
            self._answers.close()
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def inherited() -> dict[str, str]:
    """Return the environment of the tests without the platform's own variables."""
    return {name: value for name, value in os.environ.items() if not name.startswith(OWN)}


def _used(command: list[str], cwd: Path | str) -> dict[str, str | None]:
    """Return what of ``USED`` the program is about to import; the shipped project transforms tables with dbt."""
    if command[0] in ("dagster", "dagster-daemon"):
        return {"dagster._daemon.cli": None, "dagster._grpc.server": None}
    if not USED_BY.intersection(command[1:2]):
        return {}
    return USED | ({"dagster_dbt": None} if Path(cwd) == PROJECT else {})


def _address(python: str) -> Path:
    """Return the socket of the process that programs of an environment are forked off: one for all workers."""
    own = f"{os.environ.get('PYTEST_XDIST_TESTRUNUID', os.getpid())} {python}"
    return Path(tempfile.gettempdir()) / f"programs-{hashlib.sha256(own.encode()).hexdigest()[:16]}"


def _connect(python: str, request: str) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(str(_address(python)))
    connection.sendall(f"{request}\n".encode())
    return connection


def _line(connection: socket.socket) -> str:
    """Return the next line of what is answered, and read no further; empty at the end."""
    line = b""
    while not line.endswith(b"\n") and (byte := connection.recv(1)):
        line += byte
    return line.decode()


@cache
def _server(python: str) -> tuple[socket.socket, subprocess.Popen[bytes] | None]:
    """Start that process, unless another worker has; return a connection that it lives for."""
    address, server = _address(python), None
    with FileLock(f"{address}.lock"):
        while True:
            with suppress(OSError):
                connection = _connect(python, "")
                if _line(connection):
                    return connection, server
            address.unlink(missing_ok=True)
            server = subprocess.Popen(
                [python, __file__, str(address)],
                cwd=Path(python).parent,
                env={name: value for name, value in inherited().items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                start_new_session=True,
            )
            if not server.stdout.readline():
                raise RuntimeError(f"no process to fork programs off could be started with {python}")


def _serve(address: str) -> None:
    """Fork a process for each request; answer its number, and when it ends its exit status.

    An empty request is a worker that lives: when none does any more, all these processes end.
    """
    sys.path[0] = ""  # as a script has it that is installed, but for its own folder
    gc.set_threshold(100_000, 20, 20)  # garbage is looked for less often: a twentieth of the time of a life
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(address)
    listening.listen(64)
    ended, wake = os.pipe()
    for end in (ended, wake):
        os.set_blocking(end, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake)
    os.write(1, b"ready\n")
    os.dup2(2, 1)
    workers, children, imported = [], {}, set()
    while True:
        ready = select.select([listening, ended, *workers], [], [])[0]
        if ended in ready:
            os.read(ended, 1000)
            while children and (found := os.waitpid(-1, os.WNOHANG))[0]:
                if asked := children.pop(found[0], None):
                    _tell(asked, os.waitstatus_to_exitcode(found[1]))
        if gone := [worker for worker in workers if worker in ready]:
            workers = [worker for worker in workers if worker not in gone]
            if not workers:
                break
        if listening in ready:
            connection = listening.accept()[0]
            line = connection.makefile("r").readline()  # there is one, whole
            if line == "\n":
                connection.sendall(b"here\n")
                workers.append(connection)
            elif line:
                request = json.loads(line)
                _import(dict.fromkeys(IMPORTED) | request["used"], imported)
                child = os.fork()
                if child == 0:
                    _become(request, [listening, connection, *workers, *children.values()])
                children[child] = connection
                _tell(connection, child)
    for left in (address, f"{address}.lock"):
        Path(left).unlink(missing_ok=True)
    for child in children:
        os.kill(child, signal.SIGKILL)


def _tell(connection: socket.socket, number: int) -> None:
    with suppress(OSError):  # who asked may have ended
        connection.sendall(f"{number}\n".encode())


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


def _become(request: dict, connections: Sequence[socket.socket]) -> None:
    """Be the program, and end with it."""
    code = 1
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for connection in connections:
            connection.close()
        folder = Path(request["folder"])
        os.setsid()  # what it starts can be ended with it, as one group
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        for number, name in ((1, "stdout"), (2, "stderr")):
            os.dup2(os.open(folder / name, os.O_WRONLY | os.O_APPEND), number)
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


if __name__ == "__main__":
    _serve(sys.argv[1])
