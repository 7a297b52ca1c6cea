"""When a run began: the one clock that everything it makes shares."""

from datetime import UTC, datetime

import dagster as dg


def run_started(context: dg.AssetExecutionContext) -> datetime:
    """Return the moment at which the run was created, in UTC."""
    run = context.run.run_id
    record = context.instance.get_run_record_by_id(run)
    if record is None:
        raise LookupError(f"Dagster keeps no record of the run {run} that is at work")
    return record.create_timestamp.astimezone(UTC)
