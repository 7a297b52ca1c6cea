"""A model's card as a Markdown document."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ml_assets.public.display import markdown_table, shown

if TYPE_CHECKING:
    from ml_assets.public.cards.card import Estimate, ModelCard

_MOST_FEATURES = 20


def render(card: "ModelCard") -> str:
    """Return the card as Markdown."""
    return "\n\n".join(part for part in _parts(card) if part) + "\n"


def _parts(card: "ModelCard") -> Iterator[str]:
    yield f"# {card.model}, version {card.version}"
    yield f"{card.description} ({card.task}, {card.kind}; {card.role})"
    yield f"Owners: {', '.join(card.owners)}" if card.owners else ""
    yield "## Data"
    yield (
        f"Rows of `{card.rows_of}`; the outcome is `{card.label}`, known at `{card.label_known_at}`. Trained as of "
        f"{card.trained_as_of}: nothing known later was used."
    )
    parts = [(p.part, f"{p.rows:,}", _day(p.first), _day(p.last)) for p in card.data if p.rows]
    yield markdown_table(("part", "rows", "first", "last"), parts) if parts else ""
    yield "## Metrics"
    yield from _metrics(card)
    if card.slices:
        names = list(dict.fromkeys(name for measured in card.slices for name in measured.measures))
        rows = [(s.subject, s.rows, *(shown(s.measures.get(name)) for name in names)) for s in card.slices]
        yield "## Slices"
        yield markdown_table(("slice", "rows", *names), rows)
    yield "## Scores"
    yield " ".join(_scores(card))
    if card.importance:
        rows = [(f.feature, f"{f.share:.1%}", f.description) for f in card.importance[:_MOST_FEATURES]]
        yield "## Features"
        yield f"Share of importance ({card.importance_unit}), the {len(rows)} first of {len(card.importance)}."
        yield markdown_table(("feature", "share", "what it is"), rows)
    yield "## Known limits"
    yield "\n".join(f"- {limit}" for limit in card.limits) or "None is recorded."
    yield "## Provenance"
    yield "\n".join(f"- {line}" for line in _provenance(card))


def _metrics(card: "ModelCard") -> Iterator[str]:
    if not card.metrics:
        yield "No evaluation of this version is kept."
        return
    better = {True: "more is better", False: "less is better"}
    rows = [
        (
            f"{m.metric} ({better[m.greater_is_better]})",
            _estimate(m.model),
            _estimate(m.baseline),
            _estimate(m.improvement),
        )
        for m in card.metrics
    ]
    yield markdown_table(("metric", "model", "naive baseline", "improvement"), rows)
    if card.confidence is not None:
        yield f"Of the holdout; in brackets the interval of {card.confidence:.0%} confidence."


def _scores(card: "ModelCard") -> Iterator[str]:
    from ml_assets.training.sampling.negatives import describe_correction

    if card.threshold is not None:
        yield f"A row is called positive from a score of {shown(card.threshold)}."
    yield f"Calibration: {card.calibration or 'none'}."
    if card.negatives_kept < 1:
        yield describe_correction(card.negatives_kept)
    if card.interval_coverage is not None:
        yield f"Intervals are made to hold {card.interval_coverage:.0%} of outcomes."


def _provenance(card: "ModelCard") -> Iterator[str]:
    origin = card.provenance
    yield f"MLflow run {origin.run_id}" + (f", Dagster run {origin.dagster_run_id}" if origin.dagster_run_id else "")
    changed = ", with files changed since" if origin.code_changed else ""
    yield f"code: {origin.code_commit or 'unknown'}{changed}; ml_assets {origin.platform or 'unknown'}"
    if origin.table_versions:
        yield "tables: " + ", ".join(f"{key} version {version}" for key, version in origin.table_versions.items())
    if origin.parameters:
        yield "parameters: " + ", ".join(f"{name}={value}" for name, value in origin.parameters.items())
    if card.decision is not None:
        at = f" at {card.decision.decided_at:%Y-%m-%d %H:%M}" if card.decision.decided_at else ""
        yield f"{card.decision.decision}{at} ({card.decision.rule}): {card.decision.reason}"
    yield f"files: {origin.location}"


def _estimate(estimate: "Estimate | None") -> str:
    if estimate is None:
        return "–"
    if estimate.low is None or estimate.high is None:
        return shown(estimate.value)
    return f"{shown(estimate.value)} [{shown(estimate.low)}, {shown(estimate.high)}]"


def _day(moment: object) -> str:
    return "–" if moment is None else f"{moment:%Y-%m-%d}"
