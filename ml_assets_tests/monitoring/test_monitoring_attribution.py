"""Attribution drift: which part of the contributions has gone to other features."""

from datetime import UTC, datetime
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest
from scipy.stats import wasserstein_distance

from ml_assets.modelling.drift import measure as drift_of_drops
from ml_assets.modelling.drift.measure import DropDrift, with_attribution
from ml_assets.monitoring.drift.attribution import attribution_distance, attribution_rows
from ml_assets.monitoring.drift.measure import measure_drift
from ml_assets.monitoring.spec import MonitoringSpec


def shares(**of_features):
    return pl.DataFrame({"feature": list(of_features), "share": list(of_features.values())})


def test_half_the_differences_of_shares():
    distance, changes = attribution_distance(shares(a=0.5, b=0.3, c=0.2), shares(a=0.2, b=0.3, c=0.5))
    assert distance == pytest.approx(0.3)
    assert changes.rows() == [("a", pytest.approx(-0.3)), ("c", pytest.approx(0.3)), ("b", 0.0)]


def test_features_that_one_of_both_lacks_count_in_full_and_shares_are_of_their_sum():
    assert attribution_distance(shares(a=1.0), shares(b=7.0))[0] == 1.0
    assert attribution_distance(shares(a=2.0, b=2.0), shares(a=0.5, b=0.5))[0] == 0.0
    assert attribution_distance(shares(a=0.0), shares(a=1.0))[0] == 0.5  # nothing was listened to


def test_it_is_the_total_variation_of_distributions():
    rng = np.random.default_rng(0)
    before, after = rng.dirichlet(np.ones(6), 2)
    names = [f"f{number}" for number in range(6)]
    distance, _ = attribution_distance(
        shares(**dict(zip(names, before, strict=True))), shares(**dict(zip(names, after, strict=True)))
    )
    # Of points that are all 1 apart, the earth mover's distance is the total variation: one move of each surplus.
    surplus = np.clip(after - before, 0, None)
    assert distance == pytest.approx(surplus.sum())
    assert distance == pytest.approx(wasserstein_distance([0, 1], [0, 1], [1 - surplus.sum(), surplus.sum()], [1, 0]))


@pytest.fixture(scope="module")
def measured():
    at = [datetime(2024, 3, 1 + row % 28, tzinfo=UTC) for row in range(900)]
    rows = pl.DataFrame(
        {"at": at, "price": np.arange(900.0), "size": np.arange(900.0) % 7, "model_version": ["1"] * 900}
    )
    spec = MonitoringSpec(attribution=True, attribution_threshold=0.2, reconstruction=False, exclude=["day"])
    rows = rows.with_columns(day=pl.lit(1.0))
    measured = measure_drift(rows, rows, features=["price", "size", "day"], time="at", spec=spec)
    return spec, rows, measured


@pytest.mark.parametrize(("size", "alert"), [(0.35, False), (0.6, True)])
def test_the_rows_go_with_the_drift_table(measured, size, alert):
    spec, _, drift = measured
    # The calendar is not watched: what it takes does not count.
    more = attribution_rows(shares(price=0.8, size=0.2), shares(price=1 - size, size=size, day=3.0), drift, spec)
    assert more.schema == drift.schema
    whole = more.filter(method="attribution").row(0, named=True)
    assert (whole["feature"], whole["scope"], whole["rows"], whole["threshold"]) == ("(all)", "period", 900, 0.2)
    assert (whole["value"], whole["alert"]) == (pytest.approx(size - 0.2), alert)
    changes = more.filter(method="attribution_change").select("feature", "value", "alert").rows()
    assert sorted(changes) == [
        ("price", pytest.approx(0.2 - size), False), ("size", pytest.approx(size - 0.2), False),
    ]  # fmt: skip


def test_a_period_of_few_rows_never_alerts(measured):
    spec, _, drift = measured
    strict = spec.model_copy(update={"min_chunk_rows": 901})
    more = attribution_rows(shares(price=1.0), shares(size=1.0), drift, strict)
    assert not more["alert"].any()


@pytest.mark.parametrize("kept", [True, False])
def test_a_drop_is_compared_with_what_was_evaluated_or_else_with_the_reference(measured, monkeypatch, kept):
    spec, rows, drift = measured
    explained = []

    def explain(fitted, frame, *, rows, seed):
        explained.append((fitted, frame.height, rows, seed))
        return shares(price=0.5, size=0.5).with_columns(importance=pl.lit(1.0))

    monkeypatch.setattr("ml_assets.training.evaluation.explain.explain", explain)
    monkeypatch.setattr(drift_of_drops, "kept_importance", lambda *_: shares(price=0.9, size=0.1) if kept else None)
    model = SimpleNamespace(
        monitoring=spec, spec=SimpleNamespace(name="m", seed=3), spine=SimpleNamespace(partition="_drop")
    )
    registry = SimpleNamespace(load=lambda name, version: f"{name} {version}")
    before = DropDrift(drift, drift, rows, rows.head(600))
    after = with_attribution(None, registry, model, before, "2024-03")
    value = after.stored.filter(method="attribution")["value"].item()
    assert value == pytest.approx(0.4 if kept else 0.0)
    assert explained == [("m 1", 600, 500, 3)] * (not kept) + [("m 1", 900, 500, 3)]
    assert after.stored["_drop"].unique().to_list() == ["2024-03"]
    off = SimpleNamespace(**{**vars(model), "monitoring": spec.model_copy(update={"attribution": False})})
    assert with_attribution(None, registry, off, before, "2024-03") is before
