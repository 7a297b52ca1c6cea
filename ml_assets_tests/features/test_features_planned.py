"""Facts that are known before they hold: bitemporal, against brute force, in parts and by hand."""

import math
from datetime import UTC, datetime, timedelta
from fractions import Fraction

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal
from pydantic import ValidationError

from ml_assets.durations import parse_duration
from ml_assets.features.assemble import ViewTables, join_features
from ml_assets.features.audit.leaks import find_leaks
from ml_assets.features.audit.timing import timing_doubts
from ml_assets.features.compute import facts_left_out
from ml_assets.features.engine.compute import compute_features
from ml_assets.features.engine.parts import compute_features_in_parts
from ml_assets.features.errors import FeatureError
from ml_assets.features.spec import FeatureViewSpec
from ml_assets.features.stored import declaration_of, refuse_moments_of_rows, stored_rows

START = datetime(2024, 3, 1, tzinfo=UTC)
MOMENT = pl.Datetime("us", "UTC")
SEEDED = settings(
    derandomize=True, deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow], database=None
)
FUNCTIONS = ["count", "sum", "mean", "min", "max", "std"]
AHEAD = {"rebate": {"of": "rebate", "functions": FUNCTIONS}, "plans": {"functions": ["count"], "ahead": ["2m"]}}
TARGET = {"target": {"of": "rebate", "functions": ["count", "max", "sum"], "ahead": ["3m"], "at": "target_at"}}
HOLDING = {
    "now": {"of": "rebate"},
    "later": {"of": "rebate", "after": "3m"},
    "then": {"of": "rebate", "at": "target_at"},
}
BASE = {
    "name": "plans", "description": "What is planned.", "entity": ["shop"], "table": "announced", "known_at": "told_at",
    "order_by": ["number"],
}  # fmt: skip


def view(**plan) -> FeatureViewSpec:
    fields = {"valid_at": "begins", "ahead": ["1m", "5m"], "aggregates": AHEAD | TARGET, "holding": HOLDING} | plan
    return FeatureViewSpec(**BASE, planned=fields)


THINGS = {"of_one": ["thing"], "withdrawn": "state = 'off'"}
VIEWS = {
    "intervals of things": view(valid_until="ends", **THINGS),
    "intervals, each row its own": view(valid_until="ends"),
    "moments of things": view(**THINGS),
    "moments, each row its own": view(),
    "without moments of rows": view(
        valid_until="ends", **THINGS, aggregates=AHEAD, holding={k: HOLDING[k] for k in ("now", "later")}
    ),
    "windows of moments alone": view(of_one=["thing"], aggregates=AHEAD, holding={}),
    "no entity": FeatureViewSpec(**BASE | {"entity": []}, planned=view(valid_until="ends", **THINGS).planned),
    "with windows and lags": FeatureViewSpec(
        **BASE, planned=view(valid_until="ends", **THINGS).planned, windows=["2m"],
        aggregates={"told": {"functions": ["count"]}}, lags={"rebate_ago": {"of": "rebate", "offset": "2m"}},
    ),
}  # fmt: skip
ANNOUNCED = {"shop": pl.String, "told_at": MOMENT, "thing": pl.Int64, "begins": MOMENT, "ends": MOMENT} | {
    "rebate": pl.Float64, "state": pl.String, "number": pl.Int64,
}  # fmt: skip
SPINE = {"shop": pl.String, "due": MOMENT, "target_at": MOMENT}

moments = st.builds(
    lambda minute, odd: START + timedelta(minutes=minute, microseconds=odd),
    st.integers(0, 12),
    st.sampled_from([0, 0, 0, 0, -1, 1]),
)
announcement = st.tuples(
    st.sampled_from(["a", "a", "b", None]),
    st.none() | moments,
    st.sampled_from([1, 1, 2, None]),
    st.none() | moments,
    st.none() | moments,
    st.none() | st.sampled_from([0.1, 0.2, 0.3, 1e9 + 0.25, math.nan]) | st.integers(-9, 9).map(float),
    st.sampled_from([None, "on", "on", "off"]),
    st.none() | st.integers(0, 1),
)
spine_row = st.tuples(st.sampled_from(["a", "b", "unseen", None]), moments, st.none() | moments)


