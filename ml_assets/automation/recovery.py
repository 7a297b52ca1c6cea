"""One lifecycle at a time per home, and the traces of a killed one put in order."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

import dagster as dg
from filelock import FileLock, Timeout

from ml_assets.automation.run_tags import CLI, LAUNCHED_BY
from ml_assets.dagster_internals import AUTO_RETRY_RUN_ID_TAG, WILL_RETRY_TAG

UNFINISHED = [
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
]


@contextmanager
def hold_lock(lock_file: Path, on_wait: Callable[[], None]) -> Iterator[None]:
    """Hold the lock of a home; a second process waits here until the first is done.

    The kernel drops the lock with its holder, so a killed process leaves nothing behind.

    Args:
        on_wait: called once if somebody else holds the lock.
    """
    lock = FileLock(lock_file)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        on_wait()
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def close_dead_runs(instance: dg.DagsterInstance) -> list[str]:
    """Mark runs that a killed lifecycle left unfinished as failed; returns their ids.

    Call it while holding the lock: then every unfinished run of a lifecycle is a dead one.
    """
    dead = instance.get_runs(dg.RunsFilter(statuses=UNFINISHED, tags={LAUNCHED_BY: CLI}))
    for run in dead:
        instance.report_run_failed(run, "The process that ran it ended without finishing it.")
    return [run.run_id for run in dead]


def close_lost_runs(instance: dg.DagsterInstance) -> list[str]:
    """Mark runs of this machine whose process is gone as failed, whoever launched them; returns their ids."""
    going_on = instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED]))
    lost = [run for run in going_on if (pid := _process_of(instance, run.run_id)) and not _is_alive(pid)]
    for run in lost:
        instance.report_run_failed(run, "The process that ran it is gone.")
    return [run.run_id for run in lost]


GRACE = timedelta(seconds=30)
"""Dagster makes a lost run again within some seconds of its failure, unless the news of it went with its daemon."""

MOST_REPORTS = 5
"""Times that the failure of one run is reported before the run is given up."""

_LOOKED_AT = timedelta(days=1)  # what is older is history, which nobody waits for


def ask_again_for_retries(instance: dg.DagsterInstance, now: datetime) -> list[str]:
    """Report failed runs once more that Dagster was to retry and did not; returns their ids.

    A daemon that is killed between a run's failure and the making of its successor never comes back to it, and
    whatever waits for the successor would wait for ever. A failure that is reported twice still has one successor.
    A run that is still not retried after MOST_REPORTS reports is marked as one that will not be.
    """
    promised = dg.RunsFilter(
        statuses=[dg.DagsterRunStatus.FAILURE], tags={WILL_RETRY_TAG: "true"}, updated_after=now - _LOOKED_AT
    )
    reported = []
    for record in instance.get_run_records(promised):
        run = record.dagster_run
        if AUTO_RETRY_RUN_ID_TAG in run.tags or now - record.update_timestamp <= GRACE:
            continue
        if len(instance.all_logs(run.run_id, of_type=dg.DagsterEventType.RUN_FAILURE)) >= MOST_REPORTS:
            instance.add_run_tags(run.run_id, {WILL_RETRY_TAG: "false"})
            continue
        instance.report_run_failed(run, "It was to be made again, and was not.")
        reported.append(run.run_id)
    return reported


def _process_of(instance: dg.DagsterInstance, run_id: str) -> int | None:
    """Return the process that a run recorded last; None if it recorded none, as one on another machine may not."""
    process = None
    for entry in instance.all_logs(run_id, of_type=dg.DagsterEventType.ENGINE_EVENT):
        event = entry.dagster_event
        recorded = event.engine_event_data.metadata.get("pid") if event is not None else None
        process = int(str(recorded.value)) if recorded is not None else process
    return process


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
