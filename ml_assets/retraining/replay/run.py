"""History lived again, drop by drop, under chosen retraining policies."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime

import numpy as np

from ml_assets.retraining.candidates import Candidate
from ml_assets.retraining.decide import decide
from ml_assets.retraining.limits import LearntLimits, tolerance
from ml_assets.retraining.replay.lived import CONFIDENCE, History, LivedPeriod, LivedPolicy, Period
from ml_assets.retraining.replay.measures import ReplayMeasures
from ml_assets.retraining.replay.store import ReplayStore
from ml_assets.retraining.spec import RetrainingSpec
from ml_assets.training.kinds.base import find_kind
from ml_assets.training.spec import ModelSpec
from ml_assets.training.tasks import find_metric

OnStep = Callable[[str], None]


def replay(
    history: History,
    periods: Sequence[Period],
    policies: Mapping[str, RetrainingSpec],
    store: ReplayStore,
    on_step: OnStep = lambda _: None,
    *,
    workers: int = 1,
    on_training: OnStep = lambda _: None,
) -> list[LivedPolicy]:
    """Replay ``periods`` under each policy: score, monitor, decide, retrain, promote, knowing only what was known then.

    The first champion is trained as of the first period's start. A retraining takes the period's end as its cut-off, as
    the sensor does. What two policies would train or measure alike is worked out once.

    Args:
        workers: trainings made side by side, on one core each, where it is certain that they will be needed. Each
            holds a copy of the rows that it learns from.
        on_training: called after each of these.

    Raises:
        ValueError: too little history before the first period, or a first champion that its floors refuse.
    """
    measures = ReplayMeasures(history, store)
    _train_ahead(measures, certain_trainings(periods, policies.values()), workers, on_training)
    lived = [_live(measures, name, policy, periods, on_step) for name, policy in policies.items()]
    sign = find_metric(history.model.watched_metric).sign
    best = max(sign * policy.mean for policy in lived)
    return [replace(policy, regret=best - sign * policy.mean) for policy in lived]


def replay_steps(periods: Sequence[Period], policies: Sequence[str]) -> int:
    """Return how often ``replay`` calls ``on_step``."""
    return len(periods) * len(policies)


def certain_trainings(periods: Sequence[Period], policies: Iterable[RetrainingSpec]) -> list[datetime]:
    """Return the cut-offs of the trainings that a replay will need in any case.

    The first champion's is one. The others are, if a policy goes by an age that a champion always has by a period's
    end, and neither its cooldown nor too few labels can hold it back.
    """
    shortest = min(period.end - period.start for period in periods)
    always = any(
        "age" in policy.evidence
        and policy.max_age_time is not None
        and max(policy.max_age_time, policy.cooldown_time) <= shortest
        and not policy.min_new_labels
        for policy in policies
    )
    return [periods[0].start, *(period.end for period in periods[:-1] if always)]


def _train_ahead(measures: ReplayMeasures, moments: Sequence[datetime], workers: int, on_training: OnStep) -> None:
    """Train the candidates of ``moments`` side by side; existing ones cost nothing."""
    if workers < 2 or len(moments) < 2:
        return

    def on_one_core(as_of: datetime) -> None:
        with find_kind(measures.history.model.kind).one_core():
            measures.candidate(as_of)

    # The first shows at once whether there is history enough; of the others the longest comes first, so that no
    # core is left with it at the end.
    order = [moments[0], *sorted(moments[1:], reverse=True)]
    with ThreadPoolExecutor(workers) as pool:
        for number, _ in enumerate(pool.map(on_one_core, order), 1):
            on_training(f"trained {number} of {len(order)} side by side")


def _live(
    measures: ReplayMeasures, name: str, policy: RetrainingSpec, periods: Sequence[Period], on_step: OnStep
) -> LivedPolicy:
    champion = _first_champion(measures, periods[0])
    trained = champion.as_of
    served, lived, samples, seconds = [], [], [], champion.seconds
    for period in periods:
        served.append(period)
        value, drawn = measures.performance(champion, period)
        limits = measures.limits(champion, policy)
        decision = decide(measures.evidence(champion, trained, served, limits, policy), policy)
        reason, promoted, version = decision.reason, False, champion
        retrained = decision.retrain and period is not periods[-1]
        if retrained:
            challenger, trained = measures.candidate(period.end), period.end
            seconds += challenger.seconds
            outcome = measures.promotion(challenger, champion)
            reason, promoted = f"{reason}. {outcome.reason}", outcome.promote
            if promoted:
                champion, served = challenger, []
        breached = _is_worse(value, limits, policy, measures.history.model)
        as_of = f"{version.as_of:%Y-%m-%d}"
        missing = measures.missing(version, period)
        lived.append(
            LivedPeriod(period.name, value, *_band(drawn), as_of, reason, retrained, promoted, breached, missing)
        )
        samples.append(drawn)
        on_step(f"{name}: {period.name}")
    mean = float(np.mean([period.value for period in lived]))
    return LivedPolicy(name, tuple(lived), mean, *_band(np.mean(samples, axis=0)), seconds)


def _first_champion(measures: ReplayMeasures, period: Period) -> Candidate:
    champion = measures.candidate(period.start)
    first = measures.promotion(champion, None)
    if not first.promote:
        raise ValueError(f"the first champion, trained as of {champion.as_of:%Y-%m-%d}, is refused: {first.reason}")
    return champion


def _is_worse(value: float, limits: LearntLimits, policy: RetrainingSpec, model: ModelSpec) -> bool:
    """Return whether a value is worse than on the reference by more than the policy tolerates."""
    sign = find_metric(model.watched_metric).sign
    tolerated = tolerance(limits.reference, policy, model.task, model.watched_metric)
    return bool(sign * value < sign * limits.reference - tolerated)


def _band(drawn: np.ndarray) -> tuple[float, float]:
    if np.isnan(drawn).all():
        return math.nan, math.nan
    low, high = np.nanquantile(drawn, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)
