"""Feature views as a Feast repository that gives the engine's values."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import polars as pl

from ml_assets.features.spec import FeatureViewSpec
from ml_assets.handover.directory import whole_directory
from ml_assets.handover.feast.moments import EVENT_TIME, NothingKnown, key_columns, values_over
from ml_assets.handover.feast.text import WrittenView, render_definitions, render_readme, render_settings

_COLUMN_TYPES = {
    **dict.fromkeys((pl.Int8, pl.Int16, pl.Int32, pl.UInt8, pl.UInt16, pl.UInt32, pl.Int64), pl.Int64()),
    pl.Float32: pl.Float64(),
    pl.Float64: pl.Float64(),
    pl.Boolean: pl.Boolean(),
    pl.String: pl.String(),
    pl.Categorical: pl.String(),
    pl.Enum: pl.String(),
}
_KEY_TYPES = (pl.Int64(), pl.String())


class NotForFeast(ValueError):
    """A view that Feast cannot serve."""


@dataclass(frozen=True)
class ViewInLake:
    """A view, its table (None where it has none), and how long after the last known facts its values may be served."""

    spec: FeatureViewSpec
    table: pl.LazyFrame | None
    max_age: timedelta


@dataclass(frozen=True)
class Repository:
    """What was written. ``left_out`` tells for each view that Feast cannot serve why."""

    output: str
    since: datetime
    as_of: datetime
    rows: Mapping[str, int]
    left_out: Mapping[str, str]


def last_known(views: Sequence[ViewInLake]) -> datetime:
    """Return when the newest fact of all views was known; raises ValueError where there is none."""
    known = [
        view.table.select(pl.col(view.spec.known_at).max()).collect().item()
        for view in views
        if view.table is not None and view.spec.known_at
    ]
    known = [moment for moment in known if moment is not None]
    if not known:
        raise ValueError("no view has facts with a time: name the period by since and as_of")
    return max(known)


def export_views(
    name: str, views: Sequence[ViewInLake], output: Path, *, since: datetime, as_of: datetime
) -> Repository:
    """Write the repository; its directory appears whole or not at all.

    Args:
        name: of the Feast project.
        since: the beginning of the period in which values can be asked for.
        as_of: facts known later are left out; values end `max_age` after it.

    Raises:
        ValueError: there is no view that Feast can serve, the period is none, or something is at ``output``.
        FeatureError: as the engine does.
    """
    if since > as_of:
        raise ValueError(f"since {since.isoformat()} is later than as_of {as_of.isoformat()}")
    left_out: dict[str, str] = {}
    written: list[WrittenView] = []
    with whole_directory(output) as folder:
        (folder / "data").mkdir()
        for view in views:
            try:
                written.append(_write_view(view, folder, written, since=since, as_of=as_of))
            except (NotForFeast, NothingKnown) as error:
                left_out[view.spec.name] = str(error)
        if not written:
            raise ValueError(f"none of the views of {name} can be served by Feast: {left_out}")
        texts = {
            "feature_store.yaml": render_settings(name),
            "features.py": render_definitions(name, written),
            "README.md": render_readme(name, written, left_out, since=since, as_of=as_of),
        }
        for file, text in texts.items():
            (folder / file).write_text(text, encoding="utf-8")
    return Repository(str(output), since, as_of, {view.spec.name: view.rows for view in written}, left_out)


def _write_view(
    view: ViewInLake, folder: Path, before: Sequence[WrittenView], *, since: datetime, as_of: datetime
) -> WrittenView:
    if view.table is None:
        raise NotForFeast("it has features of the row only, which are computed from each request")
    if view.spec.planned is not None and (moments := view.spec.planned.moments):
        raise NotForFeast(f"it has planned features about {', '.join(moments)} of each row to predict")
    until = as_of + view.max_age
    rows, max_row_age = values_over(view.spec, view.table, since=since, as_of=as_of, until=until)
    rows = _typed(view.spec, rows)
    _refuse_other_types(view.spec, rows.schema, before)
    rows.write_parquet(folder / "data" / f"{view.spec.name}.parquet")
    return WrittenView(view.spec, rows.schema, rows.height, max_row_age, until)


def _refuse_other_types(view: FeatureViewSpec, schema: pl.Schema, before: Sequence[WrittenView]) -> None:
    """Refuse a view whose key has another type than in the views before it: a Feast entity is shared by views."""
    for other in before:
        for key in {*key_columns(view)} & {*key_columns(other.spec)}:
            if schema[key] != other.schema[key]:
                raise NotForFeast(
                    f"key {key} is {schema[key]} here and {other.schema[key]} in {other.spec.name}: cast it in a table"
                )


def _typed(view: FeatureViewSpec, rows: pl.DataFrame) -> pl.DataFrame:
    """Cast the rows to Feast's types; raises NotForFeast."""
    wanted = {name: _COLUMN_TYPES.get(type(dtype)) for name, dtype in rows.schema.items() if name != EVENT_TIME}
    strange = [f"{name} ({rows.schema[name]})" for name, dtype in wanted.items() if dtype is None]
    if strange:
        raise NotForFeast(f"{', '.join(strange)}: Feast takes numbers, booleans and text here, so cast it in the view")
    keys = [f"{key} ({rows.schema[key]})" for key in key_columns(view) if wanted[key] not in _KEY_TYPES]
    if keys:
        raise NotForFeast(f"{', '.join(keys)}: a Feast key is an integer or text, so cast it in the table")
    return rows.cast({name: dtype for name, dtype in wanted.items() if dtype is not None})
