"""What was decided about one version."""

from ml_assets.cards.card import DecisionFacts
from ml_assets.lake import Lake
from ml_assets.registry.decisions import read_decisions
from ml_assets.training.promotion.records import PromotionRecord


def read_version_decisions(lake: Lake, model: str, version: str) -> tuple[DecisionFacts, ...]:
    """Return the decisions on a version, the oldest first; those in which it only served are not among them."""
    return tuple(_facts(record) for record in read_decisions(lake, model) if record.challenger == version)


_VERDICTS = {
    "promote": "promoted",
    "keep": "kept back",
    "roll back": "rolled back to",
    "wait for approval": "waits for approval",
    "refuse": "refused",
    "overtaken": "overtaken",
}


def _facts(record: PromotionRecord) -> DecisionFacts:
    return DecisionFacts(
        decision=_VERDICTS[record.answer],
        rule=record.rule,
        reason=record.reason,
        decided_at=record.decided_at,
        champion=record.champion,
        by=record.by,
        because=record.because,
        evidence=record.evidence,
    )
