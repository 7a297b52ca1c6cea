"""Whether to train again: one pure function, the same for assets, sensors and replay."""

import hashlib
from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict, Field

from ml_assets.lake import Lake
from ml_assets.lake.records import read_records
from ml_assets.retraining.causes import Cause
from ml_assets.retraining.evidence import Evidence
from ml_assets.retraining.spec import RetrainingSpec

GATE, COOLDOWN, NEW_ROWS, NONE = "gate", "cooldown", "new_rows", "nothing_breached"
NOTHING_SCORED = "nothing_scored"
CONDITIONS = (GATE, COOLDOWN, NEW_ROWS)


class Decision(BaseModel):
    """Retrain or wait, by which rule, and why in plain words."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    retrain: bool = Field(description="Whether to train again.")
    rule: str = Field(description="The kind of evidence that called for it, or the condition that settled the matter.")
    reason: str = Field(description="The decision in plain words.")


class DecisionRecord(BaseModel):
    """A decision as it is stored: about which model and drop, on which evidence."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str = Field(description="Identity: the same evidence about the same champion and drop has the same record.")
    model: str = Field(description="Registered model.")
    drop: str = Field(description="The drop that was looked at last.")
    as_of: str = Field(description="Moment the decision looked from, ISO 8601; a retraining takes it as its cut-off.")
    champion: str = Field(description="Version that serves.")
    retrain: bool = Field(description="Whether to train again.")
    rule: str = Field(description="As in Decision.")
    reason: str = Field(description="As in Decision, with cause candidates.")
    evidence: tuple[Evidence, ...] = Field(description="Everything that was looked at.")
    causes: tuple[Cause, ...] = Field(description="Features by drift times contribution, strongest first.")


def decide(evidence: Sequence[Evidence], policy: RetrainingSpec) -> Decision:
    """Apply the rules in order: never on data that failed its gate; never in the cooldown; never without enough new
    labels; else on the first breached kind of evidence that the policy counts.

    Raises:
        ValueError: a condition (gate, cooldown, new_rows) or a kind the policy counts is missing from ``evidence``.
    """
    by_kind = {item.kind: item for item in evidence}
    missing = [kind for kind in (*CONDITIONS, *policy.evidence) if kind not in by_kind]
    if missing:
        raise ValueError(f"evidence lacks {', '.join(missing)}: gather it before deciding")
    breached = [by_kind[kind] for kind in policy.evidence if by_kind[kind].breached]
    because = "; ".join(describe_evidence(item) for item in breached)
    if by_kind[GATE].breached:
        return Decision(retrain=False, rule=GATE, reason=f"wait: the drop failed its gate ({by_kind[GATE].source})")
    if not breached:
        counted = ", ".join(policy.evidence) or "none"
        silent = [kind for kind in policy.evidence if not by_kind[kind].chunks]
        unmeasured = f"; not measured, for want of rows or labels: {', '.join(silent)}" if silent else ""
        reason = f"wait: no evidence is breached (counted: {counted}{unmeasured})"
        return Decision(retrain=False, rule=NONE, reason=reason)
    for condition in (COOLDOWN, NEW_ROWS):
        if by_kind[condition].breached:
            reason = f"wait: {describe_evidence(by_kind[condition])}; there would be cause: {because}"
            return Decision(retrain=False, rule=condition, reason=reason)
    return Decision(retrain=True, rule=breached[0].kind, reason=f"retrain: {because}")


def decide_on_nothing() -> Decision:
    """Return the decision on a drop without scored rows: earlier measurements have been decided on before."""
    return Decision(retrain=False, rule=NOTHING_SCORED, reason="wait: no row of the drop was scored")


def describe_evidence(item: Evidence) -> str:
    """Describe one breached piece of evidence in words."""
    value = "unknown" if item.observed is None else f"{item.observed:.3g}"
    over = "under" if item.side == "below" else "over"
    if item.kind == COOLDOWN:
        return f"{value} days since the last training or roll-back, the cooldown is {item.threshold:g}"
    if item.kind == NEW_ROWS:
        return f"{item.observed:,.0f} rows labelled since the last training, {item.threshold:,.0f} are needed"
    if item.kind == "new_labels":
        return f"labelled rows are {value} {item.unit}, the limit is {item.threshold:g}"
    if item.kind == "age":
        return f"the champion's cut-off is {value} days old, the limit is {item.threshold:g}"
    chunks = f" in {item.breaches} of the last {item.chunks} chunks"
    return f"{item.kind} {item.unit} {value} {over} the limit {item.threshold:.3g}{chunks}"


def record_decision(
    decision: Decision,
    *,
    model: str,
    drop: str,
    as_of: str,
    champion: str,
    evidence: Sequence[Evidence],
    causes: Sequence[Cause],
) -> DecisionRecord:
    """Return the decision with its evidence; causes join the reason of a retraining that drift may explain."""
    named = ", ".join(f"{cause.feature} (PSI {cause.psi:.2f})" for cause in causes[:3])
    reason = f"{decision.reason}; cause candidates: {named}" if decision.retrain and named else decision.reason
    content = "\n".join([model, drop, as_of, champion, str(decision.retrain), *(e.model_dump_json() for e in evidence)])
    return DecisionRecord(
        id=hashlib.sha256(content.encode()).hexdigest()[:16],
        model=model,
        drop=drop,
        as_of=as_of,
        champion=champion,
        retrain=decision.retrain,
        rule=decision.rule,
        reason=reason,
        evidence=tuple(evidence),
        causes=tuple(causes),
    )


def read_decisions(lake: Lake, model: str) -> list[DecisionRecord]:
    """Return the decision that holds on every drop, oldest drop first; empty before the first.

    A drop that was decided upon again, on other evidence, keeps the decisions from before in the table.
    """
    last = {record.drop: record for record in read_records(lake, f"{model}/retrain_decision", DecisionRecord)}
    return sorted(last.values(), key=lambda record: record.as_of)
