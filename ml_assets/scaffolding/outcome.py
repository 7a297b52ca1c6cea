"""What comes of a row within a window after it, inferred from the table of facts and the spine."""

from collections.abc import Sequence
from typing import Any

import polars as pl
from pydantic import ValidationError

from ml_assets.declarations.specs import DeclaredOutcome
from ml_assets.scaffolding.columns import Column
from ml_assets.scaffolding.declared import (
    ExistingDeclarations,
    NewDeclaration,
    SpineFields,
    check_column,
    check_moment,
    named,
    only,
)
from ml_assets.scaffolding.errors import ScaffoldError
from ml_assets.sources.spec import SourceSpec


def infer_outcome(
    declared: ExistingDeclarations,
    spine: SpineFields,
    name: str,
    window: str,
    table: str = "",
    entity: Sequence[str] = (),
    happened_at: str = "",
    settles: str = "",
    function: str = "count",
    of: str = "",
    label: str = "",
) -> NewDeclaration:
    """Return the outcome that the facts of a table suggest: by default, whether one follows within the window.

    Args:
        table: a source; by default the only one beside that of the spine's rows.
        entity: columns that a fact shares with a row; by default what a row is about, where facts name it alike.
        happened_at: column of the moment that a fact happened; by default the one that drops are cut by, or the only
            moment.
        settles: how long after the window facts may still come in.
        function: what is made of the facts, of column ``of`` where it is not their number.
        label: expression over it; by default whether there is any fact, or the value itself.

    Raises:
        ScaffoldError: it cannot be inferred, or would be no outcome; the message names the option to give.
    """
    source = _facts(declared, spine, table)
    key = declared.table_key(source.name)
    columns = declared.columns_of(key)
    for column in entity:
        check_column("--entity", column, columns)
    keys = list(entity) or _shared(spine, key, columns)
    moment = check_moment("--happened-at", _moment(source, columns, happened_at), key)
    if of:
        check_column("--of", of, columns)
    label = label or ("count > 0" if function == "count" else function)
    values: dict[str, Any] = {
        "name": name,
        "description": f"{_described(label, function, of)} within {window}, by the rows of {key}.",
        "spine": spine.name,
        "table": key,
        "entity": keys,
        "happened_at": moment.name,
        "window": window,
        "aggregate": {**({"of": of} if of else {}), "functions": [function]},
        "label": label,
        **({"settles": settles} if settles else {}),
    }
    if renamed := [column for column in keys if column not in _row_columns(declared, spine)]:
        raise ScaffoldError(
            f"--entity: the rows of {spine.table} have no {', '.join(renamed)}: name columns that both have, or map "
            "them by hand with `spine_keys`"
        )
    try:
        DeclaredOutcome.model_validate(values)
    except ValidationError as error:
        raise ScaffoldError(_message(error)) from error
    late = "" if settles else "Declare how late facts may come in: until then an outcome is not certain."
    return NewDeclaration(values, {"settles": late})


def _facts(declared: ExistingDeclarations, spine: SpineFields, table: str) -> SourceSpec:
    if table:
        source = declared.source_of(declared.table_key(table))
        if source is None:
            raise ScaffoldError(
                f"--table: {table!r} is no source; there are {', '.join(sorted(declared.sources)) or 'none'}. Declare "
                "an outcome of another table by hand"
            )
        return source
    rows = declared.source_of(spine.table)
    others = [name for name in declared.here("source") if rows is None or name != rows.name]
    return declared.sources[only("table", "source of facts", others)]


def _shared(spine: SpineFields, table: str, columns: list[Column]) -> list[str]:
    """Return the columns that say what a row is about, where facts have them by the same names."""
    there = {column.name for column in columns}
    if table == spine.table or not set(spine.entity) <= there:
        raise ScaffoldError(
            f"--entity is missing: the columns by which a row of {table} belongs to a row of {spine.name}; it has "
            f"{named(columns)}"
        )
    return list(spine.entity)


def _row_columns(declared: ExistingDeclarations, spine: SpineFields) -> set[str]:
    """Return the columns of the spine's rows that facts can be found by."""
    if spine.entities is not None:
        return {*spine.entities.key, *spine.entities.columns}
    return {column.name for column in declared.columns_of(spine.table)} or set(spine.key)


def _moment(source: SourceSpec, columns: list[Column], given: str) -> Column:
    cut = source.drops.column
    if given or cut:
        return check_column("--happened-at", given or cut or "", columns)
    moments = [column for column in columns if column.is_moment and column.role is None]
    if len(moments) != 1:
        raise ScaffoldError(
            f"when a row of {source.name} happened cannot be told: give --happened-at, one of "
            f"{named(moments or columns)}"
        )
    return moments[0]


def _described(label: str, function: str, of: str) -> str:
    if label == function:
        return f"The {function} of {of or 'what happens'} after a row,"
    return f"Whether `{label}` holds after a row,"


def _message(error: ValidationError) -> str:
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    text = first["msg"].removeprefix("Value error, ")
    return f"{where}: {text}" if where else text


def label_dtype(declared: ExistingDeclarations, outcome: DeclaredOutcome) -> pl.DataType | None:
    """Return the type of a declared outcome's label; None where the types of its facts are not known."""
    from ml_assets.declarations.coherence.outcomes import label_type_of
    from ml_assets.outcomes.errors import OutcomeError

    types: dict[str, pl.DataType | None] = {column.name: column.dtype for column in declared.columns_of(outcome.table)}
    if not set(outcome.table_columns) <= set(types):
        return None
    try:
        return label_type_of(outcome, types)
    except OutcomeError as error:
        raise ScaffoldError(f"outcome {outcome.name}: {error}") from error
