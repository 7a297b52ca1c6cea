"""A source's declaration and contract, told from a sample of its rows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl
from pydantic import ValidationError

from ml_assets.scaffolding.columns import Column, describe_columns, is_code, left_out, with_role
from ml_assets.scaffolding.contract_text import contract_name, render_contract
from ml_assets.scaffolding.declared import check_column, named
from ml_assets.scaffolding.errors import ScaffoldError
from ml_assets.scaffolding.samples.sample import Sample
from ml_assets.scaffolding.samples.texts import Day, Told, tell_texts
from ml_assets.sources.csv.order import RowOrder, with_order
from ml_assets.sources.csv.sniff import describe_dialect
from ml_assets.sources.drops.cut import lies_outside
from ml_assets.sources.drops.grains import WHOLE, name_at
from ml_assets.sources.drops.spec import Drops
from ml_assets.sources.values.column import ColumnFormat

FRESHNESS = {
    "hourly": {"warn": "2h", "fail": "3h"},
    "daily": {"warn": "30h", "fail": "36h"},
    "weekly": {"warn": "8d", "fail": "9d"},
    "monthly": {"warn": "32d", "fail": "35d"},
    "quarterly": {"warn": "93d", "fail": "96d"},
    "yearly": {"warn": "367d", "fail": "370d"},
}
"""How old a table may be that grows by one drop per period: the period and time to deliver the drop."""


ROW_NUMBER, ROW_MOMENT = "row_number", "row_moment"
"""Columns that are made for rows without a time: their place, and the moment that stands for it."""


@dataclass(frozen=True)
class Wanted:
    """What the user says about a source.

    Attributes:
        where: the fields of `Where`, as they shall be declared.
        file_format: of a place whose name does not tell it.
        key: columns that identify a row; by default told from the sample.
        timestamp: column by which rows are cut into drops.
        grain, time_zone: how they are cut.
        label, known_at: the outcome to predict and the moment it is known, to be marked in the contract.
        order_start, order_step: for rows without a time, the moment of the first and the time from one to the next.
        order_by: column of whole numbers that tell a row's place; by default its place in the file.
    """

    where: Mapping[str, str]
    file_format: str | None = None
    key: Sequence[str] = ()
    timestamp: str | None = None
    grain: str = "monthly"
    time_zone: str = "UTC"
    label: str | None = None
    known_at: str | None = None
    order_start: str | None = None
    order_step: str | None = None
    order_by: str | None = None

    @property
    def order(self) -> RowOrder | None:
        """The order that stands in for a time.

        Raises:
            ScaffoldError: only a part of it is given, or it is wrong.
        """
        if self.order_start is None and self.order_step is None and self.order_by is None:
            return None
        if self.order_start is None or self.order_step is None:
            raise ScaffoldError(
                "rows without a time need both --order-start, the moment of the first, and --order-step, such as 1h"
            )
        number = None if self.order_by else ROW_NUMBER
        try:
            return RowOrder(
                by=self.order_by, number=number, moment=ROW_MOMENT, start=self.order_start, step=self.order_step
            )
        except ValidationError as error:
            raise ScaffoldError(error.errors()[0]["msg"].removeprefix("Value error, ")) from error


@dataclass(frozen=True)
class NewSource:
    """A declaration to be written.

    Attributes:
        values: fields of the spec.
        notes: path of a field -> what to say about its value.
        contract: text of the module with the contract.
    """

    values: dict[str, Any]
    contract: str
    notes: dict[str, str] = field(default_factory=dict)


def template_source(name: str, module: str, where: Mapping[str, str]) -> NewSource:
    """A source of which nothing is known yet: a contract with one column, to be filled in."""
    values = {
        "name": name,
        "description": f"One row per ... of {name}, delivered by ...",
        "where": dict(where),
        "contract": f"{module}:{contract_name(name)}",
        "key_columns": ["id"],
    }
    origin = "Nothing is known of the rows yet: declare each column that is delivered and wanted."
    contract = render_contract(name, [Column("id", pl.Int64())], ["id"], origin)
    return NewSource(values, contract, {"where": "Replace it by the place of your rows."})


def infer_source(name: str, module: str, wanted: Wanted, sample: Sample) -> NewSource:
    """The declaration that a sample suggests.

    Raises:
        ScaffoldError: an option names no column, or no column identifies a row and none was given.
    """
    if order := wanted.order:
        wanted, sample = _in_order(wanted, sample, order)
    unreadable = left_out(sample.table)
    without = {**sample.left_out, **unreadable}
    _check_no_key_left_out(name, wanted, without)
    sample = replace(sample, table=sample.table.drop(*unreadable))
    told = _told(wanted, sample)
    finite, infinite = _finite(told.table)
    columns, rows = describe_columns(finite)
    for option in ("timestamp", "label", "known_at"):
        if given := getattr(wanted, option):
            check_column(f"--{option.replace('_', '-')}", given, columns)
    columns = with_role(columns, wanted.label, "label") if wanted.label else columns
    columns = with_role(columns, wanted.known_at, "label_known_at") if wanted.known_at else columns
    key, key_note = _key(name, list(wanted.key), wanted.timestamp, columns, rows, sample.unnamed)
    columns = [column for column in columns if column.name not in sample.unnamed or column.name in key]
    csv = told.dialect.model_dump(exclude_defaults=True) if sample.dialect else {}
    drops, drops_note = _drops(wanted, sample, columns, rows)
    required = [column.name for column in columns if not column.nullable and column.name not in key]
    values = {
        "name": name,
        "description": f"One row per {' and '.join(key)} of {name}, delivered by ...",
        "where": dict(wanted.where),
        **({"format": wanted.file_format} if wanted.file_format else {}),
        **({"null_values": told.nulls} if told.nulls and sample.dialect else {}),
        **({"csv": csv} if csv else {}),
        **({"columns": _declared(told.formats, columns)} if told.formats else {}),
        **({"impossible_moments": "missing"} if sample.impossible else {}),
        **({"order": order.model_dump(exclude_none=True)} if order else {}),
        **({"drops": drops} if drops else {}),
        "contract": f"{module}:{contract_name(name)}",
        "key_columns": key,
        **({"key_scope": "drop"} if _comes_again(key, rows, sample) else {}),
        **({"required": required} if required else {}),
        **({"infinite": "null"} if infinite else {}),
        **({"freshness": FRESHNESS[drops["grain"]]} if drops else {}),
    }
    notes = {
        "csv": describe_dialect(told.dialect) if sample.dialect else "",
        "columns": _assumed(told),
        "contract": f"In contract.py, beside this file.{_left_out(without)}",
        "impossible_moments": f"Some of {', '.join(sample.impossible)} are in no calendar, such as infinity.",
        "key_columns": key_note,
        "key_scope": "Each file of the sample has a key once, and others have it again.",
        "drops": drops_note,
        "infinite": f"The sample has such in {', '.join(infinite)}." if infinite else "",
        "required": "Those without a gap in the sample.",
    }
    said = _left_out(without)
    nameless = [column for column in sample.unnamed if column not in key]
    said += f" Left out, as the header does not name them: {', '.join(nameless)}." if nameless else ""
    origin = f"Inferred from {rows.height} rows: correct it where the sample is not the whole truth.{said}"
    return NewSource(values, render_contract(name, columns, key, origin), notes)


def _in_order(wanted: Wanted, sample: Sample, order: RowOrder) -> tuple[Wanted, Sample]:
    """The sample with the columns that the order makes, cut into drops by its moment unless another column is named."""
    if sample.dialect is None:
        raise ScaffoldError("--order-start: an order is for CSV files; a query or a table can have a moment of its own")
    if order.by and order.by not in sample.table.columns:
        raise ScaffoldError(f"--order-by: there is no column {order.by!r}; there are {', '.join(sample.table.columns)}")
    if taken := [name for name in order.made if name in sample.table.columns]:
        raise ScaffoldError(f"--order-start: the file has a column {taken[0]!r} already: rename it")
    key = wanted.key or ([order.number] if order.number else [])
    made = replace(sample, table=with_order(sample.table, order))
    return replace(wanted, timestamp=wanted.timestamp or order.moment, key=key), made


def _check_no_key_left_out(name: str, wanted: Wanted, without: Mapping[str, str]) -> None:
    """Raise ScaffoldError where another key would be picked because the column named for it cannot be read."""
    for column, reason in without.items():
        if not wanted.key and column.lower() in ("id", f"{name}_id"):
            raise ScaffoldError(
                f"column {column!r} is named like the key and is left out ({reason}): have it read as that says, or "
                "give --key for each column of another key"
            )


def _left_out(without: Mapping[str, str]) -> str:
    return f" Left out: {'. '.join(f'{column}, {reason}' for column, reason in without.items())}." if without else ""


def _told(wanted: Wanted, sample: Sample) -> Told:
    """What the sample's texts stand for, and times without a zone as moments, as far as they can be declared."""
    moments: dict[str, Day] = {wanted.known_at: "end"} if wanted.known_at else {}
    moments |= {} if wanted.timestamp is None or wanted.timestamp in moments else {wanted.timestamp: "start"}
    # The rows of a query are cut into drops by the database, which knows no formats of ours.
    fixed = [wanted.timestamp] if "query" in wanted.where and wanted.timestamp else []
    return tell_texts(sample.table, sample.dialect, wanted.time_zone, moments, fixed)


