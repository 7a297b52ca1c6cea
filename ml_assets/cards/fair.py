"""What was measured of the declared groups on a version's holdout."""

import polars as pl

from ml_assets.cards.card import GroupMeasure
from ml_assets.fairness.limits import judge_fairness
from ml_assets.fairness.private import mask_groups
from ml_assets.lake import Lake
from ml_assets.modelling.context import ModelContext
from ml_assets.modelling.performance.groups import read_holdout

_WITH_OTHERS = ("_difference", "_ratio")


def read_groups(lake: Lake, model: str, version: str, private: frozenset[str]) -> pl.DataFrame:
    """Return what is measured of the groups of a version's holdout, without the values of private columns."""
    return mask_groups(read_holdout(lake, model, version), private)


def group_measures(measured: pl.DataFrame) -> tuple[GroupMeasure, ...]:
    """Return the measures of each group by itself; comparisons with the rest stay in the table."""
    return tuple(
        GroupMeasure(
            attribute=row["attribute"],
            group=row["group"],
            of_class=row["class"] or "",
            measure=row["measure"],
            value=row["value"],
            low=row["low"],
            high=row["high"],
            rows=row["rows"],
            known=row["known"],
            judged=row["judged"],
        )
        for row in measured.iter_rows(named=True)
        if not row["measure"].endswith(_WITH_OTHERS)
    )


def describe_fairness_limits(measured: pl.DataFrame, model: ModelContext) -> tuple[str, ...]:
    """Return how the groups stand against the limits as they are declared now, the worst first."""
    if measured.is_empty():
        return ()
    return tuple(judgement.text for judgement in judge_fairness(measured, model.spec.fairness))
