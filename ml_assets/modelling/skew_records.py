"""How served answers compared with what they should have been: one record a drop, in `<model>/serving_skew`."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import polars as pl

from ml_assets.lake import Lake
from ml_assets.modelling.context import ModelContext

if TYPE_CHECKING:
    from ml_assets.serving.log.skew import SkewRecord

SKEW = "serving_skew"


def store_skew(lake: Lake, model: ModelContext, records: Sequence["SkewRecord"]) -> None:
    """Store the records of some drops in place of earlier ones."""
    rows = [
        {model.spine.partition: record.drop, **record.model_dump(), "record": record.model_dump_json()}
        for record in records
    ]
    frame = pl.DataFrame(rows, schema_overrides={"worst_feature": pl.String})
    lake.replace(model.key(SKEW), frame, {model.spine.partition: [record.drop for record in records]})


def latest_skew(lake: Lake, model: ModelContext, drop: str) -> "SkewRecord | None":
    """Return the record of the newest drop, up to the given one, that had answers to compare; None if there is none."""
    from ml_assets.serving.log.skew import SkewRecord

    if not lake.exists(model.key(SKEW)):
        return None
    compared = lake.scan(model.key(SKEW)).filter(pl.col("rows") > 0, pl.col("drop") <= drop)
    newest = compared.sort("drop").tail(1).select("record").collect()
    return None if newest.is_empty() else SkewRecord.model_validate_json(newest.item())