def _finite(table: pl.DataFrame) -> tuple[pl.DataFrame, list[str]]:
    """The table without numbers that are infinite, or too large for a model; and the columns that have such."""
    beyond = {
        series.name: series.cast(pl.Float32, strict=False).is_infinite()
        for series in table.iter_columns()
        if series.dtype.is_float()
    }
    names = [name for name, found in beyond.items() if found.any()]
    return table.with_columns(table[name].set(beyond[name].fill_null(False), None) for name in names), names


def _declared(formats: Mapping[str, ColumnFormat], columns: list[Column]) -> dict[str, dict[str, Any]]:
    names = [column.name for column in columns]
    return {name: declared.model_dump(exclude_defaults=True) for name, declared in formats.items() if name in names}


def _assumed(told: Told) -> str:
    return f"Assumed, as the sample leaves it open: {'. '.join(told.assumed)}." if told.assumed else ""


def _key(
    name: str,
    given: list[str],
    timestamp: str | None,
    columns: list[Column],
    rows: pl.DataFrame,
    unnamed: Sequence[str] = (),
) -> tuple[list[str], str]:
    if given:
        for one in given:
            check_column("--key", one, columns)
        bad = rows.height - rows.drop_nulls(given).select(given).n_unique()
        return given, f"{bad} of {rows.height} rows of the sample lack it or repeat it." if bad else ""
    usable = [column for column in columns if not column.nullable and not column.role]
    single = [
        column
        for column in usable
        if (column.dtype.is_integer() or column.dtype == pl.String) and rows[column.name].n_unique() == rows.height
    ]
    # A name that says so comes first, then text or whole numbers in the order of the table.
    single.sort(
        key=lambda column: (
            column.name in unnamed,
            column.name.lower() not in ("id", f"{name}_id"),
            not is_code(column.name),
        )
    )
    if single:
        others = [column.name for column in single[1:] if column.name not in unnamed]
        also = f" So are {', '.join(others)}." if others else ""
        return [single[0].name], f"Inferred: unique in the sample.{also}"
    if timestamp:
        for column in usable:
            pair = [column.name, timestamp]
            if column.name != timestamp and not column.dtype.is_float() and rows.select(pair).n_unique() == rows.height:
                return pair, "Inferred: together unique in the sample."
    raise ScaffoldError(
        f"no column alone identifies a row of {name}: give --key for each column of the key, of {named(columns)}"
    )


