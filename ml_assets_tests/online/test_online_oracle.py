"""Whatever is built and pushed, and in whatever order: what is read equals the engine over all facts, at any time."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import count

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ml_assets.durations import parse_duration
from ml_assets.features.engine.compute import compute_features
from ml_assets.features.spec import FeatureViewSpec
from ml_assets.features.stored import stored_features
from ml_assets.online.build import build_view
from ml_assets.online.facts.union import union_facts
from ml_assets.online.lookup import OnlineFeatures
from ml_assets.online.push import push_facts
from ml_assets.online.stores.records import FRESH, UNSEEN
from ml_assets.online.values.record import microseconds

pytestmark = pytest.mark.slow

two_kinds = pytest.mark.parametrize("make_store", ["sqlite", "redis"], indirect=True)
"""Of stores: the engine is what is looked at here, and what stores do is the same in all."""

START = datetime(2024, 3, 1, tzinfo=UTC)
MOMENT = pl.Datetime("us", "UTC")
MAX_AGE = timedelta(minutes=8)
SEEDED = settings(
    derandomize=True,
    deadline=None,
    max_examples=40,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
    database=None,
)

EVENTS = {"shop": pl.String, "till": pl.Int64, "paid_at": MOMENT} | {
    "amount": pl.Float64,
    "pieces": pl.Int64,
    "receipt": pl.Int64,
}
BASE = {
    "description": "How tills do.",
    "table": "orders",
    "known_at": "paid_at",
    "request": {"hour": "EXTRACT(hour FROM due)"},
}
SUMMARIES = {
    "amount": {"of": "amount", "functions": ["mean", "sum", "min", "max", "std"]},
    "orders": {"functions": ["count"], "windows": ["3m"]},
}
VIEWS = {
    view.name: view
    for view in (
        FeatureViewSpec(
            name="tills", entity=["shop", "till"], spine_keys={"till": "counter"}, order_by=["receipt"], ttl="4m",
            latest={"last_amount": "amount", "last_pieces": "pieces"}, windows=["2m", "5m"], aggregates=SUMMARIES,
            **BASE,
        ),
        FeatureViewSpec(
            name="forever", entity=["shop"], order_by=["receipt"], latest={"ever_amount": "amount"}, windows=["2m"],
            aggregates=SUMMARIES, **BASE,
        ),
        FeatureViewSpec(name="last", entity=["shop"], latest={"only_pieces": "pieces", "large": "amount > 10"}, **BASE),
        FeatureViewSpec(
            name="earlier", entity=["shop"], order_by=["receipt"], windows=["2m"],
            aggregates=SUMMARIES | {"before": {"of": "amount", "functions": ["sum", "max"], "offset": "3m"}},
            lags={
                "amount_ago": {"of": "amount", "offset": "2m"},
                "pieces_ago": {"of": "pieces", "offset": "5m", "ttl": "1m"},
            },
            **BASE,
        ),
        FeatureViewSpec(
            name="long_ago", entity=["shop", "till"], spine_keys={"till": "counter"}, windows=["3m"],
            aggregates={"before": {"of": "amount", "functions": ["sum", "min"], "offset": "2m"}}, **BASE,
        ),
        FeatureViewSpec(name="all", windows=["5m"], aggregates=SUMMARIES, **BASE),
        FeatureViewSpec(name="all_ever", latest={"newest": "amount"}, order_by=["receipt", "pieces"], **BASE),
    )
}  # fmt: skip

# A coarse grid of moments makes ties, at t and at t - w, the rule; the odd microsecond makes near misses.
moments = st.builds(
    lambda minute, odd: START + timedelta(minutes=minute, microseconds=odd),
    st.integers(0, 16),
    st.sampled_from([0, 0, 0, -1, 1]),
)
values = st.tuples(
    st.none() | st.sampled_from([0.1, 0.2, 0.3, 1e9 + 0.25, -4.0, 20.0]), st.none() | st.integers(-2, 2),
    st.none() | st.integers(0, 1),
)  # fmt: skip
fact = st.tuples(st.sampled_from(["a", "b"]), st.sampled_from([1, 2]), moments, values)
# In a table keys and known_at may be null; a pushed fact has them.
odd_fact = st.tuples(st.sampled_from(["a", None]), st.sampled_from([1, None]), st.none() | moments, values)
ASKED = [
    {"shop": shop, "counter": till}
    for shop, till in (("a", 1), ("a", 2), ("b", 1), ("b", 2), ("c", 1), (None, 1), ("a", None))
]
AS_OF = START + timedelta(minutes=6)
_names = count()


def frame(facts) -> pl.DataFrame:
    return pl.DataFrame([(*one[:3], *one[3]) for one in facts], schema=EVENTS, orient="row")


def interesting_times(view, facts, begin, end) -> list[int]:
    """Every moment at which something may change, and those just before, within the life of a build."""
    ages = [timedelta(0)]
    for base, _, window in view.aggregate_features.values():
        before = parse_duration(view.aggregates[base].offset) if view.aggregates[base].offset else timedelta(0)
        ages += [before, before + parse_duration(window)]
    for lag in view.lags.values():
        ages += [parse_duration(lag.offset), parse_duration(lag.offset) + parse_duration(lag.ttl or "1s")]
    ages += [parse_duration(view.ttl)] if view.ttl else []
    edges = {one[2] + age for one in facts for age in ages if one[2] is not None} | {begin, end}
    near = {microseconds(edge) + odd for edge in edges for odd in (-1, 0, 1)}
    return sorted(moment for moment in near if microseconds(begin) <= moment < microseconds(end))


def expected(view, facts: pl.DataFrame, times: list[int]) -> dict[int, list[dict]]:
    """What the engine says of every row of ASKED at each of the times."""
    spine = pl.DataFrame(ASKED, schema={"shop": pl.String, "counter": pl.Int64})
    due = pl.Series("due", times, pl.Int64).cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
    asked = spine.join(due.to_frame(), how="cross", maintain_order="right_left")
    computed = compute_features(view, asked, facts, time="due").select(stored_features(view))
    rows = computed.rows(named=True)
    return {moment: rows[i * len(ASKED) : (i + 1) * len(ASKED)] for i, moment in enumerate(times)}


def assert_agrees(store, view, facts: list, union: pl.DataFrame, begin: datetime) -> None:
    features = OnlineFeatures(store, [view])
    times = interesting_times(view, facts, begin, begin + MAX_AGE)
    for moment, rows in expected(view, union, times).items():
        fetched = features.fetch(ASKED, moment)
        assert [one.values for one in fetched] == rows, moment
        assert {state for one in fetched for state in one.states.values()} <= {FRESH, UNSEEN}


@pytest.fixture(scope="module")
def one_store(make_store):
    made = make_store()
    yield made
    made.close()


@two_kinds
@SEEDED
@given(st.sampled_from(sorted(VIEWS)), st.lists(fact | odd_fact, min_size=1, max_size=10), st.lists(fact, max_size=4),
       st.randoms(use_true_random=False), st.integers(1, 5))  # fmt: skip
def test_what_is_read_is_what_the_engine_says_of_all_facts(one_store, name, delivered, pushed, random, chunk):
    view = VIEWS[name].model_copy(update={"name": f"{name}_{next(_names)}"})
    # Some facts come both ways, as is usual, or twice the same way.
    delivered = [one for one in delivered for _ in range(random.randint(1, 2))]
    pushed += [one for one in delivered if None not in one[:3] and random.random() < 0.5]
    pushed = [one for one in pushed for _ in range(random.randint(1, 2))]
    random.shuffle(pushed)
    table = frame(delivered)
    known = table.filter(pl.col("paid_at") <= AS_OF)
    build_view(one_store, view, table.lazy(), as_of=AS_OF, max_age=MAX_AGE, build="first", chunk=chunk)
    assert_agrees(one_store, view, delivered, known, AS_OF)
    done = 0
    while done < len(pushed):
        batch = pushed[done : done + random.randint(1, 3)]
        done += len(batch)
        assert push_facts(one_store, view, frame(batch), arrived_at=microseconds(AS_OF)).seq == done
    union = twice_united(known, frame(pushed))
    assert_agrees(one_store, view, delivered + pushed, union, AS_OF)

    # The next build, in which the table has some of what was pushed and more, and takes a part of the pushed.
    later = AS_OF + timedelta(minutes=3)
    delivered = delivered + [one for one in pushed if random.random() < 0.5]
    table, taken = frame(delivered), random.randint(0, len(pushed))
    build_view(
        one_store, view, table.lazy(), as_of=later, max_age=MAX_AGE, build="second", chunk=chunk,
        pushed=frame(pushed[:taken]).lazy(), pushed_seq=taken,
    )  # fmt: skip
    union = twice_united(table.filter(pl.col("paid_at") <= later), frame(pushed))
    assert_agrees(one_store, view, delivered + pushed, union, later)
    assert [row.seq for row in one_store.pushed_since(view.name, 0)] == list(range(taken + 1, len(pushed) + 1))


def twice_united(table: pl.DataFrame, pushed: pl.DataFrame) -> pl.DataFrame:
    """The union by counting, row by row: a row as often as in the channel that has most of it."""
    rows = Counter(table.rows()) | Counter(pushed.rows())
    return pl.DataFrame(list(rows.elements()), schema=EVENTS, orient="row")


@SEEDED
@given(st.lists(st.tuples(fact | odd_fact, st.integers(0, 3), st.integers(0, 3)), max_size=6))
def test_facts_that_came_both_ways_count_once(facts):
    delivered = frame([one for one, times, _ in facts for _ in range(times)])
    pushed = frame([one for one, _, times in facts for _ in range(times)])
    found = union_facts(delivered.lazy(), pushed.lazy(), VIEWS["tills"]).collect()
    assert Counter(found.select(*EVENTS).rows()) == Counter(delivered.rows()) | Counter(pushed.rows())


@two_kinds
@SEEDED
@given(st.lists(fact, min_size=1, max_size=6), st.randoms(use_true_random=False))
def test_the_order_of_pushes_does_not_matter(one_store, pushed, random):
    views = [VIEWS["tills"].model_copy(update={"name": f"tills_{next(_names)}"}) for _ in range(2)]
    for view in views:
        build_view(one_store, view, frame([]).lazy(), as_of=AS_OF, max_age=MAX_AGE, build="only")
        for one in pushed:
            push_facts(one_store, view, frame([one]), arrived_at=microseconds(AS_OF))
        random.shuffle(pushed)
    first, second = (OnlineFeatures(one_store, [view]) for view in views)
    for moment in interesting_times(views[0], pushed, AS_OF, AS_OF + MAX_AGE):
        assert [f.values for f in first.fetch(ASKED, moment)] == [f.values for f in second.fetch(ASKED, moment)]
