"""evaluation, reference and champion: how good the challenger is, and whether it may serve."""

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import dagster as dg
import numpy as np
import polars as pl

from ml_assets.components.freshness import freshness_policy
from ml_assets.components.metadata.columns import DECISIONS, EVALUATION, SCORES
from ml_assets.components.metadata.tables import column_schema, data_version, inline_png, markdown, table_metadata
from ml_assets.components.model.comparison import Comparison, compare_versions
from ml_assets.components.model.context import ModelContext
from ml_assets.components.model.skew_records import latest_skew
from ml_assets.components.model.training import read_part
from ml_assets.components.partitions import drop_at
from ml_assets.components.records import (
    TrainedVersion,
    read_record,
    read_version,
    record_metadata,
    replace_as_of,
)
from ml_assets.components.run_clock import run_started
from ml_assets.components.stages import STAGE, TRAINING
from ml_assets.lake import Lake
from ml_assets.resources import AsOf, LakeResource, RegistryResource
from ml_assets.training.tasks import find_task

if TYPE_CHECKING:
    from ml_assets.registry.records import RegisteredVersion
    from ml_assets.registry.registry import Registry
    from ml_assets.training.evaluation.evaluate import Evaluation
    from ml_assets.training.fit import TrainedModel
    from ml_assets.training.metrics.bootstrap import Interval
    from ml_assets.training.promotion.decide import PromotionDecision, PromotionEvidence, PromotionRecord

TAGS = {STAGE: TRAINING}
MEASURED_ROWS = 200
"""Rows of the holdout that the challenger's latency is measured with."""

IMPORTANCE = "importance"
"""Subject of the evaluation's rows that hold, as metric and value, a feature and its share of all importances."""


def evaluation_assets(model: ModelContext) -> list[dg.AssetsDefinition]:
    return [_evaluation(model), _champion(model)]


def _evaluation(model: ModelContext) -> dg.AssetsDefinition:
    spec = model.spec
    key = dg.AssetKey([spec.name, "evaluation"])

    @dg.multi_asset(
        name=f"{spec.name}__evaluation",
        specs=[
            model.asset_spec(
                "evaluation",
                TAGS,
                [model.key("model"), model.key("training_set")],
                "The challenger and a naive baseline on the untouched holdout, with bootstrap intervals, and the "
                "challenger on each declared slice.",
                kinds={model.library, "delta"},
            ),
            model.asset_spec(
                "reference",
                TAGS,
                [model.key("model"), model.key("training_set")],
                "The challenger's out-of-sample predictions with their features and labels: what monitoring "
                "compares production with once it serves.",
                kinds={"polars", "delta"},
            ),
        ],
        check_specs=[
            dg.AssetCheckSpec(
                "no_suspicious_feature",
                asset=key,
                description="No feature predicts the outcome almost alone; one that does has probably seen it.",
            ),
            dg.AssetCheckSpec(
                "beats_baseline",
                asset=key,
                description="The challenger is better than the naive baseline, by a paired bootstrap.",
            ),
            *_declared_checks(model, key),
        ],
    )
    def evaluation(lake: LakeResource, as_of: AsOf, registry: RegistryResource) -> Iterator:
        from ml_assets.training.evaluation.explain import explain
        from ml_assets.training.evaluation.leaks import suspicious_features
        from ml_assets.training.fit import predict
        from ml_assets.training.scored import scored

        tables, mlflow = lake.open(), registry.open()
        moment = model.moment(tables, as_of).isoformat()
        trained = read_record(tables, model.key("model"), moment, TrainedVersion)
        fitted = mlflow.load(spec.name, version=trained.version)
        train, holdout = (read_part(tables, model, moment, part) for part in ("train", "holdout"))
        label = spec.label.column
        score = predict(fitted, holdout)
        measured = _measure(model, fitted, train, holdout, score)
        importance = explain(fitted, holdout, seed=spec.seed)
        suspects = suspicious_features(
            train,
            holdout,
            features=model.features,
            label=label,
            limit=spec.evaluation.leak_limit,
            seed=spec.seed,
            task=spec.task,
        )
        plots = _plots(fitted, holdout[label], score, importance)
        run = mlflow.resumed_run(trained.run_id)
        run.log_metrics({f"holdout_{name}": value for name, value in measured.values.items()})
        key_of_rows = model.key("training_set")
        run.log_dataset(
            holdout, name=key_of_rows, table=key_of_rows, version=tables.version(key_of_rows), used_for="evaluation"
        )
        run.log_plots(plots)
        shares = importance.select(pl.lit(IMPORTANCE).alias("subject"), metric="feature", value="share")
        rows = pl.concat([measured.metrics, _long(measured.slices), shares], how="diagonal")
        written, stored = replace_as_of(tables, model.key("evaluation"), moment, rows, trained.version)
        yield dg.MaterializeResult(
            asset_key=key,
            metadata={
                "version": trained.version,
                **measured.values,
                "metrics": markdown(measured.metrics.drop("confidence", "resamples", "rows")),
                **{name: inline_png(png, name) for name, png in plots.items()},
                "slices": markdown(measured.slices),
                **table_metadata(written, stored, EVALUATION),
            },
            data_version=data_version(written),
        )
        reference = scored(holdout, fitted)
        written, stored = replace_as_of(tables, model.key("reference"), moment, reference, trained.version)
        yield dg.MaterializeResult(
            asset_key=dg.AssetKey([spec.name, "reference"]),
            metadata={"version": trained.version, **table_metadata(written, stored, model.described(SCORES))},
            data_version=data_version(written),
        )
        yield _suspicion(key, suspects, spec.evaluation.leak_limit)
        yield _beats_baseline(key, measured.metrics, spec.promotion.metric)
        if spec.calibration is not None:
            yield _calibrated(key, model, fitted, holdout[label], score)
        if spec.intervals is not None:
            yield _covered(key, model, reference)

    return evaluation


