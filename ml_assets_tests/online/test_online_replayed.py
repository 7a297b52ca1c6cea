"""A past day is served as it was: facts that the table holds are pushed behind the build, each counts in its time."""

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from ml_assets.features.engine.compute import compute_features
from ml_assets.features.spec import FeatureViewSpec
from ml_assets.lake import Lake
from ml_assets.online.build import build_view
from ml_assets.online.export import export_pushed, pushed_facts
from ml_assets.online.lookup import OnlineFeatures
from ml_assets.online.push import push_facts
from ml_assets.online.replayed import push_what_followed
from ml_assets.online.stores.errors import NoBuild
from ml_assets.online.stores.opening import open_store
from ml_assets.online.values.record import microseconds

DAWN = datetime(2024, 3, 10, 7, tzinfo=UTC)
MOMENT = pl.Datetime("us", "UTC")
LEFT = FeatureViewSpec(
    name="left", description="Departures.", entity=["place"], table="legs", known_at="left_at", windows=["3h"],
    aggregates={"left": {"functions": ["count"]}, "late": {"of": "late", "functions": ["mean"]}},
)  # fmt: skip
CAME = FeatureViewSpec(
    name="came", description="Arrivals.", entity=["place"], table="legs", known_at="came_at", latest={"last": "late"}
)
SIZES = FeatureViewSpec(name="sizes", description="Sizes.", entity=["place"], table="sizes", lookups={"size": "size"})
VIEWS = [LEFT, CAME]


def legs():
    """A leg every 20 minutes for three days; every seventh has not come, every eleventh has no place."""
    rows = []
    for number in range(216):
        left = DAWN - timedelta(days=1) + timedelta(minutes=20 * number)
        came = None if number % 7 == 0 else left + timedelta(minutes=50 + number % 30)
        place = None if number % 11 == 0 else "ab"[number % 2]
        rows.append((place, left, came, float(number % 13) / 3))
    return pl.DataFrame(
        rows, schema={"place": pl.String, "left_at": MOMENT, "came_at": MOMENT, "late": pl.Float64}, orient="row"
    )


@pytest.fixture
def store(tmp_path):
    made = open_store(f"sqlite:///{tmp_path}/online.db")
    for view in VIEWS:
        build_view(made, view, legs().lazy(), as_of=DAWN, max_age=timedelta(days=1), build="b")
    yield made
    made.close()


def test_every_moment_of_the_day_is_answered_as_the_engine_answers_it(store):
    until = DAWN + timedelta(days=1)
    pushed = push_what_followed(store, "legs", VIEWS, legs().lazy(), until)
    with_place = legs().filter(pl.col("place").is_not_null())
    for view in VIEWS:
        known = with_place[view.known_at]
        assert pushed[view.name] == ((known > DAWN) & (known <= until)).sum() > 50
    features = OnlineFeatures(store, VIEWS)
    moments = [DAWN + timedelta(minutes=17 * number) for number in range(84)]
    spine = pl.DataFrame(
        [(place, at) for at in moments for place in "ab"], schema={"place": pl.String, "at": MOMENT}, orient="row"
    )
    wanted = [compute_features(view, spine, with_place, time="at").select(view.feature_names) for view in VIEWS]
    answers = [features.fetch([{"place": place}], microseconds(at))[0] for place, at in spine.iter_rows()]
    assert [tuple(answer.values[name] for name in features.names) for answer in answers] == pl.concat(
        wanted, how="horizontal"
    ).select(features.names).rows()
    assert {state for answer in answers for state in answer.states.values()} == {"fresh"}
    assert {until for answer in answers for until in answer.complete_until.values()} == {microseconds(until)}


def test_what_was_pushed_before_counts_once_and_a_static_table_has_nothing_to_push(store):
    for until in (DAWN + timedelta(hours=5), DAWN + timedelta(hours=9)):
        pushed = push_what_followed(store, "legs", VIEWS, legs().lazy(), until)
    assert 0 < pushed["left"] < 15  # of four hours, three legs each
    (answer,) = OnlineFeatures(store, [LEFT]).fetch([{"place": "a"}], microseconds(until))
    within = legs().filter(pl.col("left_at") > until - timedelta(hours=3), pl.col("left_at") <= until)
    assert answer.values["left_count_3h"] == within.filter(pl.col("place") == "a").height
    with pytest.raises(NoBuild):
        push_what_followed(store, "sizes", [SIZES], pl.LazyFrame({"place": ["a"], "size": [1]}), until)
    sizes = pl.LazyFrame({"place": ["a"], "size": [1]})
    build_view(store, SIZES, sizes, as_of=DAWN, max_age=timedelta(days=1), build="s")
    assert push_what_followed(store, "sizes", [SIZES], sizes, until) == {"sizes": 0}


