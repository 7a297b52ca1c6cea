"""What the specs of a model's assets have in common."""

from collections.abc import Sequence

import dagster as dg

from ml_assets.components.conditions import retrain_when_stale
from ml_assets.components.declared import declaration_version
from ml_assets.components.stages import SCORING, SERVED, STAGE, TRAINING
from ml_assets.modelling.context import ModelContext


def model_asset_spec(
    model: ModelContext, asset: str, stage: str, deps: Sequence[str], description: str, **more
) -> dg.AssetSpec:
    """Describe one of the model's assets to Dagster.

    Args:
        deps: asset keys, parts joined by ``/``.
        more: further arguments of ``dg.AssetSpec``.
    """
    if stage == TRAINING:
        more["automation_condition"] = retrain_when_stale(model_asset_key(model, "champion"))
    return dg.AssetSpec(
        model_asset_key(model, asset),
        deps=[dg.AssetKey(key.split("/")) for key in deps],
        description=description,
        owners=model.spec.owners,
        group_name=model.group,
        tags={**model.tags, STAGE: stage},
        code_version=declaration_version(model.spec),
        **more,
    )


def model_asset_key(model: ModelContext, asset: str) -> dg.AssetKey:
    """Return the key of one of the model's assets."""
    return dg.AssetKey([model.spec.name, asset])


def watching_stage(model: ModelContext) -> str:
    """Return the stage of the assets that monitor: that of the predictions that they read."""
    return SERVED if model.watches_served else SCORING
