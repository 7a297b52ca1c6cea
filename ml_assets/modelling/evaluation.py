"""How good a challenger is: measured on the untouched holdout, beside a naive baseline."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from ml_assets.lake import Lake
from ml_assets.modelling.context import ModelContext
from ml_assets.modelling.records import VERSION, TrainedVersion, read_record
from ml_assets.modelling.training_set import read_part
from ml_assets.training.tasks import find_task

if TYPE_CHECKING:
    from ml_assets.registry.registry import Registry
    from ml_assets.training.evaluation.evaluate import Evaluation
    from ml_assets.training.evaluation.leaks.finding import Finding
    from ml_assets.training.fit import TrainedModel
    from ml_assets.training.metrics.ranked_scores import RankedScores

IMPORTANCE = "importance"
"""Subject of the evaluation's rows that hold, as metric and value, a feature and its share of all importances."""


@dataclass(frozen=True)
class ChallengerEvaluation:
    """A challenger with its holdout and everything that was measured on it.

    Attributes:
        score: the challenger's scores of the holdout's rows.
        reference: the holdout as scored, which monitoring compares production with.
        suspects: features that predict best alone, most suspicious first.
        findings: signs of leaks that the rows show.
        plots: name -> PNG.
        fairness: the declared groups on the holdout, as ``measure_fairness`` gives it.
    """

    trained: TrainedVersion
    fitted: "TrainedModel"
    holdout: pl.DataFrame
    score: np.ndarray
    measured: "Evaluation"
    importance: pl.DataFrame
    suspects: pl.DataFrame
    findings: "list[Finding]"
    plots: dict[str, bytes]
    reference: pl.DataFrame
    fairness: pl.DataFrame

    @property
    def rows(self) -> pl.DataFrame:
        """The rows of the evaluation's table: metrics, slices and importances."""
        shares = self.importance.select(pl.lit(IMPORTANCE).alias("subject"), metric="feature", value="share")
        return pl.concat([self.measured.metrics, _long(self.measured.slices), shares], how="diagonal")


def evaluate_challenger(lake: Lake, registry: "Registry", model: ModelContext, as_of: str) -> ChallengerEvaluation:
    """Measure the version that was trained as of a moment."""
    from ml_assets.training.evaluation.explain import explain
    from ml_assets.training.evaluation.groups import measure_groups
    from ml_assets.training.evaluation.leaks.signs import judge_features
    from ml_assets.training.fit import predict
    from ml_assets.training.predictions.scored import scored

    spec = model.spec
    trained = read_record(lake, model.key("model"), as_of, TrainedVersion)
    fitted = registry.load(spec.name, version=trained.version)
    train, validation, holdout = (read_part(lake, model, as_of, part) for part in ("train", "validation", "holdout"))
    score = predict(fitted, holdout)
    importance = explain(fitted, holdout, rows=spec.evaluation.explained_rows, seed=spec.seed)
    judged = judge_features(
        train,
        holdout,
        features=model.features,
        label=spec.label.column,
        time=spec.spine.time,
        evaluation=spec.evaluation,
        seed=spec.seed,
        task=spec.task,
        bystanders=model.bystanders,
        own=model.own_columns,
        clocks=model.clocks,
        between=validation,
    )
    reference = scored(holdout, fitted)
    return ChallengerEvaluation(
        trained=trained,
        fitted=fitted,
        holdout=holdout,
        score=score,
        measured=_measure(model, fitted, train, holdout, score),
        importance=importance,
        suspects=judged.suspects,
        findings=judged.findings,
        plots=_plots(fitted, holdout[spec.label.column], score, importance),
        reference=reference,
        fairness=measure_groups(spec, reference, fitted.classes),
    )


def kept_importance(lake: Lake, model: ModelContext, version: str) -> pl.DataFrame | None:
    """Return how much the version relies on each feature, as evaluated; None where that was not kept."""
    table = lake.scan(model.key("evaluation"))
    if VERSION not in table.collect_schema():
        return None
    kept = (pl.col("subject") == IMPORTANCE) & (pl.col(VERSION) == version)
    shares = table.filter(kept).select(pl.col("metric").alias("feature"), pl.col("value").alias("share")).collect()
    return None if shares.is_empty() else shares


def log_evaluation(lake: Lake, registry: "Registry", model: ModelContext, evaluated: ChallengerEvaluation) -> None:
    """Log metrics, holdout and plots in the run that trained the challenger."""
    run = registry.resumed_run(evaluated.trained.run_id)
    run.log_metrics({f"holdout_{name}": value for name, value in evaluated.measured.values.items()})
    key = model.key("training_set")
    run.log_dataset(evaluated.holdout, name=key, table=key, version=lake.version(key), used_for="evaluation")
    run.log_plots(evaluated.plots)


