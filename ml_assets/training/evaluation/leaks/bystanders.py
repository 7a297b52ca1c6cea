"""What is no feature and must not tell the outcome: keys, drops, the time of day, the order of the rows."""

from collections.abc import Iterator, Sequence

import polars as pl

from ml_assets.training.evaluation.leaks.alone import Strength
from ml_assets.training.evaluation.leaks.finding import TRUST, Finding

PLACE = "place in the drop"
TIME_OF_DAY = "time of day of the prediction"
_WEEKDAY = "weekday of the prediction"


def with_bystanders(frame: pl.DataFrame, *, time: str, columns: Sequence[str]) -> tuple[pl.DataFrame, list[str]]:
    """Add what the prediction time says, and name all columns that must not tell the outcome.

    Args:
        columns: keys, entities and the column of drops; those of other types than numbers and text are left out.

    Returns:
        The frame and the names.
    """
    at = pl.col(time)
    added = frame.with_columns(
        (at - at.dt.truncate("1d")).dt.total_seconds().cast(pl.Float64).alias(TIME_OF_DAY),
        at.dt.weekday().cast(pl.String).alias(_WEEKDAY),
    )
    names: dict[str, None] = dict.fromkeys(
        [*columns, TIME_OF_DAY, _WEEKDAY, *([PLACE] if PLACE in frame.columns else [])]
    )
    return added, [name for name in names if _readable(added.schema[name])]


def telling_bystanders(measured: Sequence[Strength], limit: float, metric: str) -> Iterator[Finding]:
    """Name columns that tell the outcome though they are no features."""
    for one in measured:
        if one.unseen >= limit:
            yield Finding(
                "bystander",
                one.name,
                one.unseen,
                limit,
                f"is no feature and tells the outcome ({metric} {one.unseen:.3f}, by {one.reading.name}): rows were "
                "gathered, drawn, named or put in order by their outcome, or an entity always has the same one",
                "draw rows of all outcomes in one way; where an entity always has one outcome, keep its rows on one "
                f"side of the split; {TRUST}",
            )


def _readable(dtype: pl.DataType) -> bool:
    return dtype.is_numeric() or dtype in (pl.Boolean, pl.String, pl.Categorical, pl.Enum)
