"""The engine against a brute-force oracle: plain Python over all rows, exact fractions instead of floats."""

import math
from datetime import UTC, datetime, timedelta
from fractions import Fraction

import polars as pl
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from ml_assets.durations import parse_duration
from ml_assets.features.audit.leaks import find_leaks
from ml_assets.features.engine.compute import compute_features
from ml_assets.features.spec import FeatureViewSpec

START = datetime(2024, 3, 1, tzinfo=UTC)
MOMENT = pl.Datetime("us", "UTC")
SEEDED = settings(
    derandomize=True,
    deadline=None,
    max_examples=100,
    suppress_health_check=[HealthCheck.too_slow],
    database=None,
)

FUNCTIONS = ["mean", "sum", "count", "min", "max", "std"]
VIEW = FeatureViewSpec(
    name="tills",
    description="How tills do.",
    entity=["shop", "till"],
    spine_keys={"till": "counter"},
    table="orders",
    known_at="paid_at",
    latest={"last_amount": "amount", "last_pieces": "pieces"},
    order_by=["receipt"],
    ttl="4m",
    windows=["2m", "5m", "1d"],
    aggregates={
        "amount": {"of": "amount", "functions": FUNCTIONS},
        "pieces": {"of": "pieces", "functions": FUNCTIONS, "windows": ["3m"]},
        "large": {"of": "amount > 10", "functions": ["mean", "sum"], "windows": ["5m"]},
        "orders": {"functions": ["count"]},
    },
)

# A coarse grid of moments makes ties, at t and at t - w, the rule; the odd microsecond makes near misses.
moments = st.builds(
    lambda minute, odd: START + timedelta(minutes=minute, microseconds=odd),
    st.integers(0, 12),
    st.sampled_from([0, 0, 0, -1, 1]),
)
amounts = st.one_of(
    st.integers(-40, 40).map(float),
    st.floats(-1e9, 1e9).filter(lambda x: x == 0 or abs(x) > 1e-30),
    st.sampled_from([1e9 + 0.25, 1e9 + 0.5, 0.1, 0.2, 0.3, math.nan]),
)
event = st.tuples(
    st.sampled_from(["a", "b", None]),
    st.sampled_from([1, 2, None]),
    st.none() | moments,
    st.none() | amounts,
    st.none() | st.integers(-(2**40), 2**40) | st.integers(-3, 3),
    st.none() | st.integers(0, 2),
)
spine_row = st.tuples(st.sampled_from(["a", "b", "unseen", None]), st.sampled_from([1, 2, None]), moments)

EVENTS = {"shop": pl.String, "till": pl.Int64, "paid_at": MOMENT} | {
    "amount": pl.Float64,
    "pieces": pl.Int64,
    "receipt": pl.Int64,
}
SPINE = {"shop": pl.String, "counter": pl.Int64, "due": MOMENT}


def frame(rows: list[tuple], schema: dict) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=schema, orient="row")


def smallest_null(value):
    """A sort key in which null comes first and NaN last."""
    if value is None:
        return (0, 0)
    return (2, 0) if isinstance(value, float) and math.isnan(value) else (1, value)


def summary(values: list, function: str):
    seen = [Fraction(v) for v in values if v is not None and not (isinstance(v, float) and math.isnan(v))]
    if function == "count":
        return len(seen)
    if len(seen) < (2 if function == "std" else 1):
        return None
    if function in ("min", "max"):
        return float({"min": min, "max": max}[function](seen))
    if function == "std":
        mean = sum(seen) / len(seen)
        return math.sqrt(sum((v - mean) ** 2 for v in seen) / (len(seen) - 1))
    return float(sum(seen) / (len(seen) if function == "mean" else 1))


