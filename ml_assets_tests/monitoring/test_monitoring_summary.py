from datetime import datetime, timedelta

import polars as pl
import pytest
from pydantic import ValidationError

from ml_assets.monitoring.report.summary import (
    Breach,
    DriftSummary,
    LabelSummary,
    PerformanceSummary,
    is_sustained,
    summarise_drift,
    summarise_performance,
)
from ml_assets.monitoring.report.verdict import judge
from ml_assets.monitoring.spec import MonitoringSpec

START = datetime(2021, 5, 1)
SPEC = MonitoringSpec(floors={"roc_auc": 0.7})


def psi_rows(feature: str, *chunks: float, period: float) -> list[dict]:
    base = {"feature": feature, "method": "psi", "threshold": 0.2}
    times = [START + timedelta(days=7 * i) for i in range(len(chunks) + 1)]
    return [
        {**base, "chunk_start": a, "chunk_end": b, "rows": 600, "scope": "chunk", "value": v, "alert": v > 0.2}
        for a, b, v in zip(times, times[1:], chunks, strict=False)
    ] + [
        {
            **base,
            "chunk_start": START,
            "chunk_end": times[-1],
            "rows": 600 * len(chunks),
            "scope": "period",
            "value": period,
            "alert": period > 0.2,
        }
    ]


def metric_rows(kind: str, *chunks: float | None, period: float | None, rows: int = 1000) -> list[dict]:
    def one(start, end, scope, value, rows):
        low = value is not None and value < 0.7
        return {
            "chunk_start": start,
            "chunk_end": end,
            "rows": rows,
            "scope": scope,
            "kind": kind,
            "metric": "roc_auc",
            "value": value,
            "lower": None,
            "upper": None,
            "threshold": 0.7,
            "missing": 7 if kind == "realised" else None,
            "alert": low,
        }

    times = [START + timedelta(days=7 * i) for i in range(len(chunks) + 1)]
    each = [one(a, b, "chunk", v, rows) for a, b, v in zip(times, times[1:], chunks, strict=False)]
    return [*each, one(START, times[-1], "period", period, rows * len(chunks))]


@pytest.mark.parametrize(
    ("alerts", "expected"),
    [
        ([], False),
        ([True], False),
        ([True, True], True),
        ([True, False, True], True),
        ([True, True, False], False),
        ([True, True, False, False, True], False),
        ([False, False, True], False),
        ([True, False, False, True, True], True),
    ],
)
def test_two_of_the_last_three_and_the_latest_among_them(alerts, expected):
    assert is_sustained(alerts, SPEC) is expected


def test_drift_summary_by_hand():
    drift = pl.DataFrame(
        psi_rows("colour", 0.1, 0.3, 0.4, period=0.25)
        + psi_rows("height", 0.9, 0.1, 0.1, period=0.5)
        + psi_rows("weight", 0.0, 0.3, 0.3, period=0.15)
        + psi_rows("age", 0.0, 0.0, 0.1, period=0.01)
    )
    assert summarise_drift(drift, SPEC) == DriftSummary(
        rows=1800,
        features=4,
        threshold=0.2,
        strongest_feature="height",
        strongest_psi=0.5,
        drifted=("height", "colour"),
        drifted_share=0.5,
        sustained=("colour", "weight"),
        reconstruction_alerts=0,
    )


def test_performance_summary_by_hand():
    performance = pl.DataFrame(
        metric_rows("estimated", 0.8, 0.6, 0.6, period=0.71)
        + metric_rows("realised", 0.6, 0.8, None, period=0.69, rows=400)
    )
    assert summarise_performance(performance, SPEC) == PerformanceSummary(
        rows=3000,
        labels=LabelSummary(1200, 7, None, None, None),
        estimated={"roc_auc": 0.71},
        realised={"roc_auc": 0.69},
        breaches=(
            Breach("estimated", "roc_auc", 0.71, 0.7, sustained=True),
            Breach("realised", "roc_auc", 0.69, 0.7, sustained=False),
        ),
    )


def test_performance_summary_before_labels():
    summary = summarise_performance(pl.DataFrame(metric_rows("estimated", 0.8, 0.9, period=0.85)), SPEC)
    assert (summary.labelled_rows, summary.realised, summary.breached) == (0, {}, False)


@pytest.mark.parametrize(
    ("psi", "auc", "level", "words"),
    [
        (0.1, 0.8, "ok", "No limit is passed"),
        (0.5, 0.8, "watch", "1 of 1 features pass a PSI of 0.2 (colour)"),
        (0.1, 0.6, "act", "realised roc_auc is 0.600, its limit 0.7"),
        (0.5, 0.6, "act", "realised roc_auc is 0.600"),
    ],
)
def test_performance_outweighs_drift(psi, auc, level, words):
    drift = summarise_drift(pl.DataFrame(psi_rows("colour", psi, period=psi)), SPEC)
    performance = summarise_performance(pl.DataFrame(metric_rows("realised", auc, period=auc)), SPEC)
    verdict = judge(drift, performance)
    assert verdict.level == level
    assert words in verdict.sentence
    assert verdict.actions


def test_an_estimate_alone_advises_to_wait_for_labels():
    estimate = summarise_performance(pl.DataFrame(metric_rows("estimated", 0.6, period=0.6)), SPEC)
    assert "labels" in judge(None, estimate).actions[0]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"chunk": "week"}, "no duration"),
        ({"floors": {"log_loss": 1.0}}, "floors: log_loss cannot be given here"),
        ({"ceilings": {"roc_auc": 1.0}}, "ceilings: roc_auc cannot be given here"),
        ({"method_thresholds": {"chi2": 1.0}}, "method_thresholds: chi2 cannot be given here"),
        ({"breaches": 4, "of_last": 3}, "can never happen"),
        ({"psi_treshold": 0.2}, "Extra inputs are not permitted"),
        ({"continuous_methods": ["chi2"]}, "continuous_methods"),
    ],
)
def test_a_wrong_declaration_is_refused(fields, message):
    with pytest.raises(ValidationError, match=message):
        MonitoringSpec(**fields)


def test_every_field_is_described():
    assert [name for name, field in MonitoringSpec.model_fields.items() if not field.description] == []
