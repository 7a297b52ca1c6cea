"""A decision on the champion and what comes of it: whatever is killed, they agree in the end."""

from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from types import SimpleNamespace

import pytest

from ml_assets.commands.lifecycle import roll_back
from ml_assets.home import Home
from ml_assets.lake import Lake
from ml_assets.modelling.promotion import answer_challenger
from ml_assets.registry.decisions import Decisions, read_decisions
from ml_assets.registry.registry import Registry
from ml_assets.registry.store.quiet_mlflow import import_mlflow
from ml_assets.training.promotion.approval import ask_for_approval
from ml_assets.training.promotion.records import (
    LATENCY,
    OVERTAKEN,
    PromotionDecision,
    PromotionEvidence,
    PromotionRecord,
    roll_back_decision,
)

pytestmark = pytest.mark.slow

MOMENT, NOW = "2024-05-01T00:00:00+00:00", datetime(2024, 5, 2, tzinfo=UTC)


NUMBERS = count()


class Killed(BaseException):
    """Ends what is going on, as a kill does: nothing catches it."""


WRITES = ("set_model_version_tag", "set_registered_model_alias", "delete_registered_model_alias")
WRITES += ("set_registered_model_tag",)


@pytest.fixture
def kill_before(monkeypatch):
    """Lets the n-th write, to lake or registry, be the last moment of a process; returns how many there were."""

    def arrange(number):
        client, counted = import_mlflow().MlflowClient, []

        def counting(write):
            def counted_write(*arguments, **named):
                counted.append(write)
                if len(counted) == number:
                    raise Killed
                return write(*arguments, **named)

            return counted_write

        for name in WRITES:
            monkeypatch.setattr(client, name, counting(getattr(client, name)))
        monkeypatch.setattr(Lake, "append", counting(Lake.append))
        return counted

    return arrange


@pytest.fixture(scope="module")
def registry(tmp_path_factory):
    folder = tmp_path_factory.mktemp("registry")
    return Registry(f"sqlite:///{folder}/mlflow.db", f"{folder}/models", "training")


@pytest.fixture
def world(registry, tmp_path):
    """A lake, and a model with three versions of which the first serves by decision, the second asks to."""
    name, client = f"model_{next(NUMBERS)}", registry._client
    client.create_registered_model(name)
    for _ in range(3):
        run = client.create_run(registry.experiment_id)
        client.create_model_version(name, f"{tmp_path}/{run.info.run_id}", run_id=run.info.run_id)
    registry.set_alias(name, "challenger", "2")
    lake = Lake(str(tmp_path / "lake"))
    decide(lake, registry, name, "1", None)
    return lake, registry, name


def decision(name, challenger, champion, *, promote=True, rule="no_worse_than_champion"):
    found = PromotionEvidence(name="roc_auc", observed=0.7, threshold=0.6, passed=True, source="holdout")
    return PromotionDecision(
        model=name, challenger=challenger, champion=champion, promote=promote, rule=rule, reason="so", evidence=(found,)
    )


def decide(lake, registry, name, challenger, champion, *, basis="b", **more):
    """What the asset does: the decision that stands, or a new one."""
    decisions, version = Decisions(lake, registry, name), registry.version(name, challenger)
    decisions.settle()
    return decisions.standing(version, MOMENT, basis) or decisions.add(
        decision(name, challenger, champion, **more), run_id=version.run_id, as_of=MOMENT, basis=basis, decided_at=NOW
    )


def champion_of(registry, name):
    return registry.champion(name) and registry.champion(name).version


@pytest.mark.parametrize("number", range(1, 6))
@pytest.mark.parametrize("looks_next", ["the same again", "somebody else"])
def test_a_promotion_that_is_killed_is_whole_after_the_next_look(world, kill_before, monkeypatch, number, looks_next):
    lake, registry, name = world
    kill_before(number)
    with pytest.raises(Killed):
        decide(lake, registry, name, "2", "1")
    monkeypatch.undo()
    if looks_next == "somebody else":
        Decisions(lake, registry, name).settle()
        decided = len(read_decisions(lake, name)) == 2
        assert champion_of(registry, name) == ("2" if decided else "1")
    decide(lake, registry, name, "2", champion_of(registry, name))
    (_, made) = read_decisions(lake, name)
    assert (made.challenger, made.champion, made.promote, made.rule) == ("2", "1", True, "no_worse_than_champion")
    assert champion_of(registry, name) == "2"
    assert registry.version(name, "2").tags["replaced"] == "1"
    assert registry.challenger(name) is None
    assert registry.settled(name) == made.id


