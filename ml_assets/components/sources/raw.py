"""raw: a source's rows as delivered, typed."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import dagster as dg
import polars as pl

from ml_assets.components.metadata.columns import RAW_COLUMNS
from ml_assets.components.metadata.tables import Metadata, data_version, table_metadata
from ml_assets.components.partitions import SINGLE_RUN, drops_of
from ml_assets.components.sources.asset_specs import source_asset_key, source_asset_spec
from ml_assets.declarations.specs import DeclaredSource
from ml_assets.deliveries.placement import OutsideDrops, measure_outside
from ml_assets.resources import LakeResource
from ml_assets.sources.drops.grains import WHOLE
from ml_assets.sources.spec import DROP

if TYPE_CHECKING:
    from ml_assets.sources.delivery.read import Drop

OUTSIDE_DROPS = "outside_drops"
OUTSIDE_TEXT = "No more rows than declared lie before the first drop, after the last one, or in no drop at all."


def raw_asset(source: DeclaredSource, group: str) -> dg.AssetsDefinition:
    outside = dg.AssetCheckSpec(OUTSIDE_DROPS, asset=source_asset_key(source, "raw"), description=OUTSIDE_TEXT)
    cut = source.drops.grain != WHOLE

    @dg.multi_asset(
        name=f"{source.name}__raw",
        specs=[source_asset_spec(source, "raw", group, "As delivered, typed, with the drop's name and content hash.")],
        check_specs=[outside] if cut else [],
        backfill_policy=SINGLE_RUN,
    )
    def raw(context: dg.AssetExecutionContext, lake: LakeResource) -> dg.MaterializeResult:
        from ml_assets.quality.contracts import as_kept, contract_descriptions, contract_schema, load_contract
        from ml_assets.sources.delivery.read import read_drops

        tables, names = lake.open(), drops_of(context, source.drops)
        contract = load_contract(source.contract)
        schema = contract_schema(contract)
        delivered = read_drops(source, names, schema)
        frame = as_kept(pl.concat([delivered[name].frame for name in names]))
        written = tables.replace(source.table("raw"), frame, {DROP: names})
        return dg.MaterializeResult(
            metadata={
                **_delivery_metadata(delivered),
                **table_metadata(written, frame, contract_descriptions(contract) | RAW_COLUMNS),
            },
            data_version=data_version(written),
            check_results=[_outside_drops(source, measure_outside(source, tables, schema))] if cut else [],
        )

    return raw


def _delivery_metadata(delivered: "Mapping[str, Drop]") -> Metadata:
    return {
        "content_hashes": {name: drop.content_hash for name, drop in delivered.items()},
        "rows_by_drop": {name: drop.frame.height for name, drop in delivered.items()},
        "extra_columns": sorted({column for drop in delivered.values() for column in drop.extra_columns}),
    }


def _outside_drops(source: DeclaredSource, outside: OutsideDrops) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        check_name=OUTSIDE_DROPS,
        passed=outside.share <= source.max_outside_share,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={
            "observed": outside.share,
            "threshold": source.max_outside_share,
            "rows_outside": outside.placed.places,
            "rows_not_ingested": outside.placed.waiting,
            "files_of_no_drop": list(outside.placed.files),
        },
    )
