"""The running state of an entity's facts gives what the engine computes over all of them, to the last bit."""

import math
from datetime import UTC, datetime, timedelta

import numpy as np
import orjson
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ml_assets.features.engine.compute import compute_features
from ml_assets.features.spec import FeatureViewSpec
from ml_assets.online.facts.rows import encode_facts_as_json
from ml_assets.online.running import history as histories
from ml_assets.online.running.history import NothingToTakeBack
from ml_assets.online.running.scaled import rounded, scaled
from ml_assets.online.running.view import RunningView

START = datetime(2024, 3, 1, tzinfo=UTC)
MOMENT = pl.Datetime("us", "UTC")
SCHEMA = pl.Schema(
    {"shop": pl.String, "at": MOMENT, "amount": pl.Float64, "pieces": pl.Int64, "kind": pl.String, "ok": pl.Boolean}
)
VIEW = FeatureViewSpec(
    name="tills", description="How tills do.", table="orders", known_at="at", entity=["shop"], ttl="4m",
    order_by=["pieces"], latest={"last_amount": "amount", "last_kind": "kind"}, windows=["2m", "7m"],
    lags={"kind_ago": {"of": "kind", "offset": "3m"}, "ago": {"of": "amount", "offset": "2m", "ttl": "2m"}},
    aggregates={
        "amount": {"of": "amount", "functions": ["mean", "sum", "min", "max", "std", "count"]},
        "pieces": {"of": "pieces", "functions": ["mean", "sum", "min", "max", "std"]},
        "before": {"of": "amount * pieces", "functions": ["sum", "std"], "offset": "3m"},
        "kinds": {"of": "kind", "functions": ["count"]},
        "ok": {"of": "ok", "functions": ["sum", "max", "mean"]},
        "orders": {"functions": ["count"], "windows": ["3m"]},
    },
)  # fmt: skip
SEEDED = settings(
    derandomize=True, deadline=None, max_examples=60, database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)  # fmt: skip

large = st.floats(1e-60, 1e60)
floats = st.sampled_from([0.0, 0.1, 0.2, 0.3, 1e9 + 0.25, -4.0, 20.0, 1e-12, 3e15, float("nan")]) | large
floats |= large.map(lambda value: -value)
facts = st.tuples(
    st.just("a"),
    st.builds(
        lambda minute, odd: START + timedelta(minutes=minute, microseconds=odd),
        st.integers(0, 14),
        st.sampled_from([0, 0, 1]),
    ),
    st.none() | floats,
    st.none() | st.integers(-3, 3) | st.integers(-(2**40), 2**40),
    st.none() | st.sampled_from(["x", "é", "Z"]),
    st.none() | st.booleans(),
)  # fmt: skip


def frame(rows) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


def ticks(moment: datetime) -> int:
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


class Stored:
    """An entity's state as a store keeps it: read and written anew at each change."""

    def __init__(self, view: FeatureViewSpec) -> None:
        self.view, self.header, self.leaves, self.read = RunningView(view, SCHEMA), None, {}, 0

    def open(self):
        return self.view.history(self.header, self._load)

    def change(self, rows, how) -> None:
        history, table = self.open(), frame(rows)
        for entry in self.view.entries(table, encode_facts_as_json(table)):
            getattr(history, how)(entry)
        history.settle()
        self.header = history.encode()
        self.leaves |= history.encode_changed()

    def _load(self, numbers):
        self.read += len(numbers)
        return {number: self.leaves[number] for number in numbers}


def expected(rows, times: list[int]) -> list[tuple]:
    due = pl.Series("due", times, pl.Int64).cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
    spine = pl.DataFrame({"due": due}).with_columns(shop=pl.lit("a"))
    computed = compute_features(VIEW, spine, frame(rows), time="due").select(VIEW.table_features)
    return [tuple(None if value != value else value for value in row) for row in computed.rows()]


def moments_of(rows) -> list[int]:
    ages = [timedelta(0), *VIEW.ages]
    edges = {ticks(row[1] + age) for row in rows for age in ages}
    return sorted({edge + odd for edge in edges for odd in (-1, 0)})


@pytest.fixture(params=[2, 64])
def room(request, monkeypatch):
    """How many facts a leaf may have: few make many leaves."""
    monkeypatch.setattr(histories, "_ENTRIES", request.param)


def agrees(stored: Stored, rows) -> None:
    times = moments_of(rows) or [ticks(START)]
    history = stored.open()
    found = [stored.view.values_at(history, at)[1:] for at in times]
    plain = [tuple(None if value != value else value for value in row) for row in found]
    assert [*map(repr, plain)] == [*map(repr, expected(rows, times))]


class Counted:
    """How often each fact counts, as declared: delivered and pushed once is once, taken back is not there."""

    def __init__(self) -> None:
        self.rows: dict[str, list] = {}

    def apply(self, row, how: str) -> None:
        known = self.rows.setdefault(repr(row), [row, 0, 0, 0])
        if how == "deliver":
            known[1] += 1
        elif how == "push":
            known[2], known[3] = known[2] + 1, max(known[3] - 1, 0)
        else:
            known[2], known[3] = max(known[2] - 1, 0), known[3] + 1

    def there(self) -> list:
        return [row for row, table, pushed, back in self.rows.values() for _ in range(max(table - back, pushed))]


