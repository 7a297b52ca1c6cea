"""A replay of a model whose decisions have payoffs goes by what they bring."""

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from ml_assets.monitoring.spec import MonitoringSpec
from ml_assets.retraining.replay.lived import History, Period
from ml_assets.retraining.replay.measures import ReplayMeasures
from ml_assets.retraining.replay.run import replay
from ml_assets.retraining.replay.store import ReplayStore
from ml_assets.retraining.spec import RetrainingSpec
from ml_assets.training.spec import ModelSpec

pytestmark = pytest.mark.slow

FEATURES = ["a", "b"]
MODEL = ModelSpec.model_validate(
    {
        "name": "fraud",
        "description": "Outcome of a row of a made-up world.",
        "spine": {"table": "rows", "key": ["id"], "time": "at"},
        "label": {"column": "y", "known_at": "known_at"},
        "features": ["view"],
        "split": {"train": "21d", "validation": "7d", "holdout": "7d", "gap": "1d", "min_rows": 40},
        "search": {"trials": 1, "max_rounds": 20, "rows": 1000},
        "training": {"max_rounds": 20, "threads": 1},
        "payoff": {"true_positive": "saved", "false_positive": -40, "false_negative": "lost"},
        "evaluation": {"resamples": 100, "block": "1d", "watched": "value", "top": [0.1]},
        "promotion": {"resamples": 100, "metric": "value", "margin": 100_000},
    }
)


def month(number: int) -> datetime:
    return datetime(2021, number, 1, tzinfo=UTC)


def world() -> pl.DataFrame:
    """Three months of 40 rows a day; in March what was positive pays the tenth part."""
    rng, days = np.random.default_rng(5), (month(4) - month(1)).days
    at = [month(1) + timedelta(days=day, minutes=int(m)) for day in range(days) for m in rng.integers(0, 1440, 40)]
    a, b = rng.normal(size=(2, len(at)))
    amount = rng.uniform(10, 90, len(at)) * np.where([moment < month(3) for moment in at], 1, 0.1)
    rows = pl.DataFrame({"id": np.arange(len(at)), "at": at, "a": a, "b": b, "saved": amount, "lost": -amount})
    return rows.with_columns(
        y=pl.Series(rng.random(len(at)) < 1 / (1 + np.exp(1.5 - 2 * a))),
        known_at=pl.col("at") + timedelta(days=1),
        drop=pl.col("at").dt.strftime("%Y-%m"),
    )


def test_periods_are_measured_by_the_value_of_the_champions_decisions(tmp_path):
    rows, period = world(), Period("2021-03", month(3), month(4))
    history = History(rows, "drop", MODEL, FEATURES, MonitoringSpec(min_chunk_rows=100, reconstruction=False))
    store, policy = ReplayStore(tmp_path), RetrainingSpec(evidence=["realised"], resamples=100)
    (lived,) = replay(history, [period], {"evidence": policy}, store)
    measures = ReplayMeasures(history, store)
    champion = measures.candidate(period.start)
    scored = measures.rows(champion, period)
    by_hand = MODEL.payoff.of_rows(scored).value(scored["y"].to_numpy(), scored["prediction"].to_numpy())
    assert lived.periods[0].value == lived.mean == pytest.approx(by_hand)
    # The champion's own holdout, of February, brought ten times as much: that is a loss of value.
    assert champion.values["value"] > 2 * lived.mean
    assert lived.periods[0].missed
    assert champion.over_baseline.low > 0
    assert {"precision_at_10pct", "value"} <= set(champion.values)
    evidence = measures.evidence(champion, period.start, [period], measures.limits(champion, policy), policy)
    realised = next(item for item in evidence if item.kind == "realised")
    assert (realised.unit, realised.side, realised.breached) == ("value", "below", True)
