"""The training set: spine, features as of each prediction time, and labels known by the training cut-off."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import polars as pl

from ml_assets.features.audit.leaks import AUDITED_ROWS, differing_features
from ml_assets.lake import Lake, TableVersion
from ml_assets.modelling.context import ROW, ModelContext
from ml_assets.modelling.records import AS_OF, replace_as_of
from ml_assets.sources.drops.moments import drop_at
from ml_assets.training.splits import PARTS
from ml_assets.training.tasks import find_task

if TYPE_CHECKING:
    from ml_assets.registry.registry import Registry
    from ml_assets.training.splits import Split

SPLIT = "split"
"""Column of the training set that names the part a row belongs to."""


@dataclass(frozen=True)
class TrainingSet:
    """A training set before it is stored.

    Attributes:
        rows: every row of the parts, with its part in ``SPLIT`` and its number among the spine's rows in ``ROW``.
        spine_rows: the spine's rows that it was made from.
        lag: time that 99 % of the labels known at the cut-off took at the least; None where they are too few to tell.
    """

    as_of: datetime
    split: "Split"
    rows: pl.DataFrame
    spine_rows: pl.DataFrame
    lag: timedelta | None


def build_training_set(lake: Lake, model: ModelContext, as_of: datetime) -> TrainingSet:
    """Join and split what was known at the training cut-off."""
    from ml_assets.training.splits import observed_lag, split_for_model

    if not lake.exists(model.label_table):
        raise ValueError(f"{model.label_table} is not there, which has the label: materialize it first")
    drops = [drop for drop in model.drops(lake) if drop <= drop_at(as_of, model.spine.drops)]
    spine_rows = model.spine_rows(lake, drops, before=as_of)
    split = split_for_model(model.featured(lake, spine_rows, drops), model.spec, as_of)
    rows = pl.concat([getattr(split, part).with_columns(pl.lit(part).alias(SPLIT)) for part in PARTS])
    return TrainingSet(as_of, split, rows, spine_rows, observed_lag(spine_rows, model.spec, as_of))


def store_training_set(lake: Lake, model: ModelContext, built: TrainingSet) -> tuple[TableVersion, pl.DataFrame]:
    """Replace the stored training set of the same cut-off; returns it as it was stored."""
    return replace_as_of(lake, model.key("training_set"), built.as_of.isoformat(), built.rows.drop(ROW))


def read_part(lake: Lake, model: ModelContext, as_of: str, part: str) -> pl.DataFrame:
    """Read one part of a stored training set: one of ``PARTS``.

    A part is written whole in its order, which the seeded sample of the search depends on.
    """
    rows = lake.scan(model.key("training_set")).filter(pl.col(AS_OF) == as_of, pl.col(SPLIT) == part)
    return rows.drop(AS_OF, SPLIT).sort(model.spine.time, *model.spec.spine.key).collect()


def count_positives(model: ModelContext, built: TrainingSet) -> dict[str, int]:
    """Count the positive rows of each part that has rows; nothing of a task without a positive class."""
    task, label = find_task(model.spec.task), model.spec.label.column
    if not task.has_positive:
        return {}
    parts = {part: getattr(built.split, part) for part in PARTS}
    return {name: int(task.outcomes(rows[label], None).sum()) for name, rows in parts.items() if rows.height}


def count_sampled(model: ModelContext, built: TrainingSet) -> dict[str, int]:
    """Count the rows of each part that stand for several entity-moments; nothing where no row does."""
    from ml_assets.training.sampling.weights import thinned_rows

    thinned = thinned_rows(built.rows, model.spine.sampled)
    return dict(thinned[SPLIT].value_counts().sort(SPLIT).iter_rows())


def count_late_labels(model: ModelContext, built: TrainingSet) -> int:
    """Count the rows of a part whose label was known only after the part that follows begins."""
    bounds = built.split.bounds
    limits = {
        "train": bounds.validation_start,
        "validation": bounds.holdout_start,
        "calibration": bounds.holdout_start,
    }
    known = pl.col(model.spec.label.known_at)
    return sum(built.rows.filter(pl.col(SPLIT) == part, known > limit).height for part, limit in limits.items())


def recompute_sample(lake: Lake, model: ModelContext, built: TrainingSet) -> tuple[int, pl.DataFrame]:
    """Recompute a sample of rows one by one, so that a row with another row's value is noticed.

    Returns the number of rows, and each feature value that differs.
    """
    features = built.rows.sample(min(AUDITED_ROWS, built.rows.height), seed=model.spec.seed)
    rows, time = built.spine_rows[features[ROW]], model.spine.time
    differing = [
        differing_features(view, features, rows, view.facts(lake), time).select(
            pl.lit(view.name).alias("view"), time, "feature", "stored", "recomputed"
        )
        for view in model.views
    ]
    return rows.height, pl.concat(differing)


@dataclass(frozen=True)
class DeclarationChanges:
    """What has been declared otherwise since the champion was trained.

    Attributes:
        champion: its version; None where nothing serves yet.
        changes: a line for each change.
        comparable: whether a challenger of the new declaration can be compared with the champion.
    """

    champion: str | None
    changes: list[str]
    comparable: bool = True

    @property
    def consequence(self) -> str:
        """What follows from the changes, in a sentence or two."""
        text = (
            f"version {self.champion} serves on with the features that it was trained on, computed from their tables "
            "while these have the columns; the version that is trained now goes by the declaration"
        )
        if self.comparable:
            return text
        return (
            f"{text}. The two cannot be compared: version {self.champion} stays champion unless "
            f"promotion.accept_over: '{self.champion}' is declared"
        )


def changes_since_champion(model: ModelContext, registry: "Registry") -> DeclarationChanges:
    """Compare the declaration with the one that the champion was trained on."""
    champion = registry.champion(model.spec.name)
    if champion is None:
        return DeclarationChanges(None, [])
    inputs = registry.inputs(model.spec.name, champion.version)
    if inputs is None:
        return DeclarationChanges(champion.version, [])
    return DeclarationChanges(champion.version, model.inputs.changes_since(inputs), not model.inputs.apart_from(inputs))
