"""The rows to predict, inferred from the one source that has a prediction time, or from that of the entities."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ml_assets.scaffolding.columns import Column
from ml_assets.scaffolding.declared import (
    VALIDATED,
    ExistingDeclarations,
    SpineFields,
    check_column,
    check_moment,
    named,
    only,
)
from ml_assets.scaffolding.errors import ScaffoldError
from ml_assets.sources.drops.grains import WHOLE
from ml_assets.sources.drops.spec import Drops
from ml_assets.sources.spec import DROP, SourceSpec
from ml_assets.spines.spec import EntitiesSpec


@dataclass(frozen=True)
class NewSpine:
    """A spine to be declared; `values` are the fields of the declaration."""

    name: str
    table: str
    key: list[str]
    time: str
    drops: Drops
    entities: EntitiesSpec | None = None
    comes_with: str = ""

    @property
    def horizons(self) -> list[str]:
        """None: rows of a table look at one moment."""
        return []

    @property
    def entity(self) -> list[str]:
        """The columns that identify what a row is about."""
        return self.key

    @property
    def values(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "table": self.table,
            "key": self.key,
            "time": self.time,
            "partition": DROP,
            "drops": _drops_declared(self.drops),
        }


def _drops_declared(drops: Drops) -> dict[str, str]:
    """Return the fields of a source's drops that are those of a spine too."""
    cut = {name: getattr(drops, name) for name in ("grain", "start", "end")}
    return {name: value for name, value in cut.items() if value is not None}


def infer_spine(
    declared: ExistingDeclarations, name: str = "", table: str = "", key: list[str] | None = None, timestamp: str = ""
) -> NewSpine:
    """Return a spine with one prediction per row of a source, at the moment of its timestamp column.

    Args:
        name: of the spine; by default the source's.
        table: a source, or the key of its validated rows; by default the only source that is cut into drops.
        timestamp: column of the prediction time; by default the one that drops are cut by, or the only moment.

    Raises:
        ScaffoldError: it cannot be inferred; the message names the option to give.
    """
    source = _source(declared, table)
    columns = declared.columns_of(source.name + VALIDATED)
    for column in key or []:
        check_column("--key", column, columns)
    time = check_column("--timestamp", timestamp, columns) if timestamp else _time(source, columns)
    check_moment("--timestamp", time, source.name)
    return NewSpine(
        name or source.name, source.name + VALIDATED, list(key or source.key_columns), time.name, source.drops
    )


def infer_made_spine(
    declared: ExistingDeclarations,
    name: str,
    cron: str,
    time_zone: str = "UTC",
    table: str = "",
    key: Sequence[str] = (),
    timestamp: str = "",
) -> dict[str, Any]:
    """Return the declaration of a spine with each entity of a source at every moment of a cron expression.

    A source with a key of its own for each row has an entity in several rows: the last one known counts. Entities of a
    source that comes whole follow the only source that is cut.

    Args:
        table: the source of the entities; by default the only source that is cut into drops.
        key: columns of the entity; by default the source's key.
        timestamp: column of the moment from which an entity is active; by default the one that drops are cut by, or the
            only moment.

    Raises:
        ScaffoldError: it cannot be inferred; the message names the option to give.
    """
    source = _source(declared, table)
    columns = declared.columns_of(source.name + VALIDATED)
    for column in key:
        check_column("--key", column, columns)
    entities: dict[str, Any] = {"table": source.name + VALIDATED, "key": list(key or source.key_columns)}
    begin = _begin(source, columns, timestamp)
    if begin:
        entities["from"] = begin
    if {*entities["key"]} != {*source.key_columns}:
        if not begin:
            raise ScaffoldError(
                f"--timestamp is missing: when a row of {source.name} is known; one of {named(columns)}"
            )
        entities["known_at"] = begin
    spine: dict[str, Any] = {"name": name, "entities": entities, "every": {"cron": cron, "time_zone": time_zone}}
    followed = source
    if source.drops.grain == WHOLE:
        cut = [each for each in declared.here("source") if declared.sources[each].drops.grain != WHOLE]
        followed = declared.sources[only("table", "source with drops", cut)]
        spine["follows"] = followed.name + VALIDATED
    return spine | {"drops": _drops_declared(followed.drops)}


def find_or_infer_spine(
    declared: ExistingDeclarations, spine: str, table: str, timestamp: str
) -> tuple[SpineFields, NewSpine | None]:
    """Return the spine that is named or the only one, and the new one where none is declared.

    Raises:
        ScaffoldError: the name is unknown, there are several, or a new one cannot be inferred.
    """
    if spine:
        if spine not in declared.spines:
            raise ScaffoldError(f"--spine: {spine!r} is not declared; there are {_listed(sorted(declared.spines))}")
        return declared.spines[spine], None
    # A use case with rows of its own predicts those, whatever others predict.
    own_rows = any(name.startswith("source ") for name in declared.own)
    own_spines = any(name.startswith("spine ") for name in declared.own)
    if declared.spines and (own_spines or not own_rows):
        return declared.spines[only("spine", "spine", declared.here("spine"))], None
    new = infer_spine(declared, table=table, timestamp=timestamp)
    return new, new


def _source(declared: ExistingDeclarations, table: str) -> SourceSpec:
    if table:
        source = declared.source_of(declared.table_key(table))
        if source is None:
            raise ScaffoldError(
                f"--table: {table!r} is no source; there are {_listed(sorted(declared.sources))}. Declare a spine over "
                "another table by hand: `dg scaffold defs ml_assets.Spine`, then change its table"
            )
        return source
    here = declared.here("source")
    cut = [name for name in here if declared.sources[name].drops.grain != WHOLE]
    return declared.sources[only("table", "source with drops" if cut else "source", cut or here)]


def _begin(source: SourceSpec, columns: list[Column], timestamp: str) -> str:
    """Return the column of the moment from which an entity is active; empty where none tells."""
    if timestamp or source.drops.column:
        column = check_column("--timestamp", timestamp or source.drops.column or "", columns)
        return check_moment("--timestamp", column, source.name).name
    moments = [column.name for column in columns if column.is_moment and not column.nullable and not column.role]
    return moments[0] if len(moments) == 1 else ""


def _time(source: SourceSpec, columns: list[Column]) -> Column:
    if source.drops.column:
        cut = check_column("--timestamp", source.drops.column, columns)
        if source.cut_by or cut.is_moment:
            return cut
    moments = [column for column in columns if column.is_moment and not column.nullable and not column.role]
    if len(moments) == 1:
        return moments[0]
    raise ScaffoldError(
        f"the moment of a prediction cannot be told from {source.name}: give --timestamp, one of "
        f"{named(moments or columns)}"
    )


def _listed(names: list[str]) -> str:
    return ", ".join(names) or "none"
