"""predictions, drift_report and performance_report: the champion at work, one drop at a time."""

import json
from datetime import UTC, datetime

import dagster as dg
import polars as pl

from ml_assets.components.evaluation_assets import PREDICTION, SCORE, VERSION
from ml_assets.components.metadata import data_version, inline_png, markdown, table_metadata
from ml_assets.components.model_context import ModelContext
from ml_assets.components.partitions import SINGLE_RUN, drop_end, drops_of
from ml_assets.components.stages import SCORING, STAGE
from ml_assets.lake import Lake
from ml_assets.resources import LakeResource, RegistryResource

TAGS = {STAGE: SCORING}
WARN, ERROR = dg.AssetCheckSeverity.WARN, dg.AssetCheckSeverity.ERROR


def scoring_assets(model: ModelContext) -> list[dg.AssetsDefinition]:
    return [_predictions(model), _drift_report(model), _performance_report(model)]


def _predictions(model: ModelContext) -> dg.AssetsDefinition:
    spec = model.spec

    @dg.multi_asset(
        name=f"{spec.name}__predictions",
        specs=[
            model.asset_spec(
                "predictions",
                TAGS,
                [model.key("champion"), model.spine.table, *(view.key for view in model.views)],
                "The champion's score for every row of a drop, with its version and the versions of its inputs.",
                kinds={"xgboost", "delta"},
                partitions_def=model.spine.partitions_def,
            )
        ],
        backfill_policy=SINGLE_RUN,
    )
    def predictions(
        context: dg.AssetExecutionContext, lake: LakeResource, registry: RegistryResource
    ) -> dg.MaterializeResult:
        from ml_assets.training.fit import predict

        tables, mlflow = lake.open(), registry.open()
        drops = drops_of(context, model.spine.drops)
        champion = mlflow.champion(spec.name)
        if champion is None:
            raise ValueError(f"model {spec.name} has no champion yet: materialize {spec.name}/champion first")
        fitted = mlflow.load(spec.name, version=champion.version)
        rows = model.rows(tables, drops)
        score = predict(fitted, rows)
        scored = rows.select(model.spine.partition, model.spine.time, *spec.spine.key).with_columns(
            pl.Series(SCORE, score),
            (pl.Series(score) >= fitted.threshold).alias(PREDICTION),
            pl.lit(champion.version).alias(VERSION),
            pl.lit(json.dumps({view.key: tables.version(view.key) for view in model.views})).alias("feature_versions"),
            pl.lit(_started(context)).alias("scored_at"),
        )
        written = tables.replace(model.key("predictions"), scored, {model.spine.partition: drops})
        return dg.MaterializeResult(
            metadata={
                **table_metadata(written, scored),
                "model_version": champion.version,
                "mean_score": float(score.mean()),
                "predicted_positive_share": float(scored[PREDICTION].mean()),
            },
            data_version=data_version(written),
        )

    return predictions


def _started(context: dg.AssetExecutionContext) -> datetime:
    """When the run began: the one clock that every row of it shares."""
    record = context.instance.get_run_record_by_id(context.run_id)
    return record.create_timestamp.astimezone(UTC)


def _scored(lake: Lake, model: ModelContext, drop: str) -> pl.DataFrame:
    """A drop's predictions beside features and labels; a label not known when the drop ended is null."""
    spec, key = model.spec, [*model.spec.spine.key, model.spine.time]
    stored = lake.scan(model.key("predictions")).filter(pl.col(model.spine.partition) == drop)
    predicted = stored.select(*key, SCORE, PREDICTION, VERSION).collect()
    known = pl.col(spec.label.known_at) <= drop_end(drop)
    rows = model.rows(lake, [drop]).with_columns(pl.when(known).then(pl.col(spec.label.column)))
    return rows.join(predicted, on=key, how="inner", maintain_order="left")


def _reference(lake: Lake, model: ModelContext, version: str) -> pl.DataFrame:
    """The out-of-sample rows of the version that made the predictions."""
    found = lake.scan(model.key("reference")).filter(pl.col(VERSION) == version).collect()
    if found.is_empty():
        raise ValueError(f"{model.key('reference')} holds nothing of version {version}: evaluate that version again")
    return found


def _drift_report(model: ModelContext) -> dg.AssetsDefinition:
    spec = model.spec

    @dg.multi_asset(
        name=f"{spec.name}__drift_report",
        specs=[
            model.asset_spec(
                "drift_report",
                TAGS,
                [model.key("predictions"), model.key("reference"), *(view.key for view in model.views)],
                "How far the features of a drop have moved from the champion's reference, by week and as a whole.",
                kinds={"nannyml", "delta"},
                partitions_def=model.spine.partitions_def,
            )
        ],
        check_specs=[
            dg.AssetCheckSpec(
                "psi",
                asset=dg.AssetKey([spec.name, "drift_report"]),
                description="No feature's population stability index passes the declared threshold.",
            )
        ],
    )
    def drift_report(context: dg.AssetExecutionContext, lake: LakeResource) -> dg.MaterializeResult:
        from ml_assets.monitoring.drift import measure_drift
        from ml_assets.monitoring.plots import plot_distribution, plot_drift
        from ml_assets.monitoring.summary import summarise_drift

        tables, drop = lake.open(), context.partition_key
        rows = _scored(tables, model, drop)
        reference = _reference(tables, model, rows[VERSION][0])
        drift = measure_drift(reference, rows, features=model.features, time=model.spine.time, spec=model.monitoring)
        summary = summarise_drift(drift, model.monitoring)
        stored = drift.with_columns(pl.lit(drop).alias(model.spine.partition), pl.lit(rows[VERSION][0]).alias(VERSION))
        written = tables.replace(model.key("drift_report"), stored, {model.spine.partition: [drop]})
        strongest = summary.strongest_feature
        by_psi = drift.filter(method="psi", scope="period").sort("value", descending=True)
        return dg.MaterializeResult(
            metadata={
                **table_metadata(written, stored),
                "strongest_feature": strongest,
                "strongest_psi": summary.strongest_psi,
                "drifted_features": list(summary.drifted),
                "by_psi": markdown(by_psi.head(15).select("feature", "value", "threshold", "alert")),
                "heat_map": inline_png(plot_drift(drift), "PSI by week and feature"),
                "distribution": inline_png(
                    plot_distribution(reference[strongest], rows[strongest], strongest), strongest
                ),
            },
            data_version=data_version(written),
            check_results=[
                dg.AssetCheckResult(
                    check_name="psi",
                    passed=not summary.drifted,
                    severity=WARN,
                    metadata={
                        "observed": summary.strongest_psi,
                        "threshold": summary.threshold,
                        "drifted": ", ".join(summary.drifted) or "none",
                    },
                )
            ],
        )

    return drift_report


