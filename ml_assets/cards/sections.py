"""A model's card as a document: what it says, in which order, and where the law asks for it."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ml_assets.cards import law
from ml_assets.cards.document import (
    NOT_STATED,
    Block,
    Document,
    Paragraph,
    Points,
    Section,
    Statement,
    TextTable,
)
from ml_assets.cards.evidence import decision_blocks, monitoring_blocks, reproduction_blocks
from ml_assets.cards.measured import fairness_blocks, feature_blocks, metric_blocks, score_blocks, slice_blocks

if TYPE_CHECKING:
    from ml_assets.cards.card import ModelCard


def card_document(card: "ModelCard") -> Document:
    """Return the card as a document; its last section says where each point of Annex IV is answered."""
    sections = tuple(_sections(card))
    return Document(
        title=f"{card.model}, version {card.version}",
        subtitle=f"{card.description} ({card.task}, {card.kind}; {card.role})",
        sections=(*sections, _annex(sections)),
    )


def _sections(card: "ModelCard") -> Iterator[Section]:
    statements = card.statements
    yield _section("Purpose", law.PURPOSE, _purpose(card))
    yield _section("Data", law.DATA, _data(card))
    yield _section("Features", law.FEATURES, feature_blocks(card))
    yield _section("Design", law.DESIGN, _design(card))
    yield _section("Metrics", law.METRICS, metric_blocks(card))
    yield _section("Slices", law.SLICES, slice_blocks(card))
    yield _section("Scores", law.SCORES, score_blocks(card))
    yield _section("Fairness", law.FAIRNESS, fairness_blocks(card))
    yield _section("Known limits", law.LIMITS, _limits(card))
    yield _section("Risks", law.RISKS, iter([_statement("Risks and how they are managed", statements.risks)]))
    yield _section("Human oversight", law.OVERSIGHT, _oversight(card))
    security = _statement("Measures for robustness and against attacks", statements.security)
    yield _section("Robustness and cybersecurity", law.SECURITY, iter([security]))
    yield _section("Monitoring", law.MONITORING, monitoring_blocks(card))
    yield _section("Decisions", law.DECISIONS, decision_blocks(card))
    standards = _statement("Standards applied, EU declaration of conformity", statements.standards)
    yield _section("Standards and declaration of conformity", law.STANDARDS, iter([standards]))
    yield _section("How to reproduce it", law.REPRODUCTION, reproduction_blocks(card))


def _section(title: str, points: tuple[str, ...], blocks: Iterator[Block]) -> Section:
    return Section(title, points, tuple(blocks))


def _statement(name: str, text: str) -> Statement:
    return Statement(name, text.strip() or None)


def _purpose(card: "ModelCard") -> Iterator[Block]:
    statements = card.statements
    yield _statement("Purpose", statements.purpose)
    yield _statement("Intended use", statements.intended_use)
    yield _statement("Out of scope", statements.out_of_scope)
    yield _statement("Provider", statements.provider)
    yield _statement("Owners", ", ".join(card.owners))
    if card.tags:
        yield Paragraph(f"Tags: {', '.join(f'{tag}={value}' for tag, value in card.tags.items())}.")
    before = {decision.champion for decision in card.decisions if decision.champion}
    if before:
        yield Paragraph(f"Decided on beside version {', '.join(sorted(before))}, which served then.")


def _data(card: "ModelCard") -> Iterator[Block]:
    yield Paragraph(
        f"Rows of {card.rows_of}; the outcome is {card.label}, known at {card.label_known_at}. Trained as of "
        f"{card.trained_as_of or NOT_STATED}: nothing known later was used."
    )
    parts = [(part.part, part.rows, _day(part.first), _day(part.last)) for part in card.data if part.rows]
    if parts:
        yield TextTable.of(("part", "rows", "first", "last"), parts)
    else:
        yield Paragraph("The training set of this version is not kept.")
    versions = card.provenance.table_versions
    if versions:
        rows = [(table, str(version)) for table, version in sorted(versions.items())]
        yield TextTable(("table", "version read"), tuple(rows))
    else:
        yield Paragraph("Which versions of tables were read is not recorded.")
    yield _statement("Origin, selection, labelling and cleaning", card.statements.data)


def _design(card: "ModelCard") -> Iterator[Block]:
    optimised = f"Search and early stopping go by {card.optimised}" if card.optimised else ""
    promoted = f"; a challenger is held against the champion by {card.promoted_by}" if card.promoted_by else ""
    yield Paragraph(f"Task {card.task}, learned by {card.kind}. {optimised}{promoted}".rstrip() + ".")
    parameters = card.provenance.parameters
    if parameters:
        yield TextTable(("parameter", "value"), tuple((name, str(value)) for name, value in parameters.items()))
    yield _statement("Assumptions, choices and trade-offs", card.statements.design)


def _limits(card: "ModelCard") -> Iterator[Block]:
    yield Points(card.limits) if card.limits else Paragraph("None is recorded.")
    yield _statement("Limits that are stated", card.statements.limits)


def _oversight(card: "ModelCard") -> Iterator[Block]:
    yield Paragraph(
        "A person approves each version before it serves."
        if card.asks_for_approval
        else "No approval by a person is declared: a version that keeps the declared rules serves by itself."
    )
    yield _statement("Who watches, and how predictions are overruled", card.statements.human_oversight)


def _annex(sections: tuple[Section, ...]) -> Section:
    """Say of each point of Annex IV which sections answer it, and what nobody has stated there."""
    rows = []
    for point, about in law.ANNEX_IV:
        own = [section for section in sections if point in map(law.annex_point, section.law)]
        missing = [name for section in own for name in section.missing]
        rows.append(
            (
                point,
                about,
                ", ".join(section.title for section in own) or NOT_STATED,
                ", ".join(missing) if own else "the whole of it",
            )
        )
    about = Paragraph(
        f"Points of Annex IV of {law.REGULATION}, the technical documentation of Article 11(1), and what of it this "
        "card holds. Whether the Regulation applies to the model, and whether the documentation suffices, is for "
        "those who answer for it to judge."
    )
    grid = TextTable(("point", "asks for", "section", NOT_STATED), tuple(rows))
    return Section("Annex IV, point by point", (), (about, grid))


def _day(moment: object) -> str:
    return "–" if moment is None else f"{moment:%Y-%m-%d}"
