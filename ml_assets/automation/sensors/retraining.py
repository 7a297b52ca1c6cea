"""Acts on decisions: starts each decided retraining once, and tells people what was decided."""

import json
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime

import dagster as dg

from ml_assets.automation.run_tags import DECISION, PARTITION, RANGE_END, RANGE_START
from ml_assets.components.model.ml_model import MLModel
from ml_assets.components.stages import STAGE, TRAINING
from ml_assets.dagster_internals import AUTO_RETRY_RUN_ID_TAG, NOT_FINISHED_STATUSES, WILL_RETRY_TAG
from ml_assets.lake import Lake
from ml_assets.notifications.channel import Channel
from ml_assets.notifications.channels.log import LogChannel
from ml_assets.notifications.notice import Notice
from ml_assets.notifications.send import notify
from ml_assets.registry.decisions import read_decisions as read_promotions
from ml_assets.resources import LakeResource
from ml_assets.retraining.attempts import Attempt, next_attempt
from ml_assets.retraining.decide import DecisionRecord, read_decisions
from ml_assets.training.promotion.records import REFUSED, ROLLED_BACK, WAITS

_GOING_ON = [status for status in NOT_FINISHED_STATUSES if status != dg.DagsterRunStatus.NOT_STARTED]
"""A run that was made but never launched is requested again by whoever made it."""


def retrain_sensor(
    model: MLModel, group: str, every_seconds: int, open_channels: Callable[[], Sequence[Channel]]
) -> dg.SensorDefinition:
    """Start the training that a decision asks for, once; a failed one again, later and later.

    Args:
        open_channels: gives the channels to which notices of decisions are sent; the first is the log.
    """
    training = dg.AssetSelection.groups(group) & dg.AssetSelection.tag(STAGE, TRAINING)
    training &= dg.AssetSelection.key_prefixes(model.name)

    @dg.sensor(
        name=f"{model.name}_retraining",
        target=training,
        minimum_interval_seconds=every_seconds,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=f"Starts the training of {model.name} that a decision asks for, and tells of decisions.",
    )
    def act(context: dg.SensorEvaluationContext, lake: LakeResource) -> dg.SensorResult:
        tables = lake.open()
        decisions = read_decisions(tables, model.name)
        runs = [request for decision in decisions if (request := _request(context, model, decision))]
        sent = set(json.loads(context.cursor)) if context.cursor else None
        sent = _notify_of_news(tables, model, decisions, sent, context.log, open_channels)
        return dg.SensorResult(run_requests=runs, cursor=json.dumps(sorted(sent)))

    return act


def training_config(as_of: str) -> dict:
    """Return the run configuration of a training that looks from ``as_of``."""
    return {"resources": {"as_of": {"config": {"moment": as_of}}}}


def _request(context: dg.SensorEvaluationContext, model: MLModel, decision: DecisionRecord) -> dg.RunRequest | None:
    if not decision.retrain:
        return None
    records = context.instance.get_run_records(dg.RunsFilter(tags={DECISION: decision.id}))
    attempt = next_attempt(attempts_of(records), datetime.now(UTC), model.retraining)
    if attempt is None or any(
        has_settled(context.instance, record.dagster_run.run_id, model.name) for record in records
    ):
        return None
    return dg.RunRequest(
        run_key=f"{decision.id}/{attempt}",
        run_config=training_config(decision.as_of),
        tags={DECISION: decision.id, "ml_assets/attempt": str(attempt)},
    )


def is_worked_on(instance: dg.DagsterInstance, drop: str) -> bool:
    """Tell whether a run on a drop goes on, or was lost and is yet to be made again.

    It may still decide on the drop; and would decide otherwise once a training has looked from the drop's end.
    """
    going_on = instance.get_runs(dg.RunsFilter(statuses=_GOING_ON))
    lost = instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE], tags={WILL_RETRY_TAG: "true"}))
    unfinished = [*going_on, *(run for run in lost if AUTO_RETRY_RUN_ID_TAG not in run.tags)]
    return any(_is_on(run, drop) for run in unfinished)


