"""How a version is watched in production, and what was measured there."""

from collections.abc import Iterator

import polars as pl

from ml_assets.cards.card import WatchedDrop
from ml_assets.lake import Lake
from ml_assets.modelling.context import ModelContext
from ml_assets.modelling.records import VERSION
from ml_assets.monitoring.performance.measures import newest_measures


def describe_watching(model: ModelContext) -> Iterator[str]:
    """Yield how the model is watched and when it is trained again, as it is declared."""
    monitoring, retraining = model.monitoring, model.retraining
    numeric, text = ", ".join(monitoring.continuous_methods), ", ".join(monitoring.categorical_methods)
    yield (
        f"Each drop is cut into windows of {monitoring.chunk} and compared with the version's own predictions on its "
        f"holdout: numbers by {numeric}, texts by {text}; PSI alerts above {monitoring.psi_threshold:g}. A window of "
        f"fewer than {monitoring.min_chunk_rows} rows never alerts."
    )
    estimated = ", ".join(monitoring.estimated(model.spec.task, [model.spec.watched_metric]))
    yield f"Performance is estimated before labels are known ({estimated or 'nothing can be'}), and measured with them."
    for side, limits in (("at least", monitoring.floors), ("at most", monitoring.ceilings)):
        for metric, limit in limits.items():
            yield f"Declared limit in production: {metric} {side} {limit:g}."
    yield (
        f"A training is called for by {', '.join(retraining.evidence) or 'no evidence'}: "
        f"{retraining.breaches} of the last {retraining.of_last} windows, the latest among them."
    )


def read_watched_drops(lake: Lake, model: ModelContext, version: str) -> tuple[WatchedDrop, ...]:
    """Return the newest measures of every drop that a version predicted, the oldest first."""
    key, drop = model.key("performance_report"), model.spine.partition
    if not lake.exists(key):
        return ()
    own = newest_measures(lake.scan(key), drop).filter(pl.col(VERSION) == version, pl.col("scope") == "period")
    rows = own.sort(drop, "kind", "metric").collect()
    return tuple(
        WatchedDrop(
            drop=row[drop],
            kind=row["kind"],
            metric=row["metric"],
            value=row["value"],
            low=row.get("low"),
            high=row.get("high"),
            rows=row["rows"],
            without_label=row.get("missing"),
            alert=bool(row["alert"]),
        )
        for row in rows.iter_rows(named=True)
    )
