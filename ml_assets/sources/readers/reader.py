"""What a source format is for the rest of the platform: the interface that every reader implements."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import polars as pl

from ml_assets.sources.content_hash import content_hash
from ml_assets.sources.csv.dialect import CsvDialect
from ml_assets.sources.delivery.load import RowPlaces, count_by_place, load, load_starts
from ml_assets.sources.delivery.request import LoadRequest, SampledRows, Table
from ml_assets.sources.drops.cut import check_placed, drop_names
from ml_assets.sources.drops.grains import WHOLE
from ml_assets.sources.files.fetch import exists, locate
from ml_assets.sources.files.tokens import file_token
from ml_assets.sources.schema import Schema
from ml_assets.sources.spec import SourceSpec
from ml_assets.sources.where import PARTITION


class SourceReader(ABC):
    """Reads the rows of one format.

    To add a format, subclass and implement `load`; the other methods are right as they are for rows that lie in files
    or folders of files, which are read anew when a file's date or size has changed. An instance is registered by an
    entry point of the group `ml_assets.source_readers`, under the format's name.

    Attributes:
        what: one place of such rows in messages, with its article, such as "a Parquet file".
        as_texts: whether values are texts, written as the declaration's `csv`, `null_values` and `columns` say; else
            they have types of their own.
        reads_queries: whether the place is a query and its connection; else it is a path.
        takes_partitions: whether `{partition}` may stand in the path, so that each drop is a file of its own.
    """

    what: str
    as_texts: bool = False
    reads_queries: bool = False
    takes_partitions: bool = True

    def check(self, spec: SourceSpec) -> None:
        """Refuse a declaration that describes something which rows of this format do not have.

        Raises:
            ValueError: which field is wrong, and what to do.
        """
        if self.reads_queries != (spec.where.query is not None):
            raise ValueError("format: sql is that of a query, and of nothing else; leave it out")
        if not self.as_texts:
            self._check_typed(spec)
        if spec.where.file_per_drop and not self.takes_partitions:
            raise ValueError(f"where: {PARTITION} is for files; {self.what} is cut by `drops.column`")

    def _check_typed(self, spec: SourceSpec) -> None:
        if spec.null_values:
            raise ValueError(f"null_values: {self.what} has nulls of its own; leave them out")
        if spec.csv != CsvDialect():
            raise ValueError(f"csv: {self.what} is no CSV file; leave it out")
        if spec.header:
            raise ValueError(f"header: {self.what} names its columns; leave it out")
        if spec.order:
            raise ValueError("order: is for CSV files; let the query or the table have a column with a moment")
        units = [name for name, declared in spec.columns.items() if declared.unit]
        if units:
            raise ValueError(f"columns: unit of {units[0]}: is for CSV files; {self.what} has numbers")

    @abstractmethod
    def load(self, request: LoadRequest) -> Table:
        """Return the requested columns that are delivered, and the names of all other columns that are.

        More rows than those of `request.cut` may be returned: whoever calls chooses among them. The order of equal
        rows must not depend on chance, as a drop's digest does depend on it.

        Raises:
            DeliveryFault: the place cannot be reached or read, or lacks a column that is not `request.optional`.
        """

    def exists(self, spec: SourceSpec) -> bool:
        """Return whether anything is delivered; raises DeliveryFault where that cannot be known."""
        return exists(locate(spec.where))

    def held(self, spec: SourceSpec, schema: Schema) -> list[str]:
        """Return the names of the drops of which one file, folder, table or query holds rows, in order.

        Raises:
            DeliveryFault: it cannot be reached or read, or no row says its drop.
        """
        if not self.exists(spec):
            return []
        starts = load_starts(spec, schema)
        check_placed(spec.drops, len(starts), starts.null_count())
        return drop_names(starts, spec.drops)

    def state(self, spec: SourceSpec, now: float, settle: float) -> str | None:
        """Return a text that changes when what is delivered may have changed, found without reading rows.

        Args:
            now: seconds since 1970.
            settle: what was written within so many seconds of `now` may still be written.

        Returns:
            None if nothing is there; empty if no such text can be had, so that `drop_states` decides each time.
        """
        return file_token(locate(spec.where), now, settle)

    def drop_states(self, spec: SourceSpec, schema: Schema) -> Mapping[str, str] | None:
        """Return for each drop a text that changes when its rows do; None where that is not known drop by drop.

        It is called for a source whose drops share one place, when `state` is not what it was.

        Raises:
            DeliveryFault: the place cannot be reached or read.
        """
        del spec, schema
        return None

    def digest(self, spec: SourceSpec, names: list[str], schema: Schema) -> bytes:
        """Return bytes that change when the rows of these drops do, which lie in one place.

        Raises:
            DeliveryFault: the place cannot be reached or read.
        """
        return content_hash(load(spec, names, schema, list(schema))[0]).encode()

    def count_rows(self, spec: SourceSpec, schema: Schema, ingested: list[str]) -> RowPlaces:
        """Count the rows of a place that several drops share, by where they lie beside the ingested drops.

        Raises:
            DeliveryFault: the place cannot be reached or read.
        """
        return count_by_place(load_starts(spec, schema), spec.drops, ingested)

    def sample(self, spec: SourceSpec, names: Sequence[str] | None) -> SampledRows:
        """Return rows of a place that is not declared yet, to suggest a declaration from.

        Args:
            spec: its place; all else of it is made up.
            names: drops with files of their own; None for the one file, folder, table or query.

        Raises:
            DeliveryFault: it is not there or cannot be read.
        """
        return SampledRows([all_columns(self.load, LoadRequest(spec, [name], {}, [])) for name in names or [WHOLE]])

    def stream(self, spec: SourceSpec, rows: int) -> Iterator[SampledRows]:
        """Yield all rows of one place that is not declared yet, as delivered, about so many at a time.

        Parts may differ in the columns they have and in their types. A format that cannot be read in parts yields all
        rows at once.

        Args:
            spec: its place; all else of it is made up.

        Raises:
            DeliveryFault: it is not there or cannot be read.
        """
        del rows
        yield self.sample(spec, None)

    def recognizes(self, folder: Path) -> bool:
        """Return whether a local folder, whose name reveals no format, holds rows of this format."""
        del folder
        return False


def in_key_order(spec: SourceSpec, table: pl.DataFrame) -> pl.DataFrame:
    """Return the rows sorted, by the keys first, so that rows in another order count as the same delivery."""
    return table.sort([*(name for name in spec.key_columns if name in table.columns), *table.columns])


def all_columns(load: Callable[[LoadRequest], Table], request: LoadRequest) -> pl.DataFrame:
    """Return every column that is delivered, of all rows."""
    _, columns = load(replace(request, columns=[]))
    return load(replace(request, columns=list(columns)))[0]