def twice(rows):
    """Let every third row of a table be there twice."""
    return pl.concat([rows, rows.gather_every(3)]).sort("left_at")


def departures(store, until, rows):
    """Return the departures from both places in three hours, as they are served and as the rows have them."""
    served = [
        OnlineFeatures(store, [LEFT]).fetch([{"place": place}], microseconds(until))[0].values["left_count_3h"]
        for place in "ab"
    ]
    within = rows.filter(pl.col("left_at") > until - timedelta(hours=3), pl.col("left_at") <= until)
    return served, [within.filter(pl.col("place") == place).height for place in "ab"]


def build_again(store, lake, rows, as_of, name):
    for view in VIEWS:
        seq = export_pushed(store, lake, view)
        pushed = pushed_facts(lake, view.name, seq)
        build_view(
            store, view, rows.lazy(), as_of=as_of, max_age=timedelta(days=1), build=name, pushed=pushed, pushed_seq=seq
        )


def test_pushed_again_after_any_build_and_to_any_moment_nothing_counts_twice(store, tmp_path):
    rows, lake = twice(legs()), Lake(str(tmp_path / "lake"))
    build_again(store, lake, rows, DAWN, "b0")
    steps = [(None, 5), (None, 9), (None, 7), (0, 9), (0, 12), (3, 6), (-2, 10), (11, 14)]
    for number, (hour, until) in enumerate(steps):
        if hour is not None:
            build_again(store, lake, rows, DAWN + timedelta(hours=hour), f"b{number + 1}")
        push_what_followed(store, "legs", VIEWS, rows.lazy(), DAWN + timedelta(hours=until))
        for moment in (5, until):
            if hour is None or moment >= hour:
                served, there = departures(store, DAWN + timedelta(hours=moment), rows)
                assert served == there, (hour, until, moment)
        assert push_what_followed(store, "legs", VIEWS, rows.lazy(), DAWN + timedelta(hours=until)) == {
            "left": 0, "came": 0,
        }  # fmt: skip


def test_a_run_that_was_killed_between_two_transactions_is_ended_by_the_next(store, monkeypatch):
    rows, until = twice(legs()), DAWN + timedelta(hours=9)
    monkeypatch.setattr("ml_assets.online.replayed._AT_ONCE", 5)
    left, change = [*range(3)], store.change

    def dying(*arguments):
        left.pop()
        return change(*arguments)

    monkeypatch.setattr(store, "change", dying)
    with pytest.raises(IndexError):
        push_what_followed(store, "legs", VIEWS, rows.lazy(), until)
    monkeypatch.setattr(store, "change", change)
    push_what_followed(store, "legs", VIEWS, rows.lazy(), until)
    for moment in (DAWN + timedelta(hours=3), until):
        served, there = departures(store, moment, rows)
        assert served == there


def test_what_somebody_pushed_is_there_and_what_was_taken_back_stays_so(store):
    until = DAWN + timedelta(hours=3)
    mine = twice(legs()).filter(pl.col("place") == "a", pl.col("left_at") > DAWN, pl.col("left_at") <= until)
    columns = LEFT.table_columns
    push_facts(store, LEFT, mine.head(1).select(columns), arrived_at=microseconds(until))
    push_what_followed(store, "legs", VIEWS, twice(legs()).lazy(), until)
    assert departures(store, until, twice(legs()))[0][0] == mine.height
    push_facts(store, LEFT, [], arrived_at=microseconds(until), retract=mine.tail(1).select(columns))
    assert push_what_followed(store, "legs", VIEWS, twice(legs()).lazy(), until) == {"left": 0, "came": 0}
    assert departures(store, until, twice(legs()))[0][0] == mine.height - 1


def test_two_runs_at_the_same_moment_push_each_fact_once(store, monkeypatch):
    """The second one is through between what the first has looked at and what it changes, at each of its steps."""
    rows, until, change, others = twice(legs()), DAWN + timedelta(hours=9), store.change, []
    monkeypatch.setattr("ml_assets.online.replayed._AT_ONCE", 20)

    def interrupted(decide, at):
        if len(others) < 2:
            others.append(None)
            others[-1] = push_what_followed(store, "legs", VIEWS, rows.lazy(), until - timedelta(hours=len(others)))
        return change(decide, at)

    monkeypatch.setattr(store, "change", interrupted)
    push_what_followed(store, "legs", VIEWS, rows.lazy(), until)
    assert len(others) == 2
    for moment in (DAWN + timedelta(hours=3), until):
        served, there = departures(store, moment, rows)
        assert served == there
    wanted = rows.filter(pl.col("place").is_not_null(), pl.col("left_at") > DAWN, pl.col("left_at") <= until)
    assert len(store.pushed_since("left", 0)) == wanted.height
