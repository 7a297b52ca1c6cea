"""The part of a view that is kept: what its entity and the moment determine, unlike features of the row to predict."""

import hashlib

import orjson
import polars as pl

from ml_assets.features.errors import FeatureError
from ml_assets.features.spec import FeatureViewSpec

DECLARATION = "_declaration"
"""Column of a table of stored features: which declaration computed the row."""

_OF_ROW = {"request", "calendar", "derived", "hidden"}
_LATER = ("lags", "planned")


def stored_features(view: FeatureViewSpec) -> list[str]:
    """List the features that are kept, in the order of the values of a stored moment."""
    return view.table_features


def stored_view(view: FeatureViewSpec) -> FeatureViewSpec:
    """Return the view without request, calendar and derived features, which are computed from each request.

    Raises:
        ValueError: the view has no table, so there is nothing to keep.
    """
    if view.table is None:
        raise ValueError(f"feature view {view.name!r} has features of the row only: there is nothing to keep")
    kept = {name: getattr(view, name) for name in FeatureViewSpec.model_fields if name not in _OF_ROW}
    return FeatureViewSpec(**kept)


def refuse_moments_of_rows(view: FeatureViewSpec) -> None:
    """Raise FeatureError if entity and prediction time alone do not determine the features of the table."""
    if moments := view.planned.moments if view.planned else []:
        raise FeatureError(
            f"feature view {view.name!r}: planned features are about {', '.join(moments)} of the row to predict, and "
            "what is kept ready is known by entity and moment alone: declare them by `after` and `ahead` alone"
        )


def declaration_of(view: FeatureViewSpec) -> str:
    """Digest the declaration of stored values: the same text exactly if two declarations mean the same values of the
    same facts, in the same order."""
    meant = ("entity", "table", "known_at", "latest", "order_by", "ttl", "windows", "aggregates", "lookups")
    declared = view.model_dump(include={*meant, *_LATER})
    for aggregate in declared["aggregates"].values():
        if aggregate["offset"] is None:
            del aggregate["offset"]
    # What came later counts where it is used, so that the digests of all other declarations stay as they are.
    further = {name: declared[name] for name in _LATER if declared[name]}
    return _digest([*(declared[name] for name in meant), *([further] if further else [])])


def row_declaration(view: FeatureViewSpec) -> str:
    """Digest a declaration as `declaration_of` does, together with the spine's columns that rows are stored by."""
    return _digest([declaration_of(view), view.stored_by])


def stored_rows(view: FeatureViewSpec, rows: pl.DataFrame, features: pl.DataFrame, *by: str) -> pl.DataFrame:
    """Select the rows to keep of what the engine computed: one for each entity and moment.

    Args:
        rows: rows of the spine.
        features: the view's features, row for row.
        by: columns of the spine that rows are kept by beside the entity: the time, and the drop where rows are kept by
            drop.
    """
    keys = rows.select(*dict.fromkeys([*by, *view.stored_by]))
    first = pl.Series(keys.select(pl.struct(pl.all()).is_first_distinct()))
    kept = keys.hstack(features.select(stored_features(view))).filter(first)
    return kept.with_columns(pl.lit(row_declaration(view)).alias(DECLARATION))


def _digest(meant: list) -> str:
    return hashlib.sha256(orjson.dumps(meant)).hexdigest()[:8]
