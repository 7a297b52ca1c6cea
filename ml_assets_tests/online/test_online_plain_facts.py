"""A few facts that are read one by one are the facts that columns of them are, to the last bit."""

from datetime import UTC, datetime, timedelta, timezone

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ml_assets.features.expressions import parse
from ml_assets.features.spec import FeatureViewSpec
from ml_assets.online.facts.plain import PlainReader, as_columns, from_columns, is_plain
from ml_assets.online.facts.rows import PushError, encode_facts_as_json, read_rows
from ml_assets.online.push import PushedView
from ml_assets.online.running.plain import plain_expression
from ml_assets.online.running.view import RunningView

START = datetime(2024, 3, 1, tzinfo=UTC)
SCHEMA = pl.Schema(
    {
        "shop": pl.String, "till": pl.Int32, "at": pl.Datetime("us", "UTC"), "amount": pl.Float64, "pieces": pl.Int64,
        "kind": pl.String, "ok": pl.Boolean,
    }
)  # fmt: skip
AGGREGATES = {
    "amount": {"of": "amount", "functions": ["mean", "sum", "min", "max", "std", "count"]},
    "pieces": {"of": "pieces", "functions": ["mean", "max", "std"]},
    "big": {"of": "amount > 2 AND pieces <= 3", "functions": ["mean", "sum"]},
    "kinds": {"of": "kind", "functions": ["count"]},
    "x": {"of": "kind = 'x'", "functions": ["mean", "count"]},
    "ok": {"of": "ok", "functions": ["sum", "max"]},
    "sales": {"functions": ["count"]},
}
PLAIN = FeatureViewSpec(
    name="tills", description="Tills.", table="orders", known_at="at", entity=["shop", "till"], windows=["2m"],
    order_by=["pieces"], latest={"last_amount": "amount", "last_kind": "kind", "last_ok": "ok"}, aggregates=AGGREGATES,
)  # fmt: skip
BY_POLARS = PLAIN.model_copy(update={"latest": {"last": "amount * 2"}})
SEEDED = settings(
    derandomize=True, deadline=None, max_examples=100, database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)  # fmt: skip

zones = st.sampled_from([UTC, timezone(timedelta(hours=5, minutes=45)), timezone(-timedelta(hours=3))])
moments = st.builds(
    lambda ticks, zone: (START + timedelta(microseconds=ticks)).astimezone(zone).isoformat(),
    st.integers(-(10**15), 10**15), zones,
)  # fmt: skip
ROW = st.fixed_dictionaries(
    {
        "shop": st.text(max_size=3), "till": st.integers(-(2**31), 2**31 - 1), "at": moments,
        "amount": st.none() | st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**60), 2**60),
        "pieces": st.none() | st.integers(-(2**63), 2**63 - 1) | st.integers(0, 5),
        "kind": st.none() | st.sampled_from(["x", "é", "\"\n"]), "ok": st.none() | st.booleans(),
    }
)  # fmt: skip


def entry_of(entry):
    return repr((entry.known_at, entry.digest, list(entry.values), list(entry.row)))


@pytest.mark.parametrize("view", [PLAIN, BY_POLARS], ids=["plain", "by Polars"])
@SEEDED
@given(st.lists(ROW, min_size=1, max_size=4))
def test_plain_facts_are_those_of_columns(view, rows):
    running, pushed = RunningView(view, SCHEMA), PushedView(view)
    types = {name: SCHEMA[name] for name in view.table_columns}
    facts = PlainReader(view, types).read(rows)
    assert facts is not None
    frame = read_rows(view, rows, SCHEMA)
    by_column = pushed._new_rows(frame, encode_facts_as_json(frame), 1)
    plainly = pushed._new_plain(facts, 1)
    assert plainly == by_column
    texts = [row.row for row in plainly]
    assert [*map(entry_of, running.plain_entries(facts, texts))] == [*map(entry_of, running.entries(frame, texts))]
    assert as_columns(facts, types).equals(frame)
    assert repr(from_columns(frame)) == repr(facts)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_that_are_not_finite_stay_in_columns(value):
    assert from_columns(pl.DataFrame({"amount": [1.0, value]})) is None


WRONG = st.sampled_from([None, 1.5, 2**63, "x", "2024-03-01T00:00:00", True, [], float("inf"), float("nan"), "\ud800"])


@SEEDED
@given(ROW, st.sampled_from([*SCHEMA, "other"]), WRONG)
def test_what_columns_refuse_is_not_read_plainly(row, column, value):
    row = row | {column: value}
    types = {name: SCHEMA[name] for name in PLAIN.table_columns}
    facts = PlainReader(PLAIN, types).read([row])
    if facts is None:
        with pytest.raises(PushError):
            read_rows(PLAIN, [row], SCHEMA)
    else:
        read_rows(PLAIN, [row], SCHEMA)


@pytest.mark.parametrize(
    "text", ["amount", "amount > 2", "pieces <= 3", "till = 7", "amount >= 3", "kind <> 'x'", "kind = 'x' AND ok",
             "amount > 2 AND pieces < 4 AND ok"],
)  # fmt: skip
@SEEDED
@given(row=ROW)
def test_what_is_computed_of_one_fact_is_what_polars_computes(text, row):
    expression = parse("tills", text)
    computed = plain_expression(expression, SCHEMA)
    assert computed is not None
    of, dtype = computed
    types = {name: SCHEMA[name] for name in PLAIN.table_columns}
    (fact,) = PlainReader(PLAIN, types).read([row]) or [{}]
    expected = as_columns([fact], types).select(expression).to_series()
    assert (of(fact), dtype) == (expected[0], expected.dtype)


@pytest.mark.parametrize(
    "text", ["amount * 2", "amount >= 0.1", "kind > 3", "pieces > 0.5", "till < 3000000000", "UPPER(kind)", "1"]
)
def test_polars_computes_whatever_is_not_sure(text):
    assert plain_expression(parse("tills", text), SCHEMA) is None


@pytest.mark.parametrize("dtype", [pl.Float32, pl.Date, pl.Datetime("ms", "UTC"), pl.Datetime("us"), pl.Decimal(5, 2)])
def test_other_types_are_read_as_columns(dtype):
    assert not is_plain(dtype)
