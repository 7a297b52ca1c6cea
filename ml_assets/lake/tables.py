"""Delta tables by asset key: scan at any version, replace whole or by partition, atomically."""

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import polars as pl

from ml_assets.addresses import require_fit

COMMIT_ATTEMPTS = 12
"""Tries of one commit. Two writers of the same partition conflict about every second time."""

Where = Mapping[str, Sequence[str]]


class TableMissing(LookupError):
    """A table was asked for that nobody has written yet."""


class TableUnreadable(LookupError):
    """A table is there and cannot be read."""


@dataclass(frozen=True)
class TableVersion:
    """What one commit left behind: ``rows`` were written by it, the table is at ``version`` since."""

    key: str
    version: int
    rows: int


@dataclass(frozen=True)
class Lake:
    """Tables under ``root``, a local folder or an object-store URL such as ``s3://bucket/lake``.

    Credentials and endpoints of an object store come from its usual environment variables (``AWS_*``).

    Raises:
        ValueError: a local root in whose path Delta Lake would read something else.
    """

    root: str

    def __post_init__(self) -> None:
        if "://" not in self.root:
            require_fit(self.root, "the lake")

    def uri(self, key: str) -> str:
        """Where the table with asset key ``key`` (parts joined by ``/``) lies."""
        return f"{self.root.rstrip('/')}/{key}"

    def exists(self, key: str) -> bool:
        from deltalake import DeltaTable

        return DeltaTable.is_deltatable(self.uri(key))

    def version(self, key: str) -> int:
        """The newest version of the table; raises TableMissing."""
        return self._table(key).version()

    def scan(self, key: str, version: int | None = None) -> pl.LazyFrame:
        """The table, lazily, at its newest or the given version.

        Raises:
            TableMissing: no such table.
            TableUnreadable: its log is broken.
        """
        from ml_assets.lake.delta import scan_table

        with self._opening(key):
            return scan_table(self.uri(key), version)

    def partitions(self, key: str, column: str) -> list[str]:
        """The values of partition column ``column`` present in the table, sorted; empty if no table."""
        if not self.exists(key):
            return []
        return sorted({p[column] for p in self._table(key).partitions()})

    def rows_by(self, key: str, column: str) -> dict[str, int]:
        """Rows by value of partition column ``column``, told by the table's log alone; empty if no table."""
        import pyarrow as pa

        if not self.exists(key):
            return {}
        files = pl.DataFrame(pa.table(self._table(key).get_add_actions(flatten=True)))
        return dict(
            files.group_by(f"partition.{column}").agg(pl.col("num_records").sum()).sort(by=pl.all()).iter_rows()
        )

    def compact(self, key: str) -> int:
        """Let few large files hold what many small ones did; rows stay as they are, appends go on meanwhile.

        Returns how many files are no longer needed. Those that have not been for a week are deleted, and with them
        versions of the table from before.
        """
        table = self._table(key)
        removed = table.optimize.compact()["numFilesRemoved"]
        if removed:
            table.vacuum(dry_run=False)
        return removed

    def replace(self, key: str, frame: pl.DataFrame | pl.LazyFrame, where: Where | None = None) -> TableVersion:
        """Overwrite the table, or only the partitions named by ``where``, in one atomic commit.

        Args:
            frame: the new rows; a LazyFrame is read batch by batch, more than once, and never held whole.
                Categorical, Enum, Duration and Null columns are refused: Delta has no such types.
            where: column -> its values. Rows outside it stay, and so do all where the table has no such column yet;
                every row of ``frame`` lies inside it. A table is partitioned by the columns of its first write.

        A column whose type has changed gets the new one in the rows outside too, in the same commit.

        Raises:
            ValueError: a column of a type that Delta cannot hold, a row outside ``where``, or values outside that the
                new type of their column does not hold exactly.
        """
        _refuse_foreign_types(key, frame)
        where = {column: list(values) for column, values in (where or {}).items()}
        _refuse_rows_outside(key, frame, where)
        return TableVersion(key, self._commit(key, frame, where), _height(frame))

    def append(self, key: str, frame: pl.DataFrame, partition_by: Sequence[str] = ()) -> TableVersion:
        """Add rows to the table in one atomic commit; the first append creates it. Appends never conflict for long.

        Args:
            frame: the new rows; columns that the table does not have yet are added, null in older rows.
            partition_by: partition columns, the same at every append.

        Raises:
            ValueError: a column of a type that Delta cannot hold.
        """
        _refuse_foreign_types(key, frame)
        return TableVersion(key, self._write(key, frame, _append_to(self.uri(key), list(partition_by))), frame.height)

    def _commit(self, key: str, frame: pl.DataFrame | pl.LazyFrame, where: dict[str, list[str]]) -> int:
        return self._write(key, frame, _replace_in(self.uri(key), key, where))

    def _write(self, key: str, frame: pl.DataFrame | pl.LazyFrame, write: Callable[[Any, Any], None]) -> int:
        """Let `write` commit to the table, None if there is none yet, until no other writer is in the way."""
        from tenacity import Retrying, retry_if_exception, stop_after_attempt

        data = frame.with_columns(pl.col(pl.Datetime("ns", "UTC")).dt.cast_time_unit("us"))

        def commit() -> int:
            table = self._table(key) if self.exists(key) else None
            write(table, data)
            return 0 if table is None else table.version()

        retrying = Retrying(
            stop=stop_after_attempt(COMMIT_ATTEMPTS),
            wait=lambda state: random.uniform(0.02, 0.1) * 1.6**state.attempt_number,
            retry=retry_if_exception(_is_conflict),
            reraise=True,
        )
        return retrying(commit)

    def _table(self, key: str, version: int | None = None):
        from deltalake import DeltaTable

        with self._opening(key):
            return DeltaTable(self.uri(key), version=version)

    @contextmanager
    def _opening(self, key: str) -> Iterator[None]:
        """Say which table it is that is missing or cannot be read."""
        from deltalake.exceptions import DeltaError, TableNotFoundError

        try:
            yield
        except TableNotFoundError:
            raise self._missing(key) from None
        except DeltaError as error:
            raise TableUnreadable(
                f"table {key!r} in the lake at {self.root} cannot be read: {' '.join(str(error).split())[:300]}"
            ) from error

    def _missing(self, key: str) -> TableMissing:
        return TableMissing(
            f"table {key!r} is not in the lake at {self.root}: materialize the asset that writes it first"
        )


