"""When a drop ends, and which drop a moment lies in, in UTC."""

from datetime import UTC, datetime

from ml_assets.sources.drops import grains
from ml_assets.sources.drops.grains import WHOLE
from ml_assets.sources.drops.spec import Drops


def drop_end(drop: str, drops: Drops) -> datetime:
    """Return the first moment after a drop, such as 2013-02-01 UTC for the month ``2013-01``.

    Raises:
        ValueError: the rows are not cut into drops.
    """
    return grains.drop_end(drops.grain, drop).replace(tzinfo=UTC)


def drop_at(moment: datetime, drops: Drops) -> str:
    """Return the name of the drop that a moment lies in, counted in UTC; ``whole`` where rows are not cut."""
    return WHOLE if drops.grain == WHOLE else grains.name_at(drops.grain, moment.astimezone(UTC))
