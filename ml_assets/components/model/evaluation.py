"""evaluation and reference: how good the challenger is on the untouched holdout."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import dagster as dg
import polars as pl

from ml_assets.components.metadata.columns import EVALUATION, SCORES
from ml_assets.components.metadata.tables import Metadata, data_version, inline_png, markdown, table_metadata
from ml_assets.components.model.asset_specs import model_asset_key, model_asset_spec
from ml_assets.components.model.fairness import fair_check, groups_metadata
from ml_assets.components.stages import TRAINING
from ml_assets.fairness.limits import judge_fairness
from ml_assets.lake import TableVersion
from ml_assets.modelling.context import ModelContext
from ml_assets.modelling.evaluation import (
    CalibrationMeasurement,
    ChallengerEvaluation,
    CoverageMeasurement,
    evaluate_challenger,
    log_evaluation,
    measure_calibration,
    measure_coverage,
)
from ml_assets.modelling.performance.groups import keep_holdout, shown_groups
from ml_assets.modelling.records import replace_as_of
from ml_assets.resources import AsOf, LakeResource, RegistryResource

if TYPE_CHECKING:
    from ml_assets.training.evaluation.leaks.finding import Finding

NO_SUSPICION, BEATS_BASELINE = "no_suspicious_feature", "beats_baseline"
NO_SIGN = "no_sign_of_a_leak"
CALIBRATED, COVERED, FAIR = "calibrated", "interval_coverage", "fair_to_groups"


def evaluation_assets(model: ModelContext) -> list[dg.AssetsDefinition]:
    @dg.multi_asset(name=f"{model.spec.name}__evaluation", specs=_asset_specs(model), check_specs=_check_specs(model))
    def evaluation(lake: LakeResource, as_of: AsOf, registry: RegistryResource) -> Iterator:
        tables, tracked = lake.open(), registry.open()
        moment = model.moment(tables, as_of).isoformat()
        evaluated = evaluate_challenger(tables, tracked, model, moment)
        log_evaluation(tables, tracked, model, evaluated)
        version = evaluated.trained.version
        written, stored = replace_as_of(tables, model.key("evaluation"), moment, evaluated.rows, version)
        yield dg.MaterializeResult(
            asset_key=model_asset_key(model, "evaluation"),
            metadata={**_evaluation_metadata(model, evaluated), **table_metadata(written, stored, EVALUATION)},
            data_version=data_version(written),
        )
        written, stored = replace_as_of(tables, model.key("reference"), moment, evaluated.reference, version)
        yield _reference(model, version, written, stored)
        keep_holdout(tables, model, moment, evaluated.fairness, version)
        yield from _check_results(model, evaluated)

    return [evaluation]


def _asset_specs(model: ModelContext) -> list[dg.AssetSpec]:
    deps = [model.key("model"), model.key("training_set")]
    return [
        model_asset_spec(
            model,
            "evaluation",
            TRAINING,
            deps,
            "The challenger and a naive baseline on the untouched holdout, with bootstrap intervals, and the "
            "challenger on each declared slice.",
            kinds={model.library, "delta"},
        ),
        model_asset_spec(
            model,
            "reference",
            TRAINING,
            deps,
            "The challenger's out-of-sample predictions with their features and labels: what monitoring "
            "compares production with once it serves.",
            kinds={"polars", "delta"},
        ),
    ]


def _check_specs(model: ModelContext) -> list[dg.AssetCheckSpec]:
    """Return the checks of every model, and those of what a declaration promises beyond scores."""
    texts = {
        NO_SUSPICION: "No feature predicts the outcome almost alone; one that does has probably seen it.",
        NO_SIGN: "No feature shows another sign that it knows the outcome, and nothing else tells it.",
        BEATS_BASELINE: "The challenger is better than the naive baseline, by a paired bootstrap.",
    }
    if model.spec.promises_probabilities:
        texts[CALIBRATED] = (
            "On the holdout, outcomes are as frequent as the probabilities say, but for a declared error."
        )
    if model.spec.intervals is not None:
        texts[COVERED] = "On the holdout, as many labels lie between lower and upper as declared, but for a tolerance."
    if model.spec.fairness.limits:
        texts[FAIR] = "On the holdout, the declared groups are no further apart than declared."
    key = model_asset_key(model, "evaluation")
    return [dg.AssetCheckSpec(name, asset=key, description=text) for name, text in texts.items()]


def _evaluation_metadata(model: ModelContext, evaluated: ChallengerEvaluation) -> Metadata:
    measured = evaluated.measured
    return {
        "version": evaluated.trained.version,
        **measured.values,
        "metrics": markdown(measured.metrics.drop("confidence", "resamples", "rows")),
        **{name: inline_png(png, name) for name, png in evaluated.plots.items()},
        "slices": markdown(measured.slices),
        **groups_metadata(shown_groups(model, evaluated.fairness)),
    }


def _reference(model: ModelContext, version: str, written: TableVersion, stored: pl.DataFrame) -> dg.MaterializeResult:
    return dg.MaterializeResult(
        asset_key=model_asset_key(model, "reference"),
        metadata={"version": version, **table_metadata(written, stored, model.described(SCORES))},
        data_version=data_version(written),
    )


def _check_results(model: ModelContext, evaluated: ChallengerEvaluation) -> Iterator[dg.AssetCheckResult]:
    key = model_asset_key(model, "evaluation")
    yield _suspicion(key, evaluated.suspects, model.spec.evaluation.leak_limit)
    yield _signs(key, evaluated.findings)
    yield _beats_baseline(key, evaluated.measured.metrics, model.spec.promotion.metric)
    if model.spec.promises_probabilities:
        yield _calibrated(key, model, measure_calibration(model, evaluated))
    if model.spec.intervals is not None:
        yield _covered(key, model.spec.intervals.coverage, measure_coverage(model, evaluated))
    if model.spec.fairness.limits:
        yield fair_check(FAIR, judge_fairness(shown_groups(model, evaluated.fairness), model.spec.fairness), key)


def _calibrated(key: dg.AssetKey, model: ModelContext, measured: CalibrationMeasurement) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        asset_key=key,
        check_name=CALIBRATED,
        passed=measured.passed,
        severity=dg.AssetCheckSeverity.ERROR,
        metadata={
            "observed": measured.observed,
            "threshold": measured.limit,
            "declared_limit": model.spec.evaluation.calibration_limit,
            "error_by_chance_alone": measured.by_chance,
            "method": model.spec.calibration or "none",
            **_where_the_positives_are(measured.of_positives),
        },
    )


def _where_the_positives_are(measured: CalibrationMeasurement | None) -> Metadata:
    if measured is None:
        return {}
    return {
        "positive_calibration_error": measured.observed,
        "positive_calibration_limit": measured.limit,
        "positive_error_by_chance_alone": measured.by_chance,
    }


def _covered(key: dg.AssetKey, declared: float, measured: CoverageMeasurement) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        asset_key=key,
        check_name=COVERED,
        passed=measured.observed >= measured.least,
        severity=dg.AssetCheckSeverity.ERROR,
        metadata={
            "observed": measured.observed,
            "threshold": measured.least,
            "declared_coverage": declared,
            "mean_width": measured.mean_width,
        },
    )


def _suspicion(key: dg.AssetKey, suspects: pl.DataFrame, limit: float) -> dg.AssetCheckResult:
    measure = suspects.columns[1]
    strongest = suspects.row(0, named=True)
    return dg.AssetCheckResult(
        asset_key=key,
        check_name=NO_SUSPICION,
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


def _signs(key: dg.AssetKey, findings: "Sequence[Finding]") -> dg.AssetCheckResult:
    from ml_assets.training.evaluation.leaks.finding import findings_table

    others = [finding for finding in findings if finding.gate != "alone"]
    return dg.AssetCheckResult(
        asset_key=key,
        check_name=NO_SIGN,
        passed=not others,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={"observed": len(others), "threshold": 0, "signs": markdown(findings_table(others))},
    )


def _beats_baseline(key: dg.AssetKey, metrics: pl.DataFrame, metric: str) -> dg.AssetCheckResult:
    from ml_assets.training.evaluation.evaluate import IMPROVEMENT, read_interval

    better = read_interval(metrics, IMPROVEMENT, metric)
    return dg.AssetCheckResult(
        asset_key=key,
        check_name=BEATS_BASELINE,
        passed=better.low > 0,
        severity=dg.AssetCheckSeverity.ERROR,
        metadata={"observed": better.low, "threshold": 0.0, "difference": better.estimate, "metric": metric},
    )
