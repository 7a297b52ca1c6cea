import sys
from datetime import date, datetime, timedelta
from types import ModuleType

import pandera.polars as pa
import polars as pl
import pytest

from ml_assets.lake import Lake
from ml_assets.quality.contracts import (
    NOT_KEPT,
    contract_descriptions,
    contract_schema,
    load_contract,
    private_columns,
)
from ml_assets.quality.errors import ContractError
from ml_assets.quality.gate import apply_contract
from ml_assets.quality.rules import Rule, describe_rules
from ml_assets.sources.schema import may_lack

HERE = "quality_orders_contract"


@pytest.fixture(autouse=True)
def _contracts_are_importable(monkeypatch, request):
    monkeypatch.syspath_prepend(request.path.parent)


def test_contract_is_loaded_by_name():
    contract = load_contract(f"{HERE}:Orders")
    assert contract.__name__ == "Orders"
    assert contract_schema(contract) == {
        "id": pl.Int64(),
        "line": pl.Int64(),
        "shop": pl.String(),
        "amount": pl.Float64(),
        "paid": pl.Float64(),
    }
    assert all(isinstance(dtype, pl.DataType) for dtype in contract_schema(contract).values())
    assert contract_descriptions(contract) == {
        "id": "Number of the order",
        "line": "",
        "shop": "",
        "amount": "",
        "paid": "",
    }


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("no.such.module:Orders", "module 'no.such.module' cannot be imported (No module named 'no'); "),
        (f"{HERE}:Absent", "names no pandera.polars.DataFrameModel"),
        (f"{HERE}:NOT_A_CONTRACT", "names no pandera.polars.DataFrameModel"),
        (f"{HERE}:Warning_", "rule 'greater_than_or_equal_to' only warns; "),
        (f"{HERE}:Pattern", "column 'id_.*' is a pattern; every table must have the same columns"),
        (f"{HERE}:Begun", "column 'note' begins with 'April', which is no drop such as '2024-04'"),
        (f"{HERE}:Parsing", "user-defined parsers are not supported by the polars backend"),
    ],
)
def test_contracts_that_a_gate_cannot_keep_are_refused(reference, message):
    with pytest.raises(ContractError) as raised:
        load_contract(reference)
    assert str(raised.value).startswith(f"contract {reference!r}")
    assert message in str(raised.value)


def test_rules_are_described_with_their_columns_and_words():
    assert describe_rules(load_contract(f"{HERE}:Orders"), ["line", "id"]) == [
        Rule("id: not_nullable", ("id",), "a value is required"),
        Rule("line: not_nullable", ("line",), "a value is required"),
        Rule("line: greater_than_or_equal_to(0)", ("line",), ""),
        Rule("shop: not_nullable", ("shop",), "a value is required"),
        Rule("shop: isin(['a', 'b'])", ("shop",), ""),
        Rule("shop: short_name", ("shop",), ""),
        Rule("amount: in_range(0, 10)", ("amount",), ""),
        Rule("amount: no_seven", ("amount",), "Seven is not an amount."),
        Rule("paid: not_nullable", ("paid",), "a value is required"),
        Rule("paid_at_most_amount", ("paid", "amount"), "Nobody pays more than the amount."),
        Rule("line_below_id", (), "The line is below the number of the order."),
        Rule("unique(id, line): repeated row", ("id", "line"), "a row is delivered once"),
        Rule("unique(id, line): conflicting rows", ("id", "line"), "rows with the same key say the same"),
    ]


def test_a_rule_keeps_its_name_and_words_in_a_subclass():
    contract = load_contract(f"{HERE}:Orders")
    child = type("Returns", (contract,), {"__annotations__": {}})
    rules = [describe_rules(model, ["id", "line"]) for model in (contract, child)]
    assert [rule.name for rule in rules[1]] == [rule.name for rule in rules[0]]


