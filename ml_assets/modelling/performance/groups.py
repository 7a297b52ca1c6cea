"""What is measured of the declared groups, and the tables that it lies in, beside the model's assets."""

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING

import polars as pl

from ml_assets.fairness.limits import FairnessJudgement, judge_fairness
from ml_assets.fairness.measure import FAIRNESS
from ml_assets.fairness.private import mask_groups
from ml_assets.lake import Lake
from ml_assets.modelling.context import ModelContext
from ml_assets.modelling.performance.maturing import LabelledDrops
from ml_assets.modelling.performance.measure import MeasuredDrops
from ml_assets.modelling.records import AS_OF, VERSION, replace_as_of
from ml_assets.modelling.watched import known_by
from ml_assets.monitoring.performance.measures import MEASURED_AT
from ml_assets.training.evaluation.groups import measure_groups
from ml_assets.training.tasks import find_task

if TYPE_CHECKING:
    from ml_assets.registry.registry import Registry

ON_HOLDOUT, BY_DROP = "fairness", "fairness_by_drop"
"""Tables of a model, beside its assets: of each version on its holdout, and of each drop's predictions."""


def keep_holdout(lake: Lake, model: ModelContext, as_of: str, measured: pl.DataFrame, version: str) -> None:
    """Store what was measured of a version's holdout."""
    if model.spec.groups:
        replace_as_of(lake, model.key(ON_HOLDOUT), as_of, measured, version)


def read_holdout(lake: Lake, model: str, version: str) -> pl.DataFrame:
    """Return what was measured of the groups on a version's holdout, the columns ``FAIRNESS``; no rows if nothing
    was."""
    key = f"{model}/{ON_HOLDOUT}"
    if not lake.exists(key):
        return pl.DataFrame(schema=FAIRNESS)
    return lake.scan(key).filter(pl.col(VERSION) == version).drop(AS_OF, VERSION).collect()


def read_drops(lake: Lake, model: str) -> pl.DataFrame:
    """Return what was measured of the groups in production: the columns ``FAIRNESS``, the drop in the column of the
    spine's partition, the version, and the moment by which outcomes were known; no rows if nothing was."""
    key = f"{model}/{BY_DROP}"
    return lake.scan(key).collect() if lake.exists(key) else pl.DataFrame(schema=FAIRNESS)


def measure_drops(
    lake: Lake, registry: "Registry", model: ModelContext, measured: MeasuredDrops
) -> Mapping[str, pl.DataFrame]:
    """Measure the groups in the drops whose performance a run has measured, by the labels known at the same moments,
    and store it; nothing where no groups are declared.

    Returns:
        The columns ``FAIRNESS`` by drop.
    """
    if not model.spec.groups:
        return {}
    newest: dict[str, datetime] = {}
    for drop, moment in sorted(measured.made):
        newest[drop] = max(moment, newest.get(drop, moment))
    labelled = LabelledDrops(lake, registry, model)
    labelled.read(newest)
    by_drop, stored = {}, []
    for drop, moment in newest.items():
        own = labelled.of(drop)
        if own.why:
            continue
        rows = known_by(own.rows, own.model, moment) if own.rows.height else own.rows
        classes = find_task(own.model.spec.task).read_classes(rows) if rows.height else None
        by_drop[drop] = measure_groups(own.model.spec, rows, classes)
        at = pl.lit(moment).cast(pl.Datetime("us", "UTC")).alias(MEASURED_AT)
        about = [pl.lit(drop).alias(model.spine.partition), pl.lit(own.version).alias(VERSION), at]
        stored.append(by_drop[drop].with_columns(about))
    if stored:
        lake.replace(model.key(BY_DROP), pl.concat(stored), {model.spine.partition: sorted(by_drop)})
    return by_drop


def shown_groups(model: ModelContext, measured: pl.DataFrame) -> pl.DataFrame:
    """Return what was measured of groups as it may be shown: those of a private column are numbered."""
    return measured if measured.is_empty() else mask_groups(measured, model.private(measured["attribute"].unique()))


def judge_drops(model: ModelContext, by_drop: Mapping[str, pl.DataFrame]) -> dict[str, list[FairnessJudgement]]:
    """Hold the groups of some drops against the declared limits, the worst first of each drop."""
    return {drop: judge_fairness(shown_groups(model, each), model.spec.fairness) for drop, each in by_drop.items()}