def _measure(
    model: ModelContext, fitted: "TrainedModel", train: pl.DataFrame, holdout: pl.DataFrame, score: np.ndarray
) -> "Evaluation":
    from ml_assets.training.evaluation.baseline import fit_baseline, predict_baseline
    from ml_assets.training.evaluation.evaluate import evaluate

    spec, label = model.spec, model.spec.label.column
    baseline = fit_baseline(
        train,
        label=label,
        by=spec.baseline.by,
        task=spec.task,
        metric=spec.promotion.metric,
        classes=fitted.classes,
    )
    return evaluate(
        holdout,
        score,
        predict_baseline(baseline, holdout),
        label=label,
        time=model.spine.time,
        threshold=fitted.threshold,
        slices=spec.slices,
        evaluation=spec.evaluation,
        seed=spec.seed,
        task=spec.task,
        classes=fitted.classes,
        metrics=spec.extra_metrics,
    )


def _declared_checks(model: ModelContext, key: dg.AssetKey) -> list[dg.AssetCheckSpec]:
    """The checks of what a declaration promises beyond scores."""
    checks = []
    if model.spec.calibration is not None:
        described = "On the holdout, outcomes are as frequent as the probabilities say, but for a declared error."
        checks.append(dg.AssetCheckSpec("calibrated", asset=key, description=described))
    if model.spec.intervals is not None:
        described = "On the holdout, as many labels lie between lower and upper as declared, but for a tolerance."
        checks.append(dg.AssetCheckSpec("interval_coverage", asset=key, description=described))
    return checks


def _plots(fitted: "TrainedModel", label: pl.Series, score: np.ndarray, importance: pl.DataFrame) -> dict[str, bytes]:
    from ml_assets.training.evaluation.explain import importance_unit
    from ml_assets.training.plots import plot_importance

    task = find_task(fitted.task)
    drawn = task.plots(fitted, task.outcomes(label, fitted.classes), score)
    return drawn | {"importance": plot_importance(importance, importance_unit(fitted))}


def _long(slices: pl.DataFrame) -> pl.DataFrame:
    """Slices in the form of the metrics table: one row per slice value and metric."""
    about = ["slice", "value", "rows"]
    return slices.unpivot(
        pl.selectors.exclude(about), index=about, variable_name="metric", value_name="measured"
    ).select(
        (pl.col("slice") + "=" + pl.col("value").fill_null("(none)")).alias("subject"),
        "metric",
        pl.col("measured").alias("value"),
        "rows",
    )


def _calibrated(key: dg.AssetKey, model: ModelContext, fitted, label: pl.Series, score: np.ndarray):
    from ml_assets.training.calibration import chance_error, trusted_scores
    from ml_assets.training.metrics.measure import measure

    spec = model.spec
    trusted = trusted_scores(find_task(spec.task).outcomes(label, fitted.classes), score)
    observed = measure(trusted, ["calibration_error"])["calibration_error"]
    chance = chance_error(trusted, seed=spec.seed)
    limit = max(spec.evaluation.calibration_limit, chance)
    return dg.AssetCheckResult(
        asset_key=key,
        check_name="calibrated",
        passed=observed <= limit,
        severity=dg.AssetCheckSeverity.ERROR,
        metadata={
            "observed": observed,
            "threshold": limit,
            "declared_limit": spec.evaluation.calibration_limit,
            "error_by_chance_alone": chance,
            "method": spec.calibration,
        },
    )


