"""When a run began: the one clock that everything it makes shares."""

from datetime import UTC, datetime

import dagster as dg


def run_started(context: dg.AssetExecutionContext) -> datetime:
    """The moment at which the run was created, in UTC."""
    record = context.instance.get_run_record_by_id(context.run.run_id)
    return record.create_timestamp.astimezone(UTC)