def frame(rows, schema):
    return pl.DataFrame(rows, schema=schema, orient="row")


def smallest_null(value):
    if value is None:
        return (0, 0)
    return (2, 0) if isinstance(value, float) and math.isnan(value) else (1, value)


def summary(values, function):
    seen = [Fraction(v) for v in values if v is not None and not math.isnan(v)]
    if function == "count":
        return len(seen)
    if len(seen) < (2 if function == "std" else 1):
        return None
    if function in ("min", "max"):
        return float({"min": min, "max": max}[function](seen))
    mean = sum(seen) / len(seen)
    if function == "std":
        return math.sqrt(sum((v - mean) ** 2 for v in seen) / (len(seen) - 1))
    return float(sum(seen) if function == "sum" else mean)


HALF = timedelta(microseconds=1) / 2
# Moments are compared at twice their resolution, so that between two of them there is one more to hold at.


def twice(moment):
    return None if moment is None else (moment - START) // timedelta(microseconds=1) * 2


def holds(plan, row, moment) -> bool:
    """Whether a row holds at a moment, counted in half microseconds."""
    begins, ends = twice(row[3]), twice(row[4]) if plan.valid_until else None
    return begins <= moment and (ends is None or moment < ends)


def oracle(spec, shop, due, target, announced):
    """Every announcement that was made by then, thing by thing, looked at one after the other."""
    plan = spec.planned
    mine = [row for row in announced if not spec.entity or (shop is not None and row[0] == shop)]
    known = [row for row in mine if row[1] is not None and row[1] <= due]
    if plan.of_one:
        rank = lambda r: (r[1], *map(smallest_null, (r[7], r[3], r[4] if plan.valid_until else None)),  # noqa: E731
                          *map(smallest_null, (None if r[6] is None else r[6] == "off", r[5])))  # fmt: skip
        things = {row[2] for row in known if row[2] is not None}
        known = [max((row for row in known if row[2] == thing), key=rank) for thing in things]
    if plan.withdrawn:
        known = [row for row in known if row[6] != "off"]
    known = [row for row in known if row[3] is not None]
    values = {}
    for base, aggregate in plan.aggregates.items():
        for length in aggregate.ahead or plan.ahead:
            end = target if aggregate.at else due + parse_duration(length)
            if end is None:
                values |= {f"{base}_{function}_next_{length}": None for function in aggregate.functions}
                continue
            begin, end = twice(end - parse_duration(length)), twice(end)
            if plan.valid_until:
                # Whatever holds in (begin, end] holds just after begin, at end, or when it begins.
                inside = [
                    row for row in known
                    if any(holds(plan, row, at) for at in (begin + 1, end, twice(row[3])) if begin < at <= end)
                ]  # fmt: skip
            else:
                inside = [row for row in known if begin < twice(row[3]) <= end]
            seen = [row[5] if aggregate.of != "*" else 1 for row in inside]
            for function in aggregate.functions:
                values[f"{base}_{function}_next_{length}"] = summary(seen, function)
    for name, spec_of in plan.holding.items():
        at = target if spec_of.at else due + (parse_duration(spec_of.after) if spec_of.after else timedelta(0))
        there = [] if at is None else [row for row in known if holds(plan, row, twice(at))]
        last = max(there, key=lambda r: (r[3], r[1], smallest_null(r[7]), smallest_null(r[5])), default=None)
        values[name] = last and last[5]
    return values


def agree(found, expected) -> bool:
    if found is None or expected is None:
        return found is expected
    if math.isnan(expected):
        return math.isnan(found)
    return math.isclose(found, expected, rel_tol=1e-12, abs_tol=0.0)


