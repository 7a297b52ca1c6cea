"""Every sensor of the project; all run from the start."""

import os
from collections.abc import Iterable

import dagster as dg

from ml_assets.automation.drop_sensor import drop_sensor
from ml_assets.automation.failure_sensor import run_failures
from ml_assets.automation.recovery import close_lost_runs
from ml_assets.automation.retrain_sensor import retrain_sensor
from ml_assets.automation.served_sensor import served_sensor
from ml_assets.components.ml_model import MLModel
from ml_assets.components.source import Source
from ml_assets.components.spine import Spine
from ml_assets.resources import RegistryResource

EVERY_SECONDS = int(os.environ.get("ML_ASSETS_SENSOR_SECONDS", "30"))


def build_sensors(specs: Iterable[dg.AssetSpec], tree: dg.ComponentTree) -> list:
    """One sensor per use case for its drops, two per model for decisions and answers, one for conditions, one for
    failures.
    """
    group_of = {spec.key.path[0]: spec.group_name or "default" for spec in specs if len(spec.key.path) > 1}
    by_group: dict[str, list[Source]] = {}
    for source in tree.get_all_components(of_type=Source):
        by_group.setdefault(group_of[source.name], []).append(source)
    models = tree.get_all_components(of_type=MLModel)
    spines = {spine.name: spine for spine in tree.get_all_components(of_type=Spine)}
    return [
        *(drop_sensor(group, members, EVERY_SECONDS) for group, members in sorted(by_group.items())),
        *(retrain_sensor(model, group_of[model.name], EVERY_SECONDS) for model in models),
        *(served_sensor(model.name, spines[model.spine], EVERY_SECONDS) for model in models if model.serving),
        dg.AutomationConditionSensorDefinition(
            "conditions",
            target=dg.AssetSelection.all(),
            default_status=dg.DefaultSensorStatus.RUNNING,
            minimum_interval_seconds=EVERY_SECONDS,
            description="Materializes what its condition asks for: assets follow their inputs, drop by drop.",
        ),
        lost_runs,
        run_failures,
    ]


@dg.sensor(
    minimum_interval_seconds=EVERY_SECONDS,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Marks runs whose process is gone as failed, so that what waits for them goes on.",
)
def lost_runs(context: dg.SensorEvaluationContext, registry: RegistryResource) -> dg.SkipReason:
    lost = close_lost_runs(context.instance)
    closed = registry.open().close_stale_runs(lost) if lost else 0
    return dg.SkipReason(f"{len(lost)} lost runs and {closed} MLflow runs they had left open were closed")
