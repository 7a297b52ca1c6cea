"""A program and all that it starts, ended together: with its parent, whatever ends that, and at its own end.

A shell that starts something in the background lets it ignore SIGINT, with which Dagster ends its daemon; and a parent
that is killed tells nobody. So a guard stands between: it leads a group of processes of its own, in which everything
runs, and ends the group when its standard input closes, as it does with the parent.
"""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress

GRACE_S = 10.0
"""Seconds that a program has to end by itself."""

_ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def run_together(command: Sequence[str]) -> int:
    """Run a program until it ends or this process is to end; return its exit status, 0 where this one was to end."""
    guarded = subprocess.Popen(
        [sys.executable, "-m", __name__, *command], stdin=subprocess.PIPE, start_new_session=True
    )
    ending = threading.Event()

    def end(_number: int, _frame: object) -> None:
        if not ending.is_set() and guarded.stdin is not None:
            ending.set()
            guarded.stdin.close()

    before = {number: signal.signal(number, end) for number in _ENDING}
    try:
        status = guarded.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        # What a program leaves behind, or a guard that was killed.
        with suppress(ProcessLookupError):
            os.killpg(guarded.pid, signal.SIGKILL)
    return 0 if ending.is_set() else status


def guard(command: Sequence[str]) -> int:
    """Run a program in this process's group until it ends; end the whole group when standard input closes."""
    parent = os.getppid()
    for number in _ENDING:
        signal.signal(number, signal.SIG_DFL)
    program = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    threading.Thread(target=_end_with_input, args=(program,), daemon=True).start()
    # This process ends with its group, not before it.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    status = program.wait()
    if os.getppid() != parent:
        os.killpg(0, signal.SIGKILL)
    return status


def _end_with_input(program: subprocess.Popen) -> None:
    while os.read(sys.stdin.fileno(), 4096):
        pass
    os.killpg(0, signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        program.wait(GRACE_S)
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(guard(sys.argv[1:]))
