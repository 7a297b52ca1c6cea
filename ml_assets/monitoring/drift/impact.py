"""Which features moved in a way that matters: drift times how much the model listens."""

import polars as pl

SEASON = "psi_season"
"""Method of a PSI against the same season a year before; ``psi`` is against the champion's reference."""


def rank_by_impact(drift: pl.DataFrame, importance: pl.DataFrame | None) -> pl.DataFrame:
    """Return features of a period by PSI times importance, the greatest first.

    Args:
        drift: what ``measure_drift`` returned for one period.
        importance: feature, share (of the sum of importances), as ``training.explain.explain`` returns it. Without
            it features come by PSI alone.

    Returns:
        feature, psi, season (PSI against the same season a year before, null where there is none), share, impact
        (psi * share; share and impact are null without importance).
    """
    period = drift.filter(scope="period")
    psi = period.filter(method="psi").select("feature", pl.col("value").alias("psi"))
    season = period.filter(method=SEASON).select("feature", pl.col("value").alias("season"))
    if importance is None:
        importance = pl.DataFrame(schema={"feature": pl.String, "share": pl.Float64})
    return (
        psi.join(season, on="feature", how="left")
        .join(importance.select("feature", "share"), on="feature", how="left")
        .with_columns(impact=pl.col("psi") * pl.col("share"))
        .sort("impact", "psi", "feature", descending=[True, True, False], nulls_last=True)
        .select("feature", "psi", "season", "share", "impact")
    )
