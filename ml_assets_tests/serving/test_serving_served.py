from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import polars as pl
import pytest

from ml_assets.declarations.specs import DeclaredSpine
from ml_assets.modelling.served import about_traffic, rows_that_answers_may_be_about
from ml_assets.serving.log.request_log import Answered, LogSchema, log_frame
from ml_assets.serving.log.served import (
    answers_of,
    as_predictions,
    count_waiting,
    describe_traffic,
    drops_answered,
    keyed,
    rows_asked_about,
)
from ml_assets.testing.frames import FramesLake

MOMENT = pl.Datetime("us", "UTC")
SCHEMA = LogSchema(
    given={"order": pl.Int64(), "kilos": pl.Float64()},
    features={"kilos": pl.Float64(), "count": pl.Float64()},
    answer={"score": pl.Float64(), "prediction": pl.Boolean()},
)
NEW_YEAR = 1_704_067_200_000_000  # 2024-01-01 UTC
SPINE = pl.DataFrame(
    {"order": [1, 2, 3, 4], "_drop": ["2024-01", "2024-01", "2024-02", "2024-03"]},
    schema={"order": pl.Int32, "_drop": pl.String},
)


def minute(number):
    return datetime(2024, 1, 1, 0, number, tzinfo=UTC)


def answered(order, at, score=0.5, *, role="champion", request=None, version="3", state="fresh", **more):
    one = {
        "request_id": request or f"r{order}-{at}", "row": 0, "model": "late", "version": version, "role": role,
        "requested_at": NEW_YEAR + at * 60_000_000, "latency": at / 1000, "given": {"order": order, "kilos": 1.5},
        "features": {"kilos": 1.5, "count": 3}, "answer": {"score": score, "prediction": score > 0.5},
        "versions": {"courier": ("b", 1)}, "states": {"courier": state},
    }  # fmt: skip
    return Answered(**one | more)


ROWS = [
    answered(1, 1, 0.1),
    answered(1, 3, 0.9, role="canary", version="4", state="expired"),
    answered(1, 3, 0.7, role="shadow", version="5", request="r1-3"),
    answered(2, 2, 0.3),
    answered(2, 2, 0.1, role="shadow", version="5", request="r2-2"),
    answered(3, 5, 0.2),
    answered(99, 4),
    answered(98, 4, role="shadow"),
    answered(None, 6, given={}),
]
LOG = log_frame(ROWS, {"3": SCHEMA})


def test_answers_are_found_by_the_keys_of_a_drop():
    found = answers_of(LOG.lazy(), SPINE.filter(pl.col("_drop") == "2024-01"), ["order"])
    assert sorted(found["request_id"]) == ["r1-1", "r1-3", "r1-3", "r2-2", "r2-2"]


def test_a_time_in_the_key_is_when_the_request_was_made():
    spine = pl.DataFrame({"order": [1, 1, 3], "at": [minute(1), minute(2), minute(5)], "_drop": ["a", "b", "c"]})
    log = keyed(LOG.lazy(), ["order", "at"], "at")
    spine = spine.with_columns(pl.col("at").cast(MOMENT))
    assert drops_answered(log, spine.lazy(), ["order", "at"], "_drop") == ["a", "c"]
    answers = answers_of(log, spine.filter(pl.col("_drop") == "a"), ["order", "at"])
    found = as_predictions(answers, key={"order": pl.Int64(), "at": MOMENT}, time="at", features={})
    assert found.select("at", "order", "score").rows() == [(minute(1), 1, 0.1)]


MADE = DeclaredSpine.model_validate(
    {
        "name": "daily", "entities": {"table": "orders/validated", "key": ["order"]},
        "every": {"cron": "0 6 * * *", "time_zone": "America/New_York"},
        "drops": {"grain": "daily", "start": "2023-12-31", "time_zone": "America/New_York"},
    }
)  # fmt: skip


def test_of_made_rows_an_answer_is_about_its_entity_at_the_moment_of_the_request():
    types = {"order": pl.Int32(), "prediction_at": MOMENT}
    late = log_frame([*ROWS, answered(2, 300)], {"3": SCHEMA})
    log = keyed(late.lazy(), MADE.key, MADE.time)
    made = pl.DataFrame({"_drop": ["2023-12-31"], "order": [1], "prediction_at": [minute(0)]}, schema_overrides=types)
    lake = FramesLake("frames", tables={MADE.table: made})
    asked = rows_asked_about(log, types, MADE.drops, "_drop")
    # In New York midnight is at five o'clock UTC; an answer of the shadow is no answer.
    assert sorted(asked.collect().rows()) == [
        *(("2023-12-31", order, minute(at)) for order, at in ((1, 1), (1, 3), (2, 2), (3, 5), (99, 4))),
        ("2024-01-01", 2, datetime(2024, 1, 1, 5, tzinfo=UTC)),
    ]
    rows = rows_that_answers_may_be_about(lake, MADE, log)
    assert drops_answered(log, rows, MADE.key, "_drop") == ["2023-12-31"]
    assert count_waiting(log, rows, MADE.key) == 1
    answers = answers_of(log, rows.select(MADE.key).collect(), MADE.key)
    found = as_predictions(answers, key=types, time=MADE.time, features={})
    assert found.select("order", "prediction_at").sort(pl.all()).rows() == [
        (order, minute(at)) for order, at in ((1, 1), (1, 3), (2, 2), (3, 5), (99, 4))
    ]


