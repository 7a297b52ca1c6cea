"""The sections of a card about what was measured on the holdout."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ml_assets.cards.document import Block, Paragraph, Points, Statement, TextTable, shown

if TYPE_CHECKING:
    from ml_assets.cards.card import Estimate, GroupMeasure, HoldoutMetric, ModelCard

CALIBRATION = ("calibration_error", "positive_calibration_error", "brier", "log_loss")
"""Metrics that say whether a score of 0.3 means three of ten."""


def feature_blocks(card: "ModelCard") -> Iterator[Block]:
    """Yield every feature in words, with its share of missing values and of importance."""
    if not card.features:
        yield Paragraph("Which features it was trained on is not recorded.")
        return
    shares = {each.feature: each.share for each in card.importance}
    most = sorted(card.features, key=lambda each: -shares.get(each.feature, 0.0))
    yield Paragraph(
        f"{len(most)} features, the most important first. Importance is the share of {card.importance_unit}, over rows "
        "of the holdout; missing is the share of the training set's rows without a value."
        if shares
        else f"{len(most)} features. Their importance is not kept; missing is the share of the training set's rows "
        "without a value."
    )
    rows = [
        (each.feature, _share(shares.get(each.feature)), _share(each.missing), each.view, each.description)
        for each in most
    ]
    yield TextTable.of(("feature", "importance", "missing", "view", "what it is"), rows)


def metric_blocks(card: "ModelCard") -> Iterator[Block]:
    """Yield every metric with its interval, beside the naive baseline."""
    yield from _metrics(card, list(card.metrics), "No evaluation of this version is kept.")
    yield Statement("Why these metrics fit the purpose", card.statements.metrics.strip() or None)


def slice_blocks(card: "ModelCard") -> Iterator[Block]:
    """Yield the measures of each part of the holdout by the declared columns."""
    if not card.slices:
        yield Paragraph("No slice of the holdout is measured.")
        return
    names = list(dict.fromkeys(name for measured in card.slices for name in measured.measures))
    rows = [(each.subject, each.rows, *(shown(each.measures.get(name)) for name in names)) for each in card.slices]
    yield TextTable.of(("slice", "rows", *names), rows)
    yield Paragraph("Slices have no intervals of their own: how little few rows say is among the known limits.")


def score_blocks(card: "ModelCard") -> Iterator[Block]:
    """Yield what a score means: threshold, calibration with its error, coverage of intervals."""
    from ml_assets.training.sampling.negatives import describe_correction

    sentences = []
    if card.threshold is not None:
        sentences.append(f"A row is called positive from a score of {shown(card.threshold)}.")
    sentences.append(f"Calibration: {card.calibration or 'none'}.")
    if card.negatives_kept < 1:
        sentences.append(describe_correction(card.negatives_kept))
    if card.interval_coverage is not None:
        sentences.append(f"Intervals are made to hold {card.interval_coverage:.0%} of outcomes.")
    yield Paragraph(" ".join(sentences))
    calibration = [metric for metric in card.metrics if metric.metric in CALIBRATION]
    yield from _metrics(card, calibration, "How well scores are calibrated was not measured on the holdout.")


def fairness_blocks(card: "ModelCard") -> Iterator[Block]:
    """Yield which groups are watched, and what is measured of them."""
    yield Statement("Groups that fairness is watched by", ", ".join(card.groups) or None)
    if card.fairness:
        rows = [_group(each) for each in card.fairness]
        yield TextTable.of(("group", "measure", "value", "rows", "outcome known", "large enough"), rows)
        yield Paragraph(
            f"Of the holdout; in brackets intervals. Comparisons with the rest lie in the table {card.model}/fairness."
        )
    elif card.groups:
        yield Paragraph("No measure of a group of this version's holdout is kept.")
    if card.fairness_limits:
        yield Points(card.fairness_limits)
    elif card.fairness:
        yield Paragraph("No limit of fairness is declared.")
    yield Statement("Who may be treated unequally, and what is done about it", card.statements.fairness.strip() or None)


def _group(each: "GroupMeasure") -> tuple[object, ...]:
    group = "without a value" if each.group is None else each.group
    measure = f"{each.measure} of {each.of_class}" if each.of_class else each.measure
    interval = "" if each.low is None or each.high is None else f" [{shown(each.low)}, {shown(each.high)}]"
    return f"{each.attribute}={group}", measure, f"{shown(each.value)}{interval}", each.rows, each.known, each.judged


def _metrics(card: "ModelCard", metrics: "list[HoldoutMetric]", without: str) -> Iterator[Block]:
    if not metrics:
        yield Paragraph(without)
        return
    better = {True: "more is better", False: "less is better"}
    rows = [
        (
            f"{each.metric} ({better[each.greater_is_better]})",
            _estimate(each.model),
            _estimate(each.baseline),
            _estimate(each.improvement),
        )
        for each in metrics
    ]
    yield TextTable.of(("metric", "model", "naive baseline", "improvement"), rows)
    if card.confidence is not None:
        yield Paragraph(f"Of the holdout; in brackets the interval of {card.confidence:.0%} confidence.")


def _estimate(estimate: "Estimate | None") -> str:
    if estimate is None:
        return "–"
    if estimate.low is None or estimate.high is None:
        return shown(estimate.value)
    return f"{shown(estimate.value)} [{shown(estimate.low)}, {shown(estimate.high)}]"


def _share(share: float | None) -> str:
    return "–" if share is None else f"{share:.1%}"
