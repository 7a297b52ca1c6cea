"""A source's declaration and contract, inferred from a sample of its rows."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import polars as pl

from ml_assets.scaffolding.columns import Column, describe_columns, left_out, with_role
from ml_assets.scaffolding.contract_text import contract_name, render_contract
from ml_assets.scaffolding.declared import check_column
from ml_assets.scaffolding.errors import ScaffoldError
from ml_assets.scaffolding.samples.moments import Day
from ml_assets.scaffolding.samples.sample import Sample
from ml_assets.scaffolding.samples.texts import InferredTexts, infer_texts
from ml_assets.scaffolding.sources.drops import FRESHNESS, infer_drops
from ml_assets.scaffolding.sources.key import infer_key, recurs_in_files
from ml_assets.scaffolding.sources.wanted import Wanted
from ml_assets.sources.csv.order import RowOrder, with_order
from ml_assets.sources.csv.sniff import describe_dialect
from ml_assets.sources.values.column import ColumnFormat


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
    """Return a source of which nothing is known yet: a contract with one column, to be filled in."""
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
    """Return the declaration that a sample suggests.

    Raises:
        ScaffoldError: an option names no column, or no column identifies a row and none was given.
    """
    if order := wanted.order:
        wanted, sample = _in_order(wanted, sample, order)
    unreadable = left_out(sample.table)
    without = {**sample.left_out, **unreadable}
    _check_no_key_left_out(name, wanted, without)
    sample = replace(sample, table=sample.table.drop(*unreadable))
    inferred = _infer_texts(wanted, sample)
    finite, infinite = _finite(inferred.table)
    columns, rows = describe_columns(finite)
    columns = _with_roles(columns, wanted)
    key, key_note = infer_key(name, list(wanted.key), wanted.timestamp, columns, rows, sample.unnamed)
    columns = [column for column in columns if column.name not in sample.unnamed or column.name in key]
    drops, drops_note = infer_drops(wanted, sample, columns, rows)
    values = {
        "name": name,
        "description": f"One row per {' and '.join(key)} of {name}, delivered by ...",
        "where": dict(wanted.where),
        "format": wanted.file_format,
        "null_values": inferred.nulls if sample.dialect else None,
        "csv": inferred.dialect.model_dump(exclude_defaults=True) if sample.dialect else None,
        "columns": _declared(inferred.formats, columns),
        "impossible_moments": "missing" if sample.impossible else None,
        "order": order.model_dump(exclude_none=True) if order else None,
        "drops": drops,
        "contract": f"{module}:{contract_name(name)}",
        "key_columns": key,
        "key_scope": "drop" if recurs_in_files(key, rows, sample) else None,
        "required": [column.name for column in columns if not column.nullable and column.name not in key],
        "infinite": "null" if infinite else None,
        "freshness": FRESHNESS[drops["grain"]] if drops else None,
    }
    notes = {
        "csv": describe_dialect(inferred.dialect) if sample.dialect else "",
        "columns": _assumed(inferred),
        "contract": f"In contract.py, beside this file.{_left_out(without)}",
        "impossible_moments": f"Some of {', '.join(sample.impossible)} are in no calendar, such as infinity."
        if sample.impossible
        else "",
        "key_columns": key_note,
        "key_scope": "Each file of the sample has a key once, and others have it again." if values["key_scope"] else "",
        "drops": drops_note,
        "infinite": f"The sample has such in {', '.join(infinite)}." if infinite else "",
        "required": "Those without a gap in the sample." if values["required"] else "",
    }
    origin = _origin(rows.height, without, [column for column in sample.unnamed if column not in key])
    contract = render_contract(name, columns, key, origin)
    return NewSource({field: value for field, value in values.items() if value}, contract, notes)


def _with_roles(columns: list[Column], wanted: Wanted) -> list[Column]:
    """Return the columns with the label and its moment marked; raise ScaffoldError where an option names none."""
    for option in ("timestamp", "label", "known_at"):
        if given := getattr(wanted, option):
            check_column(f"--{option.replace('_', '-')}", given, columns)
    columns = with_role(columns, wanted.label, "label") if wanted.label else columns
    return with_role(columns, wanted.known_at, "label_known_at") if wanted.known_at else columns


def _origin(rows: int, without: Mapping[str, str], nameless: list[str]) -> str:
    """Return the contract's remark about where the rows come from, and which columns are not in it."""
    unnamed = f" Left out, as the header does not name them: {', '.join(nameless)}." if nameless else ""
    return (
        f"Inferred from {rows} rows: correct it where the sample is not the whole truth.{_left_out(without)}{unnamed}"
    )


def _in_order(wanted: Wanted, sample: Sample, order: RowOrder) -> tuple[Wanted, Sample]:
    """Return the sample with the order's columns, cut into drops by its moment unless another column is named."""
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


def _infer_texts(wanted: Wanted, sample: Sample) -> InferredTexts:
    """Return the sample's texts in the types that they write, and times without a zone as moments, as far as they can
    be declared."""
    moments: dict[str, Day] = {wanted.known_at: "end"} if wanted.known_at else {}
    moments |= {} if wanted.timestamp is None or wanted.timestamp in moments else {wanted.timestamp: "start"}
    # The rows of a query are cut into drops by the database, which knows no formats of ours.
    fixed = [wanted.timestamp] if "query" in wanted.where and wanted.timestamp else []
    return infer_texts(sample.table, sample.dialect, wanted.time_zone, moments, fixed)


def _finite(table: pl.DataFrame) -> tuple[pl.DataFrame, list[str]]:
    """Return the table without numbers that are infinite, or too large for a model; and the columns that have such."""
    beyond = {
        series.name: series.cast(pl.Float32, strict=False).is_infinite()
        for series in table.iter_columns()
        if series.dtype.is_float()
    }
    names = [name for name, flags in beyond.items() if flags.any()]
    return table.with_columns(table[name].set(beyond[name].fill_null(False), None) for name in names), names


def _declared(formats: Mapping[str, ColumnFormat], columns: list[Column]) -> dict[str, dict[str, Any]]:
    names = [column.name for column in columns]
    return {name: declared.model_dump(exclude_defaults=True) for name, declared in formats.items() if name in names}


def _assumed(inferred: InferredTexts) -> str:
    return f"Assumed, as the sample leaves it open: {'. '.join(inferred.assumed)}." if inferred.assumed else ""
