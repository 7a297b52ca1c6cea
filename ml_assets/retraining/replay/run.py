"""History lived again, drop by drop, under chosen retraining policies."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np
import polars as pl

from ml_assets.retraining.candidates import Candidate, train_candidate
from ml_assets.retraining.decide import decide
from ml_assets.retraining.evidence import Circumstances, Evidence, gather_evidence
from ml_assets.retraining.limits import LearntLimits, learn_limits, tolerance
from ml_assets.retraining.replay.lived import CONFIDENCE, History, LivedPeriod, LivedPolicy, Period
from ml_assets.retraining.replay.store import ReplayStore
from ml_assets.retraining.spec import RESAMPLED, RetrainingSpec
from ml_assets.training.evaluation.evaluate import time_blocks
from ml_assets.training.kinds.base import find_kind
from ml_assets.training.metrics.bootstrap import bootstrap
from ml_assets.training.promotion.decide import PromotionDecision, compare_with_champion, decide_promotion
from ml_assets.training.scored import scored
from ml_assets.training.tasks import find_metric, find_task

RESAMPLES = 300
LEARNED_FROM = {"breaches", "of_last", "false_alarm_rate", "max_drop", "floor", "drift_share", "resamples"}
DRIFT = {"drift", "multivariate"}
PERFORMANCE = {"realised", "estimated", "calibration"}
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
    """Live ``periods`` under each policy: score, monitor, decide, retrain, promote, knowing only what was known then.

    The first champion is trained as of the first period's start. A retraining takes the period's end as its cut-off, as
    the sensor does. What two policies would train or measure alike is worked out once.

    Args:
        workers: trainings made side by side, on one core each, where it is certain that they will be asked for. Each
            holds a copy of the rows that it learns from.
        on_training: told of each of these.

    Raises:
        ValueError: too little history before the first period, or a first champion that its floors refuse.
    """
    world = _World(history, store, on_step)
    world.train_ahead(certain_trainings(periods, policies.values()), workers, on_training)
    lived = [world.live(name, policy, periods) for name, policy in policies.items()]
    sign = find_metric(history.model.metric).sign
    best = max(sign * one.mean for one in lived)
    return [
        LivedPolicy(o.policy, o.periods, o.mean, o.low, o.high, o.training_seconds, best - sign * o.mean) for o in lived
    ]


def replay_steps(periods: Sequence[Period], policies: Sequence[str]) -> int:
    """How often ``replay`` calls ``on_step``."""
    return len(periods) * len(policies)


def certain_trainings(periods: Sequence[Period], policies: Iterable[RetrainingSpec]) -> list[datetime]:
    """Cut-offs of which it is known beforehand that a replay will train as of them.

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


