"""Rows of a source that are in no ingested drop."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from ml_assets.declarations.specs import DeclaredSource
from ml_assets.lake import Lake
from ml_assets.sources.spec import DROP

if TYPE_CHECKING:
    from ml_assets.sources.delivery.placement import Placement

PLACEMENT = "placement"
"""Table of a source, beside its assets: rows that are in no ingested drop, by the reason."""


@dataclass(frozen=True)
class OutsideDrops:
    """Rows outside the declared drops: their share of all, and where the others wait."""

    share: float
    placed: "Placement"


def measure_outside(source: DeclaredSource, lake: Lake, schema: Mapping[str, pl.DataType]) -> OutsideDrops:
    """Count and store the rows of the source that are in no ingested drop."""
    from ml_assets.sources.delivery.placement import place_rows, placement_table

    placed = place_rows(source, schema, lake.partitions(source.table("raw"), DROP))
    lake.replace(source.table(PLACEMENT), placement_table(placed))
    rows = placed.outside + placed.waiting + sum(lake.rows_by(source.table("raw"), DROP).values())
    return OutsideDrops(placed.outside / rows if rows else 0.0, placed)