def test_an_answer_in_a_drop_without_a_moment_waits_for_the_next_drop_alone_and_is_counted():
    weekly = MADE.model_dump(include={"name", "entities", "drops"}, by_alias=True)
    weekly["drops"] |= {"start": "2024-01-01", "time_zone": "UTC", "end": "2024-01-12"}
    spine = DeclaredSpine.model_validate(weekly | {"every": {"cron": "0 6 * * mon"}})
    # From Sunday on: before the first drop, on both Mondays, Tuesdays and Wednesdays, and after the last drop.
    days = [-1, 0, 1, 2, 7, 8, 9, 12]
    rows = [answered(order, day * 24 * 60 + 1) for order, day in enumerate(days)]
    log = keyed(log_frame(rows, {"3": SCHEMA}).lazy(), spine.key, spine.time)
    types = {"order": pl.Int32(), "prediction_at": MOMENT}
    model: Any = SimpleNamespace(spine=spine, spec=SimpleNamespace(spine=spine))

    def looked_at(*mondays: str):
        made = pl.DataFrame(
            [(monday, 1, minute(0)) for monday in mondays], schema={"_drop": pl.String, **types}, orient="row"
        )
        lake = FramesLake("frames", tables={spine.table: made})
        found = drops_answered(log, rows_that_answers_may_be_about(lake, spine, log), spine.key, "_drop")
        return found, {name: count for name, count in about_traffic(lake, model, log, {}).items() if name != "traffic"}

    outside = {"answered_outside_drops": 2}
    assert looked_at() == ([], {"waiting_for_a_spine_row": 6, "answered_without_a_moment": 0, **outside})
    first = ["2024-01-01"]
    assert looked_at(*first) == (first, {"waiting_for_a_spine_row": 5, "answered_without_a_moment": 0, **outside})
    week = [*first, "2024-01-02", "2024-01-03", "2024-01-08"]
    both = looked_at("2024-01-01", "2024-01-08")
    assert both == (week, {"waiting_for_a_spine_row": 2, "answered_without_a_moment": 2, **outside})


def test_drops_that_were_answered_about_and_rows_that_no_drop_has():
    assert drops_answered(LOG.lazy(), SPINE.lazy(), ["order"], "_drop") == ["2024-01", "2024-02"]
    assert count_waiting(LOG.lazy(), SPINE.lazy(), ["order"]) == 1


def test_the_last_given_answer_becomes_the_prediction():
    answers = answers_of(LOG.lazy(), SPINE.filter(pl.col("_drop") == "2024-01"), ["order"])
    types = {"kilos": pl.Float64(), "count": pl.Int64(), "new": pl.String()}
    found = as_predictions(answers, key={"order": pl.Int32()}, time="placed_at", features=types)
    assert found.schema == {
        "placed_at": MOMENT, "order": pl.Int32, "score": pl.Float64, "prediction": pl.Boolean,
        "model_version": pl.String, "feature_versions": pl.String, "scored_at": MOMENT, "role": pl.String,
        "states": pl.String, "kilos": pl.Float64, "count": pl.Int64, "new": pl.String,
    }  # fmt: skip
    shared = ('{"courier":["b",1]}',)
    assert found.rows() == [
        (minute(2), 2, 0.3, False, "3", *shared, minute(2), "champion", '{"courier":"fresh"}', 1.5, 3, None),
        (minute(3), 1, 0.9, True, "4", *shared, minute(3), "canary", '{"courier":"expired"}', 1.5, 3, None),
    ]


def test_traffic_is_counted_by_hand():
    told = describe_traffic(LOG.filter(pl.col("given_order").is_in([1, 2])))
    assert told.answers == {"canary 4": 1, "champion 3": 2, "shadow 5": 2}
    assert told.not_fresh == {"courier": pytest.approx(1 / 3)}
    assert told.shadow_difference == pytest.approx(((0.7 - 0.9) + (0.1 - 0.3)) / 2)
    assert told.latency_ms == pytest.approx({"p50": 2.0, "p95": 2.9, "p99": 2.98})
    assert told.replayed == 0


@pytest.mark.parametrize("ever", [True, False])
def test_what_was_replayed_counts_only_where_nobody_was_answered_live(ever):
    rows = [answered(1, 1, 0.1), answered(1, 3, 0.9, replayed=True), answered(2, 2, 0.3, replayed=True)]
    log = log_frame(rows, {"3": SCHEMA})
    log = log if ever else log.drop("replayed")
    found = as_predictions(log, key={"order": pl.Int32()}, time="placed_at", features={"count": pl.Int64()})
    assert dict(found.select("order", "score").rows()) == ({1: 0.1, 2: 0.3} if ever else {1: 0.9, 2: 0.3})
    assert describe_traffic(log).replayed == (2 if ever else 0)


def test_nothing_is_told_of_nothing():
    told = describe_traffic(LOG.clear())
    assert (told.answers, told.not_fresh, told.shadow_difference, told.latency_ms) == ({}, {}, None, {})
    none = as_predictions(LOG.clear(), key={"order": pl.Int32()}, time="placed_at", features={"count": pl.Int64()})
    assert none.columns[:4] == ["placed_at", "order", "score", "prediction"]
    assert none.height == 0
