"""Drops as Dagster partitions."""

import dagster as dg

from ml_assets.sources.drops.grains import GRAINS, WHOLE
from ml_assets.sources.drops.spec import Drops

SINGLE_RUN = dg.BackfillPolicy.single_run()
"""A backfill over many drops is one run: a step starts once, not once per drop."""


def partitions_of(drops: Drops) -> dg.PartitionsDefinition | None:
    """Return partitions with the drops' names; None for a source delivered whole."""
    if drops.grain == WHOLE:
        return None
    if drops.start is None:
        raise ValueError(f"drops.start: drops that are {drops.grain} begin somewhere")
    grain = GRAINS[drops.grain]
    return dg.TimeWindowPartitionsDefinition(
        start=drops.start, end=drops.end, fmt=grain.pattern, cron_schedule=grain.cron
    )


def drops_of(context: dg.AssetExecutionContext, drops: Drops) -> list[str]:
    """Return the drops that this run works on, in order."""
    return [WHOLE] if drops.grain == WHOLE else list(context.partition_keys)