@pytest.mark.parametrize("name", [name for name in VIEWS if name not in ("with windows and lags",)])
@settings(SEEDED, max_examples=30)
@given(st.lists(announcement, max_size=14), st.lists(spine_row, max_size=10))
def test_what_is_seen_of_plans_agrees_with_brute_force(name, announced, rows):
    spec = VIEWS[name]
    found = compute_features(spec, frame(rows, SPINE), frame(announced, ANNOUNCED), time="due")
    for row, values in zip(rows, found.select(spec.feature_names).iter_rows(named=True), strict=True):
        expected = oracle(spec, *row, announced)
        assert values.keys() == expected.keys()
        wrong = {n: (value, expected[n]) for n, value in values.items() if not agree(value, expected[n])}
        assert not wrong, row


@pytest.mark.parametrize("spec", VIEWS.values(), ids=VIEWS)
@settings(SEEDED, max_examples=20)
@given(
    st.lists(announcement, max_size=14),
    st.lists(spine_row, min_size=1, max_size=10),
    st.integers(1, 12),
    st.randoms(use_true_random=False),
)
def test_neither_parts_nor_order_nor_later_announcements_matter(spec, announced, rows, rows_in_memory, random):
    spine, table = frame(rows, SPINE), frame(announced, ANNOUNCED)
    whole = compute_features(spec, spine, table, time="due")
    numbered = spine.with_row_index("row").lazy()
    parts = compute_features_in_parts(spec, numbered, table.lazy(), time="due", rows_in_memory=rows_in_memory)
    together = pl.concat([part.features.with_columns(part.rows["row"]) for part in parts]).sort("row").drop("row")
    assert_frame_equal(together, whole, check_exact=True)
    random.shuffle(announced)
    assert_frame_equal(compute_features(spec, spine, frame(announced, ANNOUNCED), time="due"), whole, check_exact=True)
    first = spine.filter(pl.col("due") == pl.col("due").min())
    by_then = table.filter(pl.col("told_at") <= first["due"][0])
    early = compute_features(spec, first, by_then, time="due")
    assert_frame_equal(compute_features(spec, first, table, time="due"), early, check_exact=True)


@settings(SEEDED, max_examples=25)
@given(st.sampled_from(sorted(VIEWS)), st.lists(announcement, max_size=14), st.lists(spine_row, min_size=1, max_size=6))
def test_the_audit_agrees(name, announced, rows):
    spine, table = frame(rows, SPINE), frame(announced, ANNOUNCED)
    stored = compute_features(VIEWS[name], spine, table, time="due")
    assert find_leaks(VIEWS[name], stored, table, time="due", spine=spine).rows() == []


DAY = timedelta(days=1)
PROMOTIONS = FeatureViewSpec(
    name="promotions", description="What the shop plans.", entity=["item"], table="promotions", known_at="announced_at",
    planned={
        "valid_at": "starts", "valid_until": "stops", "of_one": ["promotion"], "withdrawn": "cancelled",
        "ahead": ["7d"], "aggregates": {"rebate": {"of": "rebate", "functions": ["count", "max"]}},
        "holding": {"rebate_then": {"of": "rebate", "at": "target_at"}},
    },
)  # fmt: skip


def day(number: float) -> datetime:
    return START + number * DAY


def announced(*rows) -> pl.DataFrame:
    schema = {"item": pl.String, "promotion": pl.Int64, "announced_at": MOMENT, "starts": MOMENT, "stops": MOMENT}
    return frame([("x", *row) for row in rows], schema | {"rebate": pl.Int64, "cancelled": pl.Boolean})


def seen(table: pl.DataFrame, *times: float) -> list[tuple]:
    spine = frame([("x", day(t), day(t + 2)) for t in times], {"item": pl.String, "at": MOMENT, "target_at": MOMENT})
    return compute_features(PROMOTIONS, spine, table, time="at").select(PROMOTIONS.feature_names).rows()


