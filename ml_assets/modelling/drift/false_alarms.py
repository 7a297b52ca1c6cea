"""How often chance alone alerts in the drift reports of drops, as it is kept."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import polars as pl

from ml_assets.lake import Lake
from ml_assets.modelling.context import ModelContext
from ml_assets.modelling.records import VERSION

if TYPE_CHECKING:
    from ml_assets.modelling.drift.measure import DropDrift
    from ml_assets.monitoring.drift.error_rates.false_alarms import FalseAlarms

FALSE_ALARMS = "false_alarms"
"""Table of a model, beside its assets: a record for each drop."""
_LEARNED_FOR = "learned_for"
_BEARING = {"chunk", "min_chunk_rows", "exclude", "psi_threshold", "psi_bins", "psi_floor", "seed"}


def hold_drop_to_rate(
    lake: Lake, model: ModelContext, version: str, drift: pl.DataFrame, reference: pl.DataFrame
) -> "tuple[pl.DataFrame, FalseAlarms]":
    """Return the drift of a drop by the declared rate, and its false alarms.

    Where no rate is declared they are learned once of a version for all drops of as many chunks that may alert.
    """
    from ml_assets.monitoring.drift.error_rates.false_alarms import FalseAlarms, hold_to_rate

    if model.monitoring.false_alarms is None and lake.exists(model.key(FALSE_ALARMS)):
        same = {VERSION: version, _LEARNED_FOR: _learned_for(model, drift)}
        known = lake.scan(model.key(FALSE_ALARMS)).filter(**same).select("record").head(1).collect()
        if known.height:
            return drift, FalseAlarms.model_validate_json(known["record"][0])
    return hold_to_rate(drift, reference, time=model.spine.time, spec=model.monitoring)


def _learned_for(model: ModelContext, drift: pl.DataFrame) -> str:
    chunks = drift.filter(scope="chunk").select("chunk_start", "rows").unique()
    watched = chunks.filter(pl.col("rows") >= model.monitoring.min_chunk_rows).height
    return f"{watched} of {chunks.height} chunks, {model.monitoring.model_dump_json(include=_BEARING)}"


def keep_false_alarms(lake: Lake, model: ModelContext, measured: Mapping[str, "DropDrift"]) -> None:
    """Keep how often chance alone alerts in the reports of drops; a later measure of a drop replaces it."""
    records = [
        (drop, of.version, _learned_for(model, of.drift), of.false_alarms.model_dump_json())
        for drop, of in measured.items()
        if of.false_alarms
    ]
    if records:
        columns = dict.fromkeys((model.spine.partition, VERSION, _LEARNED_FOR, "record"), pl.String)
        frame = pl.DataFrame(records, schema=columns, orient="row")
        lake.replace(model.key(FALSE_ALARMS), frame, {model.spine.partition: [drop for drop, *_ in records]})


def read_false_alarms(lake: Lake, model: ModelContext, drop: str) -> "FalseAlarms | None":
    """Read what is kept of a drop; None of one that was measured before this was kept, or has no rows."""
    from ml_assets.monitoring.drift.error_rates.false_alarms import FalseAlarms

    if not lake.exists(model.key(FALSE_ALARMS)):
        return None
    kept = lake.scan(model.key(FALSE_ALARMS)).filter(pl.col(model.spine.partition) == drop).collect()
    return FalseAlarms.model_validate_json(kept["record"][0]) if kept.height else None
