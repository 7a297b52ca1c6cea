"""CSV files, as they are or packed: all rows as texts, to be read as the declaration says that they are written."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import BinaryIO

from ml_assets.sources.csv.blocks import BLOCK, read_blocks, sniff_start
from ml_assets.sources.csv.dialect import CsvDialect
from ml_assets.sources.csv.order import read_for, with_order
from ml_assets.sources.csv.sniff import sniff_dialect
from ml_assets.sources.csv.text import check_single_column, open_csv
from ml_assets.sources.csv.unpack import gunzipped, gunzipping, unzipped, unzipping
from ml_assets.sources.delivery.read import read_drops
from ml_assets.sources.delivery.request import LoadRequest, SampledRows, Table
from ml_assets.sources.errors import SourceError, check_columns
from ml_assets.sources.files.fetch import fetch, locate, open_file
from ml_assets.sources.readers.reader import SourceReader
from ml_assets.sources.schema import Schema
from ml_assets.sources.spec import SourceSpec


class CsvReader(SourceReader):
    """Reads CSV files.

    Args:
        unpack: makes of the delivered bytes those of the one file in them.
        opened: makes of a delivered file, open for reading, the one in it.
    """

    what = "a CSV file"
    as_texts = True

    def __init__(
        self, unpack: Callable[[bytes], bytes], opened: Callable[[BinaryIO], AbstractContextManager[BinaryIO]]
    ) -> None:
        self._unpack, self._opened = unpack, opened

    def load(self, request: LoadRequest) -> Table:
        spec = request.spec
        file = open_csv(self._unpack(fetch(request.address)), spec.csv, spec.header)
        columns = request.columns if spec.order is None else read_for(spec.order, request.columns, file.names)
        check_single_column(file, columns)
        extra = check_columns(columns, file.names, request.optional)
        table = file.read([name for name in columns if name in file.names], spec.null_values)
        return table if spec.order is None else with_order(table, spec.order), extra

    def digest(self, spec: SourceSpec, names: list[str], schema: Schema) -> bytes:
        """Return the digest of the bytes where no other drop shares them, or where they cannot be read."""
        if spec.cut_by is None:
            return self._digest_of_bytes(spec, names)
        try:
            return "".join(drop.content_hash for drop in read_drops(spec, names, schema).values()).encode()
        except SourceError:
            # The run that reads it says what is wrong; here it only has to differ once the file is another.
            return self._digest_of_bytes(spec, names)

    def _digest_of_bytes(self, spec: SourceSpec, names: list[str]) -> bytes:
        return hashlib.sha256(fetch(LoadRequest(spec, names, {}, []).address)).digest()

    def sample(self, spec: SourceSpec, names: Sequence[str] | None) -> SampledRows:
        """Return the rows of all files, read by the dialect that the first one is written in."""
        dialect: CsvDialect | None = None
        unnamed, tables = (), []
        for name in names or [""]:
            data = self._unpack(fetch(LoadRequest(spec, [name], {}, []).address))
            dialect = dialect or sniff_dialect(data)
            file = open_csv(data, dialect)
            check_single_column(file, ())
            unnamed = file.unnamed
            tables.append(file.read(file.names))
        return SampledRows(tables, dialect, unnamed)

    def stream(self, spec: SourceSpec, rows: int) -> Iterator[SampledRows]:
        """Yield the rows of blocks of the file, whatever their number."""
        del rows
        with open_file(locate(spec.where)) as packed, self._opened(packed) as stream:
            first = stream.read(BLOCK)
            dialect = sniff_start(first)
            for file in read_blocks(stream, first, dialect):
                yield SampledRows([file.read(file.names)], dialect, file.unnamed)


PLAIN = CsvReader(lambda data: data, nullcontext)
ZIPPED = CsvReader(unzipped, unzipping)
GZIPPED = CsvReader(gunzipped, gunzipping)
