"""Finds features that a correction of another drop reaches, and asks for exactly those drops again."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import dagster as dg
import polars as pl

from ml_assets.automation.execute import RANGE_END, RANGE_START
from ml_assets.components.features.feature_view import FeatureView
from ml_assets.components.features.spine import Spine
from ml_assets.dagster_internals import NOT_FINISHED_STATUSES
from ml_assets.features.digests.inputs import INPUTS, changed_inputs, digest_inputs
from ml_assets.lake import Lake
from ml_assets.resources import LakeResource
from ml_assets.sources.drops.grains import WHOLE, stretches

Versions = dict[str, dict[str, int]]


@dataclass(frozen=True)
class Reached:
    """A view with its spine, and what its assets are called."""

    view: FeatureView
    spine: Spine

    @property
    def key(self) -> dg.AssetKey:
        return dg.AssetKey(self.view.key.split("/"))

    @property
    def inputs(self) -> list[str]:
        """The tables that its features are made of."""
        return [table for table in dict.fromkeys([self.spine.table, self.view.table]) if table]


def correction_sensor(use_case: str, views: Sequence[Reached], every_seconds: int) -> dg.SensorDefinition:
    """Build the sensor that makes features of a use case again for drops that a change of another drop reaches.

    It ignores a drop's own changes: conditions follow them, past the gates.
    """
    cut = [reached for reached in views if reached.spine.drops.grain != WHOLE]

    @dg.sensor(
        name=f"{use_case}_corrections",
        target=dg.AssetSelection.assets(*(reached.key for reached in cut)),
        minimum_interval_seconds=every_seconds,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=f"Makes features of {use_case} again whose look-back reaches into a drop that was corrected.",
    )
    def look(context: dg.SensorEvaluationContext, lake: LakeResource) -> dg.SensorResult:
        tables = lake.open()
        before: Versions = json.loads(context.cursor) if context.cursor else {}
        seen, due = {}, {}
        at_work = assets_at_work(context.instance)
        for reached in cut:
            name, versions = reached.view.name, _versions(tables, reached)
            if at_work is not None and at_work.isdisjoint({reached.key, *map(_asset, reached.inputs)}):
                due[name] = {} if versions == before.get(name) else _due(context.instance, tables, reached)
                seen[name] = versions
            elif name in before:
                seen[name] = before[name]
        grains = {reached.view.name: reached.spine.drops.grain for reached in cut}
        return dg.SensorResult(run_requests=list(_requests(due, grains)), cursor=json.dumps(seen))

    return look


def _versions(lake: Lake, reached: Reached) -> dict[str, int]:
    """Return the version of each input table that exists, by its key."""
    return {table: lake.version(table) for table in [reached.view.key, *reached.inputs] if lake.exists(table)}


def assets_at_work(instance: dg.DagsterInstance) -> set[dg.AssetKey] | None:
    """Return the assets that unfinished runs may be making; None stands for all assets."""
    at_work: set[dg.AssetKey] = set()
    for run in instance.get_runs(dg.RunsFilter(statuses=NOT_FINISHED_STATUSES)):
        if run.asset_selection is None:
            return None
        at_work |= run.asset_selection
    return at_work


def _due(instance: dg.DagsterInstance, lake: Lake, reached: Reached) -> dict[str, str]:
    """Return the drops whose features are due, each with an identity of the change that reaches it."""
    view, spine = reached.view, reached.spine
    if not all(lake.exists(table) for table in [view.key, *reached.inputs]):
        return {}
    features = lake.scan(view.key)
    if INPUTS not in features.collect_schema():
        return {}
    stored = dict(features.group_by(spine.partition).agg(pl.col(INPUTS).first()).collect().iter_rows())
    rows = spine.scan(lake, sorted(stored), view.spine_columns)
    current = digest_inputs(view, rows, view.facts(lake), partition=spine.partition, time=spine.time)
    made = _materialized(instance, reached.key)
    newest_inputs = [_materialized(instance, _asset(table)) for table in reached.inputs]
    return {
        drop: f"{made[drop]} {current[drop]}"
        for drop in changed_inputs(stored, current)
        if drop in made and all(of_table.get(drop, 0) < made[drop] for of_table in newest_inputs)
    }


def _materialized(instance: dg.DagsterInstance, key: dg.AssetKey) -> Mapping[str, int]:
    """Return the number of the event that last made each drop; empty for an asset that is not cut into drops."""
    storage = instance.event_log_storage
    return storage.get_latest_storage_id_by_partition(key, dg.DagsterEventType.ASSET_MATERIALIZATION)


def _asset(table: str) -> dg.AssetKey:
    return dg.AssetKey(table.split("/"))


def _requests(due: Mapping[str, Mapping[str, str]], grains: Mapping[str, str]) -> Iterator[dg.RunRequest]:
    """Yield a run request for the views that the same drops are due of, per stretch of drops without a gap."""
    alike: dict[tuple[str, ...], list[str]] = {}
    for name in sorted(due):
        alike.setdefault(tuple(sorted(due[name])), []).append(name)
    for drops, names in alike.items():
        for stretch in stretches(grains[names[0]], drops):
            yield _request(names, stretch, {name: {drop: due[name][drop] for drop in stretch} for name in names})


def _request(names: Sequence[str], drops: list[str], identities: Mapping[str, Mapping[str, str]]) -> dg.RunRequest:
    digest = hashlib.sha256(json.dumps(identities, sort_keys=True).encode()).hexdigest()[:24]
    ends = {} if len(drops) == 1 else {RANGE_START: drops[0], RANGE_END: drops[-1]}
    return dg.RunRequest(
        run_key=digest,
        partition_key=drops[0] if len(drops) == 1 else None,
        asset_selection=[dg.AssetKey(["features", name]) for name in names],
        tags=ends,
    )
