"""evaluation, reference and champion: how good the challenger is, and whether it may serve."""

from collections.abc import Iterator

import dagster as dg
import numpy as np
import polars as pl

from ml_assets.components.freshness import freshness_policy
from ml_assets.components.metadata import data_version, inline_png, markdown, table_metadata
from ml_assets.components.model_context import ModelContext
from ml_assets.components.records import (
    TrainedVersion,
    read_record,
    record_metadata,
    replace_as_of,
    write_record,
)
from ml_assets.components.stages import STAGE, TRAINING
from ml_assets.components.training_assets import read_part
from ml_assets.lake import Lake
from ml_assets.resources import AsOf, LakeResource, RegistryResource

TAGS = {STAGE: TRAINING}
SCORE, PREDICTION, VERSION = "score", "prediction", "model_version"


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
                kinds={"xgboost", "delta"},
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
        ],
    )
    def evaluation(lake: LakeResource, as_of: AsOf, registry: RegistryResource) -> Iterator:
        from ml_assets.training.baseline import fit_baseline, predict_baseline
        from ml_assets.training.evaluate import evaluate
        from ml_assets.training.explain import explain
        from ml_assets.training.fit import predict
        from ml_assets.training.leaks import suspicious_features

        tables, mlflow = lake.open(), registry.open()
        moment = model.moment(tables, as_of).isoformat()
        trained = read_record(tables, model.key("model"), moment, TrainedVersion)
        fitted = mlflow.load(spec.name, version=trained.version)
        train, holdout = (read_part(tables, model, moment, part) for part in ("train", "holdout"))
        label = spec.label.column
        score = predict(fitted, holdout)
        baseline = fit_baseline(train, label=label, by=spec.baseline.by)
        measured = evaluate(
            holdout,
            score,
            predict_baseline(baseline, holdout),
            label=label,
            time=model.spine.time,
            threshold=fitted.threshold,
            slices=spec.slices,
            evaluation=spec.evaluation,
            seed=spec.seed,
        )
        importance = explain(fitted, holdout, seed=spec.seed)
        suspects = suspicious_features(
            train,
            holdout,
            features=model.features,
            label=label,
            limit=spec.evaluation.leak_limit,
            seed=spec.seed,
        )
        plots = _plots(holdout[label].cast(pl.Float64).to_numpy(), score, importance)
        run = mlflow.recorder(trained.run_id)
        run.log_metrics({f"holdout_{name}": value for name, value in measured.values.items()})
        run.log_files({f"plots/{name}.png": png for name, png in plots.items()})
        rows = pl.concat([measured.metrics, _long(measured.slices)], how="diagonal")
        written, stored = replace_as_of(tables, model.key("evaluation"), moment, rows)
        yield dg.MaterializeResult(
            asset_key=key,
            metadata={
                **table_metadata(written, stored),
                "version": trained.version,
                **measured.values,
                "metrics": markdown(measured.metrics.drop("confidence", "resamples", "rows")),
                "slices": markdown(measured.slices),
                **{name: inline_png(png, name) for name, png in plots.items()},
            },
            data_version=data_version(written),
        )
        reference = holdout.with_columns(
            pl.Series(SCORE, score),
            (pl.Series(score) >= fitted.threshold).alias(PREDICTION),
            pl.lit(trained.version).alias(VERSION),
        )
        written, stored = replace_as_of(tables, model.key("reference"), moment, reference)
        yield dg.MaterializeResult(
            asset_key=dg.AssetKey([spec.name, "reference"]),
            metadata=table_metadata(written, stored) | {"version": trained.version},
            data_version=data_version(written),
        )
        yield _suspicion(key, suspects, spec.evaluation.leak_limit)
        yield _beats_baseline(key, measured.metrics, spec.promotion.metric)

    return evaluation


