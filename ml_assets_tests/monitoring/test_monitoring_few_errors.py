"""A metric of which few errors are known has a band of the reference's own."""

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from ml_assets.monitoring.chunks import CHUNK
from ml_assets.monitoring.performance.estimated import _errors
from ml_assets.monitoring.performance.record import past_errors, widen
from ml_assets.monitoring.spec import MonitoringSpec

START, WEEK = datetime(2024, 1, 1, tzinfo=UTC), timedelta(days=7)
SPEC = MonitoringSpec(min_chunk_rows=500)
VALUES = pl.DataFrame(
    {CHUNK: [0, 0, None, None], "metric": ["roc_auc", "value"] * 2, "value": [0.7, 1000.0] * 2,
     "lower": [0.69, 900.0] * 2, "upper": [0.71, 1100.0] * 2}
)  # fmt: skip


def record(**weeks: int) -> pl.DataFrame:
    """So many weeks of each metric, estimated too high by 0.01."""
    rows = [
        (scope, metric, START + n * WEEK, START + (n + 1) * WEEK, kind, value, 1000, None)
        for metric, count in weeks.items()
        for n in range(count)
        for scope in ("chunk", "period")
        for kind, value in (("estimated", 0.51), ("realised", 0.5))
    ]
    schema = ["scope", "metric", "chunk_start", "chunk_end", "kind", "value", "rows"]
    return pl.DataFrame(rows, schema=[*schema, ("without_payoff", pl.Int64)], orient="row")


def of_reference() -> pl.DataFrame:
    return pl.DataFrame({"metric": ["roc_auc", "roc_auc", "value", "value"], "error": [0.2, 0.1, 150.0, 50.0]})


@pytest.mark.parametrize(
    ("weeks", "of_auc", "of_value"),
    [
        ({"roc_auc": 9}, (9, 0.01), (2, 150.0)),  # value is estimated for the first time
        ({"roc_auc": 9, "value": 8}, (9, 0.01), (10, 150.0)),
        ({"roc_auc": 8, "value": 9}, (10, 0.2), (9, 0.01)),
        ({"roc_auc": 9, "value": 9}, (9, 0.01), (9, 0.01)),
        ({"roc_auc": 9, "value": 9, "f1": 1}, (9, 0.01), (9, 0.01)),  # f1 is not estimated any more
        ({}, (2, 0.2), (2, 150.0)),
    ],
)
def test_each_metric_gets_the_errors_of_the_reference_while_its_own_are_few(weeks, of_auc, of_value):
    errors = _errors(record(**weeks) if weeks else None, ["roc_auc", "value"], SPEC, of_reference)
    bands = widen(VALUES, errors)
    for metric, (count, margin) in {"roc_auc": of_auc, "value": of_value}.items():
        own = bands.filter(metric=metric)
        assert own["past_errors"].to_list() == [count] * 2
        assert own["margin"].to_list() == pytest.approx([margin] * 2)


def test_the_reference_is_not_looked_at_where_enough_is_known_of_every_metric():
    def never() -> pl.DataFrame:
        raise AssertionError

    assert _errors(record(roc_auc=9, value=9), ["roc_auc", "value"], SPEC, never).height == 36


def test_a_value_of_few_rows_with_payoffs_judges_no_estimate():
    unpaid = pl.when(metric="value", kind="realised").then(501)
    few = record(roc_auc=1, value=1).with_columns(without_payoff=unpaid)
    assert past_errors(few, min_rows=500)["metric"].unique().to_list() == ["roc_auc"]
    assert past_errors(few, min_rows=499)["metric"].unique().sort().to_list() == ["roc_auc", "value"]
    assert past_errors(few.drop("without_payoff"), min_rows=500).height == 4  # a report from before it was counted