KEPT = {
    pl.Boolean(): True,
    **{dtype(): -7 for dtype in (pl.Int8, pl.Int16, pl.Int32, pl.Int64)},
    **{dtype(): 0.5 for dtype in (pl.Float32, pl.Float64)},
    pl.Decimal(10, 2): "1.25",
    pl.String(): "é",
    pl.Date(): date(2024, 2, 29),
    pl.Datetime("us"): datetime(2024, 2, 29, 8, 0, 0, 1),
    pl.Datetime("us", "UTC"): datetime(2024, 2, 29, 8, 0, 0, 1),
    pl.Duration("us"): timedelta(days=-1, microseconds=1),
}
REFUSED = {
    **{dtype: words for dtype, words in NOT_KEPT.items() if dtype not in (pl.Enum, pl.List, pl.Array, pl.Struct)},
    pl.Enum(["a"]): "declare String, with isin= for its categories",
    pl.List(pl.Int64): "have its parts delivered as columns of their own",
    pl.Array(pl.Int64, 2): "have its parts delivered as columns of their own",
    pl.Struct({"a": pl.Int64}): "have its parts delivered as columns of their own",
    pl.Datetime("ns", "UTC"): 'declare pl.Datetime("us", "UTC")',
    pl.Datetime("ms"): 'declare pl.Datetime("us")',
    pl.Datetime("us", "Europe/Oslo"): 'declare pl.Datetime("us", "UTC")',
    pl.Duration("ns"): 'declare pl.Duration("us")',
}


def declare(monkeypatch, dtype):
    """A contract with one column of the type and a key, importable as types_of_a_contract:Rows."""
    module = ModuleType("types_of_a_contract")
    fields = {"__annotations__": {"id": pl.Int64, "x": dtype}, "x": pa.Field(nullable=True), "__module__": __name__}
    module.Rows = type("Rows", (pa.DataFrameModel,), fields)
    monkeypatch.setitem(sys.modules, "types_of_a_contract", module)
    return "types_of_a_contract:Rows"


@pytest.mark.parametrize(("dtype", "advice"), REFUSED.items(), ids=str)
def test_a_type_that_no_table_keeps_is_refused_when_declared(monkeypatch, dtype, advice):
    reference = declare(monkeypatch, dtype)
    with pytest.raises(ContractError) as raised:
        load_contract(reference)
    shown = dtype() if isinstance(dtype, type) else dtype
    assert str(raised.value) == f"contract {reference!r}: column 'x' is {shown}, which no table keeps: {advice}"


@pytest.mark.parametrize(("dtype", "value"), KEPT.items(), ids=str)
def test_every_other_type_goes_through_gate_and_tables_unchanged(monkeypatch, tmp_path, dtype, value):
    contract = load_contract(declare(monkeypatch, dtype))
    x = pl.Series("x", [value, None, value]).cast(dtype)
    raw = pl.DataFrame([pl.Series("id", [1, 2, 2]), x])
    gated = apply_contract(raw, contract, ["id"])
    # What a table keeps a Duration as is whole microseconds.
    kept = x.dt.total_microseconds() if dtype == pl.Duration else x
    assert gated.validated["x"].equals(kept.head(1))
    assert gated.quarantine["x"].equals(kept.tail(2))
    lake = Lake(str(tmp_path))
    lake.replace("validated", gated.validated)
    lake.replace("quarantine", gated.quarantine)
    read = lake.scan("validated").collect()
    assert read.equals(gated.validated)
    assert read.schema == gated.validated.schema
    assert lake.scan("quarantine").collect().equals(gated.quarantine)
    # The gate takes the rows as tables keep them, too.
    assert apply_contract(read, contract, ["id"]).validated.equals(gated.validated)


def test_a_column_is_optional_or_begins_with_a_drop():
    schema = contract_schema(load_contract(f"{HERE}:Optional_"))
    assert dict(schema) == {"id": pl.Int64(), "note": pl.String(), "rain": pl.Float64()}
    assert schema.begins == {"note": None, "rain": "2024-04"}
    assert may_lack(schema, ["2024-03"]) == {"note", "rain"}
    for drops in (["2024-04"], ["2024-03", "2024-04-01"], ["whole"], None):
        assert may_lack(schema, drops) == {"note"}


def test_private_columns_are_those_that_say_so():
    class People(pa.DataFrameModel):
        id: pl.Int64
        email: pl.String = pa.Field(nullable=True, metadata={"private": True})
        phone: pl.String = pa.Field(metadata={"private": False, "since": "2024-04"})

    assert private_columns(People) == {"email"}
