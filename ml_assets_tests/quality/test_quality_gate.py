import importlib.util
import math
from collections import Counter
from pathlib import Path

import numpy as np
import pandera.polars as pa
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from ml_assets.quality.errors import ContractError
from ml_assets.quality.gate import apply_contract

_spec = importlib.util.spec_from_file_location("gate_orders", Path(__file__).parent / "quality_orders_contract.py")
contracts = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(contracts)

SCHEMA = {"id": pl.Int64, "line": pl.Int64, "shop": pl.String, "amount": pl.Float64, "paid": pl.Float64}
KEY = ["id", "line"]


def orders(*rows):
    return pl.DataFrame(list(rows), schema=SCHEMA, orient="row")


def gate(frame, key=KEY):
    return apply_contract(frame, contracts.Orders, key)


def rules_by_row(result):
    return {row: text.split("; ") for row, text in result.quarantine.select("_row", "_rules").iter_rows()}


def brute_force(rows):
    """Broken rules per position (from 1), from plain Python on plain tuples."""
    broken = {}
    for position, row in enumerate(rows, 1):
        number, line, shop, amount, paid = row
        found = []
        if number is None:
            found.append("id: not_nullable")
        if line is None:
            found.append("line: not_nullable")
        if line is not None and line < 0:
            found.append("line: greater_than_or_equal_to(0)")
        if shop is None:
            found.append("shop: not_nullable")
        if shop is not None and shop not in ("a", "b"):
            found.append("shop: isin(['a', 'b'])")
        if shop is not None and len(shop) != 1:
            found.append("shop: short_name")
        if amount is not None and not 0 <= amount <= 10:
            found.append("amount: in_range(0, 10)")
        if amount == 7:
            found.append("amount: no_seven")
        if paid is None or math.isnan(paid):
            found.append("paid: not_nullable")
        if amount is not None and paid is not None and (math.isnan(paid) or paid > amount):
            found.append("paid_at_most_amount")
        if number is not None and line is not None and line >= number:
            found.append("line_below_id")
        if number is not None and line is not None:
            same_key = [(at, other) for at, other in enumerate(rows, 1) if other[:2] == row[:2]]
            if any(at < position and str(other) == str(row) for at, other in same_key):
                found.append("unique(id, line): repeated row")
            if any(str(other) != str(row) for _, other in same_key):
                found.append("unique(id, line): conflicting rows")
        if found:
            broken[position] = found
    return broken


ROWS = st.lists(
    st.tuples(
        st.sampled_from([None, 1, 2, 3]),
        st.sampled_from([None, -1, 0, 1, 2]),
        st.sampled_from([None, "a", "b", "c", "ab", ""]),
        st.sampled_from([None, -1.0, 0.0, 5.0, 7.0, 10.0, 10.5]),
        st.sampled_from([None, float("nan"), 0.0, 5.0, 9.0]),
    ),
    max_size=12,
)


@settings(deadline=None, max_examples=150)
@given(ROWS)
def test_every_row_is_judged_as_by_hand(rows):
    frame = orders(*rows)
    result = gate(frame)
    assert rules_by_row(result) == brute_force(rows)
    assert result.validated.height + result.quarantine.height == frame.height
    put_back = pl.concat(
        [
            result.validated.with_columns(
                _row=pl.Series(sorted(set(range(1, len(rows) + 1)) - set(result.quarantine["_row"])), dtype=pl.Int64)
            ),
            result.quarantine.drop("_rules", "_columns"),
        ]
    ).sort("_row")
    assert_frame_equal(put_back.drop("_row"), frame)


def test_pandera_finds_the_same_rows():
    rng = np.random.default_rng(11)
    frame = pl.DataFrame(
        {
            "id": rng.permutation(4000),
            "line": rng.integers(-1, 2, 4000),
            "shop": rng.choice(["a", "b", "c"], 4000, p=[0.5, 0.49, 0.01]),
            "amount": rng.normal(5, 2, 4000),
            "paid": rng.normal(1, 1, 4000),
        },
        schema=SCHEMA,
    )
    with pytest.raises(pa.errors.SchemaErrors) as raised:
        contracts.Orders.validate(frame, lazy=True)
    theirs = Counter(raised.value.failure_cases["index"].to_list())
    ours = {row - 1: len(rules) for row, rules in rules_by_row(gate(frame)).items()}
    assert ours == theirs
    assert 0 < len(ours) < 4000


def test_good_rows_pass_unchanged_and_quarantine_has_its_columns():
    frame = orders((1, 0, "a", 5.0, 5.0), (2, 0, "b", None, 1.0)).with_columns(_drop=pl.lit("2024-01"))
    result = gate(frame)
    assert_frame_equal(result.validated, frame)
    assert dict(result.quarantine.schema) == dict(frame.schema) | {
        "_row": pl.Int64,
        "_rules": pl.String,
        "_columns": pl.String,
    }
    assert result.quarantine.height == 0
    assert result.broken == ()
    assert result.bad_share == 0


