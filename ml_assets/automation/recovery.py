"""One lifecycle at a time per home, and the traces of a killed one put in order."""

import fcntl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg

from ml_assets.automation.execute import CLI, LAUNCHED_BY

UNFINISHED = [
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
]


@contextmanager
def only_one(lock_file: Path, on_wait: Callable[[], None]) -> Iterator[None]:
    """Hold the home's lock; a second process waits here until the first is done.

    The kernel drops the lock with its holder, so a killed process leaves nothing behind.

    Args:
        on_wait: called once if somebody else holds the lock.
    """
    with lock_file.open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            on_wait()
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def close_dead_runs(instance: dg.DagsterInstance) -> list[str]:
    """Mark runs that a killed lifecycle left unfinished as failed; returns their ids.

    Call it while holding the lock: then every unfinished run of a lifecycle is a dead one.
    """
    dead = instance.get_runs(dg.RunsFilter(statuses=UNFINISHED, tags={LAUNCHED_BY: CLI}))
    for run in dead:
        instance.report_run_failed(run, "The process that ran it ended without finishing it.")
    return [run.run_id for run in dead]