def _covered(key: dg.AssetKey, model: ModelContext, reference: pl.DataFrame) -> dg.AssetCheckResult:
    from ml_assets.training.columns import LOWER, UPPER
    from ml_assets.training.conformal import covered_share, least_coverage

    declared = model.spec.intervals
    label = reference[model.spec.label.column].cast(pl.Float64).to_numpy()
    lower, upper = (reference[name].to_numpy() for name in (LOWER, UPPER))
    observed = covered_share(label, lower, upper)
    least = least_coverage(declared.coverage, declared.tolerance, reference.height)
    return dg.AssetCheckResult(
        asset_key=key,
        check_name="interval_coverage",
        passed=observed >= least,
        severity=dg.AssetCheckSeverity.ERROR,
        metadata={
            "observed": observed,
            "threshold": least,
            "declared_coverage": declared.coverage,
            "mean_width": float((upper - lower).mean()),
        },
    )


def _suspicion(key: dg.AssetKey, suspects: pl.DataFrame, limit: float) -> dg.AssetCheckResult:
    measure = suspects.columns[1]
    strongest = suspects.row(0, named=True)
    return dg.AssetCheckResult(
        asset_key=key,
        check_name="no_suspicious_feature",
        passed=not suspects["suspicious"].any(),
        severity=dg.AssetCheckSeverity.ERROR,
        metadata={
            "observed": strongest[measure],
            "threshold": limit,
            "measure": measure,
            "feature": strongest["feature"],
            "strongest_alone": markdown(suspects.head(10)),
        },
    )


def _beats_baseline(key: dg.AssetKey, metrics: pl.DataFrame, metric: str) -> dg.AssetCheckResult:
    from ml_assets.training.evaluation.evaluate import IMPROVEMENT, read_interval

    better = read_interval(metrics, IMPROVEMENT, metric)
    return dg.AssetCheckResult(
        asset_key=key,
        check_name="beats_baseline",
        passed=better.low > 0,
        severity=dg.AssetCheckSeverity.ERROR,
        metadata={"observed": better.low, "threshold": 0.0, "difference": better.estimate, "metric": metric},
    )


def _champion(model: ModelContext) -> dg.AssetsDefinition:
    spec = model.spec

    @dg.multi_asset(
        name=f"{spec.name}__champion",
        specs=[
            model.asset_spec(
                "champion",
                TAGS,
                [model.key("evaluation"), model.key("reference")],
                "The decision whether the challenger serves from now on, with the evidence it rests on.",
                kinds={"mlflow"},
                freshness_policy=freshness_policy(model.freshness),
            )
        ],
    )
    def champion(
        context: dg.AssetExecutionContext, lake: LakeResource, as_of: AsOf, registry: RegistryResource
    ) -> dg.MaterializeResult:
        from ml_assets.registry.decisions import Decisions
        from ml_assets.training.promotion.decide import promotion_basis

        tables, mlflow, key = lake.open(), registry.open(), model.key("champion")
        moment = model.moment(tables, as_of).isoformat()
        trained = read_record(tables, model.key("model"), moment, TrainedVersion)
        measured = _measured(tables, model, trained)
        basis = promotion_basis(*measured.basis(model))
        decisions = Decisions(tables, mlflow, spec.name)
        decisions.settle()
        decision = decisions.standing(mlflow.version(spec.name, trained.version), moment, basis)
        if decision is None:
            answer = _decide(tables, mlflow, model, trained, measured)
            decision = decisions.add(
                answer, run_id=trained.run_id, as_of=moment, basis=basis, decided_at=run_started(context)
            )
        _annotate(mlflow, trained, decision)
        serves = mlflow.champion(spec.name)
        return dg.MaterializeResult(
            metadata={
                "decision": "promote" if decision.promote else "keep",
                "reason": decision.reason,
                "serves_now": serves.version if serves else "none",
                "evidence": markdown(pl.DataFrame([item.model_dump() for item in decision.evidence])),
                **record_metadata(decision),
                "dagster/column_schema": column_schema(tables.scan(key).collect_schema(), DECISIONS),
            },
            data_version=dg.DataVersion(str(tables.version(key))),
        )

    return champion


