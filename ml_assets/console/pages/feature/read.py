"""What a project, its lake and its registry say of one feature."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import polars as pl
import yaml

from ml_assets.console.pages.feature.catalogue import FeatureLine, catalogue
from ml_assets.console.pages.feature.correlation import Association, associate
from ml_assets.console.pages.feature.lineage import Step, trace
from ml_assets.console.pages.feature.use import HEALTH, FeatureDrift, drift_through_time, newest_drift
from ml_assets.console.pages.feature.values import DROPS, ValuesByDrop, values_by_drop, without_values
from ml_assets.declarations.private import Private, is_private
from ml_assets.declarations.specs import DeclaredModel, DeclaredView
from ml_assets.features.made_of import MadeOf, as_declared, made_of
from ml_assets.lake import Lake
from ml_assets.modelling.evaluation import IMPORTANCE
from ml_assets.modelling.records import VERSION
from ml_assets.public.project import Project
from ml_assets.public.unknown import unknown_name

if TYPE_CHECKING:
    from ml_assets.registry.registry import Registry


CLOSELY = 5
"""Models whose use of a feature is looked at closely at once."""


@dataclass(frozen=True)
class StoredFeatures:
    """The table that keeps a view's features.

    Attributes:
        written_at: when it was written last, UTC.
        newest: its newest drop; None of a table that is not cut.
        freshness: fresh, ageing or stale, by what the view declares.
    """

    table: str
    written_at: datetime
    newest: str | None
    freshness: str


@dataclass(frozen=True)
class UseByModel:
    """What a feature is to one model, by its champion.

    Attributes:
        version: None before the first champion, with all that follows from one.
        share: of all importances, 0 to 1; None where the evaluation has none of the feature.
        rank: from 1, of `ranked` features.
        outcome: the label's column.
        associations: with the outcome, on the rows in `measured_on`.
    """

    model: str
    version: str | None
    share: float | None
    rank: int | None
    ranked: int
    outcome: str
    associations: tuple[Association, ...]
    measured_on: str
    drift: pl.DataFrame


@dataclass(frozen=True)
class FeaturePage:
    """All that is known of a feature.

    Attributes:
        declared: the part of the view that makes it, as YAML.
        values: None where they are kept nowhere by drop.
        private: whether it shows a private column.
    """

    line: FeatureLine
    view: DeclaredView
    made: MadeOf
    declared: str
    stored: StoredFeatures | None
    values: ValuesByDrop | None
    private: bool
    uses: tuple[UseByModel, ...]
    lineage: tuple[Step, ...]


DriftOf = Callable[[DeclaredModel], Mapping[str, FeatureDrift]]
"""Reads what a model's newest drift report says of each feature."""


def read_drift(project: Project) -> DriftOf:
    """Return what reads the newest drift report of a model of a project."""
    return lambda model: newest_drift(project.lake, model, project.spines[model.spine])


def read_catalogue(
    project: Project, models: Sequence[DeclaredModel] | None = None, drift_of: DriftOf | None = None
) -> list[FeatureLine]:
    """List every feature, with what the drift reports of the models, by default all, say of it."""
    every = list(project.models.values()) if models is None else models
    return catalogue(project.views.values(), every, drift_of or read_drift(project))


def read_feature(
    project: Project,
    registry: "Registry",
    records: Any,
    private: Private,
    view: str,
    feature: str,
    now: datetime,
    *,
    drift_of: DriftOf | None = None,
    model: str = "",
) -> FeaturePage:
    """Read all that is known of a feature; of one that shows a private column, only how many values there are.

    Args:
        records: Dagster's, as `ml_assets.automation.run_records` opens them.
        drift_of: by default reads each model's newest drift report anew.
        model: the one whose use of the feature is looked at closely; empty for those that it hurts most, a few.

    Raises:
        UnknownName: no view, or no feature of it, has this name.
    """
    declared = project.views[view]
    if feature not in declared.feature_names:
        raise unknown_name(f"feature of view {view}", feature, declared.feature_names)
    spine, lake = project.spines[declared.spine], project.lake
    models = [each for each in project.models.values() if view in each.features]
    (line,) = (each for each in read_catalogue(project, models, drift_of) if (each.view, each.name) == (view, feature))
    hidden = is_private(declared, feature, spine.table, private)
    values = values_by_drop(lake, declared, spine, feature)
    values = without_values(values) if hidden and values is not None else values
    sources = {source.table("validated"): source for source in project.sources.values()}
    return FeaturePage(
        line=line,
        view=declared,
        made=made_of(declared, feature),
        declared=yaml.safe_dump(as_declared(declared, feature), sort_keys=False, allow_unicode=True),
        stored=_stored(lake, declared, spine.partition, now),
        values=values,
        private=hidden,
        uses=tuple(_use(lake, registry, each, spine.partition, feature) for each in _closely(models, line, model)),
        lineage=tuple(trace(declared, spine, feature, sources, records)),
    )


def _closely(models: Sequence[DeclaredModel], line: FeatureLine, model: str) -> list[DeclaredModel]:
    """Return the models that are looked at closely: the one that is named, or those that the feature hurts most."""
    if model:
        return [each for each in models if each.name == model]
    worst = {drift.model: (HEALTH[drift.health], -(drift.psi or 0.0)) for drift in line.drift}
    return sorted(models, key=lambda each: (*worst.get(each.name, (len(HEALTH), 0.0)), each.name))[:CLOSELY]


def _stored(lake: Lake, view: DeclaredView, partition: str, now: datetime) -> StoredFeatures | None:
    if view.table is None or not lake.exists(view.key):
        return None
    written, drops = lake.written_at(view.key), lake.partitions(view.key, partition)
    age, limits = now - written, view.freshness
    freshness = "stale" if age > limits.fail_after else "ageing" if age > limits.warn_after else "fresh"
    return StoredFeatures(view.key, written, drops[-1] if drops else None, freshness)


def _use(lake: Lake, registry: "Registry", model: DeclaredModel, partition: str, feature: str) -> UseByModel:
    champion = registry.champion(model.name)
    drift = drift_through_time(lake, model.name, feature, partition, DROPS)
    label = model.label.column
    if champion is None:
        return UseByModel(model.name, None, None, None, 0, label, (), "", drift)
    shares = _importances(lake, model.name, champion.version)
    share = shares.get(feature)
    rank = None if share is None else 1 + sum(other > share for other in shares.values())
    associations, measured_on = _associations(lake, model.name, champion.version, feature, label)
    return UseByModel(
        model.name, champion.version, share, rank, len(shares), label, tuple(associations), measured_on, drift
    )


def _importances(lake: Lake, model: str, version: str) -> dict[str, float]:
    key = f"{model}/evaluation"
    if not lake.exists(key) or VERSION not in lake.scan(key).collect_schema():
        return {}
    own = lake.scan(key).filter(pl.col(VERSION) == version, pl.col("subject") == IMPORTANCE)
    return dict(own.select("metric", "value").collect().iter_rows())


def _associations(lake: Lake, model: str, version: str, feature: str, label: str) -> tuple[list[Association], str]:
    """Measure a feature's association with the outcome on the champion's out-of-sample rows."""
    key = f"{model}/reference"
    if not lake.exists(key):
        return [], ""
    rows = lake.scan(key).filter(pl.col(VERSION) == version)
    if not {feature, label} <= {*rows.collect_schema().names()}:
        return [], ""
    both = rows.select(pl.col(feature).alias("feature"), pl.col(label).alias("outcome")).collect()
    return associate(both["feature"], both["outcome"]), f"{key} of version {version}"