@dataclass
class _World:
    """History and what has been worked out about it."""

    history: History
    store: ReplayStore
    on_step: OnStep
    _candidates: dict[datetime, Candidate] = field(default_factory=dict)
    _limits: dict[tuple[datetime, str, str], LearntLimits] = field(default_factory=dict)
    _scored: dict[tuple[datetime, str], pl.DataFrame] = field(default_factory=dict)
    _samples: dict[tuple[datetime, str], tuple[float, np.ndarray]] = field(default_factory=dict)
    _promotions: dict[tuple[datetime, datetime | None], PromotionDecision] = field(default_factory=dict)

    def train_ahead(self, moments: Sequence[datetime], workers: int, on_training: OnStep) -> None:
        """Make the candidates of ``moments`` side by side; those already there cost nothing."""
        if workers < 2 or len(moments) < 2:
            return
        # The first shows at once whether there is history enough; of the others the longest comes first, so that no
        # core is left with it at the end.
        order = [moments[0], *sorted(moments[1:], reverse=True)]
        with ThreadPoolExecutor(workers) as pool:
            for number, _ in enumerate(pool.map(self._train_on_one_core, order), 1):
                on_training(f"trained {number} of {len(order)} side by side")

    def _train_on_one_core(self, as_of: datetime) -> None:
        with find_kind(self.history.model.kind).one_core():
            self.candidate(as_of)

    def live(self, name: str, policy: RetrainingSpec, periods: Sequence[Period]) -> LivedPolicy:
        champion = self.candidate(periods[0].start)
        first = self.promotion(champion, None)
        if not first.promote:
            raise ValueError(f"the first champion, trained as of {champion.as_of:%Y-%m-%d}, is refused: {first.reason}")
        trained = champion.as_of
        served, lived, samples, seconds = [], [], [], champion.seconds
        for period in periods:
            served.append(period)
            value, drawn = self.performance(champion, period)
            limits = self.limits(champion, policy)
            evidence = self.evidence(champion, trained, served, limits, policy)
            decision = decide(evidence, policy)
            sign = find_metric(self.history.model.metric).sign
            told, promoted, version = decision.reason, False, champion
            if decision.retrain and period is not periods[-1]:
                challenger, trained = self.candidate(period.end), period.end
                seconds += challenger.seconds
                outcome = self.promotion(challenger, champion)
                told, promoted = f"{told}. {outcome.reason}", outcome.promote
                if promoted:
                    champion, served = challenger, []
            low, high = np.nanquantile(drawn, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
            tolerated = tolerance(limits.reference, policy, self.history.model.task)
            lived.append(
                LivedPeriod(
                    period.name, value, float(low), float(high), f"{version.as_of:%Y-%m-%d}", told,
                    decision.retrain and period is not periods[-1], promoted,
                    sign * value < sign * limits.reference - tolerated,
                )
            )  # fmt: skip
            samples.append(drawn)
            self.on_step(f"{name}: {period.name}")
        overall = np.mean(samples, axis=0)
        low, high = np.nanquantile(overall, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
        mean = float(np.mean([one.value for one in lived]))
        return LivedPolicy(name, tuple(lived), mean, float(low), float(high), seconds)

    def candidate(self, as_of: datetime) -> Candidate:
        if as_of not in self._candidates:
            h = self.history
            known = h.rows.filter(pl.col(h.model.spine.time) < as_of)
            self._candidates[as_of] = self.store.candidate(
                as_of, lambda: train_candidate(known, h.model, h.features, as_of, self.store.studies)
            )
        return self._candidates[as_of]

    def promotion(self, challenger: Candidate, champion: Candidate | None) -> PromotionDecision:
        key = challenger.as_of, champion and champion.as_of
        if key not in self._promotions:
            self._promotions[key] = self._challenge(challenger, champion)
        return self._promotions[key]

    def _challenge(self, challenger: Candidate, champion: Candidate | None) -> PromotionDecision:
        """The challenger's holdout is the newest labelled window; the champion has learned nothing that late."""
        model, rows, over = self.history.model, challenger.reference, None
        if champion is not None:
            over = compare_with_champion(
                rows, champion.model, spec=model, challenger_threshold=challenger.model.threshold
            )
        return decide_promotion(
            model=model.name,
            challenger=f"{challenger.as_of:%Y-%m-%d}",
            champion=champion and f"{champion.as_of:%Y-%m-%d}",
            values=challenger.values,
            floors=model.floors,
            over_baseline=challenger.over_baseline,
            over_champion=over,
            promotion=model.promotion,
        )

    def limits(self, champion: Candidate, policy: RetrainingSpec) -> LearntLimits:
        # Policies differ in what they count; where they learn the same limits, these are learned once.
        counted = sum(kind in RESAMPLED for kind in policy.evidence)
        key = champion.as_of, str(max(1, counted)), policy.model_dump_json(include=LEARNED_FROM)
        if key not in self._limits:
            model = self.history.model
            self._limits[key] = learn_limits(
                champion.reference,
                features=self.history.features,
                time=model.spine.time,
                label=model.label.column,
                metric=model.metric,
                task=model.task,
                monitoring=self.history.monitoring,
                retraining=policy,
            )
        return self._limits[key]

    def rows(self, champion: Candidate, period: Period) -> pl.DataFrame:
        key = champion.as_of, period.name
        if key not in self._scored:
            rows = self.history.rows.filter(pl.col(self.history.partition) == period.name)
            self._scored[key] = scored(rows, champion.model)
        return self._scored[key]

    def performance(self, champion: Candidate, period: Period) -> tuple[float, np.ndarray]:
        """The metric once every label is known, and its resamples over days."""
        key = champion.as_of, period.name
        if key not in self._samples:
            model = self.history.model
            rows = self.rows(champion, period).drop_nulls(model.label.column)
            classes = champion.model.classes
            task = find_task(model.task)
            ranked = task.pair(task.outcomes(rows[model.label.column], classes), task.read_scores(rows, classes))
            drawn = bootstrap(
                {"": ranked},
                resamples=RESAMPLES,
                seed=model.seed,
                metrics=[model.metric],
                blocks=time_blocks(rows[model.spine.time], model.evaluation.block),
            )
            self._samples[key] = drawn.estimates["", model.metric], drawn.samples["", model.metric]
        return self._samples[key]

    def evidence(
        self,
        champion: Candidate,
        trained: datetime,
        served: Sequence[Period],
        limits: LearntLimits,
        policy: RetrainingSpec,
    ) -> list[Evidence]:
        h, now = self.history, served[-1].end
        label, known_at = h.model.label.column, h.model.label.known_at
        known = (pl.col(known_at) <= now) & pl.col(label).is_not_null()
        labelled, new = h.rows.select(known.sum(), new=(known & (pl.col(known_at) > trained)).sum()).row(0)
        drift, performance = self.monitored(champion, served, set(policy.evidence))
        return gather_evidence(
            drift=drift,
            performance=performance,
            limits=limits,
            metric=h.model.metric,
            circumstances=Circumstances(
                as_of=now,
                trained_as_of=champion.as_of,
                last_trained=trained,
                labelled_rows=labelled,
                new_labels=new,
            ),
            monitoring=h.monitoring,
            retraining=policy,
        )

    def monitored(
        self, champion: Candidate, periods: Sequence[Period], counted: set[str]
    ) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Drift and performance of the last two periods that the champion served, as known at their ends.

        What a policy does not count is left empty.
        """
        latest = range(max(0, len(periods) - 2), len(periods))
        drift = [self._drift(champion, periods[at]) for at in latest if counted & DRIFT]
        performance = [self._performance(champion, periods[: at + 1]) for at in latest if counted & PERFORMANCE]
        return pl.concat(drift or [_NO_DRIFT]), pl.concat(performance or [_NO_PERFORMANCE])

    def _drift(self, champion: Candidate, period: Period) -> pl.DataFrame:
        from ml_assets.monitoring.drift.measure import measure_drift

        h = self.history

        def measure() -> pl.DataFrame:
            rows = self.rows(champion, period)
            return measure_drift(
                champion.reference, rows, features=h.features, time=h.model.spine.time, spec=h.monitoring
            )

        return self.store.frame(f"drift-{_name(champion, period)}", measure)

    def _performance(self, champion: Candidate, served: Sequence[Period]) -> pl.DataFrame:
        """Of the last period; what was served before it is what estimates also learn from."""
        from ml_assets.monitoring.performance.watch import watch_performance

        h, period = self.history, served[-1]
        known = pl.when(pl.col(h.model.label.known_at) <= period.end).then(pl.col(h.model.label.column))

        def measure() -> pl.DataFrame:
            rows, *before = (
                self.rows(champion, one).with_columns(known)
                for one in (period, *served[-1 - h.monitoring.earlier_drops : -1])
            )
            earlier = pl.concat(before) if before else None
            return watch_performance(
                champion.reference, rows, model=h.model, features=h.features, spec=h.monitoring, earlier=earlier
            )

        return self.store.frame(f"performance-{_name(champion, period)}", measure)


def _name(champion: Candidate, period: Period) -> str:
    return f"{champion.as_of:%Y%m%dT%H%M%S}-{period.name}"


_CHUNKS = {"chunk_start": pl.Datetime("us", "UTC"), "rows": pl.Int64, "scope": pl.String, "value": pl.Float64}
_NO_DRIFT = pl.DataFrame(
    schema={**_CHUNKS, "feature": pl.String, "method": pl.String, "threshold": pl.Float64, "alert": pl.Boolean}
)
_NO_PERFORMANCE = pl.DataFrame(schema={**_CHUNKS, "kind": pl.String, "metric": pl.String})
