"""Rows of a place that is not declared yet, to tell a contract and drops from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import polars as pl
from pydantic import ValidationError

from ml_assets.quality.contracts import contract_schema, load_contract
from ml_assets.quality.errors import ContractError
from ml_assets.scaffolding.errors import ScaffoldError
from ml_assets.sources.csv.dialect import CsvDialect
from ml_assets.sources.delivery.declared import declared_column
from ml_assets.sources.delivery.load import load
from ml_assets.sources.drops.grains import GRAINS, GrainName, is_name
from ml_assets.sources.errors import DeliveryFault
from ml_assets.sources.files.fetch import locate
from ml_assets.sources.files.listing import held_partitions
from ml_assets.sources.formats import READERS
from ml_assets.sources.spec import SourceSpec
from ml_assets.sources.values.exact import in_calendar
from ml_assets.sources.where import PARTITION

FILES = 3
"""Files read of a place with one per drop: the first, one in the middle and the last."""


@dataclass(frozen=True)
class Sample:
    """Some rows.

    Attributes:
        table: as delivered: CSV as texts, all else with types of its own.
        drops: names of the drops that the place holds one file each for; empty for one file, table or query.
        grain: their grain, or None.
        dialect: of CSV, how it is written.
        unnamed: columns of CSV to which its header gives no name.
        left_out: columns of a query that are not in the table, each with the reason and what to do.
        impossible: columns with dates or moments that no calendar has; in the table these are missing.
        heights: rows of each file that was read, one after the other in `table`.
        read: names of the drops of those files, where each holds one.
    """

    table: pl.DataFrame
    drops: tuple[str, ...] = ()
    grain: GrainName | None = None
    dialect: CsvDialect | None = None
    unnamed: tuple[str, ...] = ()
    left_out: Mapping[str, str] = field(default_factory=dict)
    impossible: tuple[str, ...] = ()
    heights: tuple[int, ...] = ()
    read: tuple[str, ...] = ()


def read_sample(where: Mapping[str, str], file_format: str | None) -> Sample:
    """Return rows of a file, folder, table or query: all; of one file per drop three files; of a query 100,000.

    Args:
        where: the fields of `Where`, paths as the running process sees them.

    Raises:
        ScaffoldError: it is not there, cannot be read or is of no known format.
    """
    spec = _provisional(where, file_format)
    try:
        if not spec.where.file_per_drop:
            return _sample(spec)
        address = locate(spec.where)
        names = held_partitions(address, None)
        if not names:
            raise ScaffoldError(f"path: there is no file {address}: give the path of files that are there")
        chosen = _first_middle_last(names)
        sample = _sample(spec, chosen)
        return replace(sample, drops=tuple(names), grain=grain_of(names), read=tuple(chosen))
    except DeliveryFault as fault:
        raise ScaffoldError(f"sample: {fault.kind}: {fault.detail}; {fault.remedy}") from fault
    except pl.exceptions.PolarsError as error:
        raise ScaffoldError(f"sample: {str(error).splitlines()[0]}") from error


def read_history(source: SourceSpec, columns: list[str]) -> pl.DataFrame | None:
    """Return columns of a sample of a declared source; None where its rows cannot be read as declared."""
    wanted = list(dict.fromkeys(columns))
    try:
        schema = contract_schema(load_contract(source.contract))
        if source.where.file_per_drop:
            held = held_partitions(locate(source.where), source.drops.names)
            names = [name for name in held if source.drops.expects(name)]
            tables = [load(source, [name], schema, wanted)[0] for name in _first_middle_last(names)]
        else:
            tables = [load(source, None, schema, wanted)[0]]
        if not tables or not set(wanted) <= set(schema):
            return None
        table = pl.concat(tables, how="vertical_relaxed")
        return pl.DataFrame([declared_column(source, table[name], schema[name])[0] for name in wanted])
    except (DeliveryFault, ContractError):
        return None


def grain_of(names: list[str]) -> GrainName:
    """Return the grain whose drops have such names.

    Raises:
        ScaffoldError: there is none.
    """
    coarsest_first: tuple[GrainName, ...] = ("yearly", "quarterly", "monthly", "weekly", "daily", "hourly")
    for grain in coarsest_first:
        # One name alone is as well that of a month or day.
        if all(is_name(grain, name) for name in names) and (grain not in ("weekly", "quarterly") or len(names) > 1):
            return grain
    forms = ", ".join(f"{grain.form} ({name})" for name, grain in GRAINS.items())
    raise ScaffoldError(f"path: {names[0]!r} in place of {PARTITION} is no name of a drop: files are named {forms}")


def file_format_of(path: str) -> str | None:
    """Return the format of the files in a local folder; None where the declaration decides or it is unknown."""
    folder = Path(path)
    if not folder.is_dir():
        return None
    return next((name for name, reader in READERS.loadable().items() if reader.recognizes(folder)), None)


def _first_middle_last(names: list[str]) -> list[str]:
    return sorted({names[0], names[len(names) // 2], names[-1]})[:FILES] if names else []


def _provisional(where: Mapping[str, str], file_format: str | None) -> SourceSpec:
    declared: dict[str, Any] = {"where": dict(where), "format": file_format}
    if PARTITION in (where.get("path") or where.get("file") or ""):
        declared["drops"] = {"grain": "monthly", "start": "1970-01"}
    try:
        return SourceSpec(name="sample", description="", contract="sample:Sample", key_columns=[""], **declared)
    except ValidationError as error:
        raise ScaffoldError(error.errors()[0]["msg"].removeprefix("Value error, ")) from error


def _sample(spec: SourceSpec, names: Sequence[str] | None = None) -> Sample:
    rows = spec.reader.sample(spec, names)
    for place, table in enumerate(rows.tables):
        if table.is_empty():
            address = locate(spec.where).replace(PARTITION, names[place] if names else "")
            raise ScaffoldError(f"sample: {address or 'the query'} has no row to tell types from")
    table = pl.concat(rows.tables, how="diagonal_relaxed")
    moments = [series for series in table.iter_columns() if series.dtype in (pl.Date, pl.Datetime)]
    real = [in_calendar(series) for series in moments]
    impossible = [
        moment.name for moment, was in zip(real, moments, strict=True) if moment.null_count() > was.null_count()
    ]
    return Sample(
        table.with_columns(real),
        dialect=rows.dialect,
        unnamed=rows.unnamed,
        left_out=rows.left_out,
        impossible=tuple(impossible),
        heights=tuple(rows.height for rows in rows.tables),
    )
