"""What a store holds of an entity that it has never seen."""

import polars as pl

from ml_assets.features.engine.checks import MOMENT
from ml_assets.features.engine.compute import compute_features
from ml_assets.features.spec import FeatureViewSpec
from ml_assets.features.stored import stored_features

TIME = "__moment__"
"""Time column of the spines that are asked about."""


def unseen_values(view: FeatureViewSpec, schema: pl.Schema) -> pl.DataFrame:
    """Compute the features of an entity without facts: one row of the view's stored features.

    Args:
        view: of stored features only.
        schema: of the view's table.
    """
    keys = {named: schema[key] for key, named in zip(view.entity, view.spine_entity, strict=True)}
    unknown = pl.DataFrame({name: [None] for name in keys} | {TIME: [0]}, schema=keys | {TIME: MOMENT})
    return compute_features(view, unknown, pl.DataFrame(schema=schema), time=TIME).select(stored_features(view))
