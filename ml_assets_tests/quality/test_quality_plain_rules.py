"""What plain rules let pass satisfies the contract by Pandera, which judges all else."""

from datetime import UTC, datetime

import pandera.polars as pa
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml_assets.quality import gate
from ml_assets.quality.gate import apply_contract
from ml_assets.quality.plain_rules import MOST, plain_rules
from ml_assets.quality.rules import row_rule
from ml_assets.serving.contract_gate import ContractGate


class Trips(pa.DataFrameModel):
    code: str = pa.Field(str_matches="^[A-Z0-9]+$", str_length={"min_value": 2, "max_value": 3})
    kind: str = pa.Field(isin=["a", "b", "ä"], nullable=True)
    seats: pl.Int16 = pa.Field(in_range={"min_value": 1, "max_value": 4, "include_max": False}, nullable=True)
    wheels: pl.Int64 = pa.Field(isin=[2, 4])
    km: pl.Float64 = pa.Field(ge=-1, lt=2.5, nullable=True)
    price: pl.Float64 = pa.Field(gt=0, le=10)
    weight: pl.Float64
    at: pl.Datetime("us", "UTC") = pa.Field(nullable=True)  # pyright: ignore
    loose: str = pa.Field(str_matches="b[a-c]{2}", nullable=True)


class Paid(Trips):
    @row_rule
    def paid_for(cls) -> pl.Expr:
        """A trip is paid for."""
        return pl.col("price") > pl.col("km")


TYPES = {name: column.dtype.type for name, column in Trips.to_schema().columns.items()}
VALUES = {
    "code": ["AB", "A1", "ABC", "A", "ABCD", "ab", "AB\n", "ÄÖ", "", None],
    "kind": ["a", "b", "ä", "c", None],
    "seats": [1, 3, 4, 0, None],
    "wheels": [2, 4, 3, None],
    "km": [-1.0, 0.0, 2.5, 2.4999, -1.0001, float("nan"), float("inf"), None],
    "price": [10.0, 1e-9, 0.0, 10.1, float("nan"), None],
    "weight": [1.0, float("nan"), float("inf"), None],
    "at": [datetime(2024, 1, 1, tzinfo=UTC), None],
    "loose": ["bab", "babx", "xbab", "bad", "b\nab", None],
}
GOOD = [values[0] for values in VALUES.values()]
ROWS = st.lists(
    st.tuples(*(st.one_of(st.just(values[0]), st.sampled_from(values)) for values in VALUES.values())), max_size=3
)


def frame(rows):
    return pl.DataFrame(rows, schema=TYPES, orient="row")


@pytest.fixture(scope="module")
def gates():
    made = {}
    for contract in (Trips, Paid):
        for key in ((), ("code", "wheels")):
            gate = ContractGate(f"{__name__}:{contract.__name__}", key)
            gate.judge(frame([GOOD]))
            made[contract, key] = gate
    return made


@settings(max_examples=60, deadline=None)
@given(rows=ROWS, contract=st.sampled_from([Trips, Paid]), key=st.sampled_from([(), ("code", "wheels")]))
def test_the_gate_gives_what_pandera_gives(gates, rows, contract, key):
    rows = frame(rows)
    judged = apply_contract(rows, contract, list(key))
    validated, refused = gates[contract, key].judge(rows)
    assert validated.equals(judged.validated)
    expected = judged.quarantine.select("_row", "_rules", "_columns").rows()
    assert [(each.row + 1, each.rules, each.columns) for each in refused] == expected


def test_the_gate_asks_pandera_once(monkeypatch):
    asked = []
    monkeypatch.setattr(gate, "apply_contract", lambda *given: asked.append(1) or apply_contract(*given))
    opened = ContractGate(f"{__name__}:Trips", ["code"])
    for _ in range(3):
        validated, refused = opened.judge(frame([GOOD]))
        assert (validated.rows(), refused) == ([tuple(GOOD)], [])
    assert asked == [1]


def test_good_rows_are_let_pass_without_pandera():
    apply_contract(frame([GOOD]), Trips, [])
    rules = plain_rules(Trips, ["code"])
    assert rules is not None
    assert rules.hold(frame([GOOD]))
    other = ["XY", *GOOD[1:]]
    assert rules.hold(frame([GOOD, other]))
    assert not rules.hold(frame([GOOD, GOOD]))
    keyless, paid = plain_rules(Trips, []), plain_rules(Paid, [])
    assert keyless is not None
    assert not keyless.hold(frame([GOOD] * (MOST + 1)))
    assert paid is not None
    assert paid.hold(frame([GOOD]))


class Own(pa.DataFrameModel):
    code: str

    @pa.check("code", name="str_length")
    def own(cls, data) -> pl.LazyFrame:
        return data.lazyframe.select(pl.col(data.key).str.len_chars() < 0)


def field(dtype, **rules):
    return type("Made", (pa.DataFrameModel,), {"__annotations__": {"value": dtype}, "value": pa.Field(**rules)})


@pytest.mark.parametrize(
    "contract",
    [
        Own,
        field(pl.Duration("us")),
        field(pl.String, str_matches=r"^\d+$"),
        field(pl.String, str_matches="^a|b"),
        field(pl.String, str_matches="^(a)"),
        field(pl.String, str_matches="^a++"),
        field(pl.Float32, ge=0.1),
        field(pl.Int64, ge=0.5),
        field(pl.String, isin=["a", None]),
        field(pl.String, str_startswith="a"),
        field(pl.Float64, ge=0, ignore_na=False),
    ],
)
def test_what_is_not_known_exactly_is_left_to_pandera(contract):
    assert plain_rules(contract, []) is None
