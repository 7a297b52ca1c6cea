"""A program that is started from a script ends with all that it started, however its parent ends."""

import os
import signal
import subprocess
import sys
import time

import pytest

# Starts a child as Dagster does, ends it by SIGINT when told to end, and writes down both process ids.
PROGRAM = """
import pathlib, signal, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
def end(*_):
    child.send_signal(signal.SIGINT)
    child.wait()
    sys.exit(0)
if sys.argv[2] == "deaf":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
else:
    signal.signal(signal.SIGTERM, end)
import os
pathlib.Path(sys.argv[1]).write_text(f"{os.getpid()} {child.pid}\\n")
if sys.argv[2] != "short":
    time.sleep(600)
"""
PARENT = """
import sys
from ml_assets.commands.ui import together
together.GRACE_S = 1.0
sys.exit(together.run_together(sys.argv[1:]))
"""


def is_alive(process):
    try:
        with open(f"/proc/{process}/stat") as told:
            return told.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_for(condition, seconds=40):
    until = time.monotonic() + seconds
    while not condition() and time.monotonic() < until:
        time.sleep(0.05)
    return condition()


@pytest.fixture
def started(tmp_path):
    """Starts the program below a parent that ignores SIGINT, as a shell's background job does."""
    parents = []

    def start(kind):
        written = tmp_path / "processes"
        parent = subprocess.Popen(
            ["sh", "-c", 'trap "" INT; exec "$@"', "sh", sys.executable, "-c", PARENT,
             sys.executable, "-c", PROGRAM, str(written), kind],
        )  # fmt: skip
        parents.append(parent)
        assert wait_for(lambda: written.exists() and written.read_text().endswith("\n"))
        return parent, [int(one) for one in written.read_text().split()]

    yield start
    for parent in parents:
        parent.kill()
        parent.wait()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGKILL])
def test_all_end_with_the_parent_whatever_ends_it(started, number):
    parent, processes = started("polite")
    parent.send_signal(number)
    assert parent.wait(40) == (-signal.SIGKILL if number == signal.SIGKILL else 0)
    assert wait_for(lambda: not any(is_alive(one) for one in processes)), processes


def test_a_program_that_does_not_listen_is_ended_all_the_same(started):
    parent, processes = started("deaf")
    parent.send_signal(signal.SIGTERM)
    assert parent.wait(40) == 0
    assert wait_for(lambda: not any(is_alive(one) for one in processes)), processes


def test_what_a_program_leaves_behind_ends_with_it(started):
    parent, processes = started("short")
    assert parent.wait(40) == 0
    assert wait_for(lambda: not any(is_alive(one) for one in processes)), processes


def test_a_program_that_is_killed_takes_the_rest_along(started):
    parent, (program, child) = started("polite")
    os.kill(program, signal.SIGKILL)
    assert parent.wait(40) == 256 - signal.SIGKILL
    assert wait_for(lambda: not is_alive(child))
