"""Spine rows with the features of several views beside them: what a model trains on and scores."""

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from ml_assets.features.engine.parts import compute_features_in_parts
from ml_assets.features.errors import FeatureError
from ml_assets.features.row.features import row_features
from ml_assets.features.spec import FeatureViewSpec
from ml_assets.features.stored import DECLARATION, row_declaration, stored_features, stored_rows, stored_view


@dataclass(frozen=True)
class ViewTables:
    """Where the features of a view come from that are not the spine row's own.

    Attributes:
        view: the declaration.
        stored: rows as `stored_rows` makes them; None for nothing.
        facts: the view's own table, from which the features are computed of rows that another declaration has
            stored; None for a view without a table.
        computed: whether they are computed too of rows that nobody has stored; else such a row is an error.
    """

    view: FeatureViewSpec
    stored: pl.LazyFrame | None
    facts: pl.LazyFrame | None
    computed: bool = False


def join_features(
    spine: pl.DataFrame,
    views: Sequence[ViewTables],
    *,
    time: str,
    drop: str | None = None,
    carried: Sequence[str] | None = None,
) -> pl.DataFrame:
    """Join the features of each view to the spine's rows, in the spine's order.

    Request and calendar features are computed from the row itself; what a view's entity and the time determine is
    looked up by them among the rows stored for the row's drop; derived features are computed from all these.

    Args:
        spine: rows with every view's `spine_columns` and the time column; rows may repeat.
        time: the spine's time column.
        drop: the spine's column that names a row's drop, by which rows are stored too; None for none.
        carried: the columns of the spine to hand on; by default all.

    Returns:
        The carried columns, then the features of each view that are no carried column and not hidden.

    Raises:
        FeatureError: a feature is in two views or is another thing than the carried column of that name, an
            expression fails, or a spine row has no row in a view's table.
    """
    carried = spine.columns if carried is None else list(carried)
    refuse_twins([tables.view for tables in views])
    by = [time] if drop is None else [drop, time]
    parts = [spine.select(carried)]
    for tables in views:
        view = tables.view
        refuse_homonyms(view, carried)
        kept = stored_features(view)
        of_table = _stored_values(spine, tables, by).select(kept) if kept else pl.DataFrame()
        own = row_features(view, spine, of_table, time)
        added = [name for name in own.columns if name not in carried]
        parts += [of_table.drop(view.hidden, strict=False), own.select(added).drop(view.hidden, strict=False)]
    return pl.concat([part for part in parts if part.width], how="horizontal")


def _stored_values(spine: pl.DataFrame, tables: ViewTables, by: list[str]) -> pl.DataFrame:
    """Look up the view's stored features of every row; compute them where another declaration stored them."""
    view, keys = tables.view, spine.select(*dict.fromkeys([*by, *tables.view.stored_by]))
    own = None if tables.stored is None else _own_rows(tables.stored, view)
    if own is None:
        missing = pl.repeat(True, spine.height, dtype=pl.Boolean, eager=True)
    else:
        matched = _beside(keys, own.with_columns(pl.lit(True).alias(_STORED)), view)
        missing = matched[_STORED].is_null()
        if not missing.any():
            return matched
    lacking = keys.filter(missing).unique(maintain_order=True)
    if not tables.computed:
        _refuse_gaps(keys.filter(missing), tables, spine.height, by[-1])
    again = [
        stored_rows(view, part.rows, part.features, *by)
        for part in compute_features_in_parts(stored_view(view), lacking.lazy(), tables.facts, time=by[-1])
    ]
    known = again if own is None else [own.select(again[0].columns).collect(), *again]
    return _beside(keys, pl.concat(known, how="vertical_relaxed").lazy(), view)


_STORED = "__stored__"


def _own_rows(stored: pl.LazyFrame, view: FeatureViewSpec) -> pl.LazyFrame | None:
    """Select what this very declaration has stored; None if it cannot have stored anything."""
    wanted = {*view.stored_by, *stored_features(view), DECLARATION}
    if not wanted <= {*stored.collect_schema().names()}:
        return None
    return stored.filter(pl.col(DECLARATION) == row_declaration(view))


def _beside(keys: pl.DataFrame, stored: pl.LazyFrame, view: FeatureViewSpec) -> pl.DataFrame:
    added = [name for name in (*stored_features(view), _STORED) if name in stored.collect_schema().names()]
    # A row of a drop, entity and time is stored once: the join must not choose among several.
    joined = keys.lazy().join(
        stored.select(*keys.columns, *added),
        on=keys.columns,
        how="left",
        nulls_equal=True,
        maintain_order="left",
        validate="m:1",
    )
    return joined.collect()


def _refuse_gaps(keys: pl.DataFrame, tables: ViewTables, rows: int, time: str) -> None:
    """Raise FeatureError if there are rows of which no declaration of the view has stored anything."""
    view, missing = tables.view, keys
    if tables.stored is not None and {*keys.columns} <= {*tables.stored.collect_schema().names()}:
        stored = tables.stored.select(keys.columns)
        missing = keys.lazy().join(stored, on=keys.columns, how="anti", nulls_equal=True).collect()
    if missing.height:
        raise FeatureError(
            f"feature view {view.name!r} holds nothing for {missing.height} of {rows} rows, the first at "
            f"{missing[time].min()}: materialize features/{view.name} for that drop first"
        )


def refuse_homonyms(view: FeatureViewSpec, columns: Sequence[str]) -> None:
    """Raise FeatureError if a feature has the name of one of the spine's columns and is something else."""
    for name in view.computed_features:
        if name in columns and view.request.get(name) != name:
            raise FeatureError(
                f"feature view {view.name!r}: feature {name!r} bears the name of a spine column and is something else: "
                "rename the feature"
            )


def refuse_twins(views: Sequence[FeatureViewSpec]) -> None:
    """Raise FeatureError if two views have a feature of the same name."""
    owner: dict[str, str] = {}
    for view in views:
        for name in view.computed_features:
            if owner.setdefault(name, view.name) != view.name:
                raise FeatureError(
                    f"feature {name!r} is in views {owner[name]!r} and {view.name!r}: rename it in one of them"
                )