def _replace_in(uri: str, key: str, where: dict[str, list[str]]) -> Callable[[Any, Any], None]:
    def write(table: Any, data: Any) -> None:
        from deltalake import write_deltalake

        if table is None:
            # "error" makes the second of two first writers notice the other one and try again.
            write_deltalake(uri, _batches(data), mode="error", partition_by=list(where) or None)
        elif not where:
            write_deltalake(table, _batches(data), mode="overwrite", schema_mode="overwrite")
        elif retyped := _retyped(table, data):
            # Delta would cast the new rows to the old type without a word: 1.5 would become 1.
            every = pl.concat([_kept(table, key, where, retyped), data.lazy()], how="diagonal")
            cut_by = table.metadata().partition_columns or None
            write_deltalake(table, _batches(every), mode="overwrite", schema_mode="overwrite", partition_by=cut_by)
        elif set(where) <= {field.name for field in table.schema().fields}:
            write_deltalake(table, _batches(data), mode="overwrite", predicate=_predicate(where), schema_mode="merge")
        else:
            write_deltalake(table, _batches(data), mode="append", schema_mode="merge")

    return write


def _append_to(uri: str, partition_by: list[str]) -> Callable[[Any, Any], None]:
    def write(table: Any, data: Any) -> None:
        from deltalake import write_deltalake

        write_deltalake(
            uri if table is None else table,
            _batches(data),
            mode="error" if table is None else "append",
            partition_by=partition_by or None,
            schema_mode=None if table is None else "merge",
        )

    return write


def _batches(data: pl.DataFrame | pl.LazyFrame) -> Any:
    return data.collect_batches() if isinstance(data, pl.LazyFrame) else data


_SIGNED = {pl.UInt8: pl.Int8, pl.UInt16: pl.Int16, pl.UInt32: pl.Int32, pl.UInt64: pl.Int64}


