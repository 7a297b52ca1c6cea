"""The rows of made spines: tiny tables by hand, and any table beside a loop over entities and moments."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml_assets.sources.drops.spec import Drops
from ml_assets.spines.rows import MadeSpine, make_rows
from ml_assets.spines.spec import CalendarSpec, EntitiesSpec

MOMENT = pl.Datetime("us", "UTC")
WEEKS = Drops(grain="weekly", start="2024-01-01")
TICK = timedelta(microseconds=1)
FIRST, SECOND = "2024-01-01", "2024-01-08"


def day(number, hour=0, minute=0):
    return datetime(2024, 1, 1, hour, minute, tzinfo=UTC) + timedelta(days=number - 1)


def spine(cron="0 6 * * mon", zone="UTC", drops=WEEKS, **entities):
    declared = EntitiesSpec(**{"table": "customers", "key": ["id"], **entities})
    return MadeSpine("weekly", declared, CalendarSpec(cron=cron, time_zone=zone), drops, "at", "_drop")


def customers(*rows, **schema):
    return pl.LazyFrame(rows, schema={"id": pl.Int64, **schema}, orient="row")


def made(of, table, *drops):
    with TemporaryDirectory() as folder:
        rows = make_rows(of, table, drops or (FIRST, SECOND), Path(folder))
        return rows, rows.rows.collect()


def pairs(of, table, *drops):
    return sorted(made(of, table, *drops)[1].select("id", "at").iter_rows())


def test_an_entity_is_active_from_its_first_moment_and_not_at_its_last():
    six = day(1, 6)
    table = customers(
        (1, six, None), (2, six + TICK, None), (3, day(1), six), (4, day(1), six + TICK),
        (5, None, None), (6, six, six), (7, day(1), day(8, 6)), (8, day(8, 6), None),
        joined=MOMENT, left=MOMENT,
    )  # fmt: skip
    rows, frame = made(spine(**{"from": "joined", "until": "left"}), table)
    assert frame.schema == {"_drop": pl.String, "id": pl.Int64, "at": MOMENT}
    assert sorted(frame.rows()) == [
        (FIRST, 1, six), (FIRST, 4, six), (FIRST, 7, six),
        (SECOND, 1, day(8, 6)), (SECOND, 2, day(8, 6)), (SECOND, 8, day(8, 6)),
    ]  # fmt: skip
    assert (rows.by_drop, rows.moments, rows.left_out) == ({FIRST: 3, SECOND: 3}, 2, {"without joined": 1})


def test_an_entity_without_from_and_until_is_always_active():
    assert pairs(spine(), customers((1,), (None,), (2,)), FIRST) == [(1, day(1, 6)), (2, day(1, 6))]


def test_a_moment_lies_in_the_drop_of_the_zone_that_drops_are_cut_in():
    # Midnight on Monday in Paris is still Sunday in UTC.
    of = spine(cron="0 0 * * mon", zone="Europe/Paris")
    assert pairs(of, customers((1,)), FIRST) == [(1, day(7, 23))]
    paris = Drops(grain="weekly", start="2024-01-01", time_zone="Europe/Paris")
    of = spine(cron="0 0 * * mon", zone="Europe/Paris", drops=paris)
    assert pairs(of, customers((1,)), FIRST) == [(1, day(0, 23))]


def test_drops_without_a_moment_have_no_rows_and_the_same_columns():
    rows, frame = made(spine(cron="0 6 1 * *"), customers((1,)), SECOND)
    assert frame.schema == {"_drop": pl.String, "id": pl.Int64, "at": MOMENT}
    assert (frame.height, rows.by_drop, rows.moments) == (0, {SECOND: 0}, 0)


def test_the_row_that_counts_is_the_last_known_at_the_moment():
    table = customers(
        (1, "free", day(1), day(1)), (1, "paid", day(1), day(8, 6)), (1, "gone", day(1), day(8, 6, 1)),
        (2, "paid", day(1), day(9)), (2, "paid", day(1), None),
        tier=pl.String, joined=MOMENT, seen=MOMENT,
    )  # fmt: skip
    of = spine(**{"from": "joined", "known_at": "seen", "columns": ["tier"]})
    rows, frame = made(of, table)
    assert sorted(frame.select("id", "at", "tier").iter_rows()) == [(1, day(1, 6), "free"), (1, day(8, 6), "paid")]
    assert rows.left_out == {"without seen": 1}
    of = spine(**{"from": "joined", "known_at": "seen", "where": "tier = 'paid'"})
    assert pairs(of, table) == [(1, day(8, 6))]


def test_a_close_that_is_known_later_is_not_known_before():
    table = customers((1, None, day(1)), (1, day(3), day(10)), left=MOMENT, seen=MOMENT)
    of = spine(**{"until": "left", "known_at": "seen"})
    assert pairs(of, table, FIRST, SECOND, "2024-01-15") == [(1, day(1, 6)), (1, day(8, 6))]


def test_where_that_is_null_leaves_an_entity_out():
    table = customers((1, "FR"), (2, None), (3, "DE"), country=pl.String)
    assert pairs(spine(where="country = 'FR'"), table, FIRST) == [(1, day(1, 6))]


def test_an_entity_that_comes_back_is_active_twice():
    table = customers((1, day(1), day(5)), (1, day(8), None), joined=MOMENT, left=MOMENT)
    assert pairs(spine(**{"from": "joined", "until": "left"}), table) == [(1, day(1, 6)), (1, day(8, 6))]


@pytest.mark.parametrize(
    "rows",
    [
        [(1, day(1), None), (1, day(3), None)],
        [(1, day(1), day(9)), (1, day(8), None)],
        [(1, day(1), day(9)), (1, day(1), day(2))],
    ],
)
def test_two_rows_of_one_entity_at_a_time_are_refused(rows):
    table = customers((2, day(1), None), *rows, joined=MOMENT, left=MOMENT)
    with pytest.raises(
        ValueError, match=r"spine weekly: 1 rows of customers .* such as id 1: declare `entities.known_at`"
    ):
        made(spine(**{"from": "joined", "until": "left"}), table)
    with pytest.raises(ValueError, match="such as id 1"):
        made(spine(), table)


@pytest.mark.parametrize(
    ("entities", "message"),
    [
        ({"key": ["nobody"]}, "entities.key: customers has no column 'nobody'; it has id, tier, joined"),
        ({"from": "tier"}, "entities.from: column 'tier' of customers is String, it must be a moment"),
        ({"where": "tier"}, "entities.where: `tier` gives String, it must be true or false"),
        ({"where": "joined = MAX(joined)"}, "gives a row a value that depends on other rows"),
        ({"columns": ["age"]}, "entities.columns: customers has no column 'age'"),
    ],
)
def test_what_the_table_does_not_have_is_named(entities, message):
    table = customers((1, "a", day(1)), (2, "b", day(2)), tier=pl.String, joined=MOMENT)
    with pytest.raises(ValueError, match=r"^spine ") as raised:
        made(spine(**entities), table)
    assert message in str(raised.value)


HOURS = st.integers(0, 24 * 14)
MAYBE = st.one_of(st.none(), HOURS)


@settings(max_examples=50, deadline=None)
@given(
    versions=st.lists(
        st.tuples(st.integers(1, 3), MAYBE, MAYBE, MAYBE, st.sampled_from(["a", "b", None])), max_size=12
    ),
    hours=st.sets(st.integers(0, 23), min_size=1, max_size=3),
    from_declared=st.booleans(),
    until_declared=st.booleans(),
    where=st.sampled_from([None, "tier = 'a'"]),
    seed=st.randoms(use_true_random=False),
)
def test_rows_are_those_of_a_loop_over_entities_and_moments(
    versions, hours, from_declared, until_declared, where, seed
):
    def moment(hour):
        return None if hour is None else day(1) + timedelta(hours=hour)

    table = [(key, moment(a), moment(b), moment(c), tier) for key, a, b, c, tier in versions]
    shuffled = [*table]
    seed.shuffle(shuffled)
    declared = {"known_at": "seen", "columns": ["tier"], "where": where}
    declared |= {"from": "joined"} if from_declared else {}
    declared |= {"until": "left"} if until_declared else {}
    of = spine(cron=f"0 {','.join(map(str, sorted(hours)))} * * *", **declared)
    frame = customers(*shuffled, joined=MOMENT, left=MOMENT, seen=MOMENT, tier=pl.String)

    def rank(value):
        return (value is not None, value)

    expected = []
    for hour in range(24 * 14):
        at = day(1) + timedelta(hours=hour)
        if at.hour not in hours:
            continue
        for key in (1, 2, 3):
            known = [row for row in table if row[0] == key and row[3] is not None and row[3] <= at]
            if not known:
                continue
            # Of rows known at one moment the largest counts, by the columns read in their order.
            read = [1] * from_declared + [2] * until_declared + [4]
            _, joined, left, _, tier = max(known, key=lambda row: (row[3], [rank(row[i]) for i in read]))
            active = (not from_declared or (joined is not None and joined <= at)) and (
                not until_declared or left is None or at < left
            )
            if active and (where is None or tier == "a"):
                expected.append((key, at, tier))
    assert sorted(made(of, frame)[1].select("id", "at", "tier").iter_rows(), key=str) == sorted(expected, key=str)
