"""Gathers what was served: asks for the drops that answers came in about."""

import hashlib
import json

import dagster as dg
import polars as pl

from ml_assets.components.features.spine import Spine
from ml_assets.lake import Lake
from ml_assets.modelling.served import LOG, rows_that_answers_may_be_about
from ml_assets.resources import LakeResource
from ml_assets.sources.drops.grains import WHOLE

REST = 20
"""Looks of other sensors between two of this one: answers come in all the time, and each look may start a run."""


def served_sensor(model: str, spine: Spine, every_seconds: int) -> dg.SensorDefinition:
    """Build the sensor that watches a model's request log and materializes `<model>/served_predictions` for drops with
    new answers.

    Answers about rows that the spine does not have yet are looked at again whenever its table has changed.
    """
    asset = dg.AssetKey([model, "served_predictions"])

    @dg.sensor(
        name=f"{model}_served",
        target=dg.AssetSelection.assets(asset),
        minimum_interval_seconds=REST * every_seconds,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=f"Asks for the drops that {model} has answered about since the last look.",
    )
    def look(context: dg.SensorEvaluationContext, lake: LakeResource) -> dg.SensorResult | dg.SkipReason:
        from ml_assets.serving.log.request_log import DAY

        tables, log = lake.open(), f"{model}/{LOG}"
        if not tables.exists(log) or not tables.exists(spine.table):
            return dg.SkipReason(f"{log} or {spine.table} is not there yet")
        # Counted first: what comes in while the log is read is seen at the next look.
        now = {"spine": tables.version(spine.table), "days": tables.rows_by(log, DAY)}
        before = json.loads(context.cursor) if context.cursor else {"spine": None, "days": {}}
        if now == before:
            return dg.SkipReason("no new answers, and the spine has not changed")
        grown = [day for day, rows in now["days"].items() if rows != before["days"].get(day)]
        drops = drops_to_gather(tables, model, spine, grown if now["spine"] == before["spine"] else None)
        seen = hashlib.sha256(json.dumps(now, sort_keys=True).encode()).hexdigest()[:24]
        requests = [_request(asset, drop, f"{drop}:{seen}") for drop in drops]
        return dg.SensorResult(run_requests=requests, cursor=json.dumps(now))

    return look


def drops_to_gather(lake: Lake, model: str, spine: Spine, days: list[str] | None = None) -> list[str]:
    """Return the drops that were answered about, on some days or ever; empty before the first answer.

    Args:
        days: days in UTC such as 2013-10-05; None for all.
    """
    from ml_assets.serving.log.request_log import DAY
    from ml_assets.serving.log.served import drops_answered, keyed

    log = f"{model}/{LOG}"
    if not lake.exists(log):
        return []
    answers = keyed(lake.scan(log), spine.key, spine.time)
    answers = answers if days is None else answers.filter(pl.col(DAY).is_in(days))
    rows = rows_that_answers_may_be_about(lake, spine, answers)
    return drops_answered(answers, rows, spine.key, spine.partition)


def _request(asset: dg.AssetKey, drop: str, run_key: str) -> dg.RunRequest:
    return dg.RunRequest(run_key=run_key, partition_key=None if drop == WHOLE else drop, asset_selection=[asset])
