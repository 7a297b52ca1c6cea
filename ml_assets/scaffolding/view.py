"""A feature view, inferred from the table that it reads and the spine that it is computed for."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from ml_assets.scaffolding.columns import Column, is_code
from ml_assets.scaffolding.declared import (
    ExistingDeclarations,
    NewDeclaration,
    SpineFields,
    check_column,
    check_moment,
    named,
)
from ml_assets.scaffolding.errors import ScaffoldError
from ml_assets.scaffolding.label import find_label
from ml_assets.scaffolding.sources.drops import FRESHNESS
from ml_assets.sources.drops.grains import WHOLE
from ml_assets.sources.spec import SourceSpec

WINDOWS = ("7d", "28d")


def infer_view(
    declared: ExistingDeclarations,
    spine: SpineFields,
    name: str,
    table: str = "",
    entity: Sequence[str] = (),
    known_at: str = "",
    windows: Sequence[str] = (),
    label: str = "",
) -> NewDeclaration:
    """Return the view that the table's columns suggest.

    Without an entity, of the spine's own table: the row's own columns. With one: counts and means over time of the
    entity's earlier rows. Of a table that is delivered whole and has one row per key: look-ups by that key. Of a table
    with one row per entity of a made spine: what that row says, from when it is known.

    Args:
        table: a source, or an asset key; by default the spine's table, or that of the entities of made rows.
        known_at: column of the moment that a row is known; by default the table's own timestamp.
        label: the outcome, which must not become a feature; by default as in the contract.

    Raises:
        ScaffoldError: it cannot be inferred; the message names the option to give.
    """
    of_rows = spine.table if spine.entities is None else spine.entities.table
    key = declared.table_key(table) if table else of_rows
    columns = declared.columns_of(key)
    if not columns:
        raise ScaffoldError(
            f"the columns of {key} are not known, as no source declares them: give --table, one of "
            f"{', '.join(sorted(declared.sources)) or 'none yet'}"
        )
    rows = _Table(declared, spine, key, columns, label)
    common = {"name": name, "spine": spine.name, **_freshness(spine)}
    for column in entity:
        check_column("--entity", column, columns)
    about = list(entity) or rows.shared
    if key == spine.table and not entity:
        view = _row_view(rows)
    elif not known_at and rows.is_static:
        view = _lookup_view(rows, name, about)
    elif not windows and {*about} == {*rows.source.key_columns} and spine.entities is not None:
        view = _latest_view(rows, name, about, known_at)
    else:
        view = _history_view(rows, name, about, known_at, list(windows))
    return NewDeclaration(common | view.values, view.notes)


@dataclass(frozen=True)
class _Table:
    declared: ExistingDeclarations
    spine: SpineFields
    key: str
    columns: list[Column]
    label: str

    @property
    def source(self) -> SourceSpec:
        """The source whose validated rows the table holds."""
        source = self.declared.source_of(self.key)
        if source is None:
            raise ScaffoldError(f"{self.key} is the table of no source: declare the view by hand")
        return source

    @property
    def is_static(self) -> bool:
        return self.key != self.spine.table and self.source.drops.grain == WHOLE

    @property
    def shared(self) -> list[str]:
        """Whom made rows are about, where the table has these columns."""
        there = {column.name for column in self.columns}
        made = self.spine.entities is not None and set(self.spine.entity) <= there
        return list(self.spine.entity) if made else []

    @property
    def facts(self) -> list[Column]:
        """Columns that say something of the row and not of its outcome: neither keys nor times nor the label."""
        outcome = self._outcome
        return [
            column
            for column in self.columns
            if column.name not in {*self.source.key_columns, *(self.spine.key if self.key == self.spine.table else ())}
            and column.name != outcome
            and column.role is None
            and column.dtype not in (pl.Date, pl.Datetime)
        ]

    @property
    def _outcome(self) -> str | None:
        if self.label:
            return check_column("--label", self.label, self.columns).name
        label = find_label(self.columns)
        return label.name if label else None


def _row_view(rows: _Table) -> NewDeclaration:
    facts = [column for column in rows.facts if not is_code(column.name) or column.dtype == pl.String]
    if not facts:
        raise ScaffoldError(
            f"{rows.key} has no column beside key, times and label to make a feature of: give --table and --entity; it "
            f"has {named(rows.columns)}"
        )
    values = {
        "description": f"What a row of {rows.key} says about itself.",
        "entity": list(rows.spine.key),
        "request": {_feature(column.name, own=True): _sql(column.name) for column in facts},
    }
    note = f"Strike out what is not known yet at {rows.spine.time}: it would let the model see the future."
    return NewDeclaration(values, {"request": note})


def _lookup_view(rows: _Table, name: str, entity: list[str]) -> NewDeclaration:
    source = rows.source
    keys = entity or list(source.key_columns)
    of_spine = {column.name for column in rows.declared.columns_of(rows.spine.table)}
    if rows.spine.entities is not None:
        of_spine = {*rows.spine.entity, *rows.spine.entities.columns}
    if of_spine and (strange := [key for key in keys if key not in of_spine]):
        raise ScaffoldError(
            f"--entity: the rows of {rows.spine.table} have no {', '.join(strange)} to look up in {rows.key}; name the "
            "columns that both have, or map them by hand with `spine_keys`"
        )
    facts = [column for column in rows.facts if column.name not in keys]
    if not facts:
        raise ScaffoldError(f"{rows.key} has no column beside its key to look up; it has {named(rows.columns)}")
    values = {
        "description": f"What {source.name} says about {' and '.join(keys)}.",
        "entity": keys,
        "table": rows.key,
        "lookups": {f"{name}_{_feature(column.name)}": _sql(column.name) for column in facts},
    }
    return NewDeclaration(values, {"table": "It is delivered whole: what it says is taken as always known."})


def _latest_view(rows: _Table, name: str, entity: list[str], known_at: str) -> NewDeclaration:
    moment = check_moment("--known-at", _known_at(rows, known_at), rows.key)
    facts = [column for column in rows.facts if column.name not in entity]
    if not facts:
        raise ScaffoldError(
            f"{rows.key} has no column beside key and times to make a feature of: give --table and --entity; it has "
            f"{named(rows.columns)}"
        )
    values = {
        "description": f"What {rows.key} says about {' and '.join(entity)}.",
        "entity": entity,
        "table": rows.key,
        "known_at": moment.name,
        "latest": {f"{name}_{_feature(column.name)}": _sql(column.name) for column in facts},
    }
    note = f"Strike out what is not known yet at {moment.name}, or changes later without a row of its own."
    return NewDeclaration(values, {"latest": note})


def _history_view(rows: _Table, name: str, entity: list[str], known_at: str, windows: list[str]) -> NewDeclaration:
    if not entity:
        raise ScaffoldError(
            f"--entity is missing: the columns by whose values the rows of {rows.key} are summarised; it has "
            f"{named(rows.columns)}"
        )
    moment = check_moment("--known-at", _known_at(rows, known_at), rows.key)
    numbers = [column for column in rows.facts if column.is_number and column.name not in entity]
    measured = [column for column in numbers if not is_code(column.name)]
    outcome = find_label(rows.columns)
    aggregates: dict[str, dict] = {f"{name}_rows": {"functions": ["count"]}}
    for column in measured:
        aggregates[f"{name}_{_feature(column.name)}"] = {"of": _sql(column.name), "functions": ["mean"]}
    if outcome and moment.role == "label_known_at" and (outcome.is_number or outcome.dtype == pl.Boolean):
        of = f"CAST({_sql(outcome.name)} AS DOUBLE)"
        aggregates[f"{name}_{_feature(outcome.name)}"] = {"of": of, "functions": ["mean"]}
    values = {
        "description": f"How the earlier rows of {rows.key} with the same {' and '.join(entity)} were.",
        "entity": entity,
        "table": rows.key,
        "known_at": moment.name,
        "windows": windows or list(WINDOWS),
        "aggregates": aggregates,
    }
    note = ""
    if rows.key == rows.spine.table and moment.name == rows.spine.time:
        note = f"Strike out what is not known yet at {moment.name}: the row itself is among those summarised."
    return NewDeclaration(values, {"aggregates": note})


def _known_at(rows: _Table, known_at: str) -> Column:
    if known_at:
        return check_column("--known-at", known_at, rows.columns)
    if rows.key == rows.spine.table:
        return check_column("--known-at", rows.spine.time, rows.columns)
    source, entities = rows.source, rows.spine.entities
    if entities is not None and entities.known_at and entities.table == rows.key:
        return check_column("--known-at", entities.known_at, rows.columns)
    moments = [column for column in rows.columns if column.is_moment and column.role is None]
    if source.drops.column in [column.name for column in moments]:
        return check_column("--known-at", source.drops.column, rows.columns)
    if len(moments) == 1:
        return moments[0]
    raise ScaffoldError(
        f"when a row of {rows.key} is known cannot be told: give --known-at, one of {named(moments or rows.columns)}"
    )


def _freshness(spine: SpineFields) -> dict[str, Any]:
    return {"freshness": FRESHNESS[spine.drops.grain]} if spine.drops.grain in FRESHNESS else {}


def _is_sql_name(name: str) -> bool:
    """Return whether SQL takes the bare name for that column."""
    try:
        return pl.sql_expr(name).meta.root_names() == [name]
    except pl.exceptions.PolarsError:
        return False


def _sql(name: str) -> str:
    return name if _is_sql_name(name) else '"' + name.replace('"', '""') + '"'


def _feature(name: str, *, own: bool = False) -> str:
    """Return a name for the feature; that of the column only where the expression is the bare column."""
    if _is_sql_name(name):
        return name
    clean = "".join(letter if letter.isalnum() else "_" for letter in name).strip("_").lower() or "column"
    return f"{clean}_value" if own and clean == name else clean
