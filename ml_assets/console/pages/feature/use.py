"""Which models use a feature, and what their newest drift report says of it."""

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from ml_assets.declarations.specs import DeclaredModel, DeclaredSpine
from ml_assets.lake import Lake
from ml_assets.monitoring.drift_statistics import PSI


@dataclass(frozen=True)
class FeatureDrift:
    """What one model's drift report says of a feature on its newest drop.

    Attributes:
        alerts: measures above their threshold, of `measured`.
        psi: of the whole drop, or the largest of its chunks where that was not measured; None where neither was.
        threshold: of the PSI.
    """

    model: str
    drop: str
    alerts: int
    measured: int
    psi: float | None
    threshold: float | None

    @property
    def health(self) -> str:
        """drifting (PSI over its threshold), watch (another statistic is over its own), or steady."""
        if self.psi is not None and self.threshold is not None and self.psi > self.threshold:
            return "drifting"
        return "watch" if self.alerts else "steady"


HEALTH = {"drifting": 0, "watch": 1, "steady": 2, "not watched": 3}
"""How a feature is -> the worst first."""


def newest_drift(lake: Lake, model: DeclaredModel, spine: DeclaredSpine) -> Mapping[str, FeatureDrift]:
    """Read what a model's drift report says of each feature on the newest drop that it measured; empty without one."""
    key = f"{model.name}/drift_report"
    drops = lake.partitions(key, spine.partition)
    if not drops:
        return {}
    is_psi = pl.col("method") == PSI
    whole = pl.col("scope") == "period"
    summed = (
        lake.scan(key)
        .filter(pl.col(spine.partition) == drops[-1])
        .group_by("feature")
        .agg(
            pl.col("alert").fill_null(False).sum().alias("alerts"),
            pl.col("value").count().alias("measured"),
            pl.coalesce(pl.col("value").filter(is_psi & whole).max(), pl.col("value").filter(is_psi).max()).alias(
                "psi"
            ),
            pl.col("threshold").filter(is_psi).max().alias("threshold"),
        )
        .collect()
    )
    return {row.pop("feature"): FeatureDrift(model.name, drops[-1], **row) for row in summed.iter_rows(named=True)}


def drift_through_time(lake: Lake, model: str, feature: str, partition: str, most: int) -> pl.DataFrame:
    """Read a feature's measures on a model's newest drops: drop, method, scope, chunk_start, rows, value, threshold and
    alert; no columns without a report."""
    key = f"{model}/drift_report"
    drops = lake.partitions(key, partition)[-most:]
    columns = [pl.col(partition).alias("drop"), "method", "scope", "chunk_start", "rows", "value", "threshold", "alert"]
    if not drops:
        return pl.DataFrame()
    of_feature = lake.scan(key).filter(pl.col(partition).is_in(drops), pl.col("feature") == feature)
    return of_feature.select(columns).sort("drop", "chunk_start", "method", "scope").collect()
