"""Rows without a time of their own: a declared order stands in for it."""

from datetime import UTC, datetime
from typing import Self

import polars as pl
from pydantic import BaseModel, ConfigDict, Field, model_validator

from ml_assets.durations import check_duration, parse_duration
from ml_assets.sources.errors import DeliveryFault
from ml_assets.sources.values.exact import first_true
from ml_assets.sources.values.typed import typed_column


class RowOrder(BaseModel):
    """The order of rows that have no time of their own: each gets a moment that stands for its place."""

    model_config = ConfigDict(extra="forbid")

    by: str | None = Field(
        default=None,
        description="Delivered column of whole numbers that tell a row's place, such as a running number; or give "
        "`number`.",
    )
    number: str | None = Field(
        default=None,
        description="Column to make where the delivery has none such: the row's place in its file, 1, 2, 3 and so on.",
    )
    moment: str = Field(description="Column to make: the moment that stands for the row's place.")
    start: str = Field(description="Moment of place 1, an ISO 8601 date or time; UTC unless it has an offset.")
    step: str = Field(description="Time from one place to the next, a duration such as 10m.")

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        if (self.by is None) == (self.number is None):
            raise ValueError("order: give either `by`, a column that is delivered, or `number`, one to be made")
        check_duration("step", self.step)
        try:
            datetime.fromisoformat(self.start)
        except ValueError as error:
            raise ValueError(f"start: {self.start!r} is no ISO 8601 date or time such as 2024-01-31") from error
        return self

    @property
    def made(self) -> list[str]:
        """The columns that no delivery has."""
        return [self.moment] if self.number is None else [self.number, self.moment]


def read_for(order: RowOrder, columns: list[str], delivered: list[str]) -> list[str]:
    """Return the delivered columns that have to be read to make the requested ones."""
    requested = [name for name in columns if name not in order.made]
    needed = [order.by] if order.by else delivered[:1]
    return list(dict.fromkeys([*requested, *(needed if order.by or not requested else [])]))


def with_order(table: pl.DataFrame, order: RowOrder) -> pl.DataFrame:
    """Return all rows of a file, with what the order makes: Int64 `number` from 1, and Datetime('us', 'UTC') `moment`.

    The moment is that of `start` for number 1 and a `step` later for each number.

    Raises:
        DeliveryFault: a value of `by` is missing or no whole number.
    """
    if order.by is not None:
        number = _delivered_numbers(table[order.by])
    else:
        number = pl.int_range(1, table.height + 1, dtype=pl.Int64, eager=True)
        table = table.with_columns(number.alias(order.number or ""))
    start = datetime.fromisoformat(order.start)
    first = start.replace(tzinfo=UTC) if start.tzinfo is None else start.astimezone(UTC)
    passed = (number - 1) * int(parse_duration(order.step).total_seconds() * 1_000_000)
    moment = pl.lit(first, dtype=pl.Datetime("us", "UTC")) + passed.cast(pl.Duration("us"))
    return table.with_columns(moment.alias(order.moment))


def _delivered_numbers(values: pl.Series) -> pl.Series:
    number = typed_column(values, pl.Int64())
    if number.null_count():
        row = first_true(number.is_null()) + 1
        raise DeliveryFault(
            "wrong type",
            f"{number.null_count()} rows have no place in the order, the first is data row {row}",
            "have the values delivered",
            column=values.name,
        )
    return number
