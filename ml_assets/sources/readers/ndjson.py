"""NDJSON (JSON Lines): one JSON object a line, each a row."""

import io
from collections.abc import Iterator, Sequence

import polars as pl

from ml_assets.sources.delivery.request import LoadRequest, SampledRows, Table
from ml_assets.sources.errors import DeliveryFault, check_columns
from ml_assets.sources.files.fetch import fetch, locate, open_file
from ml_assets.sources.readers.reader import SourceReader
from ml_assets.sources.spec import SourceSpec

_BLOCK = 1 << 25


class NdjsonReader(SourceReader):
    """Reads NDJSON files; a key that a row lacks is a missing value."""

    what = "an NDJSON file"

    def load(self, request: LoadRequest) -> Table:
        table = _parsed(fetch(request.address))
        extra = check_columns(request.columns, table.columns, request.optional)
        return table.select(name for name in request.columns if name in table.columns), extra

    def sample(self, spec: SourceSpec, names: Sequence[str] | None) -> SampledRows:
        requests = [LoadRequest(spec, [name], {}, []) for name in names or [""]]
        return SampledRows([_parsed(fetch(request.address)) for request in requests])

    def stream(self, spec: SourceSpec, rows: int) -> Iterator[SampledRows]:
        """Yield the rows of blocks of the file, whatever their number; each has types of its own."""
        del rows
        with open_file(locate(spec.where)) as file:
            rest, line = b"", 1
            while block := file.read(_BLOCK):
                rest += block
                if cut := rest.rfind(b"\n") + 1:
                    yield SampledRows([_parsed(rest[:cut], line)])
                    line += rest.count(b"\n", 0, cut)
                    rest = rest[cut:]
            if rest or line == 1:
                yield SampledRows([_parsed(rest, line)])


def _parsed(data: bytes, first: int = 1) -> pl.DataFrame:
    """Return the rows of some lines.

    Args:
        first: number of the first line in the file.

    Raises:
        DeliveryFault: a line is no JSON object.
    """
    if not data or data.isspace():
        return pl.DataFrame()
    try:
        return pl.read_ndjson(io.BytesIO(data), infer_schema_length=None)
    except pl.exceptions.PolarsError as error:
        raise _wrong_line(data, first, str(error)) from error


def _wrong_line(data: bytes, first: int, reason: str) -> DeliveryFault:
    """Return the fault of the first line that is no JSON object."""
    import json

    detail = f"no readable NDJSON ({reason.splitlines()[0]})"
    for number, line in enumerate(data.splitlines(), first):
        try:
            row = json.loads(line) if line.strip() else {}
        except ValueError as error:
            detail = f"line {number} is no JSON ({error})"
            break
        if not isinstance(row, dict):
            detail = f"line {number} is no JSON object, but {line[:40].decode(errors='replace')}"
            break
    return DeliveryFault("unparsable", detail, "have it delivered with one JSON object a line")


NDJSON = NdjsonReader()
