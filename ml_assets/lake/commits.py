"""One atomic commit to a Delta table, tried again while other writers are in the way."""

import random
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import polars as pl

from ml_assets.lake.retyping import kept_rows, retyped_columns

if TYPE_CHECKING:
    from deltalake import DeltaTable

COMMIT_ATTEMPTS = 12
"""Tries of one commit. Two writers of the same partition conflict about every second time."""

Rows = pl.DataFrame | pl.LazyFrame
Where = Mapping[str, Sequence[str]]
Moves = Mapping[str, tuple[int | None, int]]
"""Source of rows -> its position in the table before a commit, None for none, and after it."""
Write = Callable[["DeltaTable | None", Rows], int]
"""Commits rows to a table, None if there is no table yet; returns the version of the table that they made."""


def commit(open_table: Callable[[], "DeltaTable | None"], rows: Rows, write: Write) -> int:
    """Write rows until no other writer is in the way; return the version of the table that they made."""
    from tenacity import Retrying, retry_if_exception, stop_after_attempt

    data = rows.with_columns(pl.col(pl.Datetime("ns", "UTC")).dt.cast_time_unit("us"))

    def attempt() -> int:
        return write(open_table(), data)

    retrying = Retrying(
        stop=stop_after_attempt(COMMIT_ATTEMPTS),
        wait=lambda state: random.uniform(0.02, 0.1) * 1.6**state.attempt_number,
        retry=retry_if_exception(_is_conflict),
        reraise=True,
    )
    return retrying(attempt)


def replacing(uri: str, key: str, where: Where) -> Write:
    """Overwrite the table, or only the partitions named by ``where``; see ``Lake.replace``."""

    def write(table: "DeltaTable | None", data: Rows) -> int:
        from deltalake import write_deltalake

        if table is None:
            # "error" makes the second of two first writers notice the other one and try again.
            write_deltalake(uri, _batches(data), mode="error", partition_by=list(where) or None)
        elif not where:
            write_deltalake(table, _batches(data), mode="overwrite", schema_mode="overwrite")
        elif retyped := retyped_columns(table, data):
            # Delta would cast the new rows to the old type without a word: 1.5 would become 1.
            every = pl.concat([kept_rows(table, key, where, retyped), data.lazy()], how="diagonal")
            cut_by = table.metadata().partition_columns or None
            write_deltalake(table, _batches(every), mode="overwrite", schema_mode="overwrite", partition_by=cut_by)
        elif set(where) <= {field.name for field in table.schema().fields}:
            write_deltalake(table, _batches(data), mode="overwrite", predicate=_predicate(where), schema_mode="merge")
        else:
            write_deltalake(table, _batches(data), mode="append", schema_mode="merge")
        return 0 if table is None else table.version()

    return write


class PositionMoved(RuntimeError):
    """Somebody else has appended what a source holds in the meantime."""


def appending(uri: str, partition_by: list[str], moves: Moves | None = None) -> Write:
    """Add rows to the table, which the first append creates; with them the positions of their sources move."""
    moves = moves or {}

    def write(table: "DeltaTable | None", data: Rows) -> int:
        from deltalake import CommitProperties, DeltaTable, Transaction, write_deltalake

        if table is None and moves:
            # Of two first writers Delta lets both in: only positions that are looked at in a table tell them apart.
            write_deltalake(uri, data.clear(), mode="error", partition_by=partition_by or None)  # pyright: ignore
            table = DeltaTable(uri)
        for source, (start, _) in moves.items():
            now = None if table is None else table.transaction_version(source)
            if now != start:
                raise PositionMoved(f"{uri}: {source} is at {now}, not at {start}")
        transactions = [Transaction(source, end) for source, (_, end) in moves.items()]
        write_deltalake(
            uri if table is None else table,
            _batches(data),
            mode="error" if table is None else "append",
            partition_by=partition_by or None,
            schema_mode=None if table is None else "merge",
            commit_properties=CommitProperties(app_transactions=transactions) if transactions else None,
        )
        return 0 if table is None else table.version()

    return write


def _batches(data: Rows) -> Any:
    return data.collect_batches() if isinstance(data, pl.LazyFrame) else data


def _predicate(where: Where) -> str:
    clauses = []
    for column, values in where.items():
        listed = ", ".join("'" + value.replace("'", "''") + "'" for value in values)
        clauses.append(f'"{column}" IN ({listed})')
    return " AND ".join(clauses)


def _is_conflict(error: BaseException) -> bool:
    from deltalake.exceptions import CommitFailedError, DeltaError

    # A lost commit says "conflict", "metadata changed" or "protocol changed"; the second of two first writers
    # fails with a general error.
    text = str(error).lower()
    is_lost = any(words in text for words in ("conflict", "concurrent", "already exists"))
    return isinstance(error, CommitFailedError) or (isinstance(error, DeltaError) and is_lost)
