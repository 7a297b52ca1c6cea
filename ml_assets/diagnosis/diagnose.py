"""Why a model does worse on later rows than on its reference."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
import polars as pl

from ml_assets.diagnosis.causes.rank import Findings, rank_causes
from ml_assets.diagnosis.causes.record import Diagnosis, FallCause, FeatureInSlice, SliceLoss
from ml_assets.diagnosis.rows import ComparedRows, compare_rows
from ml_assets.diagnosis.shift.decomposition import (
    LEAST_OVERLAP,
    Decomposition,
    FallPart,
    MeasuredPeriods,
    decompose,
    expect,
    part_of,
)
from ml_assets.diagnosis.shift.expected import expect_losses
from ml_assets.diagnosis.shift.harm import explained_share, measure_harm
from ml_assets.diagnosis.shift.moved import MovedFeature, moved_features, shifts, without_unit_changes
from ml_assets.diagnosis.shift.overlap import Overlap, estimate_overlap
from ml_assets.diagnosis.shift.within import change_within
from ml_assets.diagnosis.slices.fold import StandingSlice, standing_slices
from ml_assets.diagnosis.slices.items import Items, cut_items
from ml_assets.diagnosis.slices.search import search_slices
from ml_assets.diagnosis.subject import SearchLimits, Subject
from ml_assets.monitoring.inputs import Features, checked
from ml_assets.training.evaluation.evaluate import time_blocks

_SHIFTS_IN_SLICE = 5
_RESAMPLES = 400
"""Of the mean loss, which cost next to nothing."""


def diagnose(
    reference: pl.DataFrame, current: pl.DataFrame, subject: Subject, limits: SearchLimits | None = None, seed: int = 0
) -> Diagnosis:
    """Say why a model does worse on rows whose labels are known than on its reference.

    Args:
        reference: the model's out-of-sample rows: time, features, slices, predictions and label.
        current: later rows, same columns; those without a label are left out.

    Raises:
        ValueError: a column is missing, or a period has no row with a known label.
        TypeError: a feature is neither number nor text.
    """
    limits = limits or SearchLimits()
    known = [
        _known(frame, what, subject, limits, seed) for what, frame in (("reference", reference), ("current", current))
    ]
    rows = _compared(known, subject, _losses(known, subject))
    overlap = estimate_overlap(_inputs(rows, subject, limits), seed, limits.threads)
    parts, notes = _decompose(known, rows, overlap, subject, limits, seed)
    change = _change(rows, seed)
    slices, tried, left_out = _slices(rows, overlap, change.value, subject, limits)
    moved = _moved(rows, known[0], subject, limits, seed)
    of_all = parts.fall.is_fall or change.is_fall
    fell = of_all or bool(slices)
    restored = _restored(known, rows, moved, subject) if of_all else None
    loss = subject.task.row_loss(subject.metric)
    found = Findings(
        loss, change.value, parts, slices, moved if of_all else (), subject.events, subject.origins, restored
    )
    causes = rank_causes(found) if fell else []
    notes = [*_missing_labels(current, subject), *notes, *left_out]
    return _diagnosis(replace(found, moved=moved), change, fell, causes, tried, notes, "realised")


def diagnose_before_labels(
    reference: pl.DataFrame, current: pl.DataFrame, subject: Subject, limits: SearchLimits | None = None, seed: int = 0
) -> Diagnosis:
    """Say what changed inputs do to a model's performance on rows whose labels are not known, or not looked at.

    Which slices lost and whether the relation changed cannot be known then; moved features are judged by what the
    reference lost on rows alike.

    Args:
        reference: as ``diagnose`` takes it.
        current: later rows; their labels are not read.

    Raises:
        what ``diagnose`` raises.
    """
    limits = limits or SearchLimits()
    known = _known(reference, "reference", subject, limits, seed)
    later = _scored(current, "current", subject, limits, seed)
    frames = [known, later]
    losses = subject.task.row_losses(known, subject.columns, subject.metric), np.zeros(later.height)
    rows = expect_losses(_compared(frames, subject, losses), seed, limits.threads)
    overlap, by, notes = _overlap(frames, rows, estimate_overlap(_inputs(rows, subject, limits), seed), subject, seed)
    scores = subject.task.measurable(known, subject.columns)
    parts = expect(rows, scores, subject.metric, overlap, by=by, resamples=limits.resamples, seed=seed)
    moved = _moved(rows, known, subject, limits, seed)
    change = _change(rows, seed)
    fell = parts.fall.is_fall or change.is_fall
    loss = subject.task.row_loss(subject.metric)
    found = Findings(loss, change.value, parts, (), moved, subject.events, subject.origins)
    without = "labels are not known yet: what a changed relation does, and which slices lost, is not known either"
    return _diagnosis(found, change, fell, rank_causes(found) if fell else [], {}, [without, *notes], "estimated")


def _known(frame: pl.DataFrame, what: str, subject: Subject, limits: SearchLimits, seed: int) -> pl.DataFrame:
    """Return typed rows whose label is known, in the order of time, at most so many."""
    label = subject.columns.label
    rows = _scored(frame.drop_nulls(label), what, subject, limits, seed, [label])
    return subject.task.typed_labels(rows, what, subject.columns)


def _scored(
    frame: pl.DataFrame, what: str, subject: Subject, limits: SearchLimits, seed: int, more: Sequence[str] = ()
) -> pl.DataFrame:
    """Return typed rows in the order of time, at most so many."""
    columns = subject.columns
    paid = columns.paid if set(columns.paid) <= set(frame.columns) else []
    wanted = [*columns.predicted, *more, *subject.features, *subject.slices, *paid, *subject.beside]
    rows = checked(frame, what, subject.time, wanted)
    if rows.height > limits.most_rows:
        rows = rows.sample(limits.most_rows, seed=seed)
    return subject.task.typed_scores(rows.sort(subject.time), what, columns)


def _losses(known: Sequence[pl.DataFrame], subject: Subject) -> tuple[np.ndarray, np.ndarray]:
    before, now = (subject.task.row_losses(frame, subject.columns, subject.metric) for frame in known)
    return before, now


def _compared(known: Sequence[pl.DataFrame], subject: Subject, losses: tuple[np.ndarray, np.ndarray]) -> ComparedRows:
    before, now = known
    blocks = [time_blocks(frame[subject.time], subject.block) for frame in known]
    return compare_rows(
        before,
        now,
        losses=losses,
        blocks=(np.asarray(blocks[0]), np.asarray(blocks[1])),
        features=subject.features,
        slices=subject.slices,
    )


def _inputs(rows: ComparedRows, subject: Subject, limits: SearchLimits) -> ComparedRows:
    """Return the rows with the features alone by which the periods are told apart: the most important ones."""
    share = subject.importance
    if share is None or len(rows.features.all) <= limits.most_inputs:
        return rows
    kept = set(sorted(rows.features.all, key=lambda name: -share.get(name, 0.0))[: limits.most_inputs])
    numeric, text = ([name for name in names if name in kept] for names in (rows.features.numeric, rows.features.text))
    return replace(rows, features=Features(tuple(numeric), tuple(text)))


def _change(rows: ComparedRows, seed: int) -> FallPart:
    """Return the change of the mean loss, with an interval of a bootstrap by blocks of time."""
    rng = np.random.default_rng(seed)
    means = []
    for part in (rows.reference, rows.current):
        counts = rng.multinomial(part.blocks, np.full(part.blocks, 1 / part.blocks), _RESAMPLES)
        sums, sizes = np.bincount(part.block, part.loss), np.bincount(part.block)
        means.append((counts @ sums) / (counts @ sizes))
    return part_of(rows.fall, means[1] - means[0], rows.reference.blocks + rows.current.blocks)


def _slices(
    rows: ComparedRows, overlap: Overlap, change: float, subject: Subject, limits: SearchLimits
) -> tuple[list[SliceLoss], dict[str, int], list[str]]:
    least = max(limits.least_rows, int(limits.least_share * rows.current.rows))
    items = cut_items(rows, least, private=subject.private)
    looked = search_slices(rows, items, least=least, most_items=limits.most_items, candidates=limits.candidates)
    standing = standing_slices(rows, items, looked, least=least, error_rate=limits.error_rate, most=limits.most_slices)
    left_out = looked.items_left_out
    notes = (
        [f"{left_out} of {len(items.conditions)} categories and bins were not looked at in pairs"] if left_out else []
    )
    watched = _inputs(rows, subject, limits).features
    described = [_describe(rows, items, each, overlap, change, watched, subject.psi_threshold) for each in standing]
    return described, {str(family): number for family, number in looked.tried.items()}, notes


def _describe(
    rows: ComparedRows,
    items: Items,
    standing: StandingSlice,
    overlap: Overlap,
    change: float,
    watched: Features,
    threshold: float,
) -> SliceLoss:
    measured, inside = standing.measured, items.masks(standing.which)
    within = None if measured.new else change_within(rows, overlap, inside)
    before, now = rows.reference.frame.filter(inside[0]), rows.current.frame.filter(inside[1])
    part = measured.rows / rows.current.rows * measured.excess
    return SliceLoss(
        conditions=tuple(items.conditions[item] for item in standing.which),
        declared=items.is_declared(standing.which),
        rows=measured.rows,
        reference_rows=measured.reference_rows,
        loss=measured.loss,
        reference_loss=measured.reference_loss,
        fall=measured.fall,
        rest=measured.rest,
        error=measured.error,
        p_value=standing.p_value,
        share=part / max(change, part),
        relation=within.relation if within is not None and within.is_judged else None,
        overlap=None if within is None else within.overlap,
        new=measured.new,
        moved=tuple(
            FeatureInSlice(feature=shift.feature, psi=shift.psi, distance=shift.distance)
            for shift in (() if measured.new else shifts(before, now, watched, threshold)[:_SHIFTS_IN_SLICE])
        ),
        repeats=tuple(" and ".join(items.conditions[item].text for item in which) for which in standing.repeats),
    )


def _moved(
    rows: ComparedRows, reference: pl.DataFrame, subject: Subject, limits: SearchLimits, seed: int
) -> list[MovedFeature]:
    harms = measure_harm(rows, resamples=limits.resamples, seed=seed)
    importance = subject.importance or _listened(rows, reference[subject.columns.probability].to_numpy())
    return moved_features(rows, threshold=subject.psi_threshold, harms=harms, importance=importance)


def _diagnosis(
    found: Findings,
    change: FallPart,
    fell: bool,
    causes: Sequence[FallCause],
    tried: dict[str, int],
    notes: Sequence[str],
    basis: Literal["realised", "estimated"],
) -> Diagnosis:
    """Put together what was found, and say of moved features and events whether they are to blame."""
    blamed = [event for cause in causes for event in cause.events]
    blamed_for = {name for cause in causes if not cause.conditions for name in cause.features}
    unblamed = [each for each in found.moved if each.unit is not None and each.feature not in blamed_for]
    return Diagnosis(
        fell=fell,
        basis=basis,
        loss=found.loss,
        loss_change=change,
        decomposition=found.decomposition,
        causes=tuple(causes),
        slices=tuple(found.slices),
        slices_tried=tried,
        moved=tuple(found.moved),
        harmless=tuple(each.feature for each in found.moved if each.feature not in blamed_for and not each.is_harmful),
        coincided=tuple(event for event in found.events if event not in blamed),
        notes=(*(f"{each.text}, and no fall is put down to it" for each in unblamed), *notes),
    )


def _listened(rows: ComparedRows, score: np.ndarray) -> dict[str, float]:
    """Return how much of the variance of the reference's scores goes with each feature alone (eta squared)."""
    return {name: explained_share(rows.reference.frame[name], score) for name in rows.features.all}


