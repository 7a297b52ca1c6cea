import polars as pl
import pytest

from ml_assets.quality.contracts import contract_descriptions, contract_schema, load_contract
from ml_assets.quality.errors import ContractError
from ml_assets.quality.rules import Rule, describe_rules

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
        (f"{HERE}:Optional_", "column 'note' is optional or a pattern; "),
        (f"{HERE}:Pattern", "column 'id_.*' is optional or a pattern; "),
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
