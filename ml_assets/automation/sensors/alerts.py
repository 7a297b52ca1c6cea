"""Judges the declared rules of alerts, and sends what they find."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import dagster as dg

from ml_assets.alerts.look import look_at_rules
from ml_assets.declarations.specs import DeclaredSource
from ml_assets.notifications.channel import Channel
from ml_assets.notifications.channels.log import LogChannel
from ml_assets.observations.observe import ModelRules, observe_rules
from ml_assets.resources import LakeResource


def alert_sensor(
    models: Sequence[ModelRules],
    sources: Sequence[DeclaredSource],
    every_seconds: int,
    open_channels: Callable[[], Sequence[Channel]],
) -> dg.SensorDefinition:
    """Look at all rules again and again.

    Args:
        open_channels: gives the channels that alerts are sent to; the first is the log.
    """

    @dg.sensor(
        minimum_interval_seconds=every_seconds,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Judges the declared rules, opens and ends alerts, and sends them.",
    )
    def alerts(context: dg.SensorEvaluationContext, lake: LakeResource) -> dg.SkipReason:
        tables, now = lake.open(), datetime.now(UTC)
        # Dagster keeps what a sensor logs; the first channel is the log.
        channels = [LogChannel(context.log), *open_channels()[1:]]
        look = look_at_rules(tables, observe_rules(tables, models, sources, now), channels, now)
        unknown = [f"{subject} {rule}: {why}" for (_, subject, rule), why in look.judged.unknown.items()]
        said = f"; not judged: {'; '.join(unknown)}" if unknown else ""
        return dg.SkipReason(f"{len(look.judged.events)} changes of alerts, {len(look.sent)} notices{said}")

    return alerts