def test_quarantine_tells_row_rules_and_columns():
    frame = orders((1, 0, "a", 5.0, 5.0), (2, 0, "x", 11.0, 12.0), (3, 0, "a", 5.0, 6.0))
    result = gate(frame.with_columns(_drop=pl.lit("2024-01")))
    assert result.quarantine.to_dicts() == [
        {
            **dict(zip(SCHEMA, (2, 0, "x", 11.0, 12.0), strict=True)),
            "_drop": "2024-01",
            "_row": 2,
            "_rules": "shop: isin(['a', 'b']); amount: in_range(0, 10); paid_at_most_amount",
            "_columns": "shop; amount; paid",
        },
        {
            **dict(zip(SCHEMA, (3, 0, "a", 5.0, 6.0), strict=True)),
            "_drop": "2024-01",
            "_row": 3,
            "_rules": "paid_at_most_amount",
            "_columns": "amount; paid",
        },
    ]
    assert dict(result.quarantine.schema)["_row"] == pl.Int64
    assert [(one.rule.name, one.rows, one.first_row, one.example) for one in result.broken] == [
        ("paid_at_most_amount", 2, 2, "paid=12.0, amount=11.0"),
        ("shop: isin(['a', 'b'])", 1, 2, "shop=x"),
        ("amount: in_range(0, 10)", 1, 2, "amount=11.0"),
    ]
    assert result.bad_share == 2 / 3


def test_of_repeated_rows_the_first_is_good():
    row = (1, 0, "a", None, 1.0)
    result = gate(orders(row, (2, 0, "a", None, 1.0), row, row))
    assert result.validated["id"].to_list() == [1, 2]
    assert rules_by_row(result) == {3: ["unique(id, line): repeated row"], 4: ["unique(id, line): repeated row"]}


def test_conflicting_rows_are_all_bad():
    result = gate(orders((1, 0, "a", 1.0, 1.0), (1, 0, "b", 1.0, 1.0), (1, 0, "a", 1.0, 1.0), (2, 0, "a", 1.0, 1.0)))
    conflict, repeat = "unique(id, line): conflicting rows", "unique(id, line): repeated row"
    assert rules_by_row(result) == {1: [conflict], 2: [conflict], 3: [repeat, conflict]}
    assert result.validated["id"].to_list() == [2]


def test_columns_beyond_the_contract_make_no_difference_to_keys():
    frame = orders((1, 0, "a", 1.0, 1.0), (1, 0, "a", 1.0, 1.0)).with_columns(extra=pl.Series([1, 2]))
    assert rules_by_row(gate(frame)) == {2: ["unique(id, line): repeated row"]}


def test_the_declared_key_is_kept_unique_beside_the_contracts_own():
    result = gate(orders((1, 0, "a", 1.0, 1.0), (2, 0, "a", 1.0, 1.0), (3, 0, "b", 1.0, 1.0)), key=["shop"])
    assert rules_by_row(result) == {
        1: ["unique(shop): conflicting rows"],
        2: ["unique(shop): conflicting rows"],
    }


def test_all_unique_declarations_of_a_contract_count():
    frame = pl.DataFrame({"a": [1, 1, 2, 3, 4, 5], "b": [1, 2, 3, 3, 4, 5], "c": [1, 2, 3, 4, 5, 5]})
    result = apply_contract(frame, contracts.UniqueColumns, ["a"])
    names = {"a": "unique(a)", "b": "unique(b)", "c": "unique(c)"}
    broken = {1: "a", 2: "a", 3: "b", 4: "b", 5: "c", 6: "c"}
    assert rules_by_row(result) == {row: [f"{names[name]}: conflicting rows"] for row, name in broken.items()}


def test_an_empty_frame_has_no_bad_rows():
    result = gate(orders())
    assert (result.validated.height, result.quarantine.height, result.bad_share) == (0, 0, 0.0)


@pytest.mark.parametrize(
    ("contract", "message"),
    [
        (
            contracts.WholeTable,
            "rule 'enough_rows' gives 1 verdicts for 3 rows; quarantine needs one per row",
        ),
        (
            contracts.TrueOrFalse,
            "rule 'always' of column 'id' gives 1 verdicts for 3 rows; quarantine needs one per row",
        ),
        (contracts.Failing, "rule 'looks_elsewhere' cannot be evaluated (ColumnNotFoundError: "),
    ],
)
def test_rules_without_a_verdict_per_row_are_errors(contract, message):
    with pytest.raises(ContractError) as raised:
        apply_contract(pl.DataFrame({"id": [1, 2, 3]}), contract, ["id"])
    assert str(raised.value).startswith(message)


@pytest.mark.parametrize(
    ("frame", "key", "message"),
    [
        (
            orders().drop("paid"),
            KEY,
            "contract Orders: the frame has no column 'paid', only ['id', 'line', 'shop', 'amount']",
        ),
        (
            orders().cast({"id": pl.Int32}),
            KEY,
            "contract Orders: column 'id' is Int32, not Int64; read it with the contract's schema",
        ),
        (
            orders(),
            ["id", "number"],
            "contract Orders: key columns ['number'] are not in it; it has ['id', 'line', 'shop', 'amount', 'paid']",
        ),
        (
            orders().with_columns(_rules=pl.lit("")),
            KEY,
            "contract Orders: the frame already has columns ['_rules'], which the gate adds",
        ),
    ],
)
def test_frames_that_are_not_the_contracts_are_errors(frame, key, message):
    with pytest.raises(ContractError) as raised:
        gate(frame, key)
    assert str(raised.value) == message


def test_a_row_with_a_value_that_could_not_be_read_is_quarantined_with_its_text():
    frame = orders((1, 0, "a", 5.0, 5.0), (2, 0, "b", None, 5.0)).with_columns(
        pl.Series("_unread", [None, "amount: ambiguous local time '02:30'"])
    )
    result = gate(frame)
    assert result.validated.to_dicts() == orders((1, 0, "a", 5.0, 5.0)).to_dicts()
    (row,) = result.quarantine.select("id", "_rules", "_unread").rows()
    assert row == (2, "every value can be read", "amount: ambiguous local time '02:30'")
    assert (result.set_aside, result.bad_share) == (1, 0)