def _as_stored(dtype: pl.DataType) -> pl.DataType:
    """The type that a column has when it is read back."""
    if isinstance(dtype, pl.Datetime):
        return pl.Datetime("us", dtype.time_zone and "UTC")
    return _SIGNED.get(dtype.base_type(), lambda: dtype)()


def _rows(table: Any) -> pl.LazyFrame:
    from ml_assets.lake.delta import scan_table

    return scan_table(table.table_uri, table.version())


def _retyped(table: Any, data: pl.DataFrame | pl.LazyFrame) -> dict[str, pl.DataType]:
    """Column -> new type, of those that the table holds as another type."""
    stored = _rows(table).collect_schema()
    given = {name: _as_stored(dtype) for name, dtype in data.collect_schema().items()}
    plain = {name: dtype for name, dtype in given.items() if name in stored and not dtype.is_nested()}
    return {name: dtype for name, dtype in plain.items() if stored[name] != dtype}


def _kept(table: Any, key: str, where: dict[str, list[str]], retyped: dict[str, pl.DataType]) -> pl.LazyFrame:
    """The rows outside of ``where``, with other types; ValueError if a value would change."""
    rows = _rows(table)
    schema = rows.collect_schema()
    if set(where) <= set(schema):
        replaced = pl.all_horizontal(pl.col(column).is_in(values) for column, values in where.items())
        rows = rows.filter(~replaced.fill_null(False))
    lost = rows.select(_changes(name, schema[name], dtype).sum() for name, dtype in retyped.items())
    for name, count in lost.collect(engine="streaming").row(0, named=True).items():
        if count:
            raise ValueError(
                f"table {key!r}: column {name!r} is {retyped[name]} now, which does not hold {count} values of other "
                f"partitions exactly ({schema[name]}): materialize all partitions in one run, or rename the column"
            )
    return rows.with_columns(pl.col(name).cast(dtype) for name, dtype in retyped.items())


def _changes(name: str, given: pl.DataType, dtype: pl.DataType) -> pl.Expr:
    column = pl.col(name)
    cast = column.cast(dtype, strict=False)
    return (column.is_not_null() & cast.is_null()) | (cast.cast(given, strict=False) != column).fill_null(False)


def _predicate(where: dict[str, list[str]]) -> str:
    clauses = []
    for column, values in where.items():
        listed = ", ".join("'" + value.replace("'", "''") + "'" for value in values)
        clauses.append(f'"{column}" IN ({listed})')
    return " AND ".join(clauses)


def _height(frame: pl.DataFrame | pl.LazyFrame) -> int:
    return frame.lazy().select(pl.len()).collect(engine="streaming").item()


def _refuse_foreign_types(key: str, frame: pl.DataFrame | pl.LazyFrame) -> None:
    foreign = (pl.Categorical, pl.Enum, pl.Duration, pl.Null, pl.Object)
    bad = [f"{name} ({dtype})" for name, dtype in frame.collect_schema().items() if isinstance(dtype, foreign)]
    if bad:
        raise ValueError(f"table {key!r}: Delta cannot hold {', '.join(bad)}; cast first, e.g. to String")


def _refuse_rows_outside(key: str, frame: pl.DataFrame | pl.LazyFrame, where: dict[str, list[str]]) -> None:
    for column, values in where.items():
        stray = ~pl.col(column).is_in(values).fill_null(False)
        strays = frame.lazy().select(column).filter(stray).head(1).collect(engine="streaming").to_series()
        if len(strays):
            raise ValueError(
                f"table {key!r}: rows with {column} = {strays[0]!r} lie outside the partitions being replaced, {values}"
            )


def _is_conflict(error: BaseException) -> bool:
    from deltalake.exceptions import CommitFailedError, DeltaError

    # A lost commit says "conflict", "metadata changed" or "protocol changed"; the second of two first writers
    # fails with a general error.
    text = str(error).lower()
    is_lost = any(words in text for words in ("conflict", "concurrent", "already exists"))
    return isinstance(error, CommitFailedError) or (isinstance(error, DeltaError) and is_lost)
