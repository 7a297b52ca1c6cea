"""One drop's gate, apart from Dagster."""

from datetime import date

import pandera.polars as pa
import polars as pl

from ml_assets.quality.drop_gate import gate_drop
from ml_assets.sources.spec import SourceSpec


class Visits(pa.DataFrameModel):
    id: pl.Int64 = pa.Field(ge=0)
    at: pl.Date


def test_a_contract_without_fractions_has_a_quarantine_like_any_other():
    source = SourceSpec(
        name="visits", description="", where={"path": "visits.csv"}, contract="shop:Visits", key_columns=["id"]
    )
    rows = pl.DataFrame({"id": [1, -2, 3], "at": [date(2024, 1, 1)] * 3, "_drop": ["whole"] * 3})
    gated = gate_drop(source, Visits, "whole", rows)
    assert gated.result.validated["id"].to_list() == [1, 3]
    assert gated.result.quarantine.select("id", "_row").rows() == [(-2, 2)]