def test_the_life_of_a_promotion_by_hand():
    table = announced(
        (1, day(1), day(10), day(12), 20, False),  # announced on day 1 for days 10 and 11
        (1, day(4), day(11), day(12), 30, False),  # on day 4 shortened, and a larger rebate
        (2, day(5), day(11), day(20), 10, False),  # another one
        (1, day(8), day(11), day(12), 30, True),  # on day 8 cancelled
        (2, day(30), day(11), day(20), 99, False),  # corrected when it is over: nobody saw that
    )
    # At day t: how many begin or run in (t, t + 7], the largest rebate, and the rebate that holds two days later.
    assert seen(table, 0, 1, 2.9, 3, 4, 5, 8, 9, 12.5, 17.9, 18) == [
        (0, None, None), (0, None, None), (0, None, None),  # not announced, or still out of sight
        (1, 20, None),  # day 10 is the last moment of (3, 10]
        (1, 30, None), (2, 30, None),
        (1, 10, None), (1, 10, 10), (1, 10, 10), (1, 10, 10),
        (1, 10, None),  # at day 20 it holds no more
    ]  # fmt: skip
    assert seen(table, 19.9, 20, 31) == [(1, 10, None), (0, None, None), (0, None, None)]


def test_what_is_announced_late_is_seen_from_then_on():
    table = announced((1, day(11), day(10), day(12), 20, False))
    assert seen(table, 10.9, 11, 11.9, 12) == [(0, None, None), (1, 20, None), (1, 20, None), (0, None, None)]


def test_without_an_end_it_holds_for_ever_and_an_end_before_the_beginning_never():
    assert seen(announced((1, day(0), day(3), None, 20, False)), 100) == [(1, 20, 20)]
    assert seen(announced((1, day(0), day(3), day(3), 20, False)), 2, 3) == [(0, None, None)] * 2
    # Null in valid_at takes the thing back as `withdrawn` does.
    taken_back = announced((1, day(0), day(3), None, 20, False), (1, day(2), None, None, 20, None))
    assert seen(taken_back, 1, 2) == [(1, 20, 20), (0, None, None)]


def test_rows_without_a_thing_are_left_out_and_counted():
    table = announced((None, day(0), day(3), None, 20, False), (1, day(0), day(3), None, 30, False))
    assert seen(table, 1) == [(1, 30, 30)]
    assert facts_left_out(PROMOTIONS, table.lazy()) == {"without promotion": 1}


def test_prices_hold_until_the_next_one():
    prices = FeatureViewSpec(
        name="prices", description="Prices.", entity=["item"], table="prices", known_at="told_at",
        planned={"valid_at": "from", "holding": {"price": {"of": "price"}, "soon": {"of": "price", "after": "7d"}}},
    )  # fmt: skip
    table = frame(
        [
            ("x", day(0), day(0), 10.0),
            ("x", day(1), day(5), 12.0),
            ("x", day(3), day(5), 11.0),
            ("x", day(9), day(8), 9.0),
        ],
        {"item": pl.String, "told_at": MOMENT, "from": MOMENT, "price": pl.Float64},
    )
    spine = frame([("x", day(t)) for t in (0, 1, 3, 5, 8, 9)], {"item": pl.String, "at": MOMENT})
    found = compute_features(prices, spine, table, time="at").select("price", "soon")
    assert found.rows() == [(10.0, 10.0), (10.0, 12.0), (10.0, 11.0), (11.0, 11.0), (11.0, 11.0), (9.0, 9.0)]


def test_rows_of_one_moment_with_different_targets_are_stored_and_joined_apart():
    table = announced((1, day(0), day(3), day(4), 20, False))
    spine = frame(
        [("x", day(1), day(3)), ("x", day(1), day(4)), ("x", day(1), None), ("x", day(1), day(3))],
        {"item": pl.String, "at": MOMENT, "target_at": MOMENT},
    )
    whole = compute_features(PROMOTIONS, spine, table, time="at")
    assert whole["rebate_then"].to_list() == [20, None, None, 20]
    stored = stored_rows(PROMOTIONS, spine, whole, "at")
    assert stored.height == 3
    joined = join_features(spine, [ViewTables(PROMOTIONS, stored.lazy(), table.lazy())], time="at")
    assert joined.select(PROMOTIONS.feature_names).equals(whole.select(PROMOTIONS.feature_names))


