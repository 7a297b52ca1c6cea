"""Decisions on promotions, and how they are stored."""

import hashlib
import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

ROLLED_BACK, OVERTAKEN = "rolled_back", "overtaken"
"""Rules of decisions that no evidence settled."""

WAITS, APPROVED, REFUSED = "waits_for_approval", "approved", "refused"
"""Rules of decisions that a person settles, on the evidence that the challenger waits with."""

FLOORS, FAIRNESS, BASELINE, FIRST, COMPARABLE, CHAMPION, SKEW, LATENCY = (
    "floors",
    "fairness",
    "better_than_baseline",
    "first_champion",
    "comparable_with_champion",
    "no_worse_than_champion",
    "serving_skew",
    "latency",
)


class PromotionEvidence(BaseModel):
    """One measured value and what was demanded of it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(description="What was measured.")
    observed: float = Field(description="Its value.")
    threshold: float = Field(description="The limit it is held against.")
    passed: bool = Field(description="Whether it keeps the limit.")
    source: str = Field(description="Where the value comes from and how the limit is read.")


class PromotionDecision(BaseModel):
    """Promote or keep, with everything the decision rests on."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str = Field(description="Registered model.")
    challenger: str = Field(description="Version that asks to serve.")
    champion: str | None = Field(description="Version that serves; null if there is none.")
    promote: bool = Field(description="Whether the challenger becomes champion.")
    rule: str = Field(description="The rule that settled it.")
    reason: str = Field(description="The decision in plain words.")
    evidence: tuple[PromotionEvidence, ...] = Field(
        description="Every value that was looked at, in the order of the rules."
    )


class PromotionRecord(PromotionDecision):
    """A decision as it is stored, once and for all. A roll-back is one too: it has no evidence but a reason."""

    id: str = Field(default="", description="Identity; empty in decisions from before there were any.")
    run_id: str = Field(default="", description="MLflow run that trained the challenger.")
    as_of: str = Field(default="", description="Cut-off of the challenger's training, or of a roll-back, ISO 8601.")
    basis: str = Field(
        default="", description="Digest of the measured values and the declared rules that the decision rests on."
    )
    decided_at: datetime | None = Field(
        default=None, description="When the run that decided began, or a person decided, UTC."
    )
    by: str | None = Field(default=None, description="Who approved or refused; null where a rule decided.")
    because: str | None = Field(default=None, description="Why, in their words; null where they gave no reason.")

    @property
    def answer(self) -> str:
        """What was decided: promote, keep, roll back, wait for approval, refuse; overtaken where it came too late."""
        return ANSWERS.get(self.rule, "promote" if self.promote else "keep")


ANSWERS = {ROLLED_BACK: "roll back", WAITS: "wait for approval", REFUSED: "refuse", OVERTAKEN: "overtaken"}
"""Rule -> what was decided, of rules that say more than promote or keep."""


def record_promotion(
    decision: PromotionDecision,
    *,
    run_id: str,
    as_of: str,
    basis: str,
    decided_at: datetime,
    by: str | None = None,
    because: str | None = None,
) -> PromotionRecord:
    """Make the record of a decision, identified by a digest of all that it states, what it rests on, and the run or the
    person that decided."""
    person = [] if by is None else [by, because or ""]
    content = "\n".join([run_id, as_of, basis, decided_at.isoformat(), decision.model_dump_json(), *person])
    return PromotionRecord(
        id=hashlib.sha256(content.encode()).hexdigest()[:16],
        run_id=run_id,
        as_of=as_of,
        basis=basis,
        decided_at=decided_at,
        by=by,
        because=because,
        **decision.model_dump(),
    )


def promotion_basis(*grounds: BaseModel | Mapping[str, Any] | None) -> str:
    """Return the digest of what a decision rests on: while it is the same, the decision stands."""
    texts = [
        each.model_dump_json() if isinstance(each, BaseModel) else json.dumps(each, sort_keys=True) for each in grounds
    ]
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()[:16]


def roll_back_decision(model: str, *, served: str, serves: str, as_of: datetime) -> PromotionDecision:
    """Record that an earlier version serves again, from ``as_of`` on."""
    return PromotionDecision(
        model=model,
        challenger=serves,
        champion=served,
        promote=True,
        rule=ROLLED_BACK,
        reason=f"Version {serves} serves again instead of version {served}, from {as_of:%Y-%m-%d} on.",
        evidence=(),
    )


def overtaken(decision: PromotionRecord, reason: str) -> PromotionDecision:
    """Record that a decision cannot be carried out any more."""
    return PromotionDecision(
        model=decision.model,
        challenger=decision.challenger,
        champion=decision.champion,
        promote=False,
        rule=OVERTAKEN,
        reason=reason,
        evidence=(),
    )
