"""What a scanned digit must satisfy."""

from typing import Annotated

import pandera.polars as pa
import polars as pl

PIXELS = [f"pixel_{row}{column}" for row in range(8) for column in range(8)]
"""The 8 x 8 blocks of a scan, row by row from the top left."""


class Scan(pa.DataFrameModel):
    """One digit written by hand."""

    scan: pl.Int64 = pa.Field(unique=True, ge=1, description="Place of the scan in the file")
    scanned_at: Annotated[pl.Datetime, "us", "UTC"] = pa.Field(description="Moment that stands for the place")
    digit: pl.Int64 = pa.Field(ge=0, le=9, description="Which digit it is")


# 64 columns that differ in their names alone.
Digits = type(
    "Digits",
    (Scan,),
    {
        "__module__": __name__,
        "__annotations__": dict.fromkeys(PIXELS, pl.Int64),
        **{name: pa.Field(ge=0, le=16, description="Dark points of the 4 x 4 in this block") for name in PIXELS},
    },
)
