"""Whether a view is stale, and up to which moment its facts are known to be complete: what builds and pushes report."""

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml_assets.features.spec import FeatureViewSpec
from ml_assets.freshness import Freshness
from ml_assets.online.build import build_view
from ml_assets.online.completeness import view_state
from ml_assets.online.lookup import OnlineFeatures
from ml_assets.online.push import PushError, push_facts
from ml_assets.online.stores.opening import open_store
from ml_assets.online.tables import PushedTable
from ml_assets.online.values.record import microseconds, moment_of

NOON = datetime(2024, 3, 10, 12, tzinfo=UTC)
SALES = FeatureViewSpec(
    name="sales", description="Sales.", entity=["shop"], table="till", known_at="paid_at",
    windows=["9h"], aggregates={"paid": {"of": "amount", "functions": ["sum"]}},
)  # fmt: skip
PACKED = FeatureViewSpec(
    name="packed", description="Packed.", entity=["shop"], table="till", known_at="packed_at",
    windows=["9h"], aggregates={"packed": {"of": "amount", "functions": ["sum"]}},
)  # fmt: skip
SHOPS = FeatureViewSpec(
    name="shops", description="Shops.", entity=["shop"], table="shops", lookups={"size": "size"},
)  # fmt: skip
TILL = {"shop": pl.String, "paid_at": pl.Datetime("us", "UTC"), "packed_at": pl.Datetime("us", "UTC")}
TILL |= {"amount": pl.Float64}
FRESHNESS = {"sales": Freshness(warn="3h", fail="6h"), "packed": Freshness(warn="3h", fail="6h")}
TABLE = PushedTable("till", [SALES, PACKED], None, timedelta(minutes=5))
KEPT = timedelta(days=1)


def hours(number):
    return NOON + timedelta(hours=number)


def at(number):
    return microseconds(hours(number))


def sale(paid, packed=None):
    moment = None if packed is None else hours(packed).isoformat()
    return {"shop": "a", "paid_at": hours(paid).isoformat(), "packed_at": moment, "amount": 1.0}


def build(store, as_of=0, view=SALES):
    rows = pl.LazyFrame(
        [{"shop": "a", "paid_at": hours(ago), "packed_at": hours(ago), "amount": 1.0} for ago in (-2, -1)], schema=TILL
    )
    build_view(store, view, rows, as_of=hours(as_of), max_age=KEPT, build=f"b{as_of}")


def push(*paid, arrived, until=None, retract=()):
    def do(store):
        TABLE.push(
            store, [sale(each) for each in paid], arrived_at=at(arrived), retract=[sale(*each) for each in retract],
            complete_until=None if until is None else at(until),
        )  # fmt: skip

    return do


def push_to_view(paid, arrived):
    row = {"shop": "a", "paid_at": hours(paid).isoformat(), "amount": 1.0}
    return lambda store: push_facts(store, SALES, [row], arrived_at=at(arrived))


def looked_up(store, moment, shop="a", view=SALES):
    (fetched,) = OnlineFeatures(store, [view], FRESHNESS).fetch([{"shop": shop}], at(moment))
    until = fetched.complete_until[view.name]
    return fetched.states[view.name], None if until is None else (moment_of(until) - NOON) / timedelta(hours=1)


@pytest.fixture
def built(store):
    for view in (SALES, PACKED):
        build(store, view=view)
    return store