def test_five_writes_make_a_promotion(world, kill_before):
    # So the numbers above are all the moments there are, but for the one after the last write.
    lake, registry, name = world
    counted = kill_before(0)
    decide(lake, registry, name, "2", "1")
    assert len(counted) == 5


@pytest.mark.parametrize("number", range(1, 5))
def test_a_roll_back_that_is_killed_is_whole_after_the_next_look(world, kill_before, monkeypatch, number):
    lake, registry, name = world
    decide(lake, registry, name, "2", "1")
    back = roll_back_decision(name, served="2", serves="1", as_of=datetime.fromisoformat(MOMENT))
    run = registry.version(name, "1").run_id
    kill_before(number)
    with pytest.raises(Killed):
        Decisions(lake, registry, name).add(back, run_id=run, as_of=MOMENT, decided_at=NOW)
    monkeypatch.undo()
    Decisions(lake, registry, name).settle()
    rolled_back = read_decisions(lake, name)[-1].rule == "rolled_back"
    assert rolled_back == (number > 1)
    assert champion_of(registry, name) == ("1" if rolled_back else "2")
    assert (registry.rolled_back_at(name) is not None) == rolled_back


def test_a_decision_made_again_is_the_one_that_was_made(world):
    lake, registry, name = world
    first = decide(lake, registry, name, "2", "1")
    version = lake.version(f"{name}/champion")
    assert decide(lake, registry, name, "2", None, rule="first_champion") == first
    assert lake.version(f"{name}/champion") == version


def test_a_promotion_made_again_after_a_roll_back_leaves_who_serves(world):
    lake, registry, name = world
    first = decide(lake, registry, name, "2", "1")
    back = roll_back_decision(name, served="2", serves="1", as_of=datetime.fromisoformat(MOMENT))
    run = registry.version(name, "1").run_id
    Decisions(lake, registry, name).add(back, run_id=run, as_of=MOMENT, decided_at=NOW)
    assert decide(lake, registry, name, "2", "1") == first
    assert champion_of(registry, name) == "1"
    assert [one.rule for one in read_decisions(lake, name)][2:] == ["rolled_back"]


@pytest.mark.parametrize(
    ("rule", "basis", "stands"), [("floors", "b", True), ("floors", "other floors", False), (LATENCY, "b", False)]
)
def test_a_refusal_stands_while_what_it_rests_on_is_the_same(world, rule, basis, stands):
    lake, registry, name = world
    refused = decide(lake, registry, name, "2", "1", promote=False, rule=rule)
    again = decide(lake, registry, name, "2", "1", basis=basis)
    assert (again == refused) == stands
    assert champion_of(registry, name) == ("1" if stands else "2")
    # The refusal is on record either way.
    assert read_decisions(lake, name)[1] == refused


def test_nobody_is_replaced_who_was_not_compared_with(world, kill_before, monkeypatch):
    lake, registry, name = world
    kill_before(2)
    with pytest.raises(Killed):
        decide(lake, registry, name, "2", "1")
    monkeypatch.undo()
    registry.set_alias(name, "champion", "3")
    Decisions(lake, registry, name).settle()
    last = read_decisions(lake, name)[-1]
    assert (last.rule, last.promote, champion_of(registry, name)) == (OVERTAKEN, False, "3")
    assert last.reason == "Version 2 was to follow version 1, but version 3 serves by now: decide again."
    assert decide(lake, registry, name, "2", "3").champion == "3"
    assert champion_of(registry, name) == "2"


def test_a_registry_that_was_lost_promotes_nothing_unseen(world, tmp_path):
    lake, _, name = world
    other = Registry(f"sqlite:///{tmp_path}/new.db", f"{tmp_path}/new", "training")
    Decisions(lake, other, name).settle()
    assert read_decisions(lake, name)[-1].reason == "Version 1 is no longer in the registry: train again."
    other._client.create_registered_model(name)
    run = other._client.create_run(other.experiment_id)
    other._client.create_model_version(name, str(tmp_path), run_id=run.info.run_id)
    assert Decisions(lake, other, name).standing(other.version(name, "1"), MOMENT, "b") is None


