"""Notices of runs that failed."""

from collections.abc import Callable, Sequence

import dagster as dg

from ml_assets.automation.execute import root_cause
from ml_assets.automation.run_tags import PARTITION
from ml_assets.notifications.channel import Channel
from ml_assets.notifications.notice import Notice
from ml_assets.notifications.send import notify


def failure_sensor(open_channels: Callable[[], Sequence[Channel]]) -> dg.SensorDefinition:
    """Send a notice of every run that fails.

    Args:
        open_channels: gives the channels to send it to; it raises ValueError where one is declared wrong.
    """

    @dg.run_failure_sensor(
        name="run_failures",
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Tells the declared channels of every run that fails, with what its first failed step raised.",
    )
    def run_failures(context: dg.RunFailureSensorContext) -> None:
        run, steps = context.dagster_run, context.get_step_failure_events()
        before = context.failure_event.message or "the run failed before its first step"
        reason = root_cause(steps[0]) if steps else before
        partition = run.tags.get(PARTITION, "")
        facts = {"job": run.job_name, "run": run.run_id, **({"drop": partition} if partition else {})}
        notify(open_channels(), Notice("failure", f"run of {run.job_name} failed", reason, facts))

    return run_failures
