"""A contract with every kind of rule, for the tests of the gate."""

import pandera.polars as pa
import polars as pl
from pandera.api.dataframe.model_components import dataframe_parser

from ml_assets.quality.rules import row_rule


class Orders(pa.DataFrameModel):
    """One row per order."""

    id: pl.Int64 = pa.Field(description="Number of the order")
    line: pl.Int64 = pa.Field(ge=0, nullable=True)
    shop: pl.String = pa.Field(isin=["a", "b"])
    amount: pl.Float64 = pa.Field(in_range={"min_value": 0, "max_value": 10}, nullable=True)
    paid: pl.Float64

    class Config:
        unique = ("id", "line")

    @pa.check("amount")
    def no_seven(cls, data):
        """Seven is not an amount."""
        return data.lazyframe.select(pl.col(data.key) != 7)

    @pa.check("shop", element_wise=True)
    def short_name(cls, value):
        return len(value) == 1

    @row_rule
    def paid_at_most_amount(cls):
        """Nobody pays more than

        the amount.
        """
        return pl.col("paid") <= pl.col("amount")

    @pa.dataframe_check
    def line_below_id(cls, data):
        """The line is below the number of the order."""
        return data.lazyframe.select(pl.col("line") < pl.col("id"))


class WholeTable(pa.DataFrameModel):
    id: pl.Int64

    @pa.dataframe_check
    def enough_rows(cls, data):
        return data.lazyframe.select(pl.len() > 1)


class TrueOrFalse(pa.DataFrameModel):
    id: pl.Int64

    @pa.check("id")
    def always(cls, data):  # noqa: ARG002
        return True


class Failing(pa.DataFrameModel):
    id: pl.Int64

    @row_rule
    def looks_elsewhere(cls):
        return pl.col("elsewhere") > 0


class Warning_(pa.DataFrameModel):
    id: pl.Int64 = pa.Field(ge=0, raise_warning=True)


class Optional_(pa.DataFrameModel):
    id: pl.Int64
    note: pl.String | None
    rain: pl.Float64 = pa.Field(metadata={"since": "2024-04"})


class Begun(pa.DataFrameModel):
    id: pl.Int64
    note: pl.String = pa.Field(metadata={"since": "April"})


class Pattern(pa.DataFrameModel):
    ids: pl.Int64 = pa.Field(alias="id_.*", regex=True)


class Parsing(pa.DataFrameModel):
    id: pl.Int64

    @dataframe_parser
    def positive(cls, data):
        return data.lazyframe.with_columns(pl.col("id").abs())


class UniqueColumns(pa.DataFrameModel):
    a: pl.Int64 = pa.Field(unique=True)
    b: pl.Int64
    c: pl.Int64

    class Config:
        unique = (("b",), ("c",))


NOT_A_CONTRACT = 3