def oracle(shop, till, due, events: list[tuple]) -> dict:
    mine = [row for row in events if shop is not None and till is not None and row[:2] == (shop, till)]
    known = [row for row in mine if row[2] is not None and row[2] <= due]
    fresh = [row for row in known if row[2] > due - timedelta(minutes=4)]
    # known_at, then order_by, then the latest features themselves.
    last = max(fresh, key=lambda r: (r[2], *map(smallest_null, (r[5], r[3], r[4]))), default=(None,) * 6)
    values = {"last_amount": last[3], "last_pieces": last[4]}
    of = {
        "amount": lambda row: row[3],
        "pieces": lambda row: row[4],
        # NaN is larger than every number, as in SQL.
        "large": lambda row: None if row[3] is None else int(math.isnan(row[3]) or row[3] > 10),
        "orders": lambda _: 1,
    }
    for name, (base, function, window) in VIEW.aggregate_features.items():
        inside = [of[base](row) for row in known if row[2] > due - parse_duration(window)]
        values[name] = summary(inside, function)
    return values


def agree(found, expected) -> bool:
    if found is None or expected is None:
        return found is expected
    if math.isnan(expected):
        return math.isnan(found)
    return math.isclose(found, expected, rel_tol=1e-12, abs_tol=0.0)


@SEEDED
@given(st.lists(event, max_size=40), st.lists(spine_row, max_size=15))
def test_engine_agrees_with_brute_force(events, rows):
    found = compute_features(VIEW, frame(rows, SPINE), frame(events, EVENTS), time="due")
    assert found.select(*SPINE).rows() == rows
    for row, values in zip(rows, found.select(VIEW.feature_names).iter_rows(named=True), strict=True):
        expected = oracle(*row, events)
        wrong = {name: (values[name], expected[name]) for name in values if not agree(values[name], expected[name])}
        assert not wrong


@settings(SEEDED, max_examples=50)
@given(
    st.lists(event, max_size=40),
    st.lists(spine_row, min_size=1, max_size=6),
    st.randoms(use_true_random=False),
)
def test_values_do_not_depend_on_the_order_of_rows_or_on_the_batch(events, rows, random):
    together = compute_features(VIEW, frame(rows, SPINE), frame(events, EVENTS), time="due")
    random.shuffle(events)
    shuffled = frame(events, EVENTS)
    assert_frame_equal(
        compute_features(VIEW, frame(rows, SPINE), shuffled.lazy(), time="due"), together, check_exact=True
    )
    one_by_one = [compute_features(VIEW, frame([row], SPINE), shuffled, time="due") for row in rows]
    assert_frame_equal(pl.concat(one_by_one), together, check_exact=True)


@SEEDED
@given(st.lists(event, max_size=40), st.lists(spine_row, min_size=1, max_size=10), moments)
def test_the_future_changes_nothing(events, rows, now):
    past = [row for row in rows if row[2] <= now]
    known = [row for row in events if row[2] is None or row[2] <= now]
    with_future = compute_features(VIEW, frame(past, SPINE), frame(events, EVENTS), time="due")
    without = compute_features(VIEW, frame(past, SPINE), frame(known, EVENTS), time="due")
    assert_frame_equal(with_future, without, check_exact=True)


@SEEDED
@given(st.lists(event, max_size=40), st.lists(spine_row, min_size=1, max_size=10))
def test_a_scan_of_the_look_back_suffices(events, rows):
    spec = VIEW.model_copy(update={"windows": ["2m", "5m"]})
    first = min(row[2] for row in rows)
    within = [row for row in events if row[2] is not None and row[2] > first - spec.look_back]
    everything = compute_features(spec, frame(rows, SPINE), frame(events, EVENTS), time="due")
    scanned = compute_features(spec, frame(rows, SPINE), frame(within, EVENTS), time="due")
    assert_frame_equal(everything, scanned, check_exact=True)


@settings(SEEDED, max_examples=60)
@given(st.lists(event, max_size=40), st.lists(spine_row, min_size=1, max_size=10))
def test_the_audit_finds_nothing_in_what_the_engine_computed(events, rows):
    stored = compute_features(VIEW, frame(rows, SPINE), frame(events, EVENTS), time="due")
    assert find_leaks(VIEW, stored, frame(events, EVENTS), time="due").rows() == []