def _plots(label: np.ndarray, score: np.ndarray, importance: pl.DataFrame) -> dict[str, bytes]:
    from ml_assets.training.plots import plot_calibration, plot_importance, plot_roc

    return {
        "roc": plot_roc(label, score),
        "calibration": plot_calibration(label, score),
        "importance": plot_importance(importance),
    }


def _long(slices: pl.DataFrame) -> pl.DataFrame:
    """Slices in the form of the metrics table: one row per slice value and metric."""
    return slices.unpivot(
        ["prevalence", "mean_score", "roc_auc", "brier"], index=["slice", "value", "rows"], variable_name="metric",
        value_name="measured",
    ).select(
        (pl.col("slice") + "=" + pl.col("value").fill_null("(none)")).alias("subject"),
        "metric",
        pl.col("measured").alias("value"),
        "rows",
    )  # fmt: skip


def _suspicion(key: dg.AssetKey, suspects: pl.DataFrame, limit: float) -> dg.AssetCheckResult:
    strongest = suspects.row(0, named=True)
    return dg.AssetCheckResult(
        asset_key=key,
        check_name="no_suspicious_feature",
        passed=not suspects["suspicious"].any(),
        severity=dg.AssetCheckSeverity.ERROR,
        metadata={
            "observed": strongest["roc_auc"],
            "threshold": limit,
            "feature": strongest["feature"],
            "strongest_alone": markdown(suspects.head(10)),
        },
    )


def _beats_baseline(key: dg.AssetKey, metrics: pl.DataFrame, metric: str) -> dg.AssetCheckResult:
    from ml_assets.training.evaluate import IMPROVEMENT, read_interval

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
    def champion(lake: LakeResource, as_of: AsOf, registry: RegistryResource) -> dg.MaterializeResult:
        from ml_assets.training.evaluate import IMPROVEMENT, MODEL, read_interval
        from ml_assets.training.promotion import decide_promotion

        tables, mlflow = lake.open(), registry.open()
        moment = model.moment(tables, as_of).isoformat()
        trained = read_record(tables, model.key("model"), moment, TrainedVersion)
        metrics = read_as_of(tables, model.key("evaluation"), moment)
        reigning = mlflow.champion(spec.name)
        reigning = None if reigning is None or reigning.version == trained.version else reigning
        own = metrics.filter(pl.col("subject") == MODEL)
        decision = decide_promotion(
            model=spec.name,
            challenger=trained.version,
            champion=reigning and reigning.version,
            values=dict(own.select("metric", "value").iter_rows()),
            floors=spec.floors,
            over_baseline=read_interval(metrics, IMPROVEMENT, spec.promotion.metric),
            over_champion=reigning
            and _over_champion(tables, model, moment, mlflow.load(spec.name, version=reigning.version)),
            promotion=spec.promotion,
        )
        if decision.promote:
            mlflow.promote(spec.name, trained.version)
        written = write_record(tables, model.key("champion"), moment, decision)
        return dg.MaterializeResult(
            metadata={
                **record_metadata(decision),
                "evidence": markdown(pl.DataFrame([item.model_dump() for item in decision.evidence])),
            },
            data_version=data_version(written),
        )

    return champion


def read_as_of(lake: Lake, key: str, as_of: str) -> pl.DataFrame:
    return lake.scan(key).filter(pl.col("_as_of") == as_of).drop("_as_of").collect()


def _over_champion(lake: Lake, model: ModelContext, as_of: str, champion):
    from ml_assets.training.evaluate import time_blocks
    from ml_assets.training.fit import predict
    from ml_assets.training.promotion import compare_on_same_rows

    rows = read_as_of(lake, model.key("reference"), as_of)
    spec = model.spec
    return compare_on_same_rows(
        rows[spec.label.column].cast(pl.Float64).to_numpy(),
        rows[SCORE].to_numpy(),
        predict(champion, rows),
        promotion=spec.promotion,
        seed=spec.seed,
        champion_threshold=champion.threshold,
        blocks=time_blocks(rows[model.spine.time], spec.evaluation.block),
    )
