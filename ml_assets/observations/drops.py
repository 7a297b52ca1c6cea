"""The newest drops of a table."""

from collections.abc import Iterable
from datetime import datetime

from ml_assets.lake import Lake
from ml_assets.sources.drops.grains import WHOLE
from ml_assets.sources.drops.moments import drop_end
from ml_assets.sources.drops.spec import Drops


def newest_drops_of(names: Iterable[str], drops: Drops, most: int, as_of: datetime) -> list[str]:
    """Return the newest of some drops that had ended by a moment, the oldest first."""
    if drops.grain == WHOLE:
        return sorted(names)[-most:]
    return [name for name in sorted(names) if drop_end(name, drops) <= as_of][-most:]


def moment_of(lake: Lake, table: str, drop: str, drops: Drops) -> datetime:
    """Return the end of a drop; of rows that are not cut, when the table was written."""
    return lake.written_at(table) if drops.grain == WHOLE else drop_end(drop, drops)
