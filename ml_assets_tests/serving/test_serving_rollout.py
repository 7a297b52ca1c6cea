"""Who answers: champions and challengers coming and going, shares of keys, and scores nobody sees."""

import dataclasses
import threading
import time
from datetime import datetime, timedelta, timezone
from hashlib import blake2b

import polars as pl
import pytest
from scipy.stats import binomtest

from ml_assets.registry.model_files import known_answers
from ml_assets.scoring.predictor import Predictor
from ml_assets.serving.rollout.challenger import Shadow, is_canary, position
from ml_assets.serving.rollout.champions import Champions
from ml_assets.training.fit import predict
from ml_assets.training.records.known_answers import KnownAnswers

KEYS = [[f"order-{number}", number % 7] for number in range(20_000)]


@pytest.mark.parametrize("share", [0.0, 0.01, 0.1, 0.5])
def test_the_challenger_gets_its_share_of_the_keys(share):
    hits = sum(is_canary("late", key, share) for key in KEYS)
    assert hits == 0 if share == 0 else binomtest(hits, len(KEYS), share).pvalue > 0.001


@pytest.mark.slow
def test_a_key_keeps_its_side_and_a_larger_share_only_adds_keys():
    before: set[int] = set()
    for share in (0.0, 0.05, 0.1, 0.25, 0.5):
        chosen = {at for at, key in enumerate(KEYS) if is_canary("late", key, share)}
        assert chosen == {at for at, key in enumerate(KEYS) if is_canary("late", list(key), share)}
        assert before <= chosen
        before = chosen


def test_a_position_is_the_hash_of_the_key_by_hand():
    told = b'["late","order-1",3]'
    assert position("late", ["order-1", 3]) == int.from_bytes(blake2b(told, digest_size=8).digest(), "big") / 2**64


def test_a_key_is_what_it_means_and_models_split_apart():
    noon = datetime(2024, 3, 1, 12, tzinfo=timezone(timedelta(hours=2)))
    assert position("late", [noon, 3.0]) == position("late", [datetime(2024, 3, 1, 10), 3])
    assert position("late", ["3"]) != position("late", [3])
    assert position("late", ["a", "b"]) != position("late", ["a,b"])
    assert position("late", [2**70, None]) != position("mood", [2**70, None])
    both = sum(is_canary("late", key, 0.5) and is_canary("mood", key, 0.5) for key in KEYS)
    assert binomtest(both, len(KEYS), 0.25).pvalue > 0.001


def test_a_full_shadow_drops_and_never_waits():
    go, did = threading.Event(), []

    def work(job):
        go.wait(10)
        did.append(job)

    shadow = Shadow(work, capacity=3)
    assert shadow.put(0)
    while shadow.waiting:
        time.sleep(0.001)
    assert [shadow.put(job) for job in range(1, 6)] == [True, True, True, False, False]
    assert (shadow.dropped, did) == (2, [])
    go.set()
    shadow.close()
    assert (did, shadow.done, shadow.dropped) == ([0, 1, 2, 3], 4, 2)
    assert not shadow.put(6)
    assert (did, shadow.dropped) == ([0, 1, 2, 3], 3)


def test_what_a_shadow_raises_is_counted_and_it_goes_on(caplog):
    did = []

    def work(job):
        if job % 2:
            raise ValueError(f"no row {job}")
        did.append(job)

    shadow = Shadow(work)
    for job in range(6):
        shadow.put(job)
    shadow.close()
    assert (did, shadow.done, shadow.failed, shadow.dropped) == ([0, 2, 4], 3, 3, 0)
    assert [one.getMessage() for one in caplog.records] == [
        "the shadow failed, 1 times so far",
        "the shadow failed, 2 times so far",
    ]


def test_a_shadow_that_hangs_is_left_behind():
    go = threading.Event()
    shadow = Shadow(lambda _: go.wait(10), capacity=5)
    for job in range(4):
        shadow.put(job)
    while shadow.waiting > 3:
        time.sleep(0.001)
    shadow.close(timeout=0.05)
    assert shadow.dropped == 3
    go.set()


@pytest.fixture
def known(registry, rows):
    """Every version that can be loaded says what it said when it was registered."""
    for key, model in registry.versions.items():
        if not isinstance(model, Exception):
            registry.versions[key] = dataclasses.replace(model, known=known_answers(model, rows.head(5)))
    return registry


