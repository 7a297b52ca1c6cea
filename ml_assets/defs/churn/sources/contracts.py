"""What an order has to be like; one that is not goes to quarantine with the rule it broke."""

from typing import Annotated

import pandera.polars as pa
import polars as pl


class Orders(pa.DataFrameModel):
    """One row per order of compact discs."""

    customer_id: pl.Int64 = pa.Field(ge=1, description="Number of the customer, 1 to 2,357")
    placed_at: Annotated[pl.Datetime, "us", "UTC"] = pa.Field(description="End of the day on which it was placed")
    discs: pl.Int64 = pa.Field(ge=1, description="Compact discs ordered")
    dollars: pl.Float64 = pa.Field(ge=0, description="What they cost, in US dollars")
