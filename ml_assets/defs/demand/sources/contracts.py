"""What the tables of the stations must satisfy."""

from typing import Annotated

import pandera.polars as pa
import polars as pl


class Entries(pa.DataFrameModel):
    """How many people entered a station on one day."""

    station: pl.String = pa.Field(description="Name of the station")
    day: pl.Date = pa.Field(description="Day in Chicago")
    riders: pl.Int64 = pa.Field(ge=0, le=100_000, description="People who entered; 0 while the station was closed")
    opened_at: Annotated[pl.Datetime, "us", "UTC"] = pa.Field(description="Beginning of the day")
    counted_at: Annotated[pl.Datetime, "us", "UTC"] = pa.Field(description="End of the day: the count is known")


class Stations(pa.DataFrameModel):
    """The stations whose entries are forecast."""

    station: pl.String = pa.Field(unique=True, description="Name of the station")
    forecast_from: Annotated[pl.Datetime, "us", "UTC"] = pa.Field(description="Moment from which it is forecast")


class Closures(pa.DataFrameModel):
    """When a station is closed, as planned."""

    station: pl.String = pa.Field(description="Name of the station")
    announced_at: Annotated[pl.Datetime, "us", "UTC"] = pa.Field(description="When it is announced")
    begins_at: Annotated[pl.Datetime, "us", "UTC"] = pa.Field(description="Beginning of the first day")
    ends_at: Annotated[pl.Datetime, "us", "UTC"] = pa.Field(description="End of the last day")