def _restored(
    known: Sequence[pl.DataFrame], rows: ComparedRows, moved: Sequence[MovedFeature], subject: Subject
) -> float | None:
    """Return the part of the change of the mean loss that is gone with the values in their old unit."""
    if subject.rescore is None or rows.fall <= 0 or not any(each.unit for each in moved):
        return None
    again = subject.rescore(without_unit_changes(known[1], moved))
    again = subject.task.typed_scores(again, "current", subject.columns)
    loss = subject.task.row_losses(again, subject.columns, subject.metric)
    return float(1 - (loss.mean() - rows.reference.loss.mean()) / rows.fall)


def _decompose(
    known: Sequence[pl.DataFrame],
    rows: ComparedRows,
    of_features: Overlap,
    subject: Subject,
    limits: SearchLimits,
    seed: int,
) -> tuple[Decomposition, list[str]]:
    """Decompose the change at the same features, or at the same score where these have too little in common."""
    measured = [subject.task.measurable(frame, subject.columns) for frame in known]
    both = MeasuredPeriods(measured[0], measured[1], subject.metric)
    overlap, by, notes = _overlap(known, rows, of_features, subject, seed)
    return decompose(rows, both, overlap, by=by, resamples=limits.resamples, seed=seed), notes


def _overlap(
    frames: Sequence[pl.DataFrame], rows: ComparedRows, of_features: Overlap, subject: Subject, seed: int
) -> tuple[Overlap, Literal["features", "score"], list[str]]:
    """Return the overlap of the features, or of the scores where that is too little, and a note of that."""
    if of_features.share >= LEAST_OVERLAP:
        return of_features, "features", []
    names = subject.columns.class_probabilities or [subject.columns.probability]
    periods = [
        replace(part, frame=frame.select(pl.col(names).cast(pl.Float64)))
        for part, frame in zip((rows.reference, rows.current), frames, strict=True)
    ]
    by_score = estimate_overlap(ComparedRows(periods[0], periods[1], Features(tuple(names), ())), seed)
    note = (
        f"the features of both periods have {of_features.share:.0%} in common: what comes with changed inputs is told"
        f" from the rest at the same score instead, of which {by_score.share:.0%} is in common"
    )
    return by_score, "score", [note]


def _missing_labels(current: pl.DataFrame, subject: Subject) -> list[str]:
    without = current[subject.columns.label].null_count()
    return [f"{without:,} later rows have no label yet and are not looked at"] if without else []
