"""Windows and last rows that end before the prediction time, against brute force and in parts."""

import math
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal
from pydantic import ValidationError

from ml_assets.durations import parse_duration
from ml_assets.features.audit.leaks import find_leaks
from ml_assets.features.engine.compute import compute_features
from ml_assets.features.engine.parts import compute_features_in_parts
from ml_assets.features.spec import FeatureViewSpec
from ml_assets.features.stored import declaration_of, stored_features

START = datetime(2024, 3, 1, tzinfo=UTC)
MOMENT = pl.Datetime("us", "UTC")
SEEDED = settings(
    derandomize=True, deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow], database=None
)
EVENTS = {"shop": pl.String, "paid_at": MOMENT, "amount": pl.Int64, "receipt": pl.Int64}
SPINE = {"shop": pl.String, "due": MOMENT}
BASE = {"name": "shops", "description": "How shops do.", "entity": ["shop"], "table": "orders", "known_at": "paid_at"}
AGGREGATES = {
    "amount": {"of": "amount", "functions": ["sum", "count", "min", "max", "mean"]},
    "before": {"of": "amount", "functions": ["sum", "count", "min", "max", "mean"], "offset": "3m"},
    "long_before": {"functions": ["count"], "windows": ["1m"], "offset": "7m"},
}
LAGS = {
    "two_ago": {"of": "amount", "offset": "2m"},
    "five_ago": {"of": "amount", "offset": "5m"},
    "fresh_three_ago": {"of": "amount", "offset": "3m", "ttl": "1m"},
}
VIEW = FeatureViewSpec(
    **BASE, windows=["2m", "4m"], aggregates=AGGREGATES, latest={"last": "amount"}, lags=LAGS, order_by=["receipt"]
)
VIEWS = {
    "lags and windows": VIEW,
    "windows alone": FeatureViewSpec(**BASE, windows=["2m", "4m"], aggregates=AGGREGATES),
    "lags for ever": FeatureViewSpec(**BASE, lags={k: LAGS[k] for k in ("two_ago", "five_ago")}, order_by=["receipt"]),
    "a lag with a ttl": FeatureViewSpec(**BASE, lags={"fresh_three_ago": LAGS["fresh_three_ago"]}),
}

moments = st.builds(
    lambda minute, odd: START + timedelta(minutes=minute, microseconds=odd),
    st.integers(0, 14),
    st.sampled_from([0, 0, 0, -1, 1]),
)
event = st.tuples(
    st.sampled_from(["a", "b", None]),
    st.none() | moments,
    st.none() | st.integers(-9, 9),
    st.none() | st.integers(0, 2),
)
spine_row = st.tuples(st.sampled_from(["a", "b", "unseen", None]), moments)


def frame(rows, schema):
    return pl.DataFrame(rows, schema=schema, orient="row")


def smallest_null(value):
    return (0, 0) if value is None else (1, value)


def oracle(shop, due, events) -> dict:
    mine = [row for row in events if shop is not None and row[0] == shop and row[1] is not None]
    values = {}
    for name, offset, ttl in [("last", "", ""), *((n, s["offset"], s.get("ttl", "")) for n, s in LAGS.items())]:
        at = due - (parse_duration(offset) if offset else timedelta(0))
        seen = [row for row in mine if row[1] <= at and (not ttl or row[1] > at - parse_duration(ttl))]
        newest = max(seen, key=lambda row: (row[1], smallest_null(row[3]), smallest_null(row[2])), default=None)
        values[name] = newest[2] if newest else None
    for base, spec in AGGREGATES.items():
        at = due - (parse_duration(spec["offset"]) if "offset" in spec else timedelta(0))
        for window in spec.get("windows", ["2m", "4m"]):
            inside = [row for row in mine if at - parse_duration(window) < row[1] <= at]
            there = [row[2] for row in inside if row[2] is not None]
            values |= {
                f"{base}_count_{window}": len(there) if "of" in spec else len(inside),
                f"{base}_sum_{window}": sum(there) if there else None,
                f"{base}_min_{window}": min(there, default=None),
                f"{base}_max_{window}": max(there, default=None),
                f"{base}_mean_{window}": sum(there) / len(there) if there else None,
            }
    return values


