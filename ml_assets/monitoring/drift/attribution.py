"""Attribution drift: whether a model listens to other features than it did on its reference.

The share of a feature is its mean absolute contribution to the score, of the sum over features. The distance is half
the sum of the absolute differences of shares (total variation): which part of all contributions has gone to other
features, 0 to 1. It sees what drift of single features does not: features that move together, and a small drift in a
feature that decides much.
"""

import polars as pl

from ml_assets.monitoring.drift.statistics.statistic import ALL_FEATURES
from ml_assets.monitoring.spec import MonitoringSpec

ATTRIBUTION, ATTRIBUTION_CHANGE = "attribution", "attribution_change"
"""Methods of the drift table: the distance, of all features, and how a feature's share has changed."""


def attribution_distance(reference: pl.DataFrame, current: pl.DataFrame) -> tuple[float, pl.DataFrame]:
    """Return the total variation of two sets of shares, and by feature how its share has changed, the most first.

    Args:
        reference: feature, share; a feature that only one of both has counts with 0 in the other.
        current: the same.
    """
    both = reference.select("feature", before="share").join(
        current.select("feature", after="share"), on="feature", how="full", coalesce=True
    )
    scaled = both.with_columns(pl.col("before", "after").fill_null(0.0)).with_columns(
        pl.when(pl.col(name).sum() > 0).then(pl.col(name) / pl.col(name).sum()).otherwise(0.0).alias(name)
        for name in ("before", "after")
    )
    changes = scaled.select("feature", change=pl.col("after") - pl.col("before"))
    ordered = changes.sort(pl.col("change").abs(), pl.col("feature"), descending=[True, False])
    return float(ordered["change"].abs().sum()) / 2, ordered


def attribution_rows(
    reference: pl.DataFrame, current: pl.DataFrame, drift: pl.DataFrame, spec: MonitoringSpec
) -> pl.DataFrame:
    """Return the rows that attribution adds to the drift of a period, in its columns.

    Args:
        reference, current: feature, share; features that are not watched are left out.
        drift: what ``measure_drift`` returned of the period.
    """
    watched = [shares.filter(~pl.col("feature").is_in(spec.exclude)) for shares in (reference, current)]
    distance, changes = attribution_distance(*watched)
    limit = spec.attribution_threshold
    period = drift.filter(scope="period").select("chunk_start", "chunk_end", "rows", "scope").head(1)
    enough = bool(period["rows"][0] >= spec.min_chunk_rows)
    values = pl.concat(
        [
            pl.DataFrame(
                {
                    "feature": [ALL_FEATURES],
                    "method": [ATTRIBUTION],
                    "value": [distance],
                    "threshold": [limit],
                    "alert": [enough and distance > limit],
                }
            ),
            changes.select(
                "feature",
                method=pl.lit(ATTRIBUTION_CHANGE),
                value="change",
                threshold=pl.lit(None, pl.Float64),
                alert=pl.lit(False),
            ),
        ]
    )
    return pl.concat([drift.clear(), period.join(values, how="cross")], how="diagonal")