def _comes_again(key: list[str], rows: pl.DataFrame, sample: Sample) -> bool:
    """Whether files of one drop each share keys, of which each has none twice."""
    keys = rows.select(key)
    begins = [sum(sample.heights[:i]) for i in range(len(sample.read))]
    parts = [keys.slice(begin, height) for begin, height in zip(begins, sample.heights, strict=False)]
    return keys.is_duplicated().any() and bool(parts) and not any(part.is_duplicated().any() for part in parts)


def _drops(
    wanted: Wanted, sample: Sample, columns: list[Column], rows: pl.DataFrame
) -> tuple[dict[str, str] | None, str]:
    zone = {} if wanted.time_zone == "UTC" else {"time_zone": wanted.time_zone}
    if sample.drops and sample.grain:
        drops = Drops(grain=sample.grain, **zone, start=sample.drops[0])
        placed = _placed_by(wanted.timestamp, drops, sample, columns, rows)
        told = {"grain": sample.grain, **({"column": placed} if placed else {}), **zone, "start": sample.drops[0]}
        checked = f" The {placed} of each row is checked to lie in its file's period." if placed else ""
        return told, f"Inferred from the names of the files.{checked}"
    if wanted.timestamp is None:
        return None, ""
    column = check_column("--timestamp", wanted.timestamp, columns)
    if column.dtype not in (pl.Date, pl.Datetime):
        raise ScaffoldError(f"--timestamp: column {column.name!r} holds no dates; there are {named(columns)}")
    if column.nullable:
        raise ScaffoldError(f"--timestamp: column {column.name!r} is empty in some rows, which would belong to no drop")
    if wanted.grain == WHOLE:
        return None, ""
    start = name_at(wanted.grain, _wall_clock(rows[column.name].min(), wanted.time_zone))
    first = {"grain": wanted.grain, "column": column.name, **zone, "start": start}
    return first, "The first drop is that of the earliest row."


def _placed_by(
    timestamp: str | None, drops: Drops, sample: Sample, columns: list[Column], rows: pl.DataFrame
) -> str | None:
    """The column whose values all lie in the period that their file is named for: that of the option, or the first."""
    fitting = [
        column
        for column in columns
        if column.dtype in (pl.Date, pl.Datetime)
        and not (column.nullable or column.role)
        and not (column.dtype == pl.Date and drops.grain == "hourly")
        and _lies_in_files(rows[column.name], drops, sample)
    ]
    # A moment can be the time of a prediction, too.
    fitting.sort(key=lambda column: (column.name != timestamp, not column.is_moment))
    return fitting[0].name if fitting else None


def _lies_in_files(values: pl.Series, drops: Drops, sample: Sample) -> bool:
    begin = 0
    for drop, height in zip(sample.read, sample.heights, strict=True):
        if lies_outside(values.slice(begin, height), drop, drops).any():
            return False
        begin += height
    return bool(sample.read)


def _wall_clock(moment: object, zone: str) -> datetime:
    """Return a date or moment as the clock of the zone shows it."""
    if not isinstance(moment, date):
        raise TypeError(f"{moment!r} is no date")
    if not isinstance(moment, datetime):
        return datetime.combine(moment, datetime.min.time())
    return moment.astimezone(ZoneInfo(zone)) if moment.tzinfo else moment


def days_of(span: timedelta) -> int:
    """Whole days that the span fits into, at least one."""
    return max(1, -(-span // timedelta(days=1)))