def test_what_is_about_a_moment_of_the_row_cannot_be_kept_by_entity():
    with pytest.raises(FeatureError, match="planned features are about target_at of the row to predict"):
        refuse_moments_of_rows(PROMOTIONS)
    refuse_moments_of_rows(VIEWS["without moments of rows"])


def test_of_two_last_words_the_one_that_has_ended_still_counts_in_a_later_part():
    # Said together: the one that begins later wins, and is over on day 3.
    table = announced((1, day(0), day(1), day(30), 20, False), (1, day(0), day(2), day(3), 10, False))
    times = [0, 1, 2, 5, 10, 11]
    spine = frame([("x", day(t), day(t)) for t in times], {"item": pl.String, "at": MOMENT, "target_at": MOMENT})
    spec = FeatureViewSpec(**PROMOTIONS.model_dump() | {"planned": PROMOTIONS.planned.model_dump() | {"holding": {}}})
    parts = compute_features_in_parts(spec, spine.lazy(), table.lazy(), time="at", rows_in_memory=1)
    found = pl.concat([part.features for part in parts]).sort("at")
    assert found["rebate_max_next_7d"].to_list() == [10, 10, 10, None, None, None]


def test_that_something_holds_after_it_was_announced_is_no_sign_of_a_leak():
    table = announced(*((n, day(n), day(n + 9), day(n + 10), 20, False) for n in range(9)))
    spine = frame([("x", day(0.5), day(5))], {"item": pl.String, "at": MOMENT, "target_at": MOMENT})
    assert timing_doubts(PROMOTIONS, table.lazy(), spine, "at", 0.5) == {}
    plain = FeatureViewSpec(**PROMOTIONS.model_dump() | {"planned": None, "latest": {"rebate": "rebate"}})
    assert [*timing_doubts(plain, table.lazy(), spine, "at", 0.5)] == ["rebate"]


def test_declarations_that_plan_otherwise_are_stored_apart():
    plain = FeatureViewSpec(**BASE, latest={"rebate": "rebate"})
    others = [FeatureViewSpec(**BASE, latest={"rebate": "rebate"}, planned=v.planned) for v in VIEWS.values()]
    assert len({declaration_of(each) for each in [plain, *others]}) == 1 + len(
        {v.planned.model_dump_json() for v in others}
    )


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        ({"aggregates": {}, "holding": {}, "ahead": []}, "give aggregates or holding"),
        ({"ahead": []}, r"ahead: is missing, and aggregates \['rebate'\] have none of their own"),
        ({"aggregates": {}}, "ahead: is given but no aggregate uses it"),
        ({"ahead": ["soon"]}, "ahead: 'soon' is no duration"),
        ({"aggregates": {"n": {"functions": ["sum"]}}}, "stands for facts, which can only be counted"),
        ({"holding": {"now": {"of": "rebate", "at": "target_at", "after": "1d"}}}, "declared by `at` already"),
        ({"holding": {"rebate_max_next_1m": {"of": "rebate"}}}, "declared twice"),
    ],
)
def test_what_is_wrong_is_said_when_declared(plan, message):
    with pytest.raises(ValidationError, match=message):
        view(**plan)


@pytest.mark.parametrize(
    ("spec", "spine", "table", "message"),
    [
        ({}, {"target_at": pl.Date}, {}, "spine column 'target_at' is Date"),
        ({"valid_until": "ends"}, {}, {"ends": pl.Date}, "'ends' is Date, not Datetime"),
        ({"of_one": ["promotion"]}, {}, {}, "table 'announced' has no column 'promotion'"),
    ],
)
def test_columns_of_the_wrong_type_are_one_message(spec, spine, table, message):
    with pytest.raises(FeatureError, match=message):
        compute_features(view(**spec), frame([], SPINE | spine), frame([], ANNOUNCED | table), time="due")
