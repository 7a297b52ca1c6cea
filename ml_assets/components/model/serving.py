"""served_predictions: what the server answered, gathered drop by drop and held against what it should have said."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import dagster as dg
import polars as pl

from ml_assets.components.metadata.columns import SERVED_ANSWERS
from ml_assets.components.metadata.drop_checks import results_by_drop
from ml_assets.components.metadata.tables import Metadata, data_version, markdown, table_metadata
from ml_assets.components.model.asset_specs import model_asset_key, model_asset_spec
from ml_assets.components.partitions import SINGLE_RUN, drops_of, partitions_of
from ml_assets.components.stages import SERVED
from ml_assets.modelling.context import ModelContext
from ml_assets.modelling.served import (
    LOG,
    ServedDrop,
    about_traffic,
    gather_answers,
    known_facts,
    read_log,
    stored_views,
)
from ml_assets.modelling.skew_records import SKEW, store_skew
from ml_assets.online.values.record import online_key
from ml_assets.resources import LakeResource, OnlineStoreResource, RegistryResource
from ml_assets.sources.drops.grains import WHOLE

if TYPE_CHECKING:
    from ml_assets.serving.log.skew import Skew

SHOWN = 20
"""Differing values shown in the UI."""


def serving_assets(model: ModelContext) -> list[dg.AssetsDefinition]:
    return [] if model.serving is None else [_served_predictions(model)]


def _served_predictions(model: ModelContext) -> dg.AssetsDefinition:
    @dg.multi_asset(
        name=f"{model.spec.name}__served_predictions",
        specs=[_asset_spec(model)],
        backfill_policy=SINGLE_RUN,
        check_specs=[
            dg.AssetCheckSpec(
                SKEW,
                asset=model_asset_key(model, "served_predictions"),
                description="A sample of answers, computed again from exactly what the server could know, is the same.",
                blocking=True,
                partitions_def=partitions_of(model.spine.drops),
            )
        ],
    )
    def served_predictions(
        context: dg.AssetExecutionContext,
        lake: LakeResource,
        registry: RegistryResource,
        online_store: OnlineStoreResource,
    ) -> Iterator:
        tables, tracked, drops = lake.open(), registry.open(), drops_of(context, model.spine.drops)
        log, known = read_log(tables, tracked, model), known_facts(tables, online_store.open(), model)
        gathered = {drop: gather_answers(tables, tracked, model, log, known, drop) for drop in drops}
        store_skew(tables, model, [served.skew.record(model.spec.name, drop) for drop, served in gathered.items()])
        rows = pl.concat([served.rows for served in gathered.values()])
        written = tables.replace(model.key("served_predictions"), rows, {model.spine.partition: drops})
        compacted = tables.compact(model.key(LOG)) if tables.exists(model.key(LOG)) else None
        yield dg.MaterializeResult(
            metadata={
                **about_traffic(tables, model, log, gathered),
                **_log_metadata(model, compacted),
                **table_metadata(written, rows, model.described(SERVED_ANSWERS)),
            },
            data_version=data_version(written),
        )
        yield from _check_results(context, model, gathered)

    return served_predictions


def _asset_spec(model: ModelContext) -> dg.AssetSpec:
    online = [online_key(view.name) for view in stored_views(model) if view.online]
    return model_asset_spec(
        model,
        "served_predictions",
        SERVED,
        [model.key("champion"), model.spine.table, *online],
        "What the server answered about the rows of a drop, the last answer of each, with the features as "
        "they were served.",
        kinds={"polars", "delta"},
        partitions_def=partitions_of(model.spine.drops),
    )


def _log_metadata(model: ModelContext, compacted: int | None) -> Metadata:
    """Return how many files of the log were compacted, as metadata; None if there is no log."""
    if compacted is None:
        return {"log": f"{model.key(LOG)} is not there yet: nothing was asked"}
    return {"log_files_compacted": compacted}


def _check_results(
    context: dg.AssetExecutionContext, model: ModelContext, gathered: Mapping[str, ServedDrop]
) -> Iterator:
    key = model_asset_key(model, "served_predictions")
    results = {drop: _skew_check(key, drop, served.skew) for drop, served in gathered.items()}
    if model.spine.drops.grain == WHOLE:
        yield results[WHOLE]
    else:
        yield from results_by_drop(context, results)


def _skew_check(key: dg.AssetKey, drop: str, skew: "Skew") -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        asset_key=key,
        check_name=SKEW,
        passed=skew.differing.is_empty(),
        severity=dg.AssetCheckSeverity.ERROR,
        metadata={
            "observed": skew.differing.height,
            "threshold": 0,
            "drop": drop,
            "answers": skew.rows,
            "values": skew.values,
            "fresh_values": skew.fresh_values,
            "differing": markdown(skew.differing.head(SHOWN)),
        },
    )
