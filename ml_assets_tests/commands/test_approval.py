"""Who waits for approval is told: by status, and by a notice to the owners."""

from datetime import UTC, datetime
from types import SimpleNamespace

import pytest

from ml_assets.automation.sensors.retraining import promotion_notices
from ml_assets.commands.lifecycle.status import next_step
from ml_assets.lake import Lake
from ml_assets.registry.decisions import Decisions
from ml_assets.training.promotion.approval import ask_for_approval
from ml_assets.training.promotion.records import PromotionDecision


class Registry:
    """Nothing serves, and nothing was carried out."""

    def __init__(self):
        self.serves, self.carried_out = None, None

    def champion(self, _):
        return None if self.serves is None else SimpleNamespace(version=self.serves)

    def challenger(self, _):
        return None

    def run_of(self, _, version):
        return f"run{version}"

    def settled(self, _):
        return self.carried_out

    def settle(self, _, decision):
        self.carried_out = decision

    def promote(self, _, version, **__):
        self.serves = version


@pytest.fixture
def lake(tmp_path):
    return Lake(str(tmp_path / "lake"))


@pytest.fixture
def decisions(lake):
    decisions = Decisions(lake, Registry(), "m")
    decision = PromotionDecision(
        model="m", challenger="1", champion=None, promote=True, rule="first_champion", reason="It beats the baseline.",
        evidence=(),
    )  # fmt: skip
    now = datetime(2024, 5, 1, tzinfo=UTC)
    decisions.add(ask_for_approval(decision), run_id="run1", as_of="2024-05-01T00:00:00+00:00", decided_at=now)
    return decisions


def test_the_next_step_of_a_model_is_to_answer(decisions):
    step = next_step(False, decisions.waiting(), None, SimpleNamespace())
    assert step == "version 1 waits for approval: `ml-assets approve m 1 --by NAME` or `refuse`"
    assert next_step(False, None, None, SimpleNamespace()) == "train a first champion"


@pytest.mark.parametrize(("approve", "outcome"), [(True, "promoted"), (False, "refused")])
def test_notices_name_the_owners_of_who_waits_and_say_how_it_was_answered(decisions, lake, approve, outcome):
    model = SimpleNamespace(name="m", owners=["team:shop", "ann@example.com"])
    ((_, waits),) = promotion_notices(lake, model)
    assert (waits.subject, waits.text) == (
        "m: version 1 waits for approval", "Version 1 waits for approval. Once approved: It beats the baseline.",
    )  # fmt: skip
    assert waits.facts["owners"] == "team:shop, ann@example.com"
    assert waits.facts["approve"] == "ml-assets approve m 1 --by NAME"
    decisions.answer("1", approve=approve, by="Ann", because=None, decided_at=datetime(2024, 5, 2, tzinfo=UTC))
    (before, _), (after, answered) = promotion_notices(lake, model)
    assert answered.subject == f"m: version 1 {outcome}"
    assert before != after
