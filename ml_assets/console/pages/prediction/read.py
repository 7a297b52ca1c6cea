"""Why a row got its score: the answer, its features, how each moved it, and where each comes from."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import polars as pl

from ml_assets.console.pages.prediction.explained import Explanation, WhatIf, explain, what_if
from ml_assets.console.pages.prediction.path import Path, path_of
from ml_assets.console.pages.prediction.query import PredictionQuery, WrongQuestion
from ml_assets.console.pages.prediction.scored import (
    BATCH,
    LoggedAnswer,
    choose,
    features_of_row,
    find_answers,
    spine_row,
)
from ml_assets.console.pages.prediction.what_if import read_changes
from ml_assets.declarations.private import Private, is_private
from ml_assets.declarations.specs import DeclaredView
from ml_assets.features.made_of import made_of
from ml_assets.lake import Lake
from ml_assets.modelling.context import ModelContext
from ml_assets.training.fit import TrainedModel
from ml_assets.training.predictions.kept import hash_features

Load = Callable[[str], TrainedModel]
"""Loads a version of the model."""


@dataclass(frozen=True)
class FeatureValue:
    """A feature of the row.

    Attributes:
        view: that declares it; empty where none does any more.
        value: None where it is missing, or private.
        contribution: to the margin; None of a kind without contributions.
        private: whether a column that it is made of is private, so that its value is not shown.
        unseen: whether training did not see this category: the model takes it for missing.
        kind: number, boolean or category.
    """

    name: str
    view: str
    value: Any
    contribution: float | None
    private: bool
    unseen: bool
    kind: str


@dataclass(frozen=True)
class RowOutcome:
    """What came of the row.

    Attributes:
        column: the label.
        value: None while it is not known.
        known_at: when it was, or will be.
    """

    column: str
    value: Any
    known_at: datetime | None


@dataclass(frozen=True)
class PredictionPage:
    """One answer, explained.

    Attributes:
        key: column -> value as text.
        others: further answers about the same row.
        same_features: whether the features shown are those that the row was scored with; None where nobody can say.
        rescored: the score that the version gives for the features shown.
        threshold: from which a probability counts as positive; None of another task.
        outcome: None where the spine has no such row (yet).
        path: of the feature that is asked for.
        mistake: why the question about changed features, or about a feature, was not answered.
    """

    question: PredictionQuery
    key: Mapping[str, str]
    answer: LoggedAnswer
    others: Sequence[LoggedAnswer]
    features: Sequence[FeatureValue]
    explanation: Explanation
    same_features: bool | None
    threshold: float | None
    task: str
    outcome: RowOutcome | None
    path: Path | None
    what_if: WhatIf | None
    mistake: str

    @property
    def rescored(self) -> float:
        return self.explanation.answer["score"]


def read_prediction(
    lake: Lake,
    model: ModelContext,
    question: PredictionQuery,
    load: Load,
    private: Private,
    rows: "Rows | None" = None,
) -> PredictionPage:
    """Find the answer that a question is about, and explain it.

    Args:
        model: as it is declared now; the version's own views are used.
        rows: reads the rows behind an answer, by default `read_rows`.

    Raises:
        WrongQuestion: there is no such answer, or it cannot be explained any more; the message says why.
    """
    answers = find_answers(lake, model, question)
    answer = choose(answers, question)
    trained = load(answer.version)
    own = model.trained_on(trained.inputs)
    row, featured, spine = (rows or read_rows)(lake, own, question, answer)
    try:
        explanation = explain(trained, featured)
    except ValueError as error:
        raise WrongQuestion(f"version {answer.version} cannot explain this row any more: {error}") from error
    views = {name: view for view in own.views for name in view.feature_names}
    hidden = {name: is_private(view, name, own.spine.table, private) for name, view in views.items()}
    changed, path, mistake = None, None, ""
    try:
        if question.changes:
            changes = read_changes(trained.encoding, question.changes)
            changed = what_if(trained, featured, changes, explanation)
            shown = {name: (None if hidden.get(name) else was, now) for name, (was, now) in changed.changes.items()}
            changed = replace(changed, changes=shown)
        if question.feature:
            path = _path(lake, views, question.feature, row, own, featured, private)
    except WrongQuestion as error:
        mistake = str(error)
    unseen = trained.encoding.unseen(featured)
    return PredictionPage(
        question=question,
        key=dict(zip(model.spine.key, question.key, strict=True)),
        answer=replace(answer, served=None, given=None),
        others=[replace(other, served=None, given=None) for other in answers if other is not answer],
        features=[
            FeatureValue(
                feature.name,
                views[feature.name].name if feature.name in views else "",
                None if hidden.get(feature.name) else featured[feature.name][0],
                explanation.contributions.get(feature.name),
                hidden.get(feature.name, False),
                feature.name in unseen,
                feature.kind,
            )
            for feature in trained.encoding.features
        ],
        explanation=explanation,
        same_features=_same(featured, trained, answer),
        threshold=trained.threshold,
        task=trained.task,
        outcome=_outcome(spine, model),
        path=path,
        what_if=changed,
        mistake=mistake,
    )


BehindAnswer = tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]
Rows = Callable[[Lake, ModelContext, PredictionQuery, LoggedAnswer], BehindAnswer]


def read_rows(lake: Lake, own: ModelContext, question: PredictionQuery, answer: LoggedAnswer) -> BehindAnswer:
    """Return the row that an answer's features are made from, its features, and the spine's row with its outcome, which
    may have no row."""
    spine = spine_row(lake, own, answer, question.key)
    if answer.served is not None and answer.given is not None:
        return answer.given, answer.served, spine
    if spine.is_empty():
        raise WrongQuestion(
            f"{own.spine.table} has no row any more for this prediction of {answer.drop}: what it was made from is gone"
        )
    return spine, features_of_row(lake, own, spine, answer.drop), spine


def _same(featured: pl.DataFrame, trained: TrainedModel, answer: LoggedAnswer) -> bool | None:
    if answer.scored != BATCH:
        return True
    if answer.features_hash is None:
        return None
    return hash_features(featured, trained.features)[0] == answer.features_hash


def _outcome(row: pl.DataFrame, model: ModelContext) -> RowOutcome | None:
    label = model.spec.label
    if row.is_empty() or label.column not in row.columns:
        return None
    known_at = row[label.known_at][0] if label.known_at in row.columns else None
    return RowOutcome(label.column, row[label.column][0], known_at)


def _path(
    lake: Lake,
    views: Mapping[str, DeclaredView],
    feature: str,
    row: pl.DataFrame,
    own: ModelContext,
    featured: pl.DataFrame,
    private: Private,
) -> Path:
    if feature not in views:
        raise WrongQuestion(f"feature {feature!r}: is none of this version")
    view = views[feature]
    if gone := [column for column in view.spine_columns if column not in row.columns]:
        raise WrongQuestion(f"where {feature} comes from: the request did not name {', '.join(gone)}")
    table = (view.table or "") if made_of(view, feature).of_table else own.spine.table
    return path_of(lake, view, feature, row, own.spine.time, featured[feature][0], private(table))
