"""A kind of online store that a third party adds: it is opened by its URL's scheme, and read as the others."""

from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import orjson
import polars as pl
import pytest

from ml_assets.features.spec import FeatureViewSpec
from ml_assets.online.build import build_view
from ml_assets.online.lookup import OnlineFeatures
from ml_assets.online.push import push_facts
from ml_assets.online.stores.opening import ONLINE_STORES, open_store
from ml_assets.online.stores.protocol import OnlineStore, StoreSnapshot
from ml_assets.online.stores.records import CurrentBuild, EntityState, PushedRow, Stored
from ml_assets.online.values.record import microseconds

NOON = datetime(2024, 1, 31, 12, tzinfo=UTC)
ROUTE = FeatureViewSpec(
    name="route",
    description="How far the courier went last.",
    entity=["courier"],
    table="drives",
    known_at="driven_at",
    latest={"km": "length"},
)
DRIVES = pl.LazyFrame(
    {"courier": ["ann", "bob"], "driven_at": [NOON - timedelta(hours=1)] * 2, "length": [10.0, 90.0]},
    schema_overrides={"driven_at": pl.Datetime("us", "UTC")},
)


class DictStore(OnlineStore):
    """One process's memory; one view at a time, without concurrency."""

    def __init__(self, url):
        self.url, self.live, self.staged = url, None, {}
        self.pushed, self.last, self.states = [], 0, {}

    def read(self, keys, at):
        found = []
        for _, entity in keys:
            build, _, unseen, _, _, moments = self.live
            past = [(moment, seq, text) for moment, seq, text in moments.get(entity, []) if moment <= at]
            seq, text = max(past)[1:] if past else (build.pushed_seq, unseen)
            known_at, *values = orjson.loads(f"[{text}]")
            found.append(Stored(values, known_at, build.end, build.build, seq, bool(past)))
        return found

    def build(self, view):  # noqa: ARG002
        return self.live and self.live[0]

    def schema(self, view):  # noqa: ARG002
        return self.live[3]

    def stage(self, view, max_age):  # noqa: ARG002
        self.staged = {"facts": {}, "moments": {}}
        return 1

    def add(self, view, number, facts, moments, seq, part=None):  # noqa: ARG002
        self.staged["facts"] |= dict(facts)
        for entity, moment, text in moments:
            self.staged["moments"].setdefault(entity, []).append((moment, seq, text))

    def publish(self, number, build, unseen, schema, reapply):  # noqa: ARG002
        self.live = (build, number, unseen, schema, self.staged["facts"], self.staged["moments"])

    @contextmanager
    def reading(self):
        yield DictReading(self)

    def change(self, decide, arrived_at):
        (change,) = decide(DictReading(self)).views
        for row in change.rows:
            self.last += 1
            self.pushed.append(PushedRow(self.last, arrived_at, row.known_at, row.entity, row.row, row.retracts))
        for entity in change.entities:
            kept = [one for one in self.live[5].get(entity.entity, []) if one[0] < entity.since]
            self.live[5][entity.entity] = kept + [(moment, self.last, text) for moment, text in entity.moments]
            _, leaves = self.states.get(entity.entity, (None, {}))
            self.states[entity.entity] = (EntityState(self.last, entity.header), {**leaves, **entity.leaves})
        return [self.last]

    def refused_since(self, table, seq):  # noqa: ARG002
        return []

    def pushed_since(self, view, seq):  # noqa: ARG002
        return [row for row in self.pushed if row.seq > seq]

    def renumber(self, view, beyond, seqs):  # noqa: ARG002
        assert not seqs  # memory is not put back
        self.last = max(self.last, beyond)

    def close(self):
        pass


class DictReading(StoreSnapshot):
    """That memory."""

    def __init__(self, store):
        self.store = store

    def built(self, view):  # noqa: ARG002
        build, number, _, schema, *_ = self.store.live
        return CurrentBuild(build, number, schema)

    def states(self, number, entities, *, whole=False):  # noqa: ARG002
        return {entity: self.store.states.get(entity, (EntityState(None, None),))[0] for entity in entities}

    def leaves(self, number, entity, leaves):  # noqa: ARG002
        return self.store.states[entity][1]

    def facts(self, number, entities):  # noqa: ARG002
        return {entity: self.store.live[4][entity] for entity in entities if entity in self.store.live[4]}

    def pushed(self, view, entities):  # noqa: ARG002
        return [row for row in self.store.pushed if row.entity in entities]

    def note(self, key):  # noqa: ARG002
        return None


@pytest.fixture
def registered():
    """The store, registered as an installed package would."""
    ONLINE_STORES.register("dict", DictStore)
    yield
    ONLINE_STORES.unregister("dict")


def values(store, courier, at):
    (found,) = OnlineFeatures(store, [ROUTE]).fetch([{"courier": courier}], microseconds(at))
    return found.values["km"], found.states["route"]


@pytest.mark.usefixtures("registered")
def test_a_registered_store_is_built_read_and_pushed_to():
    store = open_store("dict://here")
    assert store.url == "dict://here"
    build_view(store, ROUTE, DRIVES, as_of=NOON, max_age=timedelta(days=1), build="first")
    later = NOON + timedelta(hours=1)
    assert [values(store, name, later) for name in ("ann", "bob", "zoe")] == [
        (10.0, "fresh"), (90.0, "fresh"), (None, "unseen"),
    ]  # fmt: skip
    push_facts(
        store,
        ROUTE,
        [{"courier": "ann", "driven_at": "2024-01-31T12:30:00Z", "length": 25.0}],
        arrived_at=microseconds(later),
    )
    assert values(store, "ann", later) == (25.0, "fresh")
    assert values(store, "ann", NOON) == (10.0, "fresh")


def test_without_it_the_known_schemes_are_listed():
    with pytest.raises(ValueError, match=r"'dict://here'.*known schemes are sqlite, postgresql, redis, rediss, unix"):
        open_store("dict://here")
