"""Delta tables by asset key: scan at any version, replace whole or by partition, atomically."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import polars as pl

from ml_assets.addresses import require_fit
from ml_assets.lake.commits import Moves, Where, appending, commit, replacing
from ml_assets.lake.refusals import refuse_foreign_types, refuse_rows_outside

if TYPE_CHECKING:
    from deltalake import DeltaTable

    from ml_assets.lake.history import PartitionHistory


class TableMissing(LookupError):
    """A table that is to be read has not been written yet."""


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
        """Return where the table with asset key ``key`` (parts joined by ``/``) lies."""
        return f"{self.root.rstrip('/')}/{key}"

    def exists(self, key: str) -> bool:
        """Return whether the table has been written."""
        from deltalake import DeltaTable

        return DeltaTable.is_deltatable(self.uri(key))

    def version(self, key: str) -> int:
        """Return the newest version of the table.

        Raises:
            TableMissing: no such table.
        """
        return self._table(key).version()

    def written_at(self, key: str) -> datetime:
        """Return when the newest version of the table was written, in UTC to the millisecond.

        Raises:
            TableMissing: no such table.
        """
        (newest,) = self._table(key).history(1)
        return datetime.fromtimestamp(newest["timestamp"] / 1000, UTC)

    def scan(self, key: str, version: int | None = None) -> pl.LazyFrame:
        """Read the table lazily, at its newest or the given version.

        Raises:
            TableMissing: no such table.
            TableUnreadable: its log is broken.
        """
        from ml_assets.lake.delta import scan_table

        with self._opening(key):
            return scan_table(self.uri(key), version)

    def schema_at(self, key: str, version: int) -> dict[str, str] | None:
        """Return the columns of the table at a version with the names of their types; None where its log does not go
        back so far."""
        from deltalake import DeltaTable
        from deltalake.exceptions import DeltaError

        try:
            fields = DeltaTable(self.uri(key), version=version).schema().fields
        except DeltaError:
            return None
        return {field.name: str(getattr(field.type, "type", field.type)) for field in fields}

    def files(self, key: str, version: int) -> str | None:
        """Return a digest of the table's id and files at a version, None where it cannot be read any more.

        A table that is deleted and written anew, or restored and written on, has the same version numbers again, of
        other files.
        """
        from ml_assets.lake.delta import digest_files

        return digest_files(self.uri(key), version)

    def changed_rows(self, key: str, since: int, until: int, *, change: str, most: int) -> pl.LazyFrame | None:
        """Read the rows that tell two versions of the table apart, lazily, without reading what both have.

        Args:
            change: Int8 column for what is seen of a row: 1 where it is of the later version, -1 of the earlier; one
                that both have may be there once for either.
            most: rows.

        Returns:
            None where the earlier version cannot be read any more, the columns differ, or there are more rows.
        """
        from ml_assets.lake.delta import changed_rows

        with self._opening(key):
            return changed_rows(self.uri(key), since, until, change=change, most=most)

    def cut_by(self, key: str) -> list[str]:
        """Return the table's partition columns; none of one that is not cut.

        Raises:
            TableMissing: no such table.
        """
        return list(self._table(key).metadata().partition_columns)

    def partitions(self, key: str, column: str) -> list[str]:
        """List the values of partition column ``column`` present in the table, sorted; empty if no table."""
        if not self.exists(key):
            return []
        return sorted({p[column] for p in self._table(key).partitions()})

    def rows_by(self, key: str, column: str) -> dict[str, int]:
        """Count rows by value of partition column ``column``, from the table's log alone; empty if no table."""
        if not self.exists(key):
            return {}
        files = pl.DataFrame(self._table(key).get_add_actions(flatten=True))
        return dict(
            files.group_by(f"partition.{column}").agg(pl.col("num_records").sum()).sort(by=pl.all()).iter_rows()
        )

    def history_by(self, key: str, column: str) -> "PartitionHistory":
        """Return which commits wrote each value of partition column ``column``, from the table's log alone.

        Raises:
            TableMissing: no such table.
        """
        from ml_assets.lake.history import read_partition_history

        return read_partition_history(self._table(key), column)

    def compact(self, key: str) -> int:
        """Merge many small files into few large ones; rows stay as they are, and appends may go on meanwhile.

        Files that have not been needed for a week are deleted, and with them versions of the table from before.

        Returns:
            The number of files that are no longer needed.
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
        refuse_foreign_types(key, frame)
        where = {column: list(values) for column, values in (where or {}).items()}
        refuse_rows_outside(key, frame, where)
        version = commit(lambda: self._open_if_exists(key), frame, replacing(self.uri(key), key, where))
        height = frame.lazy().select(pl.len()).collect(engine="streaming").item()
        return TableVersion(key, version, height)

    def position(self, key: str, source: str) -> int | None:
        """Return up to where the table has taken what a source holds, see ``append``; None for nothing."""
        table = self._open_if_exists(key)
        return None if table is None else table.transaction_version(source)

    def append(
        self, key: str, frame: pl.DataFrame, partition_by: Sequence[str] = (), moves: Moves | None = None
    ) -> TableVersion:
        """Add rows to the table in one atomic commit; the first append creates it. Appends never conflict for long.

        Args:
            frame: the new rows; columns that the table does not have yet are added, null in older rows.
            partition_by: partition columns, the same at every append.
            moves: sources of the rows -> their positions before and after, kept by the same commit: whoever reads a
                source appends each of its rows once, whatever it is killed in.

        Raises:
            ValueError: a column of a type that Delta cannot hold.
            PositionMoved: a source is not where ``moves`` says: another commit has taken from it.
        """
        refuse_foreign_types(key, frame)
        write = appending(self.uri(key), list(partition_by), moves)
        return TableVersion(key, commit(lambda: self._open_if_exists(key), frame, write), frame.height)

    def _open_if_exists(self, key: str) -> "DeltaTable | None":
        return self._table(key) if self.exists(key) else None

    def _table(self, key: str, version: int | None = None) -> "DeltaTable":
        from deltalake import DeltaTable

        with self._opening(key):
            return DeltaTable(self.uri(key), version=version)

    @contextmanager
    def _opening(self, key: str) -> Iterator[None]:
        """Turn errors of Delta Lake into errors that name the table."""
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