def _measure(
    model: ModelContext, fitted: "TrainedModel", train: pl.DataFrame, holdout: pl.DataFrame, score: np.ndarray
) -> "Evaluation":
    from ml_assets.training.evaluation.baseline import score_baseline
    from ml_assets.training.evaluation.evaluate import evaluate

    spec, label = model.spec, model.spec.label.column
    return evaluate(
        holdout,
        score,
        score_baseline(train, holdout, spec, fitted.classes),
        label=label,
        time=model.spine.time,
        threshold=fitted.threshold,
        slices=spec.slices,
        evaluation=spec.evaluation,
        seed=spec.seed,
        task=spec.task,
        classes=fitted.classes,
        metrics=spec.extra_metrics,
        payoff=spec.payoff,
        horizon=spec.spine.horizon,
    )


def _plots(fitted: "TrainedModel", label: pl.Series, score: np.ndarray, importance: pl.DataFrame) -> dict[str, bytes]:
    from ml_assets.training.evaluation.explain import importance_unit
    from ml_assets.training.plots import plot_importance

    task = find_task(fitted.task)
    drawn = task.plots(fitted, task.outcomes(label, fitted.classes), score)
    return drawn | {"importance": plot_importance(importance, importance_unit(fitted))}


def _long(slices: pl.DataFrame) -> pl.DataFrame:
    """Return slices in the form of the metrics table: one row per slice value and metric."""
    about = ["slice", "value", "rows"]
    return slices.unpivot(
        pl.selectors.exclude(about), index=about, variable_name="metric", value_name="measured"
    ).select(
        (pl.col("slice") + "=" + pl.col("value").fill_null("(none)")).alias("subject"),
        "metric",
        pl.col("measured").alias("value"),
        "rows",
    )


@dataclass(frozen=True)
class CalibrationMeasurement:
    """Observed calibration error, the error by chance alone, and the limit that follows from it and the declared.

    ``of_positives`` is the same for positive_calibration_error, where positives are rare.
    """

    observed: float
    by_chance: float
    limit: float
    of_positives: "CalibrationMeasurement | None" = None

    @property
    def passed(self) -> bool:
        """Whether no error is beyond its limit."""
        return self.observed <= self.limit and (self.of_positives is None or self.of_positives.passed)


def measure_calibration(model: ModelContext, evaluated: ChallengerEvaluation) -> CalibrationMeasurement:
    """Measure how far probabilities are from frequencies on the holdout, where positives are rare also among the rows
    that hold them."""
    from ml_assets.training.calibration.probabilities import trusted_scores
    from ml_assets.training.metrics.metric import CALIBRATION, POSITIVE_CALIBRATION
    from ml_assets.training.tasks.binary import RARE

    spec, prevalence = model.spec, evaluated.measured.prevalence
    label = evaluated.holdout[spec.label.column]
    trusted = trusted_scores(find_task(spec.task).outcomes(label, evaluated.fitted.classes), evaluated.score)
    limits = spec.evaluation
    measured = _calibration(trusted, CALIBRATION, limits.calibration_limit, spec.seed)
    if prevalence is None or prevalence >= RARE:
        return measured
    of_positives = _calibration(trusted, POSITIVE_CALIBRATION, limits.positive_calibration_limit, spec.seed)
    return replace(measured, of_positives=of_positives)


def _calibration(trusted: "RankedScores", metric: str, declared: float, seed: int) -> CalibrationMeasurement:
    from ml_assets.training.calibration.probabilities import chance_error
    from ml_assets.training.metrics.measure import measure

    chance = chance_error(trusted, metric=metric, seed=seed)
    return CalibrationMeasurement(measure(trusted, [metric])[metric], chance, max(declared, chance))


@dataclass(frozen=True)
class CoverageMeasurement:
    """Share of labels within their intervals, the least that is accepted, and the intervals' mean width."""

    observed: float
    least: float
    mean_width: float


def measure_coverage(model: ModelContext, evaluated: ChallengerEvaluation) -> CoverageMeasurement:
    """Measure how many labels of the holdout lie in their prediction intervals."""
    from ml_assets.training.calibration.intervals import covered_share, least_coverage
    from ml_assets.training.tasks.columns import LOWER, UPPER

    declared, reference = model.spec.intervals, evaluated.reference
    if declared is None:
        raise ValueError(f"model {model.spec.name} declares no intervals: there is no coverage to measure")
    label = reference[model.spec.label.column].cast(pl.Float64).to_numpy()
    lower, upper = (reference[name].to_numpy() for name in (LOWER, UPPER))
    observed = covered_share(label, lower, upper)
    least = least_coverage(declared.coverage, declared.tolerance, reference.height)
    return CoverageMeasurement(observed, least, float((upper - lower).mean()))
