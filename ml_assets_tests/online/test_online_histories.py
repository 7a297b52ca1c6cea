"""Whatever happens to a table's facts, what is served is what can be known: at every step, by counting by hand."""

import math
import sqlite3
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import count

import polars as pl
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from ml_assets.features.spec import FeatureViewSpec
from ml_assets.online.build import build_view
from ml_assets.online.facts.rows import PushError
from ml_assets.online.facts.union import RETRACTS
from ml_assets.online.lookup import OnlineFeatures
from ml_assets.online.stores.opening import open_store
from ml_assets.online.stores.records import FRESH, UNSEEN, Note
from ml_assets.online.tables import PushedTable, Refused
from ml_assets.online.values.record import microseconds

START = datetime(2024, 3, 1, tzinfo=UTC)
MOMENT = pl.Datetime("us", "UTC")
MINUTE = timedelta(minutes=1)
MAX_AGE = timedelta(minutes=30)
SCHEMA = {"shop": pl.String, "at": MOMENT, "amount": pl.Float64}
SHOPS = ["a", "b", "c"]
WINDOWS = {"3m": 3, "60m": 60}
TTL = 5
RULE = "amount: not negative"
_names = count()

Row = tuple[str, datetime, float | None]


class NotNegative:
    """A contract with one rule."""

    def columns(self):
        return SCHEMA

    def judge(self, rows: pl.DataFrame):
        bad = [place for place, amount in enumerate(rows["amount"]) if amount is not None and amount < 0]
        good = [place for place in range(rows.height) if place not in bad]
        return rows[good], [Refused(place, RULE, "amount") for place in bad]


def view_of(name: str) -> FeatureViewSpec:
    return FeatureViewSpec(
        name=name, description="Sales.", entity=["shop"], table="sales", known_at="at", windows=list(WINDOWS),
        order_by=["amount"], latest={"last": "amount"}, ttl=f"{TTL}m",
        aggregates={
            "amount": {"of": "amount", "functions": ["sum", "max", "count"]},
            "early": {"functions": ["count"], "windows": ["60m"], "offset": "2m"},
        },
    )  # fmt: skip


def known(facts: Sequence[Row], shop: str, at: datetime) -> list:
    """The features of a shop, each looked up among all facts there are."""
    mine = [fact for fact in facts if fact[0] == shop and fact[1] <= at]
    newest = max((fact[1] for fact in mine), default=None)
    ties = sorted((fact[2] for fact in mine if fact[1] == newest), key=lambda x: (x is not None, x))
    features = [ties[-1] if newest is not None and newest > at - TTL * MINUTE else None]
    inside = {
        name: [fact[2] for fact in mine if fact[1] > at - length * MINUTE and fact[2] is not None]
        for name, length in WINDOWS.items()
    }
    features += [math.fsum(values) if values else None for values in inside.values()]
    features += [max(values, default=None) for values in inside.values()]
    features += [len(values) for values in inside.values()]
    return [*features, sum(at - 62 * MINUTE < fact[1] <= at - 2 * MINUTE for fact in mine)]


def as_json(row: Row) -> dict:
    return {"shop": row[0], "at": row[1].isoformat(), "amount": row[2]}


rows = st.tuples(
    st.sampled_from(SHOPS[:2]),
    st.builds(
        lambda minute, odd: START + minute * MINUTE + timedelta(microseconds=odd),
        st.integers(0, 15),
        st.sampled_from([0, 0, 1]),
    ),
    st.none() | st.sampled_from([0.5, 2.0, 8.25, 1e9]),
)
wrong = st.tuples(st.sampled_from(SHOPS[:2]), st.just(START), st.just(-1.0))


