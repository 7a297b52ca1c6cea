from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest

from ml_assets.lake import Lake
from ml_assets.modelling.drift.false_alarms import hold_drop_to_rate, keep_false_alarms, read_false_alarms
from ml_assets.modelling.drift.measure import DropDrift
from ml_assets.monitoring.drift.error_rates import false_alarms as module
from ml_assets.monitoring.drift.measure import measure_drift
from ml_assets.monitoring.spec import MonitoringSpec

START = datetime(2024, 1, 1, tzinfo=UTC)


def rows(days: int, seed: int) -> pl.DataFrame:
    at = [START + timedelta(hours=i) for i in range(24 * days)]
    return pl.DataFrame({"at": at, "x": np.random.default_rng(seed).normal(size=len(at))})


def watched(**monitoring) -> SimpleNamespace:
    return SimpleNamespace(
        key=lambda asset: f"risk/{asset}",
        spine=SimpleNamespace(partition="drop", time="at"),
        monitoring=MonitoringSpec(min_chunk_rows=1, reconstruction=False, **monitoring),
    )


@pytest.fixture
def learned(monkeypatch) -> list[str]:
    """A mark each time that false alarms are learned of a reference."""
    marks, learn = [], module.count_steps
    monkeypatch.setattr(module, "count_steps", lambda *given, **more: marks.append("") or learn(*given, **more))
    return marks


def test_false_alarms_are_kept_by_drop_and_learned_once_of_a_version(tmp_path, learned):
    lake, reference, drops = Lake(str(tmp_path)), rows(28, 1), {"2024-02": rows(28, 2), "2024-03": rows(29, 3)}
    assert read_false_alarms(lake, watched(), "2024-02") is None

    def measure(drop: str, version: str = "1", **monitoring):
        model, analysis = watched(**monitoring), drops[drop]
        drift = measure_drift(reference, analysis, features=["x"], time="at", spec=model.monitoring)
        held, found = hold_drop_to_rate(lake, model, version, drift, reference)
        measured = DropDrift(held, held, analysis, reference, version, false_alarms=found)
        keep_false_alarms(lake, model, {drop: measured})
        return found

    first = measure("2024-02")
    assert measure("2024-03") == first
    assert len(learned) == 1
    assert read_false_alarms(lake, watched(), "2024-02") == read_false_alarms(lake, watched(), "2024-03") == first
    assert read_false_alarms(lake, watched(), "2024-04") is None
    assert measure("2024-03", version="2") == first
    assert len(learned) == 2
    assert measure("2024-02", psi_threshold=0.001).expected > first.expected
    assert len(learned) == 3
    # Limits of a declared rate are those of the drop's own chunks.
    assert measure("2024-02", false_alarms=0.1).declared == 0.1
    assert len(learned) == 4
    assert lake.scan("risk/false_alarms").collect().height == 2
