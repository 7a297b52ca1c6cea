"""Rows without a time of their own: a declared order stands in for it."""

from datetime import UTC, datetime

import polars as pl

from ml_assets.durations import parse_duration
from ml_assets.sources.errors import DeliveryFault
from ml_assets.sources.spec import RowOrder
from ml_assets.sources.typed import typed_column


def read_for(order: RowOrder, columns: list[str], delivered: list[str]) -> list[str]:
    """The delivered columns that have to be read to make the asked ones."""
    asked = [name for name in columns if name not in order.made]
    needed = [order.by] if order.by else delivered[:1]
    return list(dict.fromkeys([*asked, *(needed if order.by or not asked else [])]))


def with_order(table: pl.DataFrame, order: RowOrder) -> pl.DataFrame:
    """All rows of a file, with what the order makes: Int64 `number` from 1, and Datetime('us', 'UTC') `moment`.

    The moment is that of `start` for number 1 and a `step` later for each number.

    Raises:
        DeliveryFault: a value of `by` is missing or no whole number.
    """
    if order.by:
        number = typed_column(table[order.by], pl.Int64())
        if number.null_count():
            row = number.is_null().arg_max() + 1
            raise DeliveryFault(
                "wrong type",
                f"{number.null_count()} rows have no place in the order, the first is data row {row}",
                "have the values delivered",
                column=order.by,
            )
    else:
        number = pl.int_range(1, table.height + 1, dtype=pl.Int64, eager=True)
        table = table.with_columns(number.alias(order.number))
    start = datetime.fromisoformat(order.start)
    first = start.replace(tzinfo=UTC) if start.tzinfo is None else start.astimezone(UTC)
    passed = (number - 1) * int(parse_duration(order.step).total_seconds() * 1_000_000)
    moment = pl.lit(first, dtype=pl.Datetime("us", "UTC")) + passed.cast(pl.Duration("us"))
    return table.with_columns(moment.alias(order.moment))
