from itertools import count

import numpy as np
import pytest

from ml_assets.serving.gate.evidence import latency_evidence, skew_evidence
from ml_assets.serving.gate.latency import WARM_UP, Latency, measure_latency
from ml_assets.serving.log.skew import SkewRecord
from ml_assets.serving.spec import ServingSpec


@pytest.mark.parametrize("name", ["late", "hours", "mood"])
def test_latency_is_that_of_single_rows_after_the_warm_up(models, rows, name):
    # The clock is asked before and after each request; the warm-up takes 9 s each, then they take 1 ms, 2 ms, ...
    took = [9.0] * WARM_UP + [number / 1000 for number in range(1, 101)]
    moments = iter([moment for at, seconds in enumerate(took) for moment in (100.0 * at, 100.0 * at + seconds)])
    found = measure_latency(models[name], rows, requests=100, clock=lambda: next(moments))
    expected = np.percentile(np.arange(1, 101), (50, 95, 99))
    assert [found.p50_ms, found.p95_ms, found.p99_ms] == pytest.approx(expected.tolist())
    assert found.requests == 100
    assert next(moments, None) is None


def test_every_row_is_asked_about_as_a_request(models, rows, monkeypatch):
    from ml_assets.serving.protocols import mlflow_scoring

    read, bodies = mlflow_scoring.read_json, []
    monkeypatch.setattr(
        mlflow_scoring, "read_json", lambda body, **how: bodies.append(bytes(body)) or read(body, **how)
    )
    ticks = count()
    measure_latency(models["late"], rows.head(3), requests=4, clock=lambda: float(next(ticks)))
    assert len(bodies) == WARM_UP + 4
    assert len(set(bodies)) == 3


def test_nothing_to_ask_about_is_an_error(models, rows):
    with pytest.raises(ValueError, match="no row to measure"):
        measure_latency(models["late"], rows.clear())


def test_each_limit_is_evidence():
    found = latency_evidence(Latency(1.0, 5.0, 20.5, 300), ServingSpec(p95_ms=5, p99_ms=20))
    assert [(one.name, one.observed, one.threshold, one.passed) for one in found] == [
        ("p95_ms", 5.0, 5.0, True),
        ("p99_ms", 20.5, 20.0, False),
    ]
    assert "300 single rows" in found[0].source


@pytest.mark.parametrize(("differing", "worst"), [(0, None), (3, "courier.late_sum_1h")])
def test_skew_is_evidence(differing, worst):
    record = SkewRecord(
        model="late", drop="2024-03", rows=200, values=4000, fresh_values=3000, differing=differing, worst_feature=worst
    )
    (found,) = skew_evidence(record)
    assert (found.observed, found.threshold, found.passed) == (differing, 0, differing == 0)
    assert "200 answers about 2024-03" in found.source
    assert ("most of courier.late_sum_1h" in found.source) == (worst is not None)