def test_a_decision_from_before_there_were_identities_stands_and_is_left_alone(world):
    lake, registry, name = world
    old = {**decision(name, "2", "1").model_dump(), "evidence": []}
    record = PromotionRecord.model_validate(old)
    assert record.id == ""
    Decisions(lake, registry, name)._write(record)
    Decisions(lake, registry, name).settle()
    assert champion_of(registry, name) == "1"
    assert Decisions(lake, registry, name).standing(registry.version(name, "2"), MOMENT, "b") == record


def test_a_refusal_is_made_again_when_another_champion_serves(world):
    lake, registry, name = world
    decide(lake, registry, name, "2", "1")
    decide(lake, registry, name, "3", "2", promote=False)
    back = roll_back_decision(name, served="2", serves="1", as_of=datetime.fromisoformat(MOMENT))
    run = registry.version(name, "1").run_id
    Decisions(lake, registry, name).add(back, run_id=run, as_of=MOMENT, decided_at=NOW)
    decisions, third = Decisions(lake, registry, name), registry.version(name, "3")
    assert decisions.standing(third, MOMENT, "b") is None
    decide(lake, registry, name, "3", "1", promote=False)
    assert decisions.standing(third, MOMENT, "b").champion == "1"


def test_a_promotion_is_carried_out_though_a_refusal_was_written_after_it(world, kill_before, monkeypatch):
    lake, registry, name = world
    kill_before(2)
    with pytest.raises(Killed):
        decide(lake, registry, name, "2", "1")
    monkeypatch.undo()
    assert champion_of(registry, name) == "1"
    third = registry.version(name, "3")
    refused = Decisions(lake, registry, name).add(
        decision(name, "3", "1", promote=False), run_id=third.run_id, as_of=MOMENT, decided_at=NOW
    )
    assert (refused.challenger, refused.promote) == ("3", False)
    assert champion_of(registry, name) == "2"


@pytest.mark.parametrize("number", range(1, 5))
@pytest.mark.parametrize("to", [None, "2"])
def test_a_roll_back_that_is_killed_and_typed_again_goes_back_once(world, kill_before, monkeypatch, number, to):
    lake, registry, name = world
    decide(lake, registry, name, "2", "1")
    decide(lake, registry, name, "3", "2")
    home = Home(Path(), lake.root, "")
    monkeypatch.setattr(roll_back, "read_decisions", lambda *_: [SimpleNamespace(as_of=MOMENT)])
    kill_before(number)
    with pytest.raises(Killed):
        roll_back.roll_back(home, registry, name, to, NOW)
    monkeypatch.undo()
    monkeypatch.setattr(roll_back, "read_decisions", lambda *_: [SimpleNamespace(as_of=MOMENT)])
    notice = roll_back.roll_back(home, registry, name, to, NOW)
    assert notice.headline == f"{name}: version 2 serves again instead of version 3, from 2024-05-01 on"
    assert champion_of(registry, name) == "2"
    assert [one.rule for one in read_decisions(lake, name)].count("rolled_back") == 1
    if to is None:
        roll_back.roll_back(home, registry, name, to, NOW)
        assert champion_of(registry, name) == "1"


@pytest.mark.parametrize("number", [1, 3])
def test_an_approval_that_is_killed_is_whole_after_the_next_look_or_was_never_given(
    world, kill_before, monkeypatch, number
):
    lake, registry, name = world
    decisions, version = Decisions(lake, registry, name), registry.version(name, "2")
    waits = ask_for_approval(decision(name, "2", "1"))
    decisions.add(waits, run_id=version.run_id, as_of=MOMENT, basis="b", decided_at=NOW)
    assert champion_of(registry, name) == "1"

    def approve():
        answer_challenger(lake, registry, name, "2", approve=True, by="Ann", because=None, decided_at=NOW)

    kill_before(number)
    with pytest.raises(Killed):
        approve()
    monkeypatch.undo()
    Decisions(lake, registry, name).settle()
    if number == 1:  # before it was written
        assert champion_of(registry, name) == "1"
        approve()
        tags = registry.version(name, "2").tags
        assert (tags["decision"], tags["decision_rule"]) == ("promote", "approved")
    assert champion_of(registry, name) == "2"
    assert [(made.rule, made.by) for made in read_decisions(lake, name)][1:] == [
        ("waits_for_approval", None), ("approved", "Ann"),
    ]  # fmt: skip