def _performance_report(model: ModelContext) -> dg.AssetsDefinition:
    spec = model.spec
    key = dg.AssetKey([spec.name, "performance_report"])

    @dg.multi_asset(
        name=f"{spec.name}__performance_report",
        specs=[
            model.asset_spec(
                "performance_report",
                TAGS,
                [model.key("predictions"), model.key("reference"), model.key("drift_report")],
                "The champion's performance on a drop: estimated from its scores alone, and realised where labels "
                "are known; with one HTML report per drop.",
                kinds={"nannyml", "delta"},
                partitions_def=model.spine.partitions_def,
            )
        ],
        check_specs=[
            dg.AssetCheckSpec(f"{kind}_performance", asset=key, description=f"{text} performance keeps its limits.")
            for kind, text in (("estimated", "Estimated"), ("realised", "Realised"))
        ],
    )
    def performance_report(context: dg.AssetExecutionContext, lake: LakeResource) -> dg.MaterializeResult:
        from ml_assets.monitoring.performance import estimate_performance, realise_performance
        from ml_assets.monitoring.plots import plot_performance
        from ml_assets.monitoring.summary import summarise_performance

        tables, drop = lake.open(), context.partition_key
        rows = _scored(tables, model, drop)
        version = rows[VERSION][0]
        columns = {"probability": SCORE, "prediction": PREDICTION, "label": spec.label.column}
        about = {**columns, "time": model.spine.time, "spec": model.monitoring}
        performance = pl.concat(
            [
                estimate_performance(_reference(tables, model, version), rows, **about),
                realise_performance(rows, **about),
            ]
        )
        summary = summarise_performance(performance, model.monitoring)
        stored = performance.with_columns(pl.lit(drop).alias(model.spine.partition), pl.lit(version).alias(VERSION))
        written = tables.replace(model.key("performance_report"), stored, {model.spine.partition: [drop]})
        plot = plot_performance(performance, spec.metric)
        report = _write_report(tables, model, drop, version, performance, plot)
        return dg.MaterializeResult(
            metadata={
                **table_metadata(written, stored),
                "report": dg.MetadataValue.path(report),
                "labelled_rows": summary.labelled_rows,
                **{f"estimated_{name}": value for name, value in summary.estimated.items() if value is not None},
                **{f"realised_{name}": value for name, value in summary.realised.items() if value is not None},
                "timeline": inline_png(plot, f"{spec.metric} by week"),
            },
            data_version=data_version(written),
            check_results=[_limits_kept(performance, kind) for kind in ("estimated", "realised")],
        )

    return performance_report


def _write_report(
    lake: Lake, model: ModelContext, drop: str, version: str, performance: pl.DataFrame, timeline: bytes
) -> str:
    """One self-contained HTML file per drop, beside the tables in the lake; returns its address."""
    import fsspec

    from ml_assets.monitoring.plots import plot_drift
    from ml_assets.monitoring.report import render_report

    stored = lake.scan(model.key("drift_report")).filter(pl.col(model.spine.partition) == drop)
    drift = stored.drop(model.spine.partition, VERSION).collect()
    page = render_report(
        model=model.spec.name,
        version=version,
        period=drop,
        drift=drift,
        performance=performance,
        spec=model.monitoring,
        plots={f"{model.spec.metric} by week": timeline, "PSI by week and feature": plot_drift(drift)},
    )
    address = f"{lake.uri(model.key('reports'))}/{drop}.html"
    with fsspec.open(address, "w", encoding="utf-8", auto_mkdir=True) as file:
        file.write(page)
    return address


def _limits_kept(performance: pl.DataFrame, kind: str) -> dg.AssetCheckResult:
    period = performance.filter(kind=kind, scope="period").drop_nulls("threshold")
    return dg.AssetCheckResult(
        check_name=f"{kind}_performance",
        passed=not period["alert"].any(),
        severity=ERROR,
        metadata={
            "observed": ", ".join(
                f"{m} {v:.4f}" if v is not None else f"{m} unknown"
                for m, v in period.select("metric", "value").iter_rows()
            ),
            "threshold": ", ".join(f"{m} {v:g}" for m, v in period.select("metric", "threshold").iter_rows()),
        },
    )