def _is_on(run: dg.DagsterRun, drop: str) -> bool:
    first = run.tags.get(RANGE_START, run.tags.get(PARTITION))
    return first is not None and first <= drop <= run.tags.get(RANGE_END, first)


def has_settled(instance: dg.DagsterInstance, run_id: str, model: str) -> bool:
    """Tell whether a run has come to decide on promotion, its last step: killed behind that it has done its work,
    whatever Dagster says of its end."""
    made = instance.all_logs(run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION)
    champion = dg.AssetKey([model, "champion"])
    return any(entry.dagster_event is not None and entry.dagster_event.asset_key == champion for entry in made)


def attempts_of(records: Iterable[dg.RunRecord]) -> list[Attempt]:
    """Return the attempts that some runs are. A lost run and the one that Dagster makes of it are the same attempt.

    A run that was made but never launched is none: requested again under its run key, it is launched.
    """
    handed_over = [record for record in records if record.dagster_run.status != dg.DagsterRunStatus.NOT_STARTED]
    return [_attempt(record) for record in handed_over if AUTO_RETRY_RUN_ID_TAG not in record.dagster_run.tags]


def _attempt(record: dg.RunRecord) -> Attempt:
    run = record.dagster_run
    if run.tags.get(WILL_RETRY_TAG) == "true":
        return Attempt(succeeded=False, ended=None)
    ended = datetime.fromtimestamp(record.end_time, UTC) if run.is_finished and record.end_time else None
    if run.is_finished and ended is None:
        ended = record.update_timestamp.astimezone(UTC)
    return Attempt(run.status == dg.DagsterRunStatus.SUCCESS, ended)


def _notify_of_news(
    lake: Lake,
    model: MLModel,
    decisions: list[DecisionRecord],
    sent: set[str] | None,
    log: logging.Logger,
    open_channels: Callable[[], Sequence[Channel]],
) -> set[str]:
    """Send the notices that were not sent before; none at the first look, which sees history only."""
    notices = dict([*_decision_notices(decisions), *promotion_notices(lake, model)])
    if sent is not None:
        # Dagster keeps what a sensor logs; the first channel is the log.
        channels = [LogChannel(log), *open_channels()[1:]]
        for identity in notices.keys() - sent:
            notify(channels, notices[identity])
    return set(notices)


def _decision_notices(decisions: list[DecisionRecord]) -> Iterator[tuple[str, Notice]]:
    for decision in decisions:
        subject = f"{decision.model}: {'retrain' if decision.retrain else 'wait'} after {decision.drop}"
        facts = {
            "model": decision.model,
            "drop": decision.drop,
            "champion": decision.champion,
            "rule": decision.rule,
            "decision": decision.id,
        }
        yield f"decision {decision.id}", Notice("decision", subject, decision.reason, facts)


_NOT_PROMOTED = {WAITS: "waits for approval", REFUSED: "refused"}


def promotion_notices(lake: Lake, model: MLModel) -> Iterator[tuple[str, Notice]]:
    """Yield a notice of each decision on who serves, after its identity, but for roll-backs."""
    for promotion in read_promotions(lake, model.name):
        if promotion.rule == ROLLED_BACK:
            continue  # told of by whoever rolled back
        outcome = "promoted" if promotion.promote else _NOT_PROMOTED.get(promotion.rule, "not promoted")
        subject = f"{model.name}: version {promotion.challenger} {outcome}"
        facts = {
            "model": model.name,
            "challenger": promotion.challenger,
            "champion": promotion.champion or "none",
            "as_of": promotion.as_of,
        }
        if promotion.rule == WAITS:
            facts["owners"] = ", ".join(model.owners) or "none"
            facts["approve"] = f"ml-assets approve {model.name} {promotion.challenger} --by NAME"
        yield (
            f"promotion {promotion.challenger} {promotion.as_of} {promotion.id}".rstrip(),
            Notice("promotion", subject, promotion.reason, facts),
        )