class Facts(RuleBasedStateMachine):
    """A store, what the lake has, and all that was pushed and taken back."""

    url: str

    def __init__(self) -> None:
        super().__init__()
        self.view = view_of(f"sales_{next(_names)}")
        self.table: list[Row] = []
        self.built: list[Row] = []
        self.events: list[tuple[Row, bool]] = []
        self.as_of, self.taken, self.builds, self.keys, self.refused, self.before = START, 0, count(), count(), 0, None
        self.opened()

    def opened(self) -> None:
        """Begin anew, as a process does."""
        self.store = open_store(self.url)
        self.pushes = PushedTable(self.view.name, [self.view], NotNegative, timedelta(days=1))
        self.features = OnlineFeatures(self.store, [self.view])

    def there(self) -> list[Row]:
        """Each fact as often as in the channel that has most of it, less what was taken back of it."""
        facts = []
        for row in dict.fromkeys([*self.built, *(row for row, _ in self.events)]):
            pushed = hidden = 0
            for _, back in (event for event in self.events if event[0] == row):
                pushed, hidden = (max(pushed - 1, 0), hidden + 1) if back else (pushed + 1, max(hidden - 1, 0))
            facts += [row] * max(self.built.count(row) - hidden, pushed)
        return facts

    def push(self, new: Sequence[Row], retract: Sequence[Row] = (), **more):
        return self.pushes.push(
            self.store,
            [as_json(row) for row in new],
            retract=[as_json(row) for row in retract],
            arrived_at=microseconds(self.as_of),
            **more,
        )

    @initialize(delivered=st.lists(rows, max_size=4))
    def begun(self, delivered) -> None:
        self.table = delivered
        self.build(later=6, taken=0)

    @rule(new=st.lists(rows, min_size=1, max_size=3), bad=st.lists(wrong, max_size=1))
    def pushed(self, new, bad) -> None:
        key = f"{self.view.name} {next(self.keys)}"
        done = self.push([*bad, *new], key=key)
        assert (done.rows, done.retracted, done.repeated) == (len(new), 0, False)
        assert [(each.row, each.rules) for each in done.refused] == [(0, RULE)] * len(bad)
        self.events += [(row, False) for row in new]
        self.refused += len(bad)
        self.before = [*bad, *new], key

    @rule()
    def sent_again(self) -> None:
        if self.before is not None:
            assert self.push(self.before[0], key=self.before[1]).repeated

    @rule(new=rows, place=st.integers(0, 99))
    def corrected(self, new, place) -> None:
        if facts := self.there():
            old = facts[place % len(facts)]
            self.push([new], [old])
            self.events += [(old, True), (new, False)]

    @rule(row=rows, place=st.integers(0, 99))
    def taken_back(self, row, place) -> None:
        facts = self.there()
        if facts and place % 4:
            row = facts[place % len(facts)]
        if row in facts:
            self.push([], [row])
            self.events.append((row, True))
        else:
            with pytest.raises(PushError, match="is not there to be taken back"):
                self.push([], [row])

    @rule(new=rows, row=rows)
    def half_wrong(self, new, row) -> None:
        if row not in self.there():
            with pytest.raises(PushError):
                self.push([new], [row])

    @rule(delivered=st.lists(rows, max_size=2), places=st.lists(st.integers(0, 99), max_size=3))
    def delivered(self, delivered, places) -> None:
        pushed = [row for row, _ in self.events]
        self.table = [*self.table, *delivered, *(pushed[place % len(pushed)] for place in places if pushed)]

    @rule(later=st.integers(0, 4), taken=st.integers(0, 99))
    def build(self, later, taken) -> None:
        self.as_of += later * MINUTE
        self.taken = max(self.taken, len(self.events) - taken % 3)
        events = self.events[: self.taken]
        frame = pl.DataFrame([row for row, _ in events], schema=SCHEMA, orient="row")
        build_view(
            self.store, self.view, pl.LazyFrame(self.table, schema=SCHEMA, orient="row"),
            as_of=self.as_of, max_age=MAX_AGE, build=f"b{next(self.builds)}", pushed_seq=self.taken,
            pushed=frame.with_columns(pl.Series(RETRACTS, [back for _, back in events], pl.Boolean)).lazy(),
        )  # fmt: skip
        self.built = [row for row in self.table if row[1] <= self.as_of]

    @rule(new=rows)
    def killed_while_it_writes(self, new) -> None:
        unwritable = Note("position", object())  # pyright: ignore[reportArgumentType]
        with pytest.raises(sqlite3.Error):
            self.push([new], notes=[unwritable])

    @rule(new=rows)
    def killed_before_it_is_committed(self, new) -> None:
        def deny(action, what, *_):
            return (
                sqlite3.SQLITE_DENY if (action, what) == (sqlite3.SQLITE_TRANSACTION, "COMMIT") else sqlite3.SQLITE_OK
            )

        self.store._file.connection().set_authorizer(deny)
        with pytest.raises(sqlite3.DatabaseError, match="not authorized"):
            self.push([new])
        self.store._file.connection().set_authorizer(None)

    @rule()
    def killed(self) -> None:
        self.store.close()
        self.opened()

    @invariant()
    def what_is_served_is_known(self) -> None:
        if not self.events and not self.built:
            return
        facts = self.there()
        moments = {self.as_of, *(row[1] for row, _ in self.events[-2:]), self.as_of + 7 * MINUTE}
        # A fact comes, and leaves each window.
        moments |= {row[1] + age * MINUTE for row, _ in self.events[-1:] for age in (2, 3, 5)}
        for at in sorted(moments):
            if at < self.as_of or at >= self.as_of + MAX_AGE:
                continue
            fetched = self.features.fetch([{"shop": shop} for shop in SHOPS], microseconds(at))
            for shop, one in zip(SHOPS, fetched, strict=True):
                assert list(map(repr, one.values.values())) == list(map(repr, known(facts, shop, at))), (shop, at)
                assert one.states[self.view.name] in (FRESH, UNSEEN)

    def teardown(self) -> None:
        assert len(self.store.refused_since(self.view.name, 0)) == self.refused
        self.store.close()


def test_what_is_served_is_known_at_every_step(tmp_path, request):
    Facts.url = f"sqlite:///{tmp_path}/online.db"
    runs = 20 if request.config.option.markexpr == "not slow" else 200
    run_state_machine_as_test(
        Facts,
        settings=settings(
            derandomize=True, max_examples=runs, stateful_step_count=7, deadline=None, database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )  # fmt: skip


def test_nothing_is_served_of_an_entity_whose_last_fact_is_taken_back(tmp_path):
    Facts.url = f"sqlite:///{tmp_path}/online.db"
    run, odd = Facts(), timedelta(microseconds=1)
    run.begun(delivered=[("a", START + 4 * MINUTE, None)])
    run.what_is_served_is_known()
    run.corrected(new=("a", START + 9 * MINUTE + odd, None), place=0)
    run.what_is_served_is_known()
    run.taken_back(row=("a", START, None), place=1)
    run.what_is_served_is_known()
    run.teardown()
