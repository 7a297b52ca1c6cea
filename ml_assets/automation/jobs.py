"""Jobs of each use case: ingest history, train each model, live through one more drop, fill the online store, gather
what was served."""

from collections.abc import Iterable

import dagster as dg

from ml_assets.components.stages import (
    FEATURE,
    ONLINE,
    OUTCOME,
    SCORING,
    SERVED,
    SOURCE,
    STAGE,
    STATIC_SOURCE,
    STATIC_TABLE,
    TABLE,
    TRAINING,
)

PER_DROP = {SOURCE, STATIC_TABLE, TABLE, FEATURE, OUTCOME}


def ingest_job(use_case: str) -> str:
    """Return the name of the job that brings in drops and builds their features."""
    return f"{use_case}_ingest"


def drop_job(use_case: str) -> str:
    """Return the name of the job that brings in drops, builds their features, scores and monitors them."""
    return f"{use_case}_drop"


def served_job(use_case: str) -> str:
    """Return the name of the job that gathers what was served and, where that is monitored, monitors it."""
    return f"{use_case}_served"


def train_job(use_case: str) -> str:
    """Return the name of the job that tunes, trains, evaluates and promotes the models of a use case."""
    return f"{use_case}_train"


def online_job(use_case: str) -> str:
    """Return the name of the job that fills the online store with the features of a use case."""
    return f"{use_case}_online"


def build_jobs(specs: Iterable[dg.AssetSpec]) -> list:
    """Build up to five jobs for each asset group that has staged assets."""
    groups: dict[str, list[dg.AssetSpec]] = {}
    for spec in specs:
        if STAGE in spec.tags:
            groups.setdefault(spec.group_name or "default", []).append(spec)
    return [job for group, members in sorted(groups.items()) for job in _jobs_of(group, members)]


def _jobs_of(group: str, members: list[dg.AssetSpec]) -> list:
    wanted = {
        ingest_job(group): {STATIC_SOURCE, *PER_DROP},
        drop_job(group): {*PER_DROP, SCORING},
        train_job(group): {TRAINING},
        online_job(group): {ONLINE},
        served_job(group): {SERVED},
    }
    selected = {name: [m.key for m in members if m.tags[STAGE] in stages] for name, stages in wanted.items()}
    return [
        dg.define_asset_job(name, selection=dg.AssetSelection.assets(*keys)) for name, keys in selected.items() if keys
    ]
