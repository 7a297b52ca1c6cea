"""Where the rows of a side lie: a file, a folder of files or a table, or all files that a pattern matches."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import polars as pl
from pydantic import ValidationError

from ml_assets.comparing.errors import UnusableRows, WrongRequest
from ml_assets.scaffolding.samples.sample import file_format_of
from ml_assets.sources.delivery.request import SampledRows
from ml_assets.sources.errors import DeliveryFault
from ml_assets.sources.files.fetch import exists, filesystem_of, reaching
from ml_assets.sources.formats import READERS, format_of
from ml_assets.sources.spec import SourceSpec
from ml_assets.sources.where import PARTITION, Where

PART = 100_000
"""Rows that are read at a time."""

_SIGNS = "*?["


@dataclass(frozen=True)
class Place:
    """The files of one side.

    Attributes:
        side: "reference" or "current", for messages.
        given: as a person wrote it.
        files: one source for each file, folder or table, all of one format.
    """

    side: str
    given: str
    files: tuple[SourceSpec, ...]

    @property
    def format(self) -> str:
        return self.files[0].format or ""

    @property
    def as_texts(self) -> bool:
        """Whether the format keeps all values as texts."""
        return self.files[0].reader.as_texts

    def parts(self) -> Iterator[SampledRows]:
        """Yield the rows of all files in turn, about `PART` at a time.

        Raises:
            UnusableRows: a file cannot be read.
        """
        for spec in self.files:
            try:
                yield from spec.reader.stream(spec, PART)
            except DeliveryFault as fault:
                raise UnusableRows(f"--{self.side} {spec.where.path}: {fault.kind}: {fault.detail}") from fault
            except pl.exceptions.PolarsError as error:
                reason = str(error).splitlines()[0]
                raise UnusableRows(f"--{self.side} {spec.where.path}: cannot be read ({reason})") from error


def find_place(side: str, given: str, file_format: str | None = None) -> Place:
    """Return the files at a path, URL or pattern.

    Args:
        side: "reference" or "current".
        file_format: how rows are kept; by default told from the names of the files.

    Raises:
        WrongRequest: nothing is there, or it is of no known format, or of several.
    """
    if PARTITION in given:
        raise WrongRequest(f"--{side} {given}: {PARTITION} is for declared sources: write * for any text")
    paths = _paths(side, given)
    specs = tuple(_source(side, path, file_format) for path in paths)
    if len(formats := sorted({str(spec.format) for spec in specs})) > 1:
        raise WrongRequest(f"--{side} {given}: has files of several formats, {', '.join(formats)}: choose by a pattern")
    return Place(side, given, specs)


def _paths(side: str, given: str) -> list[str]:
    """Return the files that are meant; a folder of a table, or of Parquet files, is one."""
    try:
        if Path(given).is_dir():
            return _in_folder(side, given)
        if any(sign in given for sign in _SIGNS) and not Path(given).exists():
            with reaching(given):
                filesystem, path = filesystem_of(given)
                matches = sorted(filesystem.glob(path))
            if not matches:
                raise WrongRequest(f"--{side} {given}: no file matches")
            return [filesystem.unstrip_protocol(file) if "://" in given else file for file in matches]
        if not exists(given):
            raise WrongRequest(f"--{side} {given}: there is no such file or folder")
    except DeliveryFault as fault:
        raise WrongRequest(f"--{side} {given}: {fault.detail}") from fault
    return [given]


def _in_folder(side: str, given: str) -> list[str]:
    files = sorted(str(file) for file in Path(given).iterdir() if file.is_file() and file.name[0] not in "._")
    whole = file_format_of(given)
    if whole is None:
        if not files:
            raise WrongRequest(f"--{side} {given}: the folder is empty")
        return files
    # A table's own folder holds what its format wants; one of files should hold files of one format.
    others = [file for file in files if READERS.get(whole).takes_partitions and not file.endswith(f".{whole}")]
    if others:
        raise WrongRequest(f"--{side} {given}: beside {whole} there is {Path(others[0]).name}: choose by a pattern")
    return [given]


def _source(side: str, path: str, file_format: str | None) -> SourceSpec:
    where = Where(path=path)
    try:
        name = file_format or file_format_of(path) or format_of(where)
    except ValueError:
        known = ", ".join(f".{name}" for name in READERS.names() if not READERS.get(name).reads_queries)
        raise WrongRequest(
            f"--{side} {path}: the name does not tell its format: let it end with one of {known}"
        ) from None
    try:
        return SourceSpec(
            name=side, description="", where=where, format=name, contract="compared:Rows", key_columns=[""]
        )
    except ValidationError as error:
        raise WrongRequest(f"--{side} {path}: {error.errors()[0]['msg'].removeprefix('Value error, ')}") from error
