"""The processes under load: the server with its workers, what writes its log, and the connector of a stream."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path

ML_ASSETS = Path(sys.executable).parent / "ml-assets"
SETTINGS = {"ML_ASSETS_LOOK_SECONDS": "1", "OMP_NUM_THREADS": "1"}
START = 300
"""Seconds within which the server must answer: other work may keep the machine busy."""


def start(home: Path, name: str, *arguments: str) -> subprocess.Popen:
    """Start a command of `ml-assets` over a home; what it says goes into a file there."""
    with (home / f"{name}.log").open("ab") as log:
        return subprocess.Popen(
            [str(ML_ASSETS), *arguments],
            env=os.environ | SETTINGS | {"ML_ASSETS_HOME": str(home)},
            cwd=Path(__file__).parents[2],
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def wait_until_ready(server: subprocess.Popen, port: int, log: Path) -> None:
    """Wait until a server is ready; raises RuntimeError where it is not in time."""
    until = time.monotonic() + START
    while time.monotonic() < until and server.poll() is None:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/v2/health/ready", timeout=5)
            return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(0.2)
    raise RuntimeError(f"the server is not ready: {log.read_text()[-1000:]}")


def end(process: subprocess.Popen, patience: float = 120) -> int:
    """Let a process end as by SIGTERM; returns its exit code, that of SIGKILL where it did not end by itself."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(patience)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    return process.returncode


@dataclass
class Family:
    """A server's processes, told apart by their command lines."""

    server: int
    killed: dict[int, float] = field(default_factory=dict)
    """Worker -> when it was killed, on the monotonic clock."""

    def workers(self) -> list[int]:
        """Return the workers that live, the oldest first."""
        return sorted(self._children("--multiprocessing-fork"), key=_started)

    def writers(self) -> list[int]:
        """Return what writes the spool to the lake."""
        return self._children("commands.serving.spooled")

    def kill_one(self) -> int:
        """Kill a worker, never the oldest, whose memory shows how it grows; returns which, 0 where no other lives."""
        others = self.workers()[1:]
        if not others:
            return 0
        self.killed[others[0]] = time.monotonic()
        os.kill(others[0], signal.SIGKILL)
        return others[0]

    def excuses(self, opened: float, worker: int) -> bool:
        """Return whether a connection was lost because its worker was killed."""
        if worker:
            return worker in self.killed
        return any(at >= opened for at in self.killed.values())

    def _children(self, having: str) -> list[int]:
        children = Path(f"/proc/{self.server}/task/{self.server}/children")
        try:
            return [pid for pid in map(int, children.read_text().split()) if having in _command(pid)]
        except OSError:
            return []


def private_mib(pid: int) -> float:
    """Return the memory that a process has for itself alone, which nothing but itself gives back; 0 once it ended."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("RssAnon")), 0.0)


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    except OSError:
        return ""


def _started(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    except OSError:
        return 1 << 62
