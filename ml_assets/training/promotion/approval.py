"""A challenger that keeps every rule waits until a person decides."""

from collections.abc import Sequence

from ml_assets.training.promotion.records import APPROVED, REFUSED, WAITS, PromotionDecision, PromotionRecord


def ask_for_approval(decision: PromotionDecision) -> PromotionDecision:
    """Turn a promotion into one that waits for a person; a refusal by a rule stays as it is."""
    if not decision.promote:
        return decision
    reason = f"Version {decision.challenger} waits for approval. Once approved: {decision.reason}"
    return decision.model_copy(update={"promote": False, "rule": WAITS, "reason": reason})


def find_waiting(decisions: Sequence[PromotionRecord]) -> PromotionRecord | None:
    """Return the decision that waits for a person; None if none does.

    The newest that waits takes the place of an older one. Whenever another version serves, what was compared with the
    one before waits no longer, and is to be decided anew.

    Args:
        decisions: all on one model, the oldest first.
    """
    waiting: PromotionRecord | None = None
    for record in decisions:
        if record.rule == WAITS:
            waiting = record
        elif record.promote or (waiting is not None and record.challenger == waiting.challenger):
            waiting = None
    return waiting


def answer_waiting(waiting: PromotionRecord, *, approve: bool, by: str, because: str | None) -> PromotionDecision:
    """Return a person's decision on a challenger that waits, with the evidence that it waited with."""
    verb = "approved" if approve else "refused"
    keeps = "no version serves" if waiting.champion is None else f"version {waiting.champion} stays champion"
    outcome = "it serves from now on" if approve else keeps
    return PromotionDecision(
        model=waiting.model,
        challenger=waiting.challenger,
        champion=waiting.champion,
        promote=approve,
        rule=APPROVED if approve else REFUSED,
        reason=f"Version {waiting.challenger} was {verb} by {by}{(because and f' ({because})') or ''}: {outcome}.",
        evidence=waiting.evidence,
    )
