"""The pages of replays."""

from datetime import UTC, datetime

import pytest

from ml_assets.console.pages.replays.read import best_policy, list_replays, read_replay
from ml_assets.retraining.replay.record import ReplayedPeriod, ReplayedPolicy, ReplayRecord, keep_replay

from .conftest import HOSTILE
from .test_console_decisions import MODELS


def policy(name, values, *, regret, retrains=1, mean=0.7):
    periods = tuple(
        ReplayedPeriod(
            period=f"2024-0{number}", value=value, low=None if value is None else value - 0.125,
            high=None if value is None else value + 0.25, missing_labels=number, version="2024-01-01T00:00:00+00:00",
            decision=f"wait {HOSTILE}", retrained=number == 5, promoted=False,
        )
        for number, value in enumerate(values, 4)
    )  # fmt: skip
    return ReplayedPolicy(
        policy=name, mean=mean, low=0.6, high=0.8, retrains=retrains, training_seconds=1.5, detection_delay=None,
        regret=regret, periods=periods,
    )  # fmt: skip


def replay(identity, day, *policies):
    return ReplayRecord(
        id=identity, model="returns", metric="roc_auc", greater_is_better=True, confidence=0.95,
        replayed_at=datetime(2024, 6, day, tzinfo=UTC), policies=policies,
    )  # fmt: skip


@pytest.fixture
def kept(lake):
    both = policy("never", [0.5, None], regret=0.02, retrains=0), policy("monthly", [0.75, 0.625], regret=0.0)
    made = replay("a1", 1, *both)
    keep_replay(lake, made)
    keep_replay(lake, replay("b2", 2, policy(HOSTILE, [0.5, 0.5], regret=None)))
    return made


@pytest.mark.usefixtures("kept")
def test_replays_are_listed_the_newest_first(stores_of):
    rows = list_replays(stores_of(*MODELS))
    assert [(row.id, row.first, row.last, row.best, row.best_mean, row.retrains) for row in rows] == [
        ("b2", "2024-04", "2024-05", "", None, None), ("a1", "2024-04", "2024-05", "monthly", 0.7, 1),
    ]  # fmt: skip
    assert list_replays(stores_of(*MODELS), "delay") == []


def test_the_best_policy_has_the_least_regret_and_of_these_the_fewest_trainings():
    tie = policy("a", [0.5], regret=0.0, retrains=3), policy("b", [0.5], regret=0.0), policy("c", [0.5], regret=0.1)
    assert best_policy(replay("x", 1, *tie)).policy == "b"
    assert best_policy(replay("x", 1, policy("d", [0.5], regret=0.0, mean=None))) is None


def test_policies_stand_side_by_side_drop_by_drop(stores_of, kept):
    page = read_replay(stores_of(*MODELS), "a1")
    assert page.record == kept
    assert page.best == "monthly"
    assert [(row.period, row.values, row.retrained, row.missing_labels) for row in page.rows] == [
        ("2024-04", (0.5, 0.75), (False, False), 4), ("2024-05", (None, 0.625), (True, True), 5),
    ]  # fmt: skip
    first = page.traces[0]
    assert (first["name"], first["x"], first["y"]) == ("never", ["2024-04", "2024-05"], [0.5, None])
    assert (first["error_y"]["array"], first["error_y"]["arrayminus"]) == ([0.25, None], [0.125, None])
    assert first["marker"]["size"] == [6, 12]
    assert page.traces[0]["line"] != page.traces[1]["line"]


@pytest.mark.usefixtures("kept")
def test_the_pages_show_them_and_escape_what_data_names(console):
    client = console(*MODELS)
    for path in ("/replays", f"/replays?model={HOSTILE}", "/replays/a1", "/replays/b2"):
        answer = client.get(path)
        assert answer.status_code == 200
        assert "<script>alert" not in answer.text
    text = client.get("/replays/a1").text
    assert 'data-chart="replay"' in text
    assert "0.6250 *" in text
    assert client.get("/replays/a1?format=json").json()["replay"]["record"]["id"] == "a1"
    assert client.get(f"/replays/{HOSTILE}").status_code == 404


def test_without_a_replay_the_page_says_how_to_make_one(console):
    assert "ml-assets replay MODEL --from DROP --to DROP" in console(*MODELS).get("/replays").text
