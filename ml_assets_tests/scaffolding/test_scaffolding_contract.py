"""The contract that is written loads, and lets through and keeps out what it says."""

import importlib.util

import polars as pl
import pytest

from ml_assets.quality.contracts import contract_descriptions, contract_schema
from ml_assets.quality.gate import apply_contract
from ml_assets.scaffolding.columns import Column, guess_columns, with_role
from ml_assets.scaffolding.contract_text import contract_name, render_contract
from ml_assets.scaffolding.errors import ScaffoldError


@pytest.fixture
def loaded(tmp_path):
    def load(table, columns, key):
        file = tmp_path / "contract.py"
        file.write_text(render_contract(table, columns, key, "Inferred."))
        spec = importlib.util.spec_from_file_location("rendered_contract", file)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return getattr(module, contract_name(table)), file.read_text()

    return load


def test_the_sample_passes_and_what_breaks_a_rule_does_not(loaded):
    sample = pl.DataFrame(
        {
            "id": range(40),
            "size": ["small", "large"] * 20,
            "km": [float(i) for i in range(40)],
            "at": ["2024-01-31T09:00:00Z"] * 40,
            "late": ["true", "false"] * 20,
        }
    )
    columns, _, rows = guess_columns(sample)
    contract, text = loaded("order_lines", with_role(columns, "late", "label"), ["id"])
    assert contract_name("order_lines") == contract.__name__ == "OrderLines"
    assert apply_contract(rows, contract, ["id"]).quarantine.is_empty()
    broken = rows.with_columns(
        size=pl.when(pl.col("id") == 3).then(pl.lit("huge")).otherwise("size"),
        km=pl.when(pl.col("id") == 5).then(-1.0).otherwise("km"),
        late=pl.when(pl.col("id") == 7).then(None).otherwise("late"),
    )
    assert apply_contract(broken, contract, ["id"]).quarantine["id"].to_list() == [3, 5]
    assert contract.to_schema().columns["late"].metadata == {"role": "label"}
    assert "# The sample has 0 to 39; bound it by ge= and le= where the meaning does." in text
    assert "Outcome to predict" in contract_descriptions(contract)["late"]


def test_a_key_of_two_columns_is_unique_together(loaded):
    columns = [Column("order", pl.Int64()), Column("line", pl.Int64())]
    contract, _ = loaded("lines", columns, ["order", "line"])
    rows = pl.DataFrame({"order": [1, 1, 2, 2], "line": [1, 2, 1, 1]})
    gated = apply_contract(rows, contract, ["order", "line"])
    assert gated.validated.rows() == [(1, 1), (1, 2), (2, 1)]
    assert gated.quarantine.select("order", "line").rows() == [(2, 1)]


@pytest.mark.parametrize(
    "names",
    [
        ["class", "from"],
        ["Config", "validate"],
        ["unit price", "unit_price"],
        ["2nd", "größe"],
        ['a"b', "x'y"],
        ["pl", "pa"],
    ],
)
def test_names_that_python_or_pandera_cannot_take_keep_their_spelling_in_the_table(loaded, names):
    contract, _ = loaded("odd", [Column(name, pl.Int64(), nullable=True) for name in names], ["id"])
    assert list(contract_schema(contract)) == names


@pytest.mark.parametrize(
    "dtype", [pl.Datetime("us", "UTC"), pl.Datetime("us"), pl.Decimal(10, 2), pl.Date(), pl.Boolean()]
)
def test_every_type_is_written_as_python(loaded, dtype):
    contract, _ = loaded("typed", [Column("x", dtype)], ["id"])
    assert contract_schema(contract) == {"x": dtype}


def test_no_column_is_an_error():
    with pytest.raises(ScaffoldError, match="empty: the sample has no column"):
        render_contract("empty", [], ["id"], "Inferred.")
