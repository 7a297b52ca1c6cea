"""Rows of a table as they are pushed: each is read, or refused with what is wrong with it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from ml_assets.online.facts.values import ValueType, column_of, value_type


@dataclass(frozen=True, slots=True)
class ReadRows:
    """Rows that could be read, and those that could not.

    Attributes:
        rows: in the table's types.
        numbers: the place of each among all, from 0.
        refused: place, what is wrong, and with which columns.
    """

    rows: pl.DataFrame
    numbers: list[int]
    refused: list[tuple[int, str, str]]

    def without(self, wrong: pl.Series, rule: str, column: str) -> "ReadRows":
        """Refuse those of `rows` for which `wrong` is true."""
        if not wrong.any():
            return self
        numbers = pl.Series(self.numbers, dtype=pl.Int64)
        refused = [(number, rule, column) for number in numbers.filter(wrong)]
        return ReadRows(self.rows.filter(~wrong), numbers.filter(~wrong).to_list(), [*self.refused, *refused])


def read_table_rows(rows: Sequence[Mapping[str, Any]], columns: Mapping[str, pl.DataType]) -> ReadRows:
    """Read JSON objects as rows of a table: every column must be there, no other, each of its type or null.

    Args:
        columns: of the table.
    """
    numbers, refused = [], []
    values: dict[str, list] = {name: [] for name in columns}
    types = {name: value_type(dtype) for name, dtype in columns.items()}
    for number, row in enumerate(rows):
        read, wrong = _read(row, types)
        if wrong:
            refused.append(
                (number, "; ".join(f"{name}: {what}" for name, what in wrong), "; ".join(n for n, _ in wrong))
            )
            continue
        numbers.append(number)
        for name, value in read.items():
            values[name].append(value)
    return ReadRows(pl.DataFrame([column_of(n, v, columns[n]) for n, v in values.items()]), numbers, refused)


def _read(row: Mapping[str, Any], types: Mapping[str, ValueType]) -> tuple[dict[str, Any], list[tuple[str, str]]]:
    read, wrong = {}, []
    for name, of_type in types.items():
        if name not in row:
            wrong.append((name, f"is missing; {of_type.or_null}"))
            continue
        value = row[name]
        try:
            read[name] = None if value is None else of_type.read(value)
        except (ValueError, TypeError, OverflowError):
            wrong.append((name, of_type.must_be))
    return read, [*wrong, *((name, "no such column") for name in row if name not in types)]
