"""Groups by a column whose values are shown to nobody."""

from collections.abc import Set

import polars as pl

from ml_assets.quality.private import masked


def mask_groups(measured: pl.DataFrame, private: Set[str]) -> pl.DataFrame:
    """Return what was measured of groups with a number instead of each value of a private column.

    Args:
        measured: the columns ``FAIRNESS``, and more.
        private: columns whose values are shown to nobody.
    """
    names = pl.col("group")
    for attribute in sorted(private & {*measured["attribute"]}):
        stands_for = masked(measured.filter(attribute=attribute)["group"])
        names = pl.when(pl.col("attribute") == attribute).then(pl.col("group").replace(stands_for)).otherwise(names)
    return measured.with_columns(names.alias("group"))
