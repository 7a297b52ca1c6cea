"""When a decided retraining is started, and started again after a failure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from ml_assets.retraining.spec import RetrainingSpec


@dataclass(frozen=True)
class Attempt:
    """One run started for a decision. ``ended`` is None while it goes on."""

    succeeded: bool
    ended: datetime | None


def next_attempt(attempts: Sequence[Attempt], now: datetime, spec: RetrainingSpec) -> int | None:
    """Return the number, from 1, of the attempt to start now; None if none is to start.

    None is to start while one runs, once one has succeeded, before the wait is over, and after the last.

    The n-th failure is followed by a wait of ``spec.retry_after`` times 2 to the power of n - 1.
    """
    ends = [attempt.ended for attempt in attempts if attempt.ended is not None and not attempt.succeeded]
    if len(ends) < len(attempts) or len(attempts) >= spec.attempts:
        return None
    if ends and now < max(ends) + spec.retry_time * 2 ** (len(ends) - 1):
        return None
    return len(attempts) + 1