@pytest.mark.usefixtures("room")
@SEEDED
@given(st.lists(facts, max_size=8), st.lists(facts, max_size=14), st.randoms(use_true_random=False))
def test_any_facts_in_any_order_give_what_the_engine_gives(delivered, pushed, random):
    stored, counted = Stored(VIEW), Counted()
    delivered = [row for row in delivered for _ in range(random.choice([1, 1, 2]))]
    stored.change(delivered, "deliver")
    for row in delivered:
        counted.apply(row, "deliver")
    pushed += random.sample(delivered, len(delivered) // 2)
    random.shuffle(pushed)
    while pushed:
        batch, pushed = pushed[:3], pushed[3:]
        stored.change(batch, "push")
        for row in batch:
            counted.apply(row, "push")
        if (there := counted.there()) and random.random() < 0.4:
            back = random.choice(there)
            stored.change([back], "retract")
            counted.apply(back, "retract")
    agrees(stored, counted.there())


@pytest.mark.usefixtures("room")
@SEEDED
@given(st.lists(facts, min_size=1, max_size=10))
def test_between_two_changes_values_stay_as_they_are(pushed):
    stored = Stored(VIEW)
    stored.change(pushed, "push")
    history, begin = stored.open(), ticks(START) - 1
    changes, ahead = stored.view.changes_after(history, begin), []
    while (moment := changes.next()) is not None:
        ahead.append(moment)
    assert ahead == sorted({ticks(row[1] + age) for row in pushed for age in [timedelta(0), *VIEW.ages]})


def test_what_is_not_there_cannot_be_taken_back():
    stored = Stored(VIEW)
    row = ("a", START, 1.0, 1, "x", True)
    with pytest.raises(NothingToTakeBack):
        stored.change([row], "retract")
    stored.change([row], "push")
    stored.change([row], "retract")
    with pytest.raises(NothingToTakeBack):
        stored.change([row], "retract")


def test_a_push_reads_and_writes_few_facts_however_many_are_known():
    stored = Stored(VIEW)
    stored.change([("a", START + timedelta(seconds=n), n / 8, n, "x", True) for n in range(5_000)], "push")
    assert max(len(histories.Leaf.decode(text).known) for number, text in stored.leaves.items() if number >= 0) <= 128
    for late in (5_001, 17):
        before, stored.read = dict(stored.leaves), 0
        stored.change([("a", START + timedelta(seconds=late, microseconds=1), 0.5, 1, "x", True)], "push")
        assert stored.read <= 3  # the index, a leaf, and that of the fact before
        assert stored.leaves == before
        assert len(stored.header) < 500


@pytest.mark.usefixtures("room")
def test_what_came_since_the_index_was_written_goes_into_it_when_it_is_much(monkeypatch):
    monkeypatch.setattr(histories, "_STEPS", 3)
    stored = Stored(VIEW)
    rows = [("a", START + timedelta(minutes=n % 5, seconds=n), n / 8, n, "x", True) for n in range(9)]
    written = []
    for row in rows:
        before = dict(stored.leaves)
        stored.change([row], "push")
        written.append(stored.leaves != before)
    assert written == [True, False, False, False, True, False, False, False, True]
    agrees(stored, rows)


@pytest.mark.usefixtures("room")
@pytest.mark.parametrize("stamped", [True, False])
def test_a_state_of_before_there_were_steps_goes_on(stamped):
    stored = Stored(VIEW)
    rows = [("a", START + timedelta(minutes=n % 5, seconds=n), n / 8, n, "x", True) for n in range(9)]
    stored.change(rows[:6], "push")
    _, built, stamp, steps, same = orjson.loads(stored.header)
    assert (steps, same) == ([], stamp)
    number, lines = orjson.loads(stored.leaves.pop(-2))
    lines = lines if stamped else [line[:-1] for line in lines]
    stored.header = orjson.dumps([built, number, lines, *([stamp] if stamped else [])]).decode()
    for row in rows[6:]:
        stored.change([row], "push")
    stored.change([rows[0]], "retract")
    agrees(stored, rows[1:])


@SEEDED
@given(st.lists(large | large.map(lambda value: -value), min_size=1, max_size=5))
def test_sums_are_rounded_as_the_engine_rounds(values):
    from ml_assets.features.engine.windows import exact

    limbs = exact.normal(exact.prefix_sums(exact.split(np.array(values))))
    mantissa, scale = exact.to_float(limbs, len(values) + 1)
    numbers, exponent = scaled(values, floats=True)
    value, power = rounded(sum(numbers), exponent)
    assert math.ldexp(value, power) == np.ldexp(mantissa, exact.BITS * scale)[-1]