@pytest.mark.parametrize(
    ("reported", "moment", "state", "until"),
    [
        # The build alone, which is of noon.
        ([], -0.001, "missing", None),
        ([], 0, "fresh", 0),
        ([], 2.999, "fresh", 0),
        ([], 3, "stale", 0),
        ([], 23.999, "stale", 0),
        ([], 24, "expired", 0),
        # A fact reports its own moment, and not that there are no others.
        ([push(2, arrived=2.5)], 4.999, "fresh", 0),
        ([push(2, arrived=2.5)], 5, "stale", 0),
        ([push(2, 1, arrived=2.5)], 4.999, "fresh", 0),
        ([push_to_view(2, arrived=2.5)], 4.999, "fresh", 0),
        ([push_to_view(2, arrived=2.5)], 5, "stale", 0),
        # A late fact reports nothing new, one of the future no more than that it was pushed.
        ([push(-0.5, arrived=2.5)], 3, "stale", 0),
        ([push(2, arrived=2), push(1, arrived=4)], 5, "stale", 0),
        ([push_to_view(9, arrived=2)], 4.999, "fresh", 0),
        ([push_to_view(9, arrived=2)], 5, "stale", 0),
        # A fact that is taken back reports nothing.
        ([push(arrived=2, retract=[(-1, -1)])], 3, "stale", 0),
        # Nothing has happened up to a moment.
        ([push(arrived=4, until=4)], 6.999, "fresh", 4),
        ([push(arrived=4, until=4)], 7, "stale", 4),
        ([push(arrived=4, until=4)], 1, "fresh", 4),
        ([push(arrived=4, until=4), push(arrived=5, until=1)], 6.999, "fresh", 4),
        ([push(2, arrived=4, until=3)], 5.999, "fresh", 3),
        ([push(2, arrived=4, until=1)], 4.999, "fresh", 1),
        ([push(arrived=1, until=-5)], 3, "stale", 0),
        # A build is no step back.
        ([push(arrived=4, until=4), lambda store: build(store, 2)], 5, "fresh", 4),
        ([push(arrived=4, until=4), lambda store: build(store, 5)], 7.999, "fresh", 5),
        ([push(arrived=4, until=4), lambda store: build(store, 5)], 8, "stale", 5),
    ],
)
@pytest.mark.parametrize("make_store", ["sqlite", "redis"], indirect=True)
def test_what_builds_and_pushes_report(built, reported, moment, state, until):
    for each in reported:
        each(built)
    assert looked_up(built, moment) == (state, until)
    of_view = view_state(built, SALES, FRESHNESS["sales"], at(moment))
    assert of_view.state == state
    if state != "missing":
        assert of_view.complete_until == at(until)


def test_an_entity_without_facts_is_stale_with_its_view(built):
    assert looked_up(built, 1, shop="z") == ("unseen", 0)
    assert looked_up(built, 3, shop="z") == ("stale", 0)


def test_a_fact_reports_for_the_views_that_it_feeds_and_a_heartbeat_for_all(built):
    push(2, arrived=2)(built)
    assert [looked_up(built, 4, view=view)[0] for view in (SALES, PACKED)] == ["fresh", "stale"]
    push(arrived=3, until=3)(built)
    assert [looked_up(built, 4, view=view) for view in (SALES, PACKED)] == [("fresh", 3), ("fresh", 3)]


def test_what_one_declaration_was_told_is_nothing_of_another(built):
    push(arrived=4, until=4)(built)
    sums = SALES.model_copy(update={"windows": ["8h"]})
    build(built, 0, sums)
    assert looked_up(built, 3, view=sums) == ("stale", 0)


def test_a_static_table_is_as_old_as_its_build(store):
    rows = pl.LazyFrame({"shop": ["a"], "size": [3]})
    build_view(store, SHOPS, rows, as_of=NOON, max_age=KEPT, build="s")
    features = OnlineFeatures(store, [SHOPS], {"shops": Freshness(warn="2d", fail="3d")})
    for moment, state in ((-100, "fresh"), (47.9, "fresh"), (48, "stale")):
        (fetched,) = features.fetch([{"shop": "a"}], at(moment))
        assert (fetched.states["shops"], fetched.complete_until["shops"]) == (state, at(0))
    push_facts(store, SHOPS, [{"shop": "b", "size": 4}], arrived_at=at(40))
    (fetched,) = features.fetch([{"shop": "a"}], at(48))
    assert (fetched.states["shops"], fetched.complete_until["shops"]) == ("fresh", at(0))


def test_a_reader_sees_at_once_what_is_reported(built):
    features = OnlineFeatures(built, [SALES], FRESHNESS)
    states = []
    for each in (push(arrived=4, until=4), lambda store: build(store, 7), push(arrived=12, until=12)):
        (fetched,) = features.fetch([{"shop": "a"}], at(11))
        states.append((fetched.states["sales"], fetched.complete_until["sales"]))
        each(built)
    (fetched,) = features.fetch([{"shop": "a"}], at(11))
    states.append((fetched.states["sales"], fetched.complete_until["sales"]))
    assert states == [("stale", at(0)), ("stale", at(4)), ("stale", at(7)), ("fresh", at(12))]


@pytest.mark.parametrize(("until", "taken"), [(2 + 5 / 60, True), (2 + 5.001 / 60, False)])
def test_completeness_of_the_future_is_refused(built, until, taken):
    if taken:
        push(arrived=2, until=until)(built)
        return
    with pytest.raises(PushError, match=r"table 'till': complete_until: not more than 0:05:00 after the push"):
        push(1, arrived=2, until=until)(built)
    assert looked_up(built, 3) == ("stale", 0), "none of its rows is taken"


def test_a_retry_reports_what_it_did_and_another_moment_is_another_push(built):
    for _ in range(2):
        done = TABLE.push(built, [], arrived_at=at(4), complete_until=at(4), key="k")
    assert done.repeated
    with pytest.raises(PushError, match="came with other rows before"):
        TABLE.push(built, [], arrived_at=at(4), complete_until=at(3), key="k")


