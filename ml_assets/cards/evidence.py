"""The sections of a card about its life: monitoring, decisions, and how to train it again."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ml_assets.cards.document import Block, Paragraph, Points, Statement, TextTable, shown

if TYPE_CHECKING:
    from ml_assets.cards.card import DecisionFacts, ModelCard, WatchedDrop


def monitoring_blocks(card: "ModelCard") -> Iterator[Block]:
    """Yield how the version is watched, and what was measured of the drops that it predicted."""
    yield Points(card.watched) if card.watched else Paragraph("How it is watched is not recorded.")
    if card.drops:
        headings = ("drop", "metric", "value", "rows", "without label", "beyond a limit")
        yield TextTable.of(headings, [_drop(each) for each in card.drops])
    else:
        yield Paragraph("No drop that this version predicted has been measured.")
    yield Statement("What is done with what monitoring finds", card.statements.monitoring.strip() or None)


def decision_blocks(card: "ModelCard") -> Iterator[Block]:
    """Yield every decision on the version, and the evidence of the last that has any."""
    if not card.decisions:
        yield Paragraph("Nothing has been decided about this version.")
        return
    rows = [(_moment(each), each.decision, each.by or f"rule {each.rule}", _reason(each)) for each in card.decisions]
    yield TextTable.of(("decided", "decision", "by", "why"), rows)
    last = next((each for each in reversed(card.decisions) if each.evidence), None)
    if last is None:
        yield Paragraph("No evidence is recorded with these decisions.")
        return
    yield Paragraph(f"What the decision of {_moment(last)} rests on:")
    values = [(item.name, item.observed, item.threshold, item.passed, item.source) for item in last.evidence]
    yield TextTable.of(("value", "observed", "limit", "kept", "where from"), values)


def reproduction_blocks(card: "ModelCard") -> Iterator[Block]:
    """Yield code, tables, seed and command."""
    origin = card.provenance
    changed = ", with files changed since" if origin.code_changed else ""
    run = f"MLflow run {origin.run_id}" + (f", Dagster run {origin.dagster_run_id}" if origin.dagster_run_id else "")
    trained = origin.training_set_version
    lines = [
        run,
        f"code: {origin.code_commit or 'unknown'}{changed}; ml_assets {origin.platform or 'unknown'}",
        f"training set: {'not kept' if trained is None else f'version {trained} of its table'}; "
        "versions of the other tables are under Data",
        f"seed: {origin.seed}, as declared now; parameters are under Design"
        + ("" if origin.trees is None else f"; {origin.trees} boosting rounds"),
        f"command: {origin.command or 'unknown'}, at that commit, on these versions of the tables",
        f"files: {origin.location}",
    ]
    yield Points(tuple(lines))


def _drop(each: "WatchedDrop") -> tuple[object, ...]:
    interval = "" if each.low is None or each.high is None else f" [{shown(each.low)}, {shown(each.high)}]"
    value = f"{shown(each.value)}{interval}"
    return each.drop, f"{each.metric}, {each.kind}", value, each.rows, each.without_label, each.alert


def _moment(decision: "DecisionFacts") -> str:
    return "–" if decision.decided_at is None else f"{decision.decided_at:%Y-%m-%d %H:%M} UTC"


def _reason(decision: "DecisionFacts") -> str:
    return f"{decision.reason} ({decision.because})" if decision.because else decision.reason