def _annotate(mlflow: "Registry", trained: TrainedVersion, decision: "PromotionRecord") -> None:
    """Show the decision where MLflow shows the version and its run."""
    answer = "promote" if decision.promote else "keep"
    mlflow.annotate(
        decision.model,
        decision.challenger,
        description=f"Trained as of {trained.as_of[:10]}. {decision.reason}",
        tags={"decision": answer, "decision_rule": decision.rule},
    )
    mlflow.resumed_run(trained.run_id).set_tags({"decision": answer, "version": trained.version})


@dataclass(frozen=True)
class _Measured:
    """What a decision on a challenger rests on, but for the comparison with the champion and the latency.

    Attributes:
        values: the challenger's holdout metrics.
        over_baseline: paired difference to the baseline.
        skew: what the server's answers up to now say; None for a model that is not served.
    """

    values: dict[str, float]
    over_baseline: "Interval"
    skew: "Sequence[PromotionEvidence] | None"

    def basis(self, model: ModelContext) -> list:
        """All of it, with the rules that it is held against."""
        found = [item.model_dump(mode="json") for item in self.skew or ()]
        baseline = dataclasses.asdict(self.over_baseline)
        declared = {"floors": model.spec.floors, "promotion": model.spec.promotion, "serving": model.serving}
        return [self.values, baseline, {"skew": found}, *declared.values()]


def _measured(lake: Lake, model: ModelContext, trained: TrainedVersion) -> _Measured:
    from ml_assets.training.evaluation.evaluate import IMPROVEMENT, MODEL, read_interval

    metrics = read_version(lake, model.key("evaluation"), trained.version)
    own = metrics.filter(pl.col("subject") == MODEL)
    return _Measured(
        values=dict(own.select("metric", "value").iter_rows()),
        over_baseline=read_interval(metrics, IMPROVEMENT, model.spec.promotion.metric),
        skew=_skew_evidence(lake, model, trained),
    )


def _decide(
    lake: Lake, mlflow: "Registry", model: ModelContext, trained: TrainedVersion, measured: _Measured
) -> "PromotionDecision":
    from ml_assets.training.promotion.decide import LATENCY, SKEW, decide_promotion

    spec, reigning, serving = model.spec, mlflow.champion(model.spec.name), None
    # One that serves already, by somebody's hand, has nobody to be compared with but itself.
    reigning = None if reigning is None or reigning.version == trained.version else reigning
    if measured.skew is not None:
        serving = {SKEW: measured.skew, LATENCY: _latency_evidence(lake, mlflow, model, trained)}
    beside = reigning and _beside_champion(lake, mlflow, model, trained, reigning)
    return decide_promotion(
        model=spec.name,
        challenger=trained.version,
        champion=reigning and reigning.version,
        values=measured.values,
        floors=spec.floors,
        over_baseline=measured.over_baseline,
        over_champion=beside and beside.over_champion,
        compared_on=beside.compared_on if beside else "",
        promotion=spec.promotion,
        serving=serving,
    )


def _skew_evidence(lake: Lake, model: ModelContext, trained: TrainedVersion) -> "list[PromotionEvidence] | None":
    """What the server's answers up to now say; None for a model that is not served."""
    if model.serving is None:
        return None
    from ml_assets.serving.gate.evidence import skew_evidence

    before = datetime.fromisoformat(trained.as_of) - timedelta(microseconds=1)
    compared = latest_skew(lake, model, drop_at(before, model.spine.drops))
    return [] if compared is None else skew_evidence(compared)


def _latency_evidence(
    lake: Lake, mlflow: "Registry", model: ModelContext, trained: TrainedVersion
) -> "Sequence[PromotionEvidence]":
    from ml_assets.serving.gate.evidence import latency_evidence
    from ml_assets.serving.gate.latency import measure_latency

    rows = read_version(lake, model.key("reference"), trained.version)
    measured = measure_latency(mlflow.load(model.spec.name, version=trained.version), rows.head(MEASURED_ROWS))
    return latency_evidence(measured, model.serving)


def _beside_champion(
    lake: Lake, mlflow: "Registry", model: ModelContext, trained: TrainedVersion, reigning: "RegisteredVersion"
) -> Comparison:
    reference = read_version(lake, model.key("reference"), trained.version)
    champion = mlflow.load(model.spec.name, version=reigning.version)
    return compare_versions(lake, model, reference, trained.threshold, champion, reigning.version)
