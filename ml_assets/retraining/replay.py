"""History lived again, drop by drop, under chosen retraining policies."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np
import polars as pl

from ml_assets.monitoring.spec import MonitoringSpec
from ml_assets.retraining.candidates import PREDICTION, SCORE, Candidate, scored, train_candidate
from ml_assets.retraining.decide import decide
from ml_assets.retraining.evidence import Circumstances, Evidence, gather_evidence
from ml_assets.retraining.limits import Limits, learn_limits
from ml_assets.retraining.replay_store import ReplayStore
from ml_assets.retraining.spec import RESAMPLED, RetrainingSpec
from ml_assets.training.bootstrap import bootstrap
from ml_assets.training.evaluate import time_blocks
from ml_assets.training.metrics import METRICS, rank_scores
from ml_assets.training.promotion import PromotionDecision, compare_on_same_rows, decide_promotion
from ml_assets.training.spec import ModelSpec

RESAMPLES = 300
CONFIDENCE = 0.95
LEARNED_FROM = {"breaches", "of_last", "false_alarm_rate", "max_drop", "floor", "drift_share", "resamples"}
OnStep = Callable[[str], None]


@dataclass(frozen=True)
class Period:
    """One drop: its name, and the moments at which it begins and ends (UTC)."""

    name: str
    start: datetime
    end: datetime


@dataclass(frozen=True)
class History:
    """Everything that will have been known, of which each step of a replay sees only its past.

    Attributes:
        rows: every spine row with its features, label and the time the label was known.
        partition: column that names a row's drop.
    """

    rows: pl.DataFrame
    partition: str
    model: ModelSpec
    features: list[str]
    monitoring: MonitoringSpec


@dataclass(frozen=True)
class LivedPeriod:
    """One period under one policy.

    ``value`` is the metric once every label was known, with a bootstrap interval over days; ``version`` is the training
    cut-off of the champion that scored it; ``decision`` is what was decided at its end; ``missed`` says that the
    champion lost more than ``max_drop`` against its own holdout.
    """

    period: str
    value: float
    low: float
    high: float
    version: str
    decision: str
    retrained: bool
    promoted: bool
    missed: bool


@dataclass(frozen=True)
class LivedPolicy:
    """What one policy came to. ``mean`` is that of the periods' values; lower ``regret`` is better."""

    policy: str
    periods: tuple[LivedPeriod, ...]
    mean: float
    low: float
    high: float
    training_seconds: float
    regret: float = 0.0

    @property
    def retrains(self) -> int:
        return sum(period.retrained for period in self.periods)

    @property
    def detection_delay(self) -> float | None:
        """Periods from a champion's loss of more than ``max_drop`` to the decision to retrain; 0 is at once.

        The mean over such losses; None if there was none, or none that a decision followed.
        """
        delays, fell = [], None
        for number, lived in enumerate(self.periods):
            if lived.missed and fell is None:
                fell = number
            if lived.retrained:
                if fell is not None:
                    delays.append(number - fell)
                fell = None
        return float(np.mean(delays)) if delays else None


def replay(
    history: History,
    periods: Sequence[Period],
    policies: Mapping[str, RetrainingSpec],
    store: ReplayStore,
    on_step: OnStep = lambda _: None,
) -> list[LivedPolicy]:
    """Live ``periods`` under each policy: score, monitor, decide, retrain, promote, knowing only what was known then.

    The first champion is trained as of the first period's start. A retraining takes the period's end as its cut-off, as
    the sensor does. What two policies would train or measure alike is worked out once.

    Raises:
        ValueError: too little history before the first period, or a first champion that its floors refuse.
    """
    world = _World(history, store, on_step)
    lived = [world.live(name, policy, periods) for name, policy in policies.items()]
    sign = METRICS[history.model.metric].sign
    best = max(sign * one.mean for one in lived)
    return [
        LivedPolicy(o.policy, o.periods, o.mean, o.low, o.high, o.training_seconds, best - sign * o.mean) for o in lived
    ]


def replay_steps(periods: Sequence[Period], policies: Sequence[str]) -> int:
    """How often ``replay`` calls ``on_step``."""
    return len(periods) * len(policies)


