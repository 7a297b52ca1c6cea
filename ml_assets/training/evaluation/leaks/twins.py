"""Rows of the holdout that stand among the training rows."""

from collections.abc import Iterator, Sequence

import numpy as np
import polars as pl

from ml_assets.training.evaluation.leaks.finding import Finding
from ml_assets.training.evaluation.leaks.outcomes import Outcomes
from ml_assets.training.spec import LeakSpec

_LEAST_ROWS = 30
_LEAST_COLUMNS = 2


def twin_rows(
    known: pl.DataFrame,
    holdout: pl.DataFrame,
    columns: Sequence[str],
    outcomes: Outcomes,
    limit: float,
    spec: LeakSpec,
) -> Iterator[Finding]:
    """Say how many rows of the holdout equal one training row, and it alone, in what they say and in the outcome.

    Args:
        columns: what a row says of itself; not what depends on its time, such as past rates.

    Rows that are alike because the features take few values are not meant: their outcomes differ. So the twins count
    only where the outcome of the one tells that of the other almost surely.
    """
    if len(columns) < _LEAST_COLUMNS:
        return
    ours = pl.DataFrame({"row": np.arange(known.height), "like": known.select(columns).hash_rows()})
    theirs = pl.DataFrame({"unseen": np.arange(holdout.height), "like": holdout.select(columns).hash_rows()})
    twins = theirs.join(ours.filter(pl.col("like").is_unique()), on="like", how="inner")
    share = twins.height / max(holdout.height, 1)
    if twins.height < _LEAST_ROWS or share < spec.twins:
        return
    outcome = outcomes.unseen[twins["unseen"].to_numpy()]
    if len(np.unique(outcome)) < 2:
        return
    agreed = outcomes.measure(outcome, outcomes.taught[twins["row"].to_numpy()])
    if agreed >= limit:
        yield Finding(
            "twins",
            "rows of the holdout",
            share,
            spec.twins,
            f"{twins.height:,} of {holdout.height:,} rows equal a training row in {', '.join(columns)}, "
            f"and have its outcome ({outcomes.task.leak_metric} {agreed:.3f}): the holdout measures what was learned "
            "by heart",
            "deliver each row once; where an entity's rows repeat, keep them on one side of the split",
        )
