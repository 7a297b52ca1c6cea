"""Tells people of runs that failed."""

import os

import dagster as dg

from ml_assets.automation.execute import root_cause
from ml_assets.notifications.channels import channels_from_environment
from ml_assets.notifications.notice import Notice
from ml_assets.notifications.send import notify


@dg.run_failure_sensor(
    name="run_failures",
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Tells the declared channels of every run that fails, with what its first failed step raised.",
)
def run_failures(context: dg.RunFailureSensorContext) -> None:
    run, steps = context.dagster_run, context.get_step_failure_events()
    reason = root_cause(steps[0]) if steps else context.failure_event.message or "the run failed before its first step"
    partition = run.tags.get("dagster/partition", "")
    facts = {"job": run.job_name, "run": run.run_id, **({"drop": partition} if partition else {})}
    notify(channels_from_environment(os.environ), Notice("failure", f"run of {run.job_name} failed", reason, facts))