@dataclass
class _World:
    """History and what has been worked out about it."""

    history: History
    store: ReplayStore
    on_step: OnStep
    _candidates: dict[datetime, Candidate] = field(default_factory=dict)
    _limits: dict[tuple[datetime, str, str], Limits] = field(default_factory=dict)
    _scored: dict[tuple[datetime, str], pl.DataFrame] = field(default_factory=dict)
    _samples: dict[tuple[datetime, str], tuple[float, np.ndarray]] = field(default_factory=dict)

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
            sign = METRICS[self.history.model.metric].sign
            told, promoted, version = decision.reason, False, champion
            if decision.retrain and period is not periods[-1]:
                challenger, trained = self.candidate(period.end), period.end
                seconds += challenger.seconds
                outcome = self.promotion(challenger, champion)
                told, promoted = f"{told}. {outcome.reason}", outcome.promote
                if promoted:
                    champion, served = challenger, []
            low, high = np.nanquantile(drawn, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
            lived.append(
                LivedPeriod(
                    period.name, value, float(low), float(high), f"{version.as_of:%Y-%m-%d}", told,
                    decision.retrain and period is not periods[-1], promoted,
                    sign * value < sign * limits.reference - policy.max_drop,
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
        """The challenger's holdout is the newest labelled window; the champion has learned nothing that late."""
        model, rows, over = self.history.model, challenger.reference, None
        if champion is not None:
            over = compare_on_same_rows(
                rows[model.label.column].cast(pl.Float64).to_numpy(),
                rows[SCORE].to_numpy(),
                scored(rows.drop(SCORE, PREDICTION), champion.model)[SCORE].to_numpy(),
                promotion=model.promotion,
                seed=model.seed,
                challenger_threshold=challenger.model.threshold,
                champion_threshold=champion.model.threshold,
                blocks=time_blocks(rows[model.spine.time], model.evaluation.block),
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

    def limits(self, champion: Candidate, policy: RetrainingSpec) -> Limits:
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
                score=SCORE,
                metric=model.metric,
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
            ranked = rank_scores(rows[model.label.column].cast(pl.Float64).to_numpy(), rows[SCORE].to_numpy())
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
        limits: Limits,
        policy: RetrainingSpec,
    ) -> list[Evidence]:
        h, now = self.history, served[-1].end
        label, known_at = h.model.label.column, h.model.label.known_at
        known = h.rows.filter(pl.col(known_at) <= now, pl.col(label).is_not_null())
        drift, performance = self.monitored(champion, served[-2:], bool(set(policy.evidence) - {"age", "new_labels"}))
        return gather_evidence(
            drift=drift,
            performance=performance,
            limits=limits,
            metric=h.model.metric,
            circumstances=Circumstances(
                as_of=now,
                trained_as_of=champion.as_of,
                last_trained=trained,
                labelled_rows=known.height,
                new_labels=known.filter(pl.col(known_at) > trained).height,
            ),
            monitoring=h.monitoring,
            retraining=policy,
        )

    def monitored(
        self, champion: Candidate, periods: Sequence[Period], needed: bool
    ) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Drift and performance of some periods as known at their ends; empty for a policy that looks at neither."""
        made = [self._monitor(champion, period) for period in periods] if needed else []
        if not made:
            return _NO_DRIFT, _NO_PERFORMANCE
        return pl.concat([drift for drift, _ in made]), pl.concat([performance for _, performance in made])

    def _monitor(self, champion: Candidate, period: Period) -> tuple[pl.DataFrame, pl.DataFrame]:
        from ml_assets.monitoring.drift import measure_drift
        from ml_assets.monitoring.performance import estimate_performance, realise_performance

        h = self.history
        model, time = h.model, h.model.spine.time
        about = {"probability": SCORE, "prediction": PREDICTION, "label": model.label.column}
        about |= {"time": time, "spec": h.monitoring}
        known = pl.col(model.label.known_at) <= period.end

        def rows() -> pl.DataFrame:
            label = pl.when(known).then(pl.col(model.label.column))
            return self.rows(champion, period).with_columns(label)

        def drift() -> pl.DataFrame:
            return measure_drift(champion.reference, rows(), features=h.features, time=time, spec=h.monitoring)

        def performance() -> pl.DataFrame:
            analysis = rows()
            estimated = estimate_performance(champion.reference, analysis, **about)
            return pl.concat([estimated, realise_performance(analysis, **about)])

        name = f"{champion.as_of:%Y%m%dT%H%M%S}-{period.name}"
        return self.store.frame(f"drift-{name}", drift), self.store.frame(f"performance-{name}", performance)


_CHUNKS = {"chunk_start": pl.Datetime("us", "UTC"), "rows": pl.Int64, "scope": pl.String, "value": pl.Float64}
_NO_DRIFT = pl.DataFrame(
    schema={**_CHUNKS, "feature": pl.String, "method": pl.String, "threshold": pl.Float64, "alert": pl.Boolean}
)
_NO_PERFORMANCE = pl.DataFrame(schema={**_CHUNKS, "kind": pl.String, "metric": pl.String})
