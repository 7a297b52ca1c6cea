"""Finds labels that have come since their drops were measured, and asks for these drops to be measured again."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import dagster as dg
import polars as pl

from ml_assets.automation.sensors.corrections import assets_at_work
from ml_assets.components.features.feature_view import FeatureView
from ml_assets.components.features.outcome import Outcome
from ml_assets.components.features.spine import Spine
from ml_assets.components.model.ml_model import MLModel
from ml_assets.lake import Lake
from ml_assets.modelling.context import ModelContext
from ml_assets.modelling.performance.maturing import REPORT, LabelledDrops, drops_with_new_labels, read_report
from ml_assets.registry.registry import Registry
from ml_assets.resources import LakeResource, RegistryResource
from ml_assets.sources.drops.grains import WHOLE
from ml_assets.sources.drops.moments import drop_end

ASKED_FOR = (REPORT, "retrain_decision")
"""The report of the newest drop measures every earlier one whose labels have come; the decision rests on it."""


@dataclass(frozen=True)
class NewLabels:
    """Drops of a model that labels have come for, by the end of its newest drop."""

    model: str
    newest: str
    known: Mapping[str, int]

    def request(self) -> dg.RunRequest:
        """Return the request of one run for all of them."""
        content = json.dumps([self.model, self.newest, self.known], sort_keys=True)
        return dg.RunRequest(
            run_key=hashlib.sha256(content.encode()).hexdigest()[:24],
            partition_key=self.newest,
            asset_selection=[dg.AssetKey([self.model, asset]) for asset in ASKED_FOR],
        )


def label_sensor(use_case: str, models: Sequence[ModelContext], every_seconds: int) -> dg.SensorDefinition:
    """Build the sensor that has the drops of a use case measured again whose labels have come.

    Drops that come in see to the labels that come with them; this one sees labels that come alone: a corrected
    delivery, a table that was rebuilt.
    """
    cut = [model for model in models if model.spine.drops.grain != WHOLE]

    @dg.sensor(
        name=f"{use_case}_labels",
        target=dg.AssetSelection.assets(*([model.spec.name, asset] for model in cut for asset in ASKED_FOR)),
        minimum_interval_seconds=every_seconds,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=f"Has the drops of {use_case} measured again whose labels have come since they were measured.",
    )
    def look(context: dg.SensorEvaluationContext, lake: LakeResource, registry: RegistryResource) -> dg.SensorResult:
        tables, tracked = lake.open(), registry.open()
        before = json.loads(context.cursor) if context.cursor else {}
        at_work = assets_at_work(context.instance)
        seen, due = {}, []
        for model in cut:
            name, versions = model.spec.name, _versions(tables, model)
            if at_work is not None and at_work.isdisjoint(_read_and_made(model)):
                if versions != before.get(name):
                    due += new_labels(tables, tracked, model)
                seen[name] = versions
            elif name in before:
                seen[name] = before[name]
        return dg.SensorResult(run_requests=[each.request() for each in due], cursor=json.dumps(seen))

    return look


def new_labels(lake: Lake, registry: Registry, model: ModelContext) -> Iterator[NewLabels]:
    """Yield what labels have come for drops of a model, by the end of the newest drop of its report; nothing if none
    have."""
    report = read_report(lake, model)
    if report.is_empty():
        return
    newest = str(report[model.spine.partition].max())
    earlier = report.filter(pl.col(model.spine.partition) < newest)
    known = drops_with_new_labels(earlier, LabelledDrops(lake, registry, model), drop_end(newest, model.spine.drops))
    if known:
        yield NewLabels(model.spec.name, newest, known)


def _tables(model: ModelContext) -> list[str]:
    return [*dict.fromkeys([model.spine.table, model.label_table]), model.watched, model.key(REPORT)]


def _versions(lake: Lake, model: ModelContext) -> dict[str, int]:
    return {table: lake.version(table) for table in _tables(model) if lake.exists(table)}


def _read_and_made(model: ModelContext) -> set[dg.AssetKey]:
    made = [model.key(asset) for asset in ASKED_FOR]
    return {dg.AssetKey(table.split("/")) for table in [*_tables(model), *made]}


def contexts_of(
    models: Sequence[MLModel],
    spines: Mapping[str, Spine],
    views: Mapping[str, FeatureView],
    outcomes: Sequence[Outcome],
    group: str,
) -> list[ModelContext]:
    """Return the contexts of a use case's models."""
    return [
        ModelContext.of(model, spines[model.spine], [views[name] for name in model.features], group, outcomes=outcomes)
        for model in models
    ]
