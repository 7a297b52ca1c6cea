"""What the specs of a source's assets have in common."""

import dagster as dg

from ml_assets.components.conditions import REFRESH_WHEN_STALE, follow_inputs
from ml_assets.components.declared import declaration_version
from ml_assets.components.freshness import freshness_policy
from ml_assets.components.partitions import partitions_of
from ml_assets.components.stages import SOURCE, STAGE, STATIC_SOURCE
from ml_assets.declarations.specs import DeclaredSource
from ml_assets.sources.drops.grains import WHOLE


def source_asset_spec(
    source: DeclaredSource, table: str, group: str, description: str, deps: tuple[str, ...] = ()
) -> dg.AssetSpec:
    """Describe one of the source's tables to Dagster; ``deps`` names the tables that it is made of."""
    partitions = partitions_of(source.drops)
    # Which drop of several is stale nobody can tell from their latest materialization: those are watched for.
    by_itself = REFRESH_WHEN_STALE if partitions is None else None
    return dg.AssetSpec(
        source_asset_key(source, table),
        deps=[source_asset_key(source, dep) for dep in deps],
        description=f"{source.description} {description}",
        owners=source.owners,
        group_name=group,
        kinds={"polars", "delta", *({"pandera"} if deps else ())},
        tags={**source.tags, STAGE: STATIC_SOURCE if source.drops.grain == WHOLE else SOURCE},
        code_version=declaration_version(source),
        partitions_def=partitions,
        freshness_policy=freshness_policy(source.freshness),
        automation_condition=follow_inputs(partitions) if deps else by_itself,
    )


def source_asset_key(source: DeclaredSource, table: str) -> dg.AssetKey:
    """Return the key of one of the source's tables."""
    return dg.AssetKey([source.name, table])
