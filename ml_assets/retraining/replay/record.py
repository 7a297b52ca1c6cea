"""Replays that were made, as rows of a table: what each policy came to, drop by drop."""

import hashlib
import math
from collections.abc import Sequence
from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field

from ml_assets.lake import Lake
from ml_assets.lake.records import add_records, read_records
from ml_assets.retraining.replay.lived import LivedPeriod, LivedPolicy

REPLAYS = "replays"
"""Table of a model, beside its assets."""


class _ReplayPart(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ReplayedPeriod(_ReplayPart):
    """One drop under one policy."""

    period: str = Field(description="Name of the drop.")
    value: float | None = Field(description="The metric by every label that has become known; null if undefined.")
    low: float | None = Field(description="Lower end of its interval.")
    high: float | None = Field(description="Upper end of its interval.")
    missing_labels: int = Field(description="Rows whose label has never become known, which the value leaves out.")
    version: str = Field(description="Training cut-off of the champion that scored it.")
    decision: str = Field(description="What was decided at its end.")
    retrained: bool = Field(description="Whether a training followed.")
    promoted: bool = Field(description="Whether its model became champion.")


class ReplayedPolicy(_ReplayPart):
    """What one policy came to."""

    policy: str = Field(description="Name of the policy.")
    mean: float | None = Field(description="Mean of the periods' values; null if undefined in some.")
    low: float | None = Field(description="Lower end of its interval.")
    high: float | None = Field(description="Upper end of its interval.")
    retrains: int = Field(description="Trainings.")
    training_seconds: float | None = Field(description="What trainings took, in seconds.")
    detection_delay: float | None = Field(description="Periods from a loss to the decision to retrain; null without.")
    regret: float | None = Field(description="Mean loss against the best policy of each period; null if undefined.")
    periods: tuple[ReplayedPeriod, ...] = Field(description="The drops, the first first.")


class ReplayRecord(_ReplayPart):
    """One replay: several policies over the same drops."""

    id: str = Field(description="Digest of what came of it: the same replay made again has the same.")
    model: str = Field(description="The model.")
    metric: str = Field(description="What policies are measured by.")
    greater_is_better: bool = Field(description="Which way is better.")
    confidence: float = Field(description="Of the intervals.")
    replayed_at: datetime = Field(description="When it was made first, UTC.")
    policies: tuple[ReplayedPolicy, ...] = Field(description="As they were named.")


def record_replay(
    model: str,
    metric: str,
    lived: Sequence[LivedPolicy],
    *,
    greater_is_better: bool,
    confidence: float,
    replayed_at: datetime,
) -> ReplayRecord:
    """Make the record of a replay."""
    policies = tuple(_policy(policy) for policy in lived)
    # Seconds differ from run to run.
    content = [model, metric, *(policy.model_dump_json(exclude={"training_seconds"}) for policy in policies)]
    return ReplayRecord(
        id=hashlib.sha256("\n".join(content).encode()).hexdigest()[:16],
        model=model,
        metric=metric,
        greater_is_better=greater_is_better,
        confidence=confidence,
        replayed_at=replayed_at,
        policies=policies,
    )


def keep_replay(lake: Lake, record: ReplayRecord) -> None:
    """Store a replay, unless one with the same outcome is there."""
    key = f"{record.model}/{REPLAYS}"
    if record.id not in {each.id for each in read_records(lake, key, ReplayRecord)}:
        columns = {"model": record.model, "replay_id": record.id, "replayed_at": record.replayed_at}
        add_records(lake, key, [record], [columns], "model")


def read_replays(lake: Lake, model: str) -> list[ReplayRecord]:
    """Read the replays of a model, the oldest first."""
    return read_records(lake, f"{model}/{REPLAYS}", ReplayRecord)


def _policy(lived: LivedPolicy) -> ReplayedPolicy:
    return ReplayedPolicy(
        policy=lived.policy,
        mean=_number(lived.mean),
        low=_number(lived.low),
        high=_number(lived.high),
        retrains=lived.retrains,
        training_seconds=_number(lived.training_seconds),
        detection_delay=_number(lived.detection_delay),
        regret=_number(lived.regret),
        periods=tuple(_period(period) for period in lived.periods),
    )


def _period(lived: LivedPeriod) -> ReplayedPeriod:
    return ReplayedPeriod(
        period=lived.period,
        value=_number(lived.value),
        low=_number(lived.low),
        high=_number(lived.high),
        missing_labels=lived.missing,
        version=lived.version,
        decision=lived.decision,
        retrained=lived.retrained,
        promoted=lived.promoted,
    )


def _number(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else float(value)