def test_a_missing_view_fails_at_no_age_and_an_old_one_does(built):
    assert (view_state(built, SALES, FRESHNESS["sales"], at(5.999)).failing) is False
    late = view_state(built, SALES, FRESHNESS["sales"], at(6))
    assert (late.state, late.failing) == ("stale", True)
    assert str(late) == "feature view sales is stale: nothing is reported after 2024-03-10 12:00:00+00:00"
    assert str(view_state(built, SHOPS, Freshness(), at(0))) == "feature view shops is missing"
    # Where every request names its own moment, what counts is whether there is a build.
    assert view_state(built, SALES, FRESHNESS["sales"], None).state == "fresh"
    assert view_state(built, SHOPS, Freshness(), None).state == "missing"


EVENT = st.tuples(st.sampled_from(["build", "push", "beat"]), st.integers(0, 12), st.integers(0, 12))


@settings(max_examples=25)
@given(events=st.lists(EVENT, max_size=5), moment=st.integers(0, 30))
def test_states_follow_from_the_last_build_and_the_newest_report(tmp_path_factory, events, moment):
    store = open_store(f"sqlite:///{tmp_path_factory.mktemp('known')}/online.db")
    table = PushedTable("till", [SALES], None, timedelta(minutes=5))
    build(store)
    as_of, complete, newest = 0, [], []
    for number, (kind, about, later) in enumerate(events):
        if kind == "build":
            build_view(
                store, SALES, pl.LazyFrame(schema=TILL), as_of=hours(about), max_age=KEPT, build=f"b{number}",
                pushed_seq=len(newest),
            )  # fmt: skip
            as_of = about
        elif kind == "push":
            push_to_view(about, arrived=later)(store)
            newest.append(min(about, later))
        else:
            table.push(store, [], arrived_at=at(about + later), complete_until=at(about))
            complete.append(about)
    newest, until_now = max([as_of, *complete, *newest]), max([as_of, *complete])
    wanted = "expired" if moment >= as_of + 24 else "stale" if moment - newest >= 3 else "fresh"
    state, until = looked_up(store, moment)
    expected = ("missing", None) if moment < as_of else (wanted, until_now)
    assert (state.replace("unseen", "fresh"), until) == expected
    store.close()


def publish_between(store, monkeypatch, builds):
    """Let the next reads of values each be followed by a build, before anything else is asked."""
    read, left = store.read, list(builds)

    def read_slowly(keys, moment):
        entries = read(keys, moment)
        if left:
            left.pop(0)()
        return entries

    monkeypatch.setattr(store, "read", read_slowly)


@pytest.mark.parametrize("publishes", [1, 2])
def test_a_build_that_is_published_while_values_are_read_leaves_them_fresh(built, monkeypatch, publishes):
    publish_between(
        built, monkeypatch, [lambda number=number: build(built, number / 4) for number in range(1, publishes + 1)]
    )
    (fetched,) = OnlineFeatures(built, [SALES], FRESHNESS).fetch([{"shop": "a"}], at(2.5))
    assert fetched.states == {"sales": "fresh"}
    # Read again, it is of the build that is known by then.
    assert (fetched.versions["sales"][0].split("@")[0], fetched.complete_until["sales"]) == ("b0.25", at(0.25))


def test_a_reader_knows_a_build_that_another_reader_has_seen_replaced(built, monkeypatch):
    features = OnlineFeatures(built, [SALES], FRESHNESS)
    features.fetch([{"shop": "a"}], at(2.5))

    def publish_and_read():
        build(built, 1)
        (newer,) = features.fetch([{"shop": "a"}], at(2.5))
        assert (newer.states["sales"], newer.complete_until["sales"]) == ("fresh", at(1))

    publish_between(built, monkeypatch, [publish_and_read])
    (older,) = features.fetch([{"shop": "a"}], at(2.5))
    assert older.versions["sales"][0].startswith("b0@")
    assert (older.states["sales"], older.complete_until["sales"]) == ("fresh", at(0))


def test_where_every_read_meets_a_replaced_build_the_view_is_as_stale_as_the_newest(built, monkeypatch):
    record, names = built.build("sales"), iter(range(9))
    monkeypatch.setattr(
        built, "build", lambda _: record.model_copy(update={"build": f"other{next(names)}", "as_of": hours(1)})
    )
    features = OnlineFeatures(built, [SALES], FRESHNESS)
    for moment, state in ((3.999, "fresh"), (4, "stale")):
        (fetched,) = features.fetch([{"shop": "a"}], at(moment))
        assert (fetched.states["sales"], fetched.complete_until["sales"]) == (state, None)
