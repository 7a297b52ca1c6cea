"""A challenger beside the champion, on the same rows."""

from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from pydantic import BaseModel, ConfigDict, Field

from ml_assets.training.metrics.bootstrap import Interval, bootstrap
from ml_assets.training.metrics.payoff import Payoff
from ml_assets.training.spec import ModelSpec, PromotionSpec
from ml_assets.training.tasks import BINARY, find_task
from ml_assets.training.tasks.classes import align_classes

if TYPE_CHECKING:
    from ml_assets.training.fit import TrainedModel


class Incomparable(BaseModel):
    """That a challenger cannot be held against the champion."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    why: str = Field(description="What stands in the way.")
    accepted: bool = Field(description="Whether it is declared that the challenger may replace it all the same.")


def compare_on_same_rows(
    label: np.ndarray,
    challenger_score: np.ndarray,
    champion_score: np.ndarray,
    *,
    promotion: PromotionSpec,
    seed: int,
    challenger_threshold: float | None = 0.5,
    champion_threshold: float | None = 0.5,
    blocks: np.ndarray | None = None,
    task: str = BINARY,
    rows: pl.DataFrame | None = None,
    payoff: Payoff | None = None,
) -> Interval:
    """Bootstrap the paired difference of challenger minus champion in ``promotion.metric``; positive means a better
    challenger.

    Args:
        label: outcomes of shape (n,): 0/1 or boolean, numbers, or positions of classes; both scores are of these n
            rows, in this order, and of the same order of classes (see ``classes.align_classes``).
        challenger_threshold, champion_threshold: matter for f1 and value only.
        blocks: rows resampled together, see ``evaluate.time_blocks``.
        rows: these n rows, where the metric reads more of them.
        payoff: what decisions about them bring; needed by value.
    """
    of = find_task(task)
    pairs = {
        "challenger": of.pair(label, challenger_score, challenger_threshold),
        "champion": of.pair(label, champion_score, champion_threshold),
    }
    measured = bootstrap(
        pairs if rows is None else {name: of.beside(scores, rows, payoff) for name, scores in pairs.items()},
        resamples=promotion.resamples,
        seed=seed,
        metrics=[promotion.metric],
        blocks=blocks,
    )
    return measured.improvement("challenger", "champion", promotion.metric, promotion.confidence)


def compare_with_champion(
    reference: pl.DataFrame,
    champion: "TrainedModel",
    *,
    spec: ModelSpec,
    challenger_threshold: float | None,
    scored_before: pl.DataFrame | None = None,
) -> Interval:
    """Compare on the challenger's scored holdout, which the champion scores too.

    Args:
        reference: holdout rows as ``scored`` by the challenger, with features, label and prediction time. A class
            that one of the two has never seen counts with probability 0 in its scores.
        scored_before: what the champion has predicted for these rows, row for row, as ``scored`` has it; by default it
            scores them now.
    """
    from ml_assets.training.evaluation.evaluate import time_blocks
    from ml_assets.training.fit import predict

    of = find_task(spec.task)
    classes = of.read_classes(reference)
    before = scored_before
    theirs = predict(champion, reference) if before is None else of.read_scores(before, champion.classes)
    own = of.read_scores(reference, classes)
    if classes is not None and champion.classes is not None:
        both = (*classes, *(name for name in champion.classes if name not in classes))
        own, theirs = align_classes(own, classes, both), align_classes(theirs, champion.classes, both)
        classes = both
    return compare_on_same_rows(
        of.outcomes(reference[spec.label.column], classes),
        own,
        theirs,
        promotion=spec.promotion,
        seed=spec.seed,
        challenger_threshold=challenger_threshold,
        champion_threshold=champion.threshold,
        blocks=time_blocks(reference[spec.spine.time], spec.evaluation.block),
        task=spec.task,
        rows=reference,
        payoff=spec.payoff_for(spec.promotion.metric),
    )
