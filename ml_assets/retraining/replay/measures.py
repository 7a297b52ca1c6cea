"""What a replay trains, scores and measures: each model, drop and comparison once, whichever policy needs it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np
import polars as pl

from ml_assets.monitoring.drift.measure import no_drift
from ml_assets.monitoring.maturity import completeness
from ml_assets.monitoring.performance.table import no_performance
from ml_assets.retraining.candidates import Candidate, train_candidate
from ml_assets.retraining.evidence import Circumstances, Evidence, count_labels, gather_evidence
from ml_assets.retraining.limits import LearntLimits, learn_limits
from ml_assets.retraining.replay.lived import History, Period
from ml_assets.retraining.replay.store import ReplayStore
from ml_assets.retraining.spec import RESAMPLED, RetrainingSpec
from ml_assets.retraining.window import LEAST_DROPS, look_at
from ml_assets.training.evaluation.evaluate import time_blocks
from ml_assets.training.metrics.bootstrap import bootstrap
from ml_assets.training.predictions.scored import scored
from ml_assets.training.promotion.comparison import compare_with_champion
from ml_assets.training.promotion.decide import decide_promotion
from ml_assets.training.promotion.records import PromotionDecision
from ml_assets.training.tasks import find_task

RESAMPLES = 300
LEARNED_FROM = {
    "breaches",
    "of_last",
    "false_alarm_rate",
    "max_drop",
    "floor",
    "drift_share",
    "resamples",
    "widen_for_few_days",
}
DRIFT = {"drift", "multivariate"}
PERFORMANCE = {"realised", "estimated", "calibration"}


@dataclass
class ReplayMeasures:
    """Models trained as of moments of a history, and what has been measured of them; each is worked out once."""

    history: History
    store: ReplayStore
    _candidates: dict[datetime, Candidate] = field(default_factory=dict)
    _limits: dict[tuple[datetime, str, str], LearntLimits] = field(default_factory=dict)
    _scored: dict[tuple[datetime, str], pl.DataFrame] = field(default_factory=dict)
    _samples: dict[tuple[datetime, str], tuple[float, np.ndarray]] = field(default_factory=dict)
    _promotions: dict[tuple[datetime, datetime | None], PromotionDecision] = field(default_factory=dict)

    def candidate(self, as_of: datetime) -> Candidate:
        if as_of not in self._candidates:
            h = self.history
            known = h.rows.filter(pl.col(h.model.spine.time) < as_of)
            self._candidates[as_of] = self.store.candidate(
                as_of, lambda: train_candidate(known, h.model, h.features, as_of, self.store.studies, h.sampled)
            )
        return self._candidates[as_of]

    def promotion(self, challenger: Candidate, champion: Candidate | None) -> PromotionDecision:
        key = challenger.as_of, champion and champion.as_of
        if key not in self._promotions:
            self._promotions[key] = self._challenge(challenger, champion)
        return self._promotions[key]

    def _challenge(self, challenger: Candidate, champion: Candidate | None) -> PromotionDecision:
        """Compare candidate and champion on the newest labelled window, which is too late for the champion to have
        learned from."""
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
                metric=model.watched_metric,
                task=model.task,
                payoff=model.payoff_for(model.watched_metric),
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
        """Return the metric by every label that has become known, and its resamples over days."""
        key = champion.as_of, period.name
        if key not in self._samples:
            model = self.history.model
            rows = self.rows(champion, period).drop_nulls(model.label.column)
            if rows.is_empty():  # no label has become known
                return math.nan, np.full(RESAMPLES, math.nan)
            classes = champion.model.classes
            task = find_task(model.task)
            outcome, score = task.outcomes(rows[model.label.column], classes), task.read_scores(rows, classes)
            ranked = task.pair(outcome, score, champion.model.threshold)
            drawn = bootstrap(
                {"": task.beside(ranked, rows, model.payoff_for(model.watched_metric))},
                resamples=RESAMPLES,
                seed=model.seed,
                metrics=[model.watched_metric],
                blocks=time_blocks(rows[model.spine.time], model.evaluation.block),
            )
            self._samples[key] = drawn.estimates["", model.watched_metric], drawn.samples["", model.watched_metric]
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
        labels = count_labels(h.rows.lazy().filter(known), pl.col(known_at) > trained, h.sampled)
        drift, performance = self.monitored(champion, served, policy)
        return gather_evidence(
            drift=drift,
            performance=performance,
            limits=limits,
            metric=h.model.watched_metric,
            circumstances=Circumstances(
                as_of=now,
                trained_as_of=champion.as_of,
                last_trained=trained,
                labelled_rows=labels.rows,
                new_labels=labels.new,
                labelled_moments=labels.moments,
                new_moments=labels.new_moments,
            ),
            monitoring=h.monitoring,
            retraining=policy,
        )

    def monitored(
        self, champion: Candidate, periods: Sequence[Period], policy: RetrainingSpec
    ) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Measure drift and performance of the last periods that the champion served, as known at the last one's end.

        Realised performance reaches back to the last periods whose labels have matured. What a policy does not count is
        left empty.
        """
        h, now, counted = self.history, periods[-1].end, set(policy.evidence)
        moment = h.rows.schema[h.model.spine.time]
        drift = self._newest_drift(champion, periods, policy.of_last) if counted & DRIFT else []
        if not counted & PERFORMANCE:
            return pl.concat(drift or [no_drift(moment)]), no_performance(moment)
        measured = [
            self._known_performance(champion, periods, at).with_columns(pl.lit(period.name).alias(h.partition))
            for at, period in enumerate(periods)
        ]
        performance = look_at(pl.concat(measured), h.partition, h.monitoring, now, policy.of_last).drop(h.partition)
        return pl.concat(drift or [no_drift(moment)]), performance

    def _known_performance(self, champion: Candidate, served: Sequence[Period], at: int) -> pl.DataFrame:
        """Return the performance of the period ``served[at]`` as it was measured by the end of the last one: when it
        ended, and realised again whenever more labels had come."""
        h = self.history
        newest = first = self._performance(champion, served[: at + 1])
        for later in served[at + 1 :]:
            about = newest.with_columns(pl.lit(served[at].name).alias(h.partition))
            measured = completeness(about, h.partition, h.monitoring.labels, h.monitoring.min_chunk_rows)
            if measured["complete"].all() or not h.monitoring.labels.waits(served[at].end, later.end):
                break
            known = self._labelled(champion, served[at], later.end)[h.model.label.column].count()
            if known > measured["known"].item():
                newest = self._realised(champion, served[at], later)
        return pl.concat([first.filter(pl.col("kind") != "realised"), newest.filter(kind="realised")])

    def _realised(self, champion: Candidate, period: Period, later: Period) -> pl.DataFrame:
        from ml_assets.monitoring.performance.watch import watch_realised

        h = self.history
        rows = self._labelled(champion, period, later.end)
        return self.store.frame(
            f"realised-{_name(champion, period)}-by-{later.name}",
            lambda: watch_realised(champion.reference, rows, model=h.model, spec=h.monitoring, as_of=later.end),
        )

    def _labelled(self, champion: Candidate, period: Period, moment: datetime) -> pl.DataFrame:
        """Return a period's scored rows with the labels alone that were known at a moment."""
        label = self.history.model.label
        known = pl.when(pl.col(label.known_at) <= moment).then(pl.col(label.column))
        return self.rows(champion, period).with_columns(known)

    def missing(self, champion: Candidate, period: Period) -> int:
        """Count the rows of a period of which no label has become known."""
        return self.rows(champion, period)[self.history.model.label.column].null_count()

    def _newest_drift(self, champion: Candidate, periods: Sequence[Period], of_last: int) -> list[pl.DataFrame]:
        """Measure the drift of the newest periods, of so many as `newest_drops` chooses."""
        measured: list[pl.DataFrame] = []
        chunks = 0
        for period in reversed(periods):
            if chunks >= of_last and len(measured) >= LEAST_DROPS:
                break
            measured.insert(0, self._drift(champion, period))
            large = pl.col("rows") >= self.history.monitoring.min_chunk_rows
            chunks += measured[0].filter(large, scope="chunk")["chunk_start"].n_unique()
        return measured

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
        """Measure the performance of the last period; estimates also learn from what was served before it."""
        from ml_assets.monitoring.performance.watch import watch_performance

        h, period = self.history, served[-1]

        def measure() -> pl.DataFrame:
            before = [self._labelled(champion, each, period.end) for each in self._learned_from(champion, served)]
            return watch_performance(
                champion.reference,
                self._labelled(champion, period, period.end),
                model=h.model,
                features=h.features,
                spec=h.monitoring,
                earlier=pl.concat(before) if before else None,
                as_of=period.end,
            )

        return self.store.frame(f"performance-{_name(champion, period)}", measure)

    def _learned_from(self, champion: Candidate, served: Sequence[Period]) -> Sequence[Period]:
        """Return the periods before the last one, the newest ones of those whose labels have matured by its end."""
        h, now = self.history, served[-1].end
        least = h.monitoring.labels.matured

        def matured(period: Period) -> bool:
            label = self._labelled(champion, period, now)[h.model.label.column]
            known = label.count()
            return known >= least * len(label) or (known > 0 and not h.monitoring.labels.waits(period.end, now))

        ripe = [period for period in served[:-1] if matured(period)]
        return ripe[max(0, len(ripe) - h.monitoring.earlier_drops) :]


def _name(champion: Candidate, period: Period) -> str:
    return f"{champion.as_of:%Y%m%dT%H%M%S}-{period.name}"
