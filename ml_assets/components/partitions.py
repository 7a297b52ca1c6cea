"""Drops as Dagster partitions."""

from datetime import UTC, datetime

import dagster as dg

from ml_assets.sources.drops import grains
from ml_assets.sources.drops.grains import GRAINS, WHOLE
from ml_assets.sources.drops.spec import Drops

SINGLE_RUN = dg.BackfillPolicy.single_run()
"""A backfill over many drops is one run: a step starts once, not once per drop."""


def partitions_of(drops: Drops) -> dg.PartitionsDefinition | None:
    """Partitions with the drops' names; None for a source delivered whole."""
    if drops.grain == WHOLE:
        return None
    grain = GRAINS[drops.grain]
    return dg.TimeWindowPartitionsDefinition(
        start=drops.start, end=drops.end, fmt=grain.pattern, cron_schedule=grain.cron
    )


def drops_of(context: dg.AssetExecutionContext, drops: Drops) -> list[str]:
    """The drops that this run works on, in order."""
    return [WHOLE] if drops.grain == WHOLE else list(context.partition_keys)


def drop_end(drop: str, drops: Drops) -> datetime:
    """The first moment after a drop, such as 2013-02-01 UTC for the month ``2013-01``.

    Raises:
        ValueError: the rows are not cut into drops.
    """
    return grains.drop_end(drops.grain, drop).replace(tzinfo=UTC)


def drop_at(moment: datetime, drops: Drops) -> str:
    """Name of the drop that a moment lies in, counted in UTC; ``whole`` where rows are not cut."""
    return WHOLE if drops.grain == WHOLE else grains.name_at(drops.grain, moment.astimezone(UTC))
