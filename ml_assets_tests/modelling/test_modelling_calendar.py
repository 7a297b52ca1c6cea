"""Features that the time alone determines are left out of drift, unless that is declared."""

from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest

from ml_assets.declarations.specs import DeclaredModel, DeclaredSpine, DeclaredView
from ml_assets.features.row.features import of_calendar
from ml_assets.modelling.context import ModelContext
from ml_assets.monitoring.drift.measure import measure_drift
from ml_assets.monitoring.report.summary import summarise_drift

DAY = {
    "name": "day", "description": "d", "spine": "orders", "request": {"amount": "amount"},
    "calendar": {"day": {"time_zone": "UTC", "parts": ["month", "weekday"]}},
    "derived": {"late_in_year": "day_month >= 10", "per_month": "amount / day_month", "odd": "day_weekday % 2"},
    "hidden": ["day_weekday"],
}  # fmt: skip


def context(monitoring: dict[str, Any], **view) -> ModelContext:
    spine = DeclaredSpine.model_validate(
        {
            "name": "orders", "table": "orders/validated", "key": ["id"], "time": "at", "partition": "_drop",
            "drops": {"grain": "monthly", "start": "2024-01"},
        }
    )  # fmt: skip
    model = DeclaredModel.model_validate(
        {
            "name": "m", "description": "d", "spine": "orders", "features": ["day"], "monitoring": monitoring,
            "label": {"column": "y", "known_at": "y_at"}, "split": {"validation": "9d", "holdout": "9d", "gap": "1d"},
        }
    )  # fmt: skip
    return ModelContext.of(model, spine, [DeclaredView.model_validate(DAY | view)], "shop")


@pytest.mark.parametrize(
    ("monitoring", "excluded"),
    [
        ({}, ["day_month", "late_in_year", "odd"]),
        ({"exclude": ["per_month", "odd"]}, ["per_month", "odd", "day_month", "late_in_year"]),
        ({"watch_calendar": True}, []),
        ({"watch_calendar": True, "exclude": ["day_month"]}, ["day_month"]),
    ],
)
def test_features_of_the_calendar_are_left_out_unless_that_is_declared(monitoring, excluded):
    model = context(monitoring)
    assert of_calendar(model.views[0], ["at"]) == ["day_month", "late_in_year", "odd"]
    assert model.monitoring.exclude == excluded


def calendar(**columns: str | None) -> dict[str, Any]:
    """Return a view with the month of each column; of both the time and a due date a feature is derived."""
    months = {base: {"at": at, "time_zone": "UTC", "parts": ["month"]} for base, at in columns.items()}
    read = {"winter": "now_month = 12", "late": "due_month - now_month", "due_winter": "due_month = 12"}
    return {"calendar": months, "derived": read, "hidden": []}


@pytest.mark.parametrize(
    ("due", "excluded"),
    [
        ("due_at", ["now_month", "winter"]),
        ("born_on", ["now_month", "winter"]),
        ("target_at", ["now_month", "winter"]),  # of rows that look nowhere it is a column like any other
        ("at", ["now_month", "due_month", "winter", "late", "due_winter"]),
        (None, ["now_month", "due_month", "winter", "late", "due_winter"]),
    ],
)
def test_a_calendar_of_any_other_column_is_watched(due, excluded):
    assert context({}, **calendar(now=None, due=due)).monitoring.exclude == excluded


def test_the_calendar_of_what_rows_look_ahead_to_is_left_out():
    view = DeclaredView.model_validate(DAY | calendar(now=None, due="target_at"))
    assert of_calendar(view, ["at", "target_at"]) == ["now_month", "due_month", "winter", "late", "due_winter"]


def test_what_is_derived_of_nothing_is_not_of_the_calendar():
    view = DeclaredView.model_validate(DAY).model_copy(update={"derived": {"one": "1.0", "odd": "day_weekday % 2"}})
    assert of_calendar(view, ["at"]) == ["day_month", "odd"]


def test_a_model_of_the_calendar_alone_is_watched_by_it():
    assert context({}, request={}, derived={}, hidden=[]).monitoring.exclude == []


def test_a_version_is_watched_by_the_features_that_it_was_trained_on():
    now, then = context({"exclude": ["odd"]}), context({}, calendar={}, derived={}, hidden=[])
    assert now.trained_on(then.inputs).monitoring.exclude == []
    assert then.trained_on(now.inputs).monitoring.exclude == ["day_month", "late_in_year", "odd"]


def test_the_next_month_is_no_drift():
    start = datetime(2024, 1, 1, tzinfo=UTC)
    at = pl.Series([start + timedelta(hours=h) for h in range(60 * 24)], dtype=pl.Datetime("us", "UTC"))
    rows = pl.DataFrame({"at": at, "amount": [float(h % 24) for h in range(at.len())]})
    rows = rows.with_columns(pl.col("at").dt.month().cast(pl.Int64).alias("day_month"))
    rows = rows.with_columns(late_in_year=pl.col("day_month") >= 10, per_month=pl.col("amount"), odd=pl.lit(0))
    january, february = rows.head(31 * 24), rows.tail(29 * 24)
    for monitoring, drifted in (({}, ()), ({"watch_calendar": True}, ("day_month",))):
        model = context(monitoring | {"min_chunk_rows": 10, "reconstruction": False})
        drift = measure_drift(january, february, features=model.features, time="at", spec=model.monitoring)
        assert summarise_drift(drift, model.monitoring).drifted == drifted
