"""A challenger waits for a person: nothing else lets it serve, and what the person says is kept."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from threading import Barrier
from types import SimpleNamespace

import pytest

from ml_assets.lake import Lake
from ml_assets.modelling import promotion
from ml_assets.registry.decisions import Decisions, NotWaiting, describe_no_champion, read_decisions
from ml_assets.training.promotion.approval import answer_waiting, ask_for_approval, find_waiting
from ml_assets.training.promotion.records import (
    APPROVED,
    OVERTAKEN,
    REFUSED,
    WAITS,
    PromotionDecision,
    PromotionEvidence,
    promotion_basis,
    roll_back_decision,
)
from ml_assets.training.spec import PromotionSpec

NOW, LATER = datetime(2024, 5, 2, tzinfo=UTC), datetime(2024, 5, 3, tzinfo=UTC)
WORDS = {True: "approved", False: "refused"}
MOMENT = "2024-05-01T00:00:00+00:00"
EVIDENCE = PromotionEvidence(name="roc_auc", observed=0.7, threshold=0.6, passed=True, source="holdout")


@dataclass
class StandIn:
    """A registry in memory: which version serves, and what was noted of versions and runs."""

    serves: str | None = None
    tried: str | None = None
    carried_out: str | None = None
    notes: list = field(default_factory=list)

    def champion(self, _name):
        return None if self.serves is None else self.version(_name, self.serves)

    def challenger(self, _name):
        return None if self.tried is None else self.version(_name, self.tried)

    def delete_alias(self, _name, alias):
        assert alias == "challenger"
        self.tried = None

    def version(self, _name, version):
        return SimpleNamespace(version=version, run_id=f"run{version}")

    def run_of(self, _name, version):
        return f"run{version}"

    def settled(self, _name):
        return self.carried_out

    def settle(self, _name, decision):
        self.carried_out = decision

    def promote(self, _name, version, *, over):
        assert self.serves in (over, version)
        self.serves = version

    def serve_again(self, _name, version, *, as_of):  # noqa: ARG002
        self.serves = version

    def annotate(self, _name, version, *, description, tags):
        self.notes.append((version, description, tags))

    def resumed_run(self, run_id):
        return SimpleNamespace(set_tags=lambda tags: self.notes.append((run_id, tags)))


def promoting(challenger: str, champion: str | None) -> PromotionDecision:
    return PromotionDecision(
        model="m", challenger=challenger, champion=champion, promote=True, rule="no_worse_than_champion",
        reason=f"Version {challenger} is no worse.", evidence=(EVIDENCE,),
    )  # fmt: skip


def add(decisions: Decisions, decision: PromotionDecision):
    return decisions.add(decision, run_id=f"run{decision.challenger}", as_of=MOMENT, basis="b", decided_at=NOW)


@pytest.fixture
def registry():
    return StandIn()


@pytest.fixture
def lake(tmp_path):
    return Lake(str(tmp_path / "lake"))


@pytest.fixture
def decisions(lake, registry):
    """Version 1 serves by a rule; version 2 keeps every rule and waits."""
    decisions = Decisions(lake, registry, "m")
    add(decisions, promoting("1", None))
    add(decisions, ask_for_approval(promoting("2", "1")))
    return decisions


def test_who_waits_does_not_serve_and_says_on_what_evidence(decisions, registry):
    waiting = decisions.waiting()
    assert (waiting.challenger, waiting.champion, waiting.promote, waiting.rule) == ("2", "1", False, WAITS)
    assert waiting.evidence == (EVIDENCE,)
    assert waiting.reason == "Version 2 waits for approval. Once approved: Version 2 is no worse."
    decisions.settle()
    assert (registry.serves, decisions.serving_version()) == ("1", "1")


def test_a_refusal_by_a_rule_asks_nobody():
    kept = promoting("2", "1").model_copy(update={"promote": False, "rule": "floors"})
    assert ask_for_approval(kept) is kept


def test_approved_it_serves_and_the_record_keeps_who_when_and_why(decisions, lake, registry):
    made = decisions.answer("2", approve=True, by=" Ann ", because=" looks right ", decided_at=LATER)
    assert registry.serves == "2"
    assert made == read_decisions(lake, "m")[-1]
    assert (made.rule, made.promote, made.by, made.because, made.decided_at) == (
        APPROVED, True, "Ann", "looks right", LATER,
    )  # fmt: skip
    assert (made.evidence, made.run_id, made.as_of, made.basis) == ((EVIDENCE,), "run2", MOMENT, "b")
    assert made.reason == "Version 2 was approved by Ann (looks right): it serves from now on."
    assert decisions.waiting() is None
    assert decisions.standing(registry.version("m", "2"), MOMENT, "other basis") == made


def test_refused_it_never_serves_whatever_the_declaration_says_later(decisions, registry):
    made = decisions.answer("2", approve=False, by="Ann", because=None, decided_at=LATER)
    assert (made.rule, made.because, made.answer) == (REFUSED, None, "refuse")
    assert made.reason == "Version 2 was refused by Ann: version 1 stays champion."
    assert registry.serves == "1"
    assert decisions.standing(registry.version("m", "2"), MOMENT, "other basis") == made
    with pytest.raises(NotWaiting, match="version 2 of m does not wait for approval; the last decision on it: Vers"):
        decisions.answer("2", approve=True, by="Bob", because=None, decided_at=LATER)
    assert registry.serves == "1"


def test_refused_it_answers_no_requests_as_a_challenger_either(decisions, registry, monkeypatch):
    registry.tried = "2"
    decisions.settle()
    assert registry.tried == "2"
    monkeypatch.setattr(registry, "delete_alias", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt), raising=False)
    with pytest.raises(KeyboardInterrupt):
        decisions.answer("2", approve=False, by="Ann", because=None, decided_at=LATER)
    monkeypatch.undo()
    decisions.settle()  # what was killed is made up for
    assert registry.tried is None
    registry.tried = "3"
    decisions.settle()
    assert registry.tried == "3"


def test_it_waits_again_once_the_champion_that_it_was_compared_with_serves_again(decisions, registry):
    version = registry.version("m", "2")
    add(decisions, promoting("4", "1"))
    assert decisions.standing(version, MOMENT, "b") is None
    add(decisions, roll_back_decision("m", served="4", serves="1", as_of=NOW))
    assert (registry.serves, decisions.waiting()) == ("1", None)
    assert decisions.standing(version, MOMENT, "b") is None
    add(decisions, ask_for_approval(promoting("2", "1")))
    assert decisions.standing(version, MOMENT, "b") == decisions.waiting()


def test_waiting_stands_on_the_same_evidence_and_is_decided_anew_on_other(decisions, registry):
    version = registry.version("m", "2")
    assert decisions.standing(version, MOMENT, "b").rule == WAITS
    assert decisions.standing(version, MOMENT, "c") is None


@pytest.mark.parametrize(("first", "then"), [(True, False), (False, True), (True, True)])
def test_of_two_who_answer_at_the_same_moment_one_is_heard(decisions, lake, registry, monkeypatch, first, then):
    def while_bob_decides(*args, **kwargs):
        monkeypatch.undo()
        Decisions(lake, registry, "m").answer("2", approve=first, by="Ann", because=None, decided_at=LATER)
        return answer_waiting(*args, **kwargs)

    monkeypatch.setattr("ml_assets.registry.decisions.answer_waiting", while_bob_decides)
    with pytest.raises(NotWaiting, match=f"the last decision on it: Version 2 was {WORDS[first]} by Ann: "):
        decisions.answer("2", approve=then, by="Bob", because=None, decided_at=LATER)
    assert [each.by for each in read_decisions(lake, "m") if each.by] == ["Ann"]
    assert registry.serves == ("2" if first else "1")


def test_a_double_click_writes_one_record(decisions, lake, registry):
    both = Barrier(2)

    def click(_):
        both.wait()
        try:
            return decisions.answer("2", approve=True, by="Ann", because=None, decided_at=LATER).by
        except NotWaiting as error:
            return str(error)

    with ThreadPoolExecutor(2) as clicks:
        heard = sorted(clicks.map(click, range(2)))
    assert heard[0] == "Ann"
    assert "Version 2 was approved by Ann" in heard[1]
    assert [each.by for each in read_decisions(lake, "m") if each.by] == ["Ann"]
    assert registry.serves == "2"


def test_a_second_challenger_is_answered_after_the_first(decisions, lake):
    decisions.answer("2", approve=False, by="Ann", because=None, decided_at=LATER)
    add(decisions, ask_for_approval(promoting("3", "1")))
    decisions.answer("3", approve=True, by="Bob", because=None, decided_at=LATER)
    assert [each.by for each in read_decisions(lake, "m") if each.by] == ["Ann", "Bob"]


def test_a_newer_challenger_takes_the_place_of_one_that_waits(decisions, registry):
    add(decisions, ask_for_approval(promoting("3", "1")))
    with pytest.raises(NotWaiting, match=r"version 2 of m does not wait .* Version 3 waits$"):
        decisions.answer("2", approve=True, by="Ann", because=None, decided_at=LATER)
    decisions.answer("3", approve=True, by="Ann", because=None, decided_at=LATER)
    assert registry.serves == "3"


def test_a_newer_challenger_that_a_rule_refuses_leaves_the_one_that_waits(decisions):
    refused = promoting("3", "1").model_copy(update={"promote": False, "rule": "floors"})
    add(decisions, refused)
    assert decisions.waiting().challenger == "2"


def test_nobody_waits_once_another_version_serves(decisions, registry):
    add(decisions, promoting("4", "1"))
    assert registry.serves == "4"
    assert decisions.waiting() is None


def test_what_was_moved_by_hand_in_the_registry_is_not_overruled(decisions, lake, registry):
    registry.serves = "7"
    with pytest.raises(NotWaiting, match="Version 2 was to follow version 1, but version 7 serves by now"):
        decisions.answer("2", approve=True, by="Ann", because=None, decided_at=LATER)
    assert registry.serves == "7"
    assert read_decisions(lake, "m")[-1].rule == OVERTAKEN
    assert decisions.waiting() is None


@pytest.mark.parametrize("by", ["", "  "])
def test_somebody_is_to_be_named(decisions, lake, by):
    before = read_decisions(lake, "m")
    with pytest.raises(ValueError, match="nobody is named: say who approves version 2"):
        decisions.answer("2", approve=True, by=by, because=None, decided_at=LATER)
    assert read_decisions(lake, "m") == before


def test_a_killed_approval_is_carried_out_later(decisions, registry, monkeypatch):
    monkeypatch.setattr(registry, "promote", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt), raising=False)
    with pytest.raises(KeyboardInterrupt):
        decisions.answer("2", approve=True, by="Ann", because=None, decided_at=LATER)
    monkeypatch.undo()
    assert registry.serves == "1"
    decisions.settle()
    assert registry.serves == "2"


def test_a_roll_back_is_no_way_around_approval(decisions, registry):
    with pytest.raises(ValueError, match="version 2 of m has never served, and persons approve what does: Version 2 w"):
        decisions.check_roll_back("2")
    with pytest.raises(ValueError, match=r"version 5 of m has never served.*nothing was decided about it"):
        decisions.check_roll_back("5")
    decisions.answer("2", approve=True, by="Ann", because=None, decided_at=LATER)
    decisions.check_roll_back("1")
    add(decisions, roll_back_decision("m", served="2", serves="1", as_of=NOW))
    assert registry.serves == "1"
    decisions.check_roll_back("2")


def test_an_approval_that_came_too_late_is_no_service(decisions, registry):
    registry.serves = "7"
    with pytest.raises(NotWaiting, match="decide again"):
        decisions.answer("2", approve=True, by="Ann", because=None, decided_at=LATER)
    with pytest.raises(ValueError, match="version 2 of m has never served"):
        decisions.check_roll_back("2")


def test_without_approval_a_roll_back_is_free(lake, registry):
    decisions = Decisions(lake, registry, "m")
    add(decisions, promoting("1", None))
    decisions.check_roll_back("5")


def test_a_first_champion_waits_too_and_what_needs_it_says_so(lake, registry):
    decisions = Decisions(lake, registry, "m")
    assert describe_no_champion(lake, "m") == "model m has no champion yet: materialize m/champion first"
    add(decisions, ask_for_approval(promoting("1", None)))
    assert describe_no_champion(lake, "m") == (
        "model m has no champion yet: version 1 waits for approval, give `ml-assets approve m 1 --by NAME`"
    )
    assert registry.serves is None
    decisions.answer("1", approve=True, by="Ann", because=None, decided_at=LATER)
    assert registry.serves == "1"


@pytest.mark.parametrize(("approve", "rule", "serves"), [(True, WAITS, None), (False, "first_champion", "1")])
def test_the_declaration_decides_whether_a_person_is_asked(lake, registry, monkeypatch, approve, rule, serves):
    answer = promoting("1", None).model_copy(update={"rule": "first_champion"})
    monkeypatch.setattr(promotion, "_measured", lambda *_: SimpleNamespace(basis=lambda _: []))
    monkeypatch.setattr(promotion, "_decide", lambda *_: answer)
    model = SimpleNamespace(spec=SimpleNamespace(name="m", promotion=PromotionSpec(approve=approve)))
    trained = SimpleNamespace(version="1", run_id="run1", as_of=MOMENT)
    made = promotion.decide_on_challenger(lake, registry, model, trained, NOW)
    assert (made.rule, registry.serves) == (rule, serves)
    again = promotion.decide_on_challenger(lake, registry, model, trained, LATER)
    assert again == made
    if approve:
        promotion.answer_challenger(
            lake, registry, "m", "1", approve=True, by="Ann", because=None, decided_at=LATER
        )  # fmt: skip
        assert registry.serves == "1"
        assert registry.notes[-2][2] == {"decision": "promote", "decision_rule": APPROVED}
        assert registry.notes[-1] == ("run1", {"decision": "promote", "version": "1"})


@pytest.mark.usefixtures("decisions")
def test_the_newest_that_waits_is_read_from_the_records(lake):
    records = read_decisions(lake, "m")
    assert find_waiting(records[:1]) is None
    assert find_waiting(records) == records[-1]


def test_rules_without_approval_are_digested_as_before_there_was_any():
    # The digest of the rules as a version without approval wrote them.
    before = {"metric": "roc_auc", "confidence": 0.95, "margin": 0.0, "resamples": 1000, "accept_over": None}
    assert PromotionSpec().model_dump() == before
    assert promotion_basis(PromotionSpec()) != promotion_basis(PromotionSpec(approve=True))
