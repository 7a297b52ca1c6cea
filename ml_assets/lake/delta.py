"""Delta tables at any path, read by Polars."""

import hashlib
from pathlib import Path
from urllib.parse import unquote

import polars as pl
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError

_LOCAL = "file://"


def scan_table(address: str, version: int | None = None) -> pl.LazyFrame:
    """Read a Delta table lazily, at its newest or the given version.

    Args:
        address: path or URL.

    Raises:
        deltalake.exceptions.TableNotFoundError: there is none.
    """
    return pl.scan_delta(_Readable(address, version=version))


def digest_files(address: str, version: int) -> str | None:
    """Return a digest of a table's id and of the names of a version's files; None where it cannot be read any more."""
    try:
        table = DeltaTable(address, version=version)
    except DeltaError:  # Its log was cleaned up, or the table has fewer.
        return None
    names = pl.DataFrame(table.get_add_actions())["path"].sort().to_list()
    return hashlib.sha256("\n".join([str(table.metadata().id), *names]).encode()).hexdigest()


def changed_rows(address: str, since: int, until: int, *, change: str, most: int) -> pl.LazyFrame | None:
    """Read the rows that tell two versions of a Delta table apart, by the files that only one of them has.

    A row that both have may be among them twice: once for either version.

    Args:
        address: path or URL.
        change: Int8 column for what is seen of a row: 1 where it is of the later version, -1 of the earlier.
        most: rows.

    Returns:
        None where the earlier version cannot be read any more, the columns differ, there are more rows, or a file that
        another tool wrote does not say how many.
    """
    try:
        before = _Readable(address, version=since)
    except DeltaError:  # Its log was cleaned up.
        return None
    after = _Readable(address, version=until)
    if pl.Schema(before.schema()) != pl.Schema(after.schema()) or _hides_rows(before) or _hides_rows(after):
        return None
    of_before, of_after = _files(before), _files(after)
    added = {file: rows for file, rows in of_after.items() if file not in of_before}
    removed = {file: rows for file, rows in of_before.items() if file not in of_after}
    counts = [*added.values(), *removed.values()]
    known = [rows for rows in counts if rows is not None]
    if len(known) < len(counts) or sum(known) > most or not all(map(before.has_file, removed)):
        return None
    sides = [after.scan_some(list(added), change, 1), before.scan_some(list(removed), change, -1)]
    return pl.concat(sides)


def _files(table: "_Readable") -> dict[str, int | None]:
    """Return how many rows each file of a table has; None where its writer has kept no statistics."""
    counts = pl.DataFrame(table.get_add_actions(flatten=True))["num_records"].to_list()
    return dict(zip(table.file_uris(), counts, strict=True))


def _hides_rows(table: DeltaTable) -> bool:
    return "deletionVectors" in (table.protocol().reader_features or ())


class _Readable(DeltaTable):
    """A table whose files are named as they lie on the disk: Polars opens names as they are, deltalake encodes them."""

    @property
    def table_uri(self) -> str:
        return f"{_LOCAL}{self._root}" if self._is_local else super().table_uri

    def file_uris(self, *arguments, **named) -> list[str]:
        files = super().file_uris(*arguments, **named)
        if not self._is_local:
            return files
        encoded = super().table_uri.removeprefix(_LOCAL)
        return [f"{self._root}{file.removeprefix(encoded)}" for file in files]

    def has_file(self, file: str) -> bool:
        """Return whether a file of the table is there still; false where only an object store could tell."""
        return self._is_local and Path(file).exists()

    def scan_some(self, files: list[str], change: str, value: int) -> pl.LazyFrame:
        """Read some files of the table, with a column of one value."""
        schema, cut_by = pl.Schema(self.schema()), self.metadata().partition_columns
        if not files:
            return pl.LazyFrame(schema=schema | {change: pl.Int8()})
        scanned = pl.scan_parquet(
            files,
            schema={name: dtype for name, dtype in schema.items() if name not in cut_by},
            hive_schema={name: schema[name] for name in cut_by} or None,
            hive_partitioning=bool(cut_by),
            missing_columns="insert",
            extra_columns="ignore",
        )
        return scanned.select(*schema.names(), pl.lit(value, pl.Int8).alias(change))

    @property
    def _is_local(self) -> bool:
        return super().table_uri.startswith(_LOCAL)

    @property
    def _root(self) -> str:
        return unquote(super().table_uri.removeprefix(_LOCAL))