def with_scores(model, change):
    scores = tuple(change(score) for score in model.known.scores)
    return dataclasses.replace(model, known=model.known.model_copy(update={"scores": scores}))


@pytest.mark.parametrize("name", ["late", "hours", "mood"])
def test_a_version_that_says_what_it_said_takes_over(known, name):
    assert Champions(known, [name]).find(name).version == "1"


@pytest.mark.parametrize("name", ["late", "hours", "mood"])
def test_a_version_that_says_something_else_is_refused(known, name):
    champions = Champions(known, [name])
    moved = (lambda score: tuple(score[::-1])) if name == "mood" else (lambda score: score + 0.001)
    known.versions[name, "2"] = with_scores(known.versions[name, "1"], moved)
    known.champions[name] = "2"
    assert champions.refresh() == []
    assert champions.find(name).version == "1"
    assert "its input example is answered with" in champions.refused[name, "2"]
    assert champions.refresh() == [], "what was refused is not loaded again"
    with pytest.raises(ValueError, match="row 0 of its input example is answered with"):
        Champions(known, [name])


def test_a_version_with_the_vocabulary_of_another_is_refused(known, other):
    """Right files of the wrong training: every row is answered, with a plausible number."""
    champions = Champions(known, ["late"])
    known.versions["late", "2"] = dataclasses.replace(other, known=known.versions["late", "1"].known)
    known.champions["late"] = "2"
    assert champions.refresh() == []
    assert champions.find("late").version == "1"


def test_known_answers_hold_what_a_request_would_give(models, rows):
    model = models["late"]
    odd = rows.head(4).with_columns(
        km=pl.Series([float("nan"), None, 3.25, 4.0]),
        courier=pl.Series(["bob", None, "new", "ann"]).cast(pl.Categorical),
    )
    known = known_answers(model, odd)
    assert [row["km"] for row in known.rows] == [None, None, 3.25, 4.0]
    assert [row["courier"] for row in known.rows] == ["bob", None, "new", "ann"]
    assert list(known.scores) == predict(model, odd).tolist()
    read = KnownAnswers.model_validate_json(known.model_dump_json())
    assert read == known
    assert [type(row["express"]) for row in read.rows] == [bool] * 4
    matrix = Predictor(model).encode_rows(read.rows)
    assert Predictor(model).predict(matrix)["score"] == pytest.approx(list(known.scores), abs=1e-6)


def test_the_challenger_is_loaded_only_where_it_is_tried(known):
    known.challengers["late"] = "2"
    assert Champions(known, ["late", "mood"]).challenger("late") is None
    champions = Champions(known, ["late", "mood"], tried=["late", "mood"])
    assert champions.challenger("late").version == "2"
    assert champions.challenger("mood") is None


def test_challengers_come_go_and_are_promoted(known):
    champions = Champions(known, ["late"], tried=["late"])
    known.challengers["late"] = "2"
    assert champions.refresh() == []
    tried = champions.challenger("late")
    assert (champions.find("late").version, tried.version) == ("1", "2")
    known.champions["late"] = "2"
    assert champions.refresh() == [tried], "what was tried is not loaded again"
    assert (champions.find("late"), champions.challenger("late")) == (tried, None), (
        "a version is not its own challenger"
    )
    known.challengers["late"] = "1"
    champions.refresh()
    assert champions.challenger("late").version == "1"
    del known.challengers["late"]
    champions.refresh()
    assert champions.challenger("late") is None


def test_a_challenger_that_is_refused_leaves_none(known):
    known.challengers["late"] = "2"
    champions = Champions(known, ["late"], tried=["late"])
    known.challengers["late"] = "3"
    champions.refresh()
    assert champions.challenger("late") is None, "nobody asks for the one before any more"
    assert champions.refused == {("late", "3"): "files are broken"}
    assert champions.find("late").version == "1"


def test_a_registry_out_of_reach_keeps_challenger_and_champion(known, monkeypatch):
    known.challengers["late"] = "2"
    champions = Champions(known, ["late", "mood"], tried=["late"])

    def unreachable(name):
        raise RuntimeError(f"no answer about {name}")

    monkeypatch.setattr(known, "challenger", unreachable)
    known.versions["mood", "2"] = known.versions["mood", "1"]
    known.champions["mood"] = "2"
    assert [one.name for one in champions.refresh()] == ["mood"]
    assert champions.challenger("late").version == "2"
