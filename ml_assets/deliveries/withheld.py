"""Deliveries that are not in use, kept beside the source's tables."""

import polars as pl

from ml_assets.declarations.specs import DeclaredSource
from ml_assets.lake import Lake
from ml_assets.quality.publication import Publication, Withheld
from ml_assets.sources.spec import DROP

WITHHELD = "withheld"
"""Table of a source, beside its assets: deliveries that are not in use, each with the reason."""


def read_withheld(source: DeclaredSource, lake: Lake) -> dict[str, Withheld]:
    """Return the deliveries that are not in use, by drop."""
    key = source.table(WITHHELD)
    if not lake.exists(key):
        return {}
    stored = lake.scan(key).select(DROP, "failed", "waits_for", "in_use").collect()
    return {
        drop: Withheld(drop, tuple(failed), tuple(waits_for), in_use)
        for drop, failed, waits_for, in_use in stored.iter_rows()
    }


def keep_withheld(source: DeclaredSource, lake: Lake, worked: list[str], outcome: Publication) -> None:
    """Store what has become of the worked drops; a source that never withheld anything has no such table."""
    kept = [delivery for drop, delivery in sorted(outcome.withheld.items()) if drop in worked]
    if not kept and not lake.exists(source.table(WITHHELD)):
        return
    texts = pl.List(pl.String)
    frame = pl.DataFrame(
        [(delivery.drop, list(delivery.failed), list(delivery.waits_for), delivery.in_use) for delivery in kept],
        schema={DROP: pl.String, "failed": texts, "waits_for": texts, "in_use": pl.Boolean},
        orient="row",
    )
    lake.replace(source.table(WITHHELD), frame, {DROP: worked})
