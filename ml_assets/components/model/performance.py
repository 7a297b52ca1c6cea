"""performance_report: how the champion fares on each drop, estimated without labels and realised with them."""

import dagster as dg
import polars as pl

from ml_assets.components.conditions import FOLLOW_DROPS
from ml_assets.components.metadata.columns import PERFORMANCE
from ml_assets.components.metadata.tables import Metadata, data_version, inline_png, markdown, table_metadata
from ml_assets.components.model.asset_specs import model_asset_key, model_asset_spec, watching_stage
from ml_assets.components.model.fairness import fair_drops_check, groups_metadata
from ml_assets.components.partitions import SINGLE_RUN, drops_of, partitions_of
from ml_assets.lake import Lake
from ml_assets.modelling.context import ModelContext
from ml_assets.modelling.performance.groups import judge_drops, measure_drops, shown_groups
from ml_assets.modelling.performance.measure import MeasuredDrops, look_again, measure_performance, store_measures
from ml_assets.modelling.performance.page import write_report
from ml_assets.registry.registry import Registry
from ml_assets.resources import LakeResource, RegistryResource

KINDS = ("estimated", "realised")
FAIR = "realised_fairness"


def performance_assets(model: ModelContext) -> list[dg.AssetsDefinition]:
    @dg.multi_asset(
        name=f"{model.spec.name}__performance_report",
        specs=[_asset_spec(model)],
        backfill_policy=SINGLE_RUN,
        check_specs=[
            dg.AssetCheckSpec(
                f"{kind}_performance",
                asset=model_asset_key(model, "performance_report"),
                description=f"{kind.capitalize()} performance keeps its limits.",
            )
            for kind in KINDS
        ]
        + _fairness_check(model),
    )
    def performance_report(
        context: dg.AssetExecutionContext, lake: LakeResource, registry: RegistryResource
    ) -> dg.MaterializeResult:
        tables, tracked, drops = lake.open(), registry.open(), drops_of(context, model.spine.drops)
        measured = measure_performance(tables, tracked, model, drops)
        written, stored = store_measures(tables, model, measured)
        groups = measure_drops(tables, tracked, model, measured)
        performance = pl.concat([of_drop.performance for of_drop in measured.drops.values()], how="diagonal_relaxed")
        return dg.MaterializeResult(
            metadata={
                **_label_metadata(measured.drops[drops[-1]].performance),
                **_values_metadata(performance),
                **_again_metadata(model, measured),
                **(groups_metadata(shown_groups(model, groups[drops[-1]])) if drops[-1] in groups else {}),
                **_report_metadata(tables, tracked, model, measured),
                **table_metadata(written, stored, model.described(PERFORMANCE)),
            },
            data_version=data_version(written),
            check_results=[
                *(_limits_kept(performance, measured, kind) for kind in KINDS),
                *([fair_drops_check(FAIR, judge_drops(model, groups))] if model.spec.fairness.limits else []),
            ],
        )

    return [performance_report]


def _fairness_check(model: ModelContext) -> list[dg.AssetCheckSpec]:
    if not model.spec.fairness.limits:
        return []
    return [
        dg.AssetCheckSpec(
            FAIR,
            asset=model_asset_key(model, "performance_report"),
            description="Among the predictions, and where outcomes are known, the declared groups are no further apart "
            "than declared.",
        )
    ]


def _asset_spec(model: ModelContext) -> dg.AssetSpec:
    return model_asset_spec(
        model,
        "performance_report",
        watching_stage(model),
        [model.watched, model.key("reference"), model.key("drift_report"), *_outcome(model)],
        "The champion's performance on a drop: estimated without its labels, and realised where labels "
        "are known, again as more of them come; with one HTML report per drop.",
        kinds={"nannyml", "delta"},
        partitions_def=partitions_of(model.spine.drops),
        automation_condition=FOLLOW_DROPS,
    )


def _outcome(model: ModelContext) -> list[str]:
    return [] if model.outcome is None else [model.outcome.key]


def _label_metadata(performance: pl.DataFrame) -> Metadata:
    realised = performance.filter(kind="realised", scope="period")
    rows, missing = (realised[column].max() for column in ("rows", "missing"))
    unpaid = realised["without_payoff"].max()
    return {
        "labelled_rows": rows or 0,
        "missing_labels": missing or 0,
        **({"rows_without_payoff": unpaid} if unpaid else {}),
    }


def _values_metadata(performance: pl.DataFrame) -> Metadata:
    values = performance.filter(scope="period").drop_nulls("value").sort("chunk_start")
    rows = values.select("kind", "metric", "value").iter_rows()
    return {f"{kind}_{metric}": value for kind, metric, value in rows}


def _again_metadata(model: ModelContext, measured: MeasuredDrops) -> Metadata:
    """Return what became known of earlier drops: the newest measure of each, and what it is worth."""
    newest = [
        performance.filter(kind="realised", scope="period", metric=model.spec.watched_metric).select(
            pl.lit(drop).alias("drop"), "metric", "value", "known_share", "missing", "measured_at"
        )
        for drop, performance in measured.again.items()
    ]
    return {"measured_again": markdown(pl.concat(newest))} if newest else {}


def _report_metadata(lake: Lake, registry: Registry, model: ModelContext, measured: MeasuredDrops) -> Metadata:
    """Write the report of each drop; returns the address and the timeline of the last drop as metadata."""
    from ml_assets.monitoring.report.plots import plot_performance

    metric, last = model.spec.watched_metric, list(measured.drops)[-1]
    again, without = look_again(lake, registry, model, measured)
    shown = again | measured.drops
    timelines = {drop: plot_performance(of_drop.performance, metric) for drop, of_drop in shown.items()}
    reports = {drop: write_report(lake, model, of_drop, timelines[drop]) for drop, of_drop in shown.items()}
    kept = {"reports_kept_as_they_were": without} if without else {}
    return {"reports": reports, "timeline": inline_png(timelines[last], f"{metric} by week, {last}"), **kept}


def _limits_kept(performance: pl.DataFrame, measured: MeasuredDrops, kind: str) -> dg.AssetCheckResult:
    """Check the drops of the run; an earlier one that was measured again counts if it is beyond its limit now."""
    period = performance.filter(kind=kind, scope="period").drop_nulls("threshold")
    earlier = {
        drop: beyond
        for drop, performance_again in measured.again.items()
        if kind == "realised"
        and (beyond := performance_again.filter("alert", kind=kind, scope="period")["metric"].to_list())
    }
    return dg.AssetCheckResult(
        check_name=f"{kind}_performance",
        passed=not period["alert"].any() and not earlier,
        severity=dg.AssetCheckSeverity.ERROR,
        metadata={
            "observed": ", ".join(
                f"{m} {v:.4f}" if v is not None else f"{m} unknown"
                for m, v in period.select("metric", "value").iter_rows()
            ),
            "threshold": ", ".join(f"{m} {v:g}" for m, v in period.select("metric", "threshold").iter_rows()),
            **({"earlier_drops_beyond": earlier} if earlier else {}),
        },
    )
