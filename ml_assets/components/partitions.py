"""Drops as Dagster partitions."""

from datetime import UTC, datetime

import dagster as dg

from ml_assets.sources.spec import Drops

WHOLE = "whole"
"""The name of the only drop of a source that is not cut."""

SINGLE_RUN = dg.BackfillPolicy.single_run()
"""A backfill over many drops is one run: a step starts once, not once per drop."""


def partitions_of(drops: Drops) -> dg.PartitionsDefinition | None:
    """Monthly partitions named ``2013-01``; None for a source delivered whole."""
    if drops.grain == "whole":
        return None
    return dg.TimeWindowPartitionsDefinition(start=drops.start, end=drops.end, fmt="%Y-%m", cron_schedule="0 0 1 * *")


def drops_of(context: dg.AssetExecutionContext, drops: Drops) -> list[str]:
    """The drops that this run works on, in order."""
    return [WHOLE] if drops.grain == "whole" else list(context.partition_keys)


def drop_end(drop: str) -> datetime:
    """The first moment after a monthly drop, such as 2013-02-01 UTC for ``2013-01``."""
    year, month = map(int, drop.split("-"))
    return datetime(year + month // 12, month % 12 + 1, 1, tzinfo=UTC)
