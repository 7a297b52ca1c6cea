"""Spine: the rows to predict, declared once and shared by feature views and models; made rows are an asset."""

from pathlib import Path
from tempfile import TemporaryDirectory

import dagster as dg

from ml_assets.components.conditions import follow_inputs
from ml_assets.components.declared import declaration_version, use_case
from ml_assets.components.metadata.columns import AHEAD, WEIGHED
from ml_assets.components.metadata.tables import data_version, table_metadata
from ml_assets.components.partitions import SINGLE_RUN, drops_of, partitions_of
from ml_assets.components.scaffolders.components import SpineScaffolder
from ml_assets.components.stages import STAGE, TABLE
from ml_assets.declarations.specs import DeclaredSpine
from ml_assets.resources import LakeResource
from ml_assets.spines.rows import MadeSpine, make_rows


@dg.scaffold_with(SpineScaffolder)
class Spine(DeclaredSpine, dg.Component, dg.Resolvable):
    """The rows to predict: a table that is an asset already, or every entity of one at the moments of a calendar."""

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        if self.made is None:
            return dg.Definitions()
        return dg.Definitions(assets=[_rows_asset(self, self.made, use_case(context))])

    @property
    def partitions_def(self) -> dg.PartitionsDefinition | None:
        return partitions_of(self.drops)


def find_spine(context: dg.ComponentLoadContext, name: str) -> Spine:
    """Find the spine declared under ``name``; raises ValueError naming the spines that exist."""
    spines = {spine.name: spine for spine in context.component_tree.get_all_components(of_type=Spine)}
    if name not in spines:
        raise ValueError(f"spine: {name!r} is not declared; there are {', '.join(sorted(spines)) or 'none'}")
    return spines[name]


def _rows_asset(spine: Spine, made: MadeSpine, group: str) -> dg.AssetsDefinition:
    @dg.multi_asset(name=f"{spine.name}__rows", specs=[_asset_spec(spine, made, group)], backfill_policy=SINGLE_RUN)
    def rows(context: dg.AssetExecutionContext, lake: LakeResource) -> dg.MaterializeResult:
        tables, drops = lake.open(), drops_of(context, spine.drops)
        version = tables.version(made.entities.table)
        with TemporaryDirectory(prefix="ml_assets-spine-") as folder:
            result = make_rows(made, tables.scan(made.entities.table, version), drops, Path(folder))
            written = tables.replace(spine.table, result.rows, {spine.partition: drops})
            return dg.MaterializeResult(
                metadata={
                    "rows_by_drop": result.by_drop,
                    **({"sampled_of": result.active_in} if result.active_in else {}),
                    "moments": result.moments,
                    "entities_left_out": result.left_out,
                    "table_versions_read": {made.entities.table: version},
                    **table_metadata(written, result.rows, _described(made)),
                },
                data_version=data_version(written),
            )

    return rows


def _asset_spec(spine: Spine, made: MadeSpine, group: str) -> dg.AssetSpec:
    partitions = partitions_of(spine.drops)
    tables = dict.fromkeys([made.entities.table, spine.comes_with])
    return dg.AssetSpec(
        dg.AssetKey(spine.table.split("/")),
        deps=[dg.AssetKey(table.split("/")) for table in tables],
        description=f"{spine.description} Every {', '.join(made.entities.key)} of {made.entities.table} that is "
        f"active, at each moment of `{made.every.cron}` ({made.every.time_zone}).".lstrip(),
        owners=spine.owners,
        group_name=group,
        kinds={"polars", "delta"},
        tags={**spine.tags, STAGE: TABLE},
        code_version=declaration_version(spine),
        partitions_def=partitions,
        automation_condition=follow_inputs(partitions),
    )


def _described(made: MadeSpine) -> dict[str, str]:
    keys = dict.fromkeys(made.entities.key, "Key of the entity.")
    carried = dict.fromkeys(made.entities.columns, f"As the last row of {made.entities.table} known by then has it.")
    moment = {made.time: "Prediction time: the moment of the calendar. What is known later is in no feature."}
    return {made.partition: "The drop that the moment lies in.", **keys, **moment, **AHEAD, **WEIGHED, **carried}
