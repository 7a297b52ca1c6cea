"""Every sensor of the project; all run from the start, but those that look for drops of a use case that waits."""

from collections.abc import Iterable
from datetime import UTC, datetime
from functools import partial

import dagster as dg

from ml_assets.automation.recovery import ask_again_for_retries, close_lost_runs
from ml_assets.automation.sensors.alerts import alert_sensor
from ml_assets.automation.sensors.corrections import Reached, correction_sensor
from ml_assets.automation.sensors.drops import drop_sensor
from ml_assets.automation.sensors.failures import failure_sensor
from ml_assets.automation.sensors.labels import contexts_of, label_sensor
from ml_assets.automation.sensors.retraining import retrain_sensor
from ml_assets.automation.sensors.served import served_sensor
from ml_assets.components.features.feature_view import FeatureView
from ml_assets.components.features.outcome import Outcome
from ml_assets.components.features.spine import Spine
from ml_assets.components.model.ml_model import MLModel
from ml_assets.components.sources.source import Source
from ml_assets.components.stages import FEATURE, STAGE
from ml_assets.notifications.opening import open_channels
from ml_assets.observations.observe import models_with_rules
from ml_assets.resources import RegistryResource
from ml_assets.settings import Settings


def build_sensors(specs: Iterable[dg.AssetSpec], tree: dg.ComponentTree, settings: Settings) -> list:
    """Build three sensors per use case for its drops, for what corrections reach and for labels, two per model for
    decisions and answers, one for alerts where rules are declared, one for conditions, one for failures."""
    specs, every_seconds = list(specs), settings.sensor_seconds
    channels = partial(open_channels, settings.notifications)
    group_of = {spec.key.path[0]: spec.group_name or "default" for spec in specs if len(spec.key.path) > 1}
    by_group: dict[str, list[Source]] = {}
    for source in tree.get_all_components(of_type=Source):
        by_group.setdefault(group_of[source.name], []).append(source)
    views = {spec.key.path[-1]: spec.group_name or "default" for spec in specs if spec.tags.get(STAGE) == FEATURE}
    models = tree.get_all_components(of_type=MLModel)
    spines = {spine.name: spine for spine in tree.get_all_components(of_type=Spine)}
    reached: dict[str, list[Reached]] = {}
    declared = {view.name: view for view in tree.get_all_components(of_type=FeatureView)}
    for view in declared.values():
        reached.setdefault(views[view.name], []).append(Reached(view, spines[view.spine]))
    outcomes = tree.get_all_components(of_type=Outcome)
    ruled = models_with_rules(models, spines, declared, outcomes)
    watched = [source for source in tree.get_all_components(of_type=Source) if source.alerts]
    by_use_case: dict[str, list[MLModel]] = {}
    for model in models:
        by_use_case.setdefault(group_of[model.name], []).append(model)
    return [
        *(
            drop_sensor(group, members, every_seconds, settings.watches(group))
            for group, members in sorted(by_group.items())
        ),
        *(correction_sensor(group, members, every_seconds) for group, members in sorted(reached.items())),
        *(
            label_sensor(group, contexts_of(members, spines, declared, outcomes, group), every_seconds)
            for group, members in sorted(by_use_case.items())
        ),
        *(retrain_sensor(model, group_of[model.name], every_seconds, channels) for model in models),
        *(served_sensor(model.name, spines[model.spine], every_seconds) for model in models if model.serving),
        dg.AutomationConditionSensorDefinition(
            "conditions",
            target=dg.AssetSelection.all(),
            default_status=dg.DefaultSensorStatus.RUNNING,
            minimum_interval_seconds=every_seconds,
            description="Materializes what its condition asks for: assets follow their inputs, drop by drop.",
        ),
        *([alert_sensor(ruled, watched, every_seconds, channels)] if ruled or watched else []),
        lost_runs_sensor(every_seconds),
        failure_sensor(channels),
    ]


def lost_runs_sensor(every_seconds: int) -> dg.SensorDefinition:
    """Close runs whose process is gone, and see that they are made again."""

    @dg.sensor(
        minimum_interval_seconds=every_seconds,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Marks runs whose process is gone as failed, and sees that they are made again.",
    )
    def lost_runs(context: dg.SensorEvaluationContext, registry: RegistryResource) -> dg.SkipReason:
        lost = close_lost_runs(context.instance)
        closed = registry.open().close_stale_runs(lost) if lost else 0
        again = ask_again_for_retries(context.instance, datetime.now(UTC))
        return dg.SkipReason(
            f"{len(lost)} lost runs and {closed} MLflow runs they had left open were closed; {len(again)} runs that "
            "were not made again were told once more"
        )

    return lost_runs
