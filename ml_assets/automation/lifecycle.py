"""The lifecycle of a use case as a list of runs: history, training, then one drop after the other."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from ml_assets.automation.jobs import drop_job, ingest_job, train_job
from ml_assets.sources.drops.grains import name_at, stretches


@dataclass(frozen=True)
class PlannedRun:
    """One Dagster run: a job, the drops it works on and the moment it looks from.

    Attributes:
        title: what a person reads while it runs.
        job: name of the Dagster job.
        drops: the drops it works on, consecutive; empty for one that is not cut into drops.
        as_of: ISO 8601 moment for training, empty otherwise.
        model: the one model to train; empty for all of the use case.
        decision: id of the decision that a training acts on, if any.
        assets: the only assets of the job that are wanted, such as ``online/customer``; empty for all.
    """

    title: str
    job: str
    drops: tuple[str, ...] = field(default=())
    as_of: str = ""
    model: str = ""
    decision: str = ""
    assets: tuple[str, ...] = field(default=())


def plan_retraining(use_case: str, model: str, as_of: str, decision: str) -> PlannedRun:
    """Plan the training of one model that a decision asks for."""
    title = f"{as_of[:10]}: retrain {model}, as decided"
    return PlannedRun(title, train_job(use_case), as_of=as_of, model=model, decision=decision)


def plan_lifecycle(use_case: str, drops: Sequence[str], train_as_of: str, grain: str) -> list[PlannedRun]:
    """Plan history before ``train_as_of``, training as of then, and each later drop in a run of its own.

    History is one run, or one per stretch where drops are missing between.

    Args:
        drops: the drops to live through, such as ``["2013-01", "2013-02"]``, in order.
        train_as_of: ISO date, or date and time in UTC, of the training cut-off, such as ``2013-10-01``.
        grain: the period of a drop, such as ``monthly``.

    Raises:
        ValueError: the cut-off is no date, or no drop lies before it.
    """
    try:
        cut_off = name_at(grain, _in_utc(datetime.fromisoformat(train_as_of)))
    except ValueError as error:
        raise ValueError(f"training cut-off {train_as_of!r} is no ISO date such as 2013-10-01") from error
    history = tuple(drop for drop in drops if drop < cut_off)
    if not history:
        raise ValueError(f"nothing to train on: no drop of {use_case} lies before {train_as_of}")
    ingested = [
        PlannedRun(f"{stretch[0]} to {stretch[-1]}: ingest, validate, features", ingest_job(use_case), tuple(stretch))
        for stretch in stretches(grain, history)
    ]
    training = PlannedRun(f"{train_as_of}: tune, train, evaluate, promote", train_job(use_case), as_of=train_as_of)
    later = [drop for drop in drops if drop not in history]
    lived = [PlannedRun(f"{d}: ingest, score, monitor", drop_job(use_case), (d,)) for d in later]
    return [*ingested, training, *lived]


def _in_utc(moment: datetime) -> datetime:
    return moment if moment.tzinfo is None else moment.astimezone(UTC)
