"""Replays as they are kept."""

import math
from datetime import UTC, datetime

import pytest

from ml_assets.lake import Lake
from ml_assets.retraining.replay.lived import LivedPeriod, LivedPolicy
from ml_assets.retraining.replay.record import keep_replay, read_replays, record_replay

NOW, LATER = datetime(2024, 6, 1, tzinfo=UTC), datetime(2024, 6, 2, tzinfo=UTC)


def policy(name="never", *, value=0.7, seconds=1.5):
    period = LivedPeriod(
        period="2024-04", value=value, low=0.65, high=math.inf, version="2024-04-01", decision="wait: age",
        retrained=True, promoted=False, missed=True, missing=3,
    )  # fmt: skip
    return LivedPolicy(name, (period,), mean=value, low=0.6, high=0.8, training_seconds=seconds, regret=0.01)


def record(*lived, at=NOW):
    return record_replay("returns", "roc_auc", lived, greater_is_better=True, confidence=0.95, replayed_at=at)


@pytest.fixture
def lake(tmp_path):
    return Lake(str(tmp_path / "lake"))


def test_a_replay_is_kept_as_it_was_lived_and_what_is_undefined_is_null(lake):
    made = record(policy(), policy("monthly", value=math.nan))
    keep_replay(lake, made)
    (kept,) = read_replays(lake, "returns")
    assert kept == made
    never, monthly = kept.policies
    assert (never.policy, never.mean, never.retrains, never.training_seconds, never.detection_delay) == (
        "never", 0.7, 1, 1.5, 0.0,
    )  # fmt: skip
    (period,) = never.periods
    assert (period.value, period.low, period.high, period.missing_labels) == (0.7, 0.65, None, 3)
    assert (period.version, period.decision, period.retrained, period.promoted) == (
        "2024-04-01", "wait: age", True, False,
    )  # fmt: skip
    assert (monthly.mean, monthly.periods[0].value) == (None, None)


def test_the_same_replay_made_again_is_kept_once_whatever_time_it_took(lake):
    for seconds, at in ((1.5, NOW), (2.5, LATER)):
        keep_replay(lake, record(policy(seconds=seconds), at=at))
    keep_replay(lake, record(policy(value=0.71), at=LATER))
    kept = read_replays(lake, "returns")
    assert [(each.replayed_at, each.policies[0].mean) for each in kept] == [(NOW, 0.7), (LATER, 0.71)]


def test_before_the_first_there_is_none(lake):
    assert read_replays(lake, "returns") == []