def agree(found, expected) -> bool:
    return found is expected if found is None or expected is None else math.isclose(found, expected, rel_tol=1e-12)


@SEEDED
@given(st.lists(event, max_size=30), st.lists(spine_row, max_size=12))
def test_offsets_agree_with_brute_force(events, rows):
    found = compute_features(VIEW, frame(rows, SPINE), frame(events, EVENTS), time="due")
    for row, values in zip(rows, found.select(VIEW.feature_names).iter_rows(named=True), strict=True):
        expected = oracle(*row, events)
        wrong = {name: (value, expected[name]) for name, value in values.items() if not agree(value, expected[name])}
        assert not wrong


@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS)
@settings(SEEDED, max_examples=25)
@given(st.lists(event, max_size=30), st.lists(spine_row, min_size=1, max_size=12), st.integers(1, 20))
def test_offsets_do_not_depend_on_parts_or_on_what_is_out_of_reach(view, events, rows, rows_in_memory):
    spine, table = frame(rows, SPINE), frame(events, EVENTS)
    whole = compute_features(view, spine, table, time="due")
    parts = compute_features_in_parts(
        view, spine.with_row_index("row").lazy(), table.lazy(), time="due", rows_in_memory=rows_in_memory
    )
    together = pl.concat([part.features.with_columns(part.rows["row"]) for part in parts]).sort("row").drop("row")
    assert_frame_equal(together, whole, check_exact=True)
    if view.look_back is not None:
        scanned = table.filter(pl.col("paid_at") > min(row[1] for row in rows) - view.look_back)
        assert_frame_equal(compute_features(view, spine, scanned, time="due"), whole, check_exact=True)


@settings(SEEDED, max_examples=30)
@given(st.lists(event, max_size=30), st.lists(spine_row, min_size=1, max_size=8))
def test_the_audit_agrees(events, rows):
    stored = compute_features(VIEW, frame(rows, SPINE), frame(events, EVENTS), time="due")
    assert find_leaks(VIEW, stored, frame(events, EVENTS), time="due").rows() == []


def test_look_back_and_ages_include_the_offset():
    windows = VIEWS["windows alone"]
    assert windows.look_back == timedelta(minutes=8)
    assert windows.ages == {timedelta(minutes=m) for m in (2, 4, 3, 5, 7, 8)}
    assert (VIEW.look_back, VIEW.last_row_before) == (None, timedelta(minutes=5))
    assert VIEWS["a lag with a ttl"].look_back == timedelta(minutes=4)
    assert VIEWS["a lag with a ttl"].youngest_age == timedelta(minutes=3)


def test_an_offset_is_part_of_what_is_stored_and_its_absence_changes_no_digest():
    plain = FeatureViewSpec(
        **BASE, windows=["2m"], aggregates={"n": {"functions": ["count"]}}, latest={"last": "amount"}
    )
    # The digest that stores of this declaration hold since before there were offsets.
    assert declaration_of(plain) == "70bde9b9"
    moved = FeatureViewSpec(
        **BASE, windows=["2m"], aggregates={"n": {"functions": ["count"], "offset": "1m"}}, latest={"last": "amount"}
    )
    lagged = FeatureViewSpec(**plain.model_dump() | {"lags": {"ago": {"of": "amount", "offset": "1m"}}})
    assert len({declaration_of(each) for each in (plain, moved, lagged)}) == 3
    assert stored_features(lagged) == ["last", "ago", "n_count_2m"]


@pytest.mark.parametrize(
    ("fields", "message"),
    {
        "no duration": ({"lags": {"ago": {"of": "amount", "offset": "soon"}}}, "offset: 'soon' is no duration"),
        "an aggregate's": (
            {"windows": ["1d"], "aggregates": {"n": {"functions": ["count"], "offset": "0d"}}}, "'0d' is no duration",
        ),
        "no known_at": ({"known_at": None, "lags": {"ago": {"of": "a", "offset": "1d"}}}, "known_at: is needed by"),
        "a name twice": ({"latest": {"ago": "a"}, "lags": {"ago": {"of": "a", "offset": "1d"}}}, "declared twice"),
    }.values(),
)  # fmt: skip
def test_what_is_wrong_is_said_when_declared(fields, message):
    with pytest.raises(ValidationError, match=message):
        FeatureViewSpec(**BASE | fields)
