"""One model: what it is in, what happened to it, and the evidence of one drop."""

from dataclasses import dataclass

import polars as pl

from ml_assets.alerts.store import EVENTS
from ml_assets.console.pages.fleet.read import FleetRow, read_row
from ml_assets.console.pages.model.history import (
    TABLES,
    DropFacts,
    ModelEvent,
    ModelHistory,
    ModelVersion,
    read_history,
)
from ml_assets.console.stores import Stores
from ml_assets.monitoring.performance.measures import newest_measures
from ml_assets.public.unknown import unknown_name


@dataclass(frozen=True)
class ModelPage:
    """A model with its last drops and everything that happened since they began.

    Attributes:
        drops: the last ones, the oldest first, of `all_drops`.
        events: the newest first.
    """

    row: FleetRow
    drops: list[DropFacts]
    all_drops: int
    events: list[ModelEvent]
    versions: list[ModelVersion]


@dataclass(frozen=True)
class DropEvidence:
    """Everything that was measured of one drop.

    Attributes:
        performance: a row for each kind, metric and chunk.
        drift: a row for each feature, the one that moved most first; of chunks and the whole drop.
    """

    drop: DropFacts
    performance: pl.DataFrame
    drift: pl.DataFrame


def history_of(stores: Stores, model: str) -> ModelHistory:
    """Return everything that happened to a model, read again only when one of its tables has changed.

    Raises:
        UnknownName: no model has this name.
    """
    declared = stores.project.models[model]
    spine = stores.project.spines[declared.spine]
    metric = declared.watched_metric
    return stores.read(
        ("history", model, spine.partition, metric),
        [*(f"{model}/{table}" for table in TABLES), EVENTS],
        lambda: read_history(stores.lake, model, spine.partition, metric, spine.drops),
    )


def read_model_page(stores: Stores, model: str, last: int) -> ModelPage:
    """Read a model with its last drops.

    Args:
        last: drops; 0 for all.

    Raises:
        UnknownName: no model has this name.
    """
    history = history_of(stores, model)
    drops = history.drops[-last:] if last else history.drops
    since = drops[0].at if drops and len(drops) < len(history.drops) else None
    return ModelPage(
        row=read_row(stores, stores.project.models[model]),
        drops=drops,
        all_drops=len(history.drops),
        events=[event for event in history.events if since is None or event.at >= since],
        versions=history.versions,
    )


def read_drop(stores: Stores, model: str, drop: str) -> DropEvidence:
    """Read everything that was measured of one drop.

    Raises:
        UnknownName: no model has this name, or no drop of it.
    """
    known = {each.drop: each for each in history_of(stores, model).drops}
    if drop not in known:
        raise unknown_name(f"drop of model {model}", drop, known)
    partition = stores.project.spines[stores.project.models[model].spine].partition
    lake = stores.lake
    performance = drift = pl.DataFrame()
    if lake.exists(f"{model}/performance_report"):
        rows = newest_measures(lake.scan(f"{model}/performance_report").filter(pl.col(partition) == drop), partition)
        performance = rows.sort(
            "scope", "kind", "metric", "chunk_start", descending=[True, True, False, False]
        ).collect()
    if lake.exists(f"{model}/drift_report"):
        rows = lake.scan(f"{model}/drift_report").filter(pl.col(partition) == drop, pl.col("scope") == "period")
        drift = rows.sort("value", descending=True, nulls_last=True).collect()
    return DropEvidence(known[drop], performance, drift)
