"""The part of a view that is kept: all of its features but those of the request itself."""

import hashlib

import orjson
import polars as pl

from ml_assets.features.engine import compute_features
from ml_assets.features.spec import FeatureViewSpec

MOMENT = pl.Datetime("us", "UTC")
TIME = "__moment__"
"""Time column of the spines that are asked about."""


def stored_features(view: FeatureViewSpec) -> list[str]:
    """The features that are kept, in the order of the values of a stored moment."""
    return [*view.latest, *view.aggregate_features, *view.lookups]


def stored_view(view: FeatureViewSpec) -> FeatureViewSpec:
    """The view without its request features, which are computed from each request.

    Raises:
        ValueError: the view has no table, so there is nothing to keep.
    """
    if view.table is None:
        raise ValueError(f"feature view {view.name!r} has request features only: there is nothing to keep")
    kept = {name: getattr(view, name) for name in FeatureViewSpec.model_fields if name != "request"}
    return FeatureViewSpec(**kept)


def declaration_of(view: FeatureViewSpec) -> str:
    """What tells one declaration of stored values from another: the same text exactly if both mean the same values of
    the same facts, in the same order."""
    meant = ("entity", "table", "known_at", "latest", "order_by", "ttl", "windows", "aggregates", "lookups")
    declared = view.model_dump(include=set(meant))
    return hashlib.sha256(orjson.dumps([declared[name] for name in meant])).hexdigest()[:8]


def unseen_values(view: FeatureViewSpec, schema: pl.Schema) -> pl.DataFrame:
    """What the engine says of an entity it has never seen: one row of the view's stored features.

    Args:
        view: without request features.
        schema: of the view's table.
    """
    keys = {named: schema[key] for key, named in zip(view.entity, view.spine_entity, strict=True)}
    unknown = pl.DataFrame({name: [None] for name in keys} | {TIME: [0]}, schema=keys | {TIME: MOMENT})
    return compute_features(view, unknown, pl.DataFrame(schema=schema), time=TIME).select(stored_features(view))
