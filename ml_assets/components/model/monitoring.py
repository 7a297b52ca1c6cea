"""drift_report and performance_report: how the champion fares on each drop."""

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING

import dagster as dg
import polars as pl
import polars.selectors as cs

from ml_assets.components.conditions import FOLLOW_DROPS
from ml_assets.components.metadata.columns import DRIFT, PERFORMANCE
from ml_assets.components.metadata.tables import data_version, inline_png, markdown, table_metadata
from ml_assets.components.model.context import ModelContext
from ml_assets.components.model.evaluation import IMPORTANCE
from ml_assets.components.partitions import SINGLE_RUN, drop_at, drop_end, drops_of
from ml_assets.components.records import VERSION
from ml_assets.lake import Lake
from ml_assets.resources import LakeResource, RegistryResource
from ml_assets.sources.drops.grains import WHOLE
from ml_assets.training.columns import PREDICTION, PROBABILITY, SCORE

if TYPE_CHECKING:
    from ml_assets.monitoring.report.summary import DriftSummary
    from ml_assets.registry.registry import Registry

NO_VERSION = "none"
"""What stands for the version in reports on a drop of which no row was scored."""

YEAR = timedelta(days=365)
WARN, ERROR = dg.AssetCheckSeverity.WARN, dg.AssetCheckSeverity.ERROR


def monitoring_assets(model: ModelContext) -> list[dg.AssetsDefinition]:
    return [_drift_report(model), _performance_report(model)]


def as_predicted(lake: Lake, registry: "Registry", model: ModelContext, drop: str) -> ModelContext:
    """The model with the features and the label of the version that made the predictions of a drop.

    Raises:
        ValueError: what the version predicts, or a feature of it, cannot be had any more.
    """
    stored = lake.scan(model.watched).filter(pl.col(model.spine.partition) == drop)
    versions = stored.group_by(VERSION).len().sort("len", VERSION).collect()[VERSION]
    inputs = None if versions.is_empty() else registry.inputs(model.spec.name, versions[-1])
    if inputs is None:
        return model
    own, label = model.trained_on(inputs), inputs.label
    why = [] if model.watches_served else own.lacking(lake, [drop])
    if inputs.task != model.spec.task:
        why = [*why, f"it was trained for the task {inputs.task}, and {model.spec.task} is declared now"]
    there = lake.scan(model.spine.table).collect_schema()
    if gone := [column for column in (label.column, label.known_at) if column not in there]:
        why = [*why, f"{model.spine.table} has no {', '.join(gone)} for its label"]
    if why:
        raise ValueError(
            f"what version {versions[-1]} of {model.spec.name} has predicted of {drop} cannot be watched: "
            f"{'; '.join(why)}. Declare it again, or train and promote a version of what is declared now"
        )
    return replace(own, spec=model.spec.model_copy(update={"label": label}))


def scored_rows(lake: Lake, model: ModelContext, drop: str, known_in: str | None = None) -> pl.DataFrame:
    """A drop's predictions beside features and labels.

    A label is null that was not known when the drop, or the later drop ``known_in``, ended.
    """
    from ml_assets.training.columns import LOWER, UPPER

    spec, key = model.spec, [*model.spec.spine.key, model.spine.time]
    stored = lake.scan(model.watched).filter(pl.col(model.spine.partition) == drop)
    answer = [SCORE, PREDICTION, cs.starts_with(PROBABILITY), VERSION]
    if spec.intervals is not None:
        answer.append(cs.by_name(LOWER, UPPER, require_all=False))
    if model.watches_served:
        rows, predicted, key = *_served(lake, model, drop, stored, answer), spec.spine.key
    else:
        rows, predicted = model.rows(lake, [drop]), stored.select(*key, *answer).collect()
    known = pl.col(spec.label.known_at) <= drop_end(known_in or drop, model.spine.drops)
    rows = rows.with_columns(pl.when(known).then(pl.col(spec.label.column)))
    _refuse_twins(predicted, key, model, drop)
    return rows.join(predicted, on=key, how="inner", maintain_order="left")


def _refuse_twins(predicted: pl.DataFrame, key: list[str], model: ModelContext, drop: str) -> None:
    """Raise ValueError if a prediction cannot be told from another: neither could its features and its label."""
    twins = predicted.filter(pl.struct(key).is_duplicated())
    if twins.height:
        first = ", ".join(f"{name} {value}" for name, value in zip(key, twins.select(key).row(0), strict=True))
        raise ValueError(
            f"{model.watched}: {twins.height} predictions of {drop} share their key with another, such as {first}: "
            f"name in `key` of spine {model.spine.name} all columns that tell its rows apart"
        )


def _read_beside(model: ModelContext) -> list[str]:
    """Where features and labels of predictions lie: served features are kept with the answers."""
    return [model.spine.table] if model.watches_served else [view.key for view in model.views]


def _served(
    lake: Lake, model: ModelContext, drop: str, stored: pl.LazyFrame, answer: list
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Spine rows of a drop, and what one version answered about them with the features as served, at that time.

    Of several versions that answered, the one that answered most often: the others were tried, or have gone.
    """
    own = [name for name in model.features if name not in model.spec.spine.key]
    columns = dict.fromkeys([*model.spec.spine.key, model.spine.time, *own])
    served = stored.select(*columns, *answer).collect()
    if served.is_empty():
        raise ValueError(f"{model.watched} holds nothing of {drop}: nothing was served that could be monitored")
    busiest = served.group_by(VERSION).len().sort("len", VERSION)[VERSION][-1]
    rows = model.spine.rows(lake, [drop], model.columns)
    of_answer = {model.spine.time, *own} - {*model.spec.spine.key}
    return rows.drop(of_answer, strict=False), served.filter(pl.col(VERSION) == busiest)


def reference_rows(lake: Lake, model: ModelContext, version: str) -> pl.DataFrame:
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
                model.watching_stage,
                [model.watched, model.key("reference"), *_read_beside(model)],
                "How far the features of a drop have moved from the champion's reference, by week and as a whole.",
                kinds={"nannyml", "delta"},
                partitions_def=model.spine.partitions_def,
                automation_condition=FOLLOW_DROPS,
            )
        ],
        backfill_policy=SINGLE_RUN,
        check_specs=[
            dg.AssetCheckSpec(
                "psi",
                asset=dg.AssetKey([spec.name, "drift_report"]),
                description="No feature's population stability index passes the declared threshold.",
            )
        ],
    )
    def drift_report(
        context: dg.AssetExecutionContext, lake: LakeResource, registry: RegistryResource
    ) -> dg.MaterializeResult:
        from ml_assets.monitoring.report.summary import summarise_drift

        tables, mlflow, drops = lake.open(), registry.open(), drops_of(context, model.spine.drops)
        measured = {drop: _measure_drop(tables, as_predicted(tables, mlflow, model, drop), drop) for drop in drops}
        stored = pl.concat([one.stored for one in measured.values()])
        written = tables.replace(model.key("drift_report"), stored, {model.spine.partition: drops})
        summaries = {drop: summarise_drift(one.drift, model.monitoring) for drop, one in measured.items()}
        worst = max(drops, key=lambda drop: summaries[drop].strongest_psi)
        return dg.MaterializeResult(
            metadata={
                **_drift_metadata(worst, summaries[worst], measured[worst]),
                **table_metadata(written, stored, model.described(DRIFT)),
            },
            data_version=data_version(written),
            check_results=[_psi_check(worst, summaries[worst])],
        )

    return drift_report


@dataclass(frozen=True)
class _MeasuredDrop:
    """Drift of one drop, as measured and as stored, with the rows that were compared."""

    drift: pl.DataFrame
    stored: pl.DataFrame
    rows: pl.DataFrame
    reference: pl.DataFrame


def _measure_drop(lake: Lake, model: ModelContext, drop: str) -> _MeasuredDrop:
    from ml_assets.monitoring.drift.measure import measure_drift, no_drift

    rows = scored_rows(lake, model, drop)
    if rows.is_empty():
        none = no_drift(rows.schema[model.spine.time])
        return _MeasuredDrop(none, _marked(none, model, drop, NO_VERSION), rows, rows)
    reference = reference_rows(lake, model, rows[VERSION][0])
    drift = measure_drift(
        reference,
        rows,
        features=model.features,
        time=model.spine.time,
        spec=model.monitoring,
        season=_season_rows(lake, model, drop),
    )
    return _MeasuredDrop(drift, _marked(drift, model, drop, rows[VERSION][0]), rows, reference)


def _season_rows(lake: Lake, model: ModelContext, drop: str) -> pl.DataFrame | None:
    """Rows of the drop a year before this one, if every table that they come from has it."""
    if model.spine.drops.grain == WHOLE:
        return None
    last = drop_end(drop, model.spine.drops) - timedelta(seconds=1)
    before = drop_at(last - YEAR, model.spine.drops)
    keys = [model.spine.table, *(view.key for view in model.views)]
    if not all(before in lake.partitions(key, model.spine.partition) for key in keys):
        return None
    return model.rows(lake, [before])


def _drift_metadata(drop: str, summary: "DriftSummary", shown: _MeasuredDrop) -> dict:
    from ml_assets.monitoring.report.plots import plot_distribution, plot_drift

    if shown.drift.is_empty():
        return {"drop": drop, "rows": 0}
    strongest = summary.strongest_feature
    by_psi = shown.drift.filter(method="psi", scope="period").sort("value", descending=True)
    distribution = plot_distribution(shown.reference[strongest], shown.rows[strongest], strongest)
    return {
        "drop": drop,
        "strongest_feature": strongest,
        "strongest_psi": summary.strongest_psi,
        "drifted_features": list(summary.drifted),
        "heat_map": inline_png(plot_drift(shown.drift), "PSI by week and feature"),
        "distribution": inline_png(distribution, strongest),
        "by_psi": markdown(by_psi.head(15).select("feature", "value", "threshold", "alert")),
    }


def _psi_check(drop: str, summary: "DriftSummary") -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        check_name="psi",
        passed=not summary.drifted,
        severity=WARN,
        metadata={
            "observed": summary.strongest_psi,
            "threshold": summary.threshold,
            "drop": drop,
            "drifted": ", ".join(summary.drifted) or "none",
        },
    )


def _marked(frame: pl.DataFrame, model: ModelContext, drop: str, version: str) -> pl.DataFrame:
    return frame.with_columns(pl.lit(drop).alias(model.spine.partition), pl.lit(version).alias(VERSION))


def _performance_report(model: ModelContext) -> dg.AssetsDefinition:
    spec = model.spec
    key = dg.AssetKey([spec.name, "performance_report"])

    @dg.multi_asset(
        name=f"{spec.name}__performance_report",
        specs=[
            model.asset_spec(
                "performance_report",
                model.watching_stage,
                [model.watched, model.key("reference"), model.key("drift_report")],
                "The champion's performance on a drop: estimated without its labels, and realised where labels "
                "are known; with one HTML report per drop.",
                kinds={"nannyml", "delta"},
                partitions_def=model.spine.partitions_def,
                automation_condition=FOLLOW_DROPS,
            )
        ],
        backfill_policy=SINGLE_RUN,
        check_specs=[
            dg.AssetCheckSpec(f"{kind}_performance", asset=key, description=f"{text} performance keeps its limits.")
            for kind, text in (("estimated", "Estimated"), ("realised", "Realised"))
        ],
    )
    def performance_report(
        context: dg.AssetExecutionContext, lake: LakeResource, registry: RegistryResource
    ) -> dg.MaterializeResult:
        from ml_assets.monitoring.report.plots import plot_performance

        tables, mlflow, drops = lake.open(), registry.open(), drops_of(context, model.spine.drops)
        measured: dict[str, _Performance] = {}
        record = _record(tables, model, drops)
        for drop in drops:
            before = record.filter(pl.col(model.spine.partition) < drop)
            measured[drop] = one = _perform(tables, as_predicted(tables, mlflow, model, drop), drop, before)
            record = pl.concat([record, one.marked(model)], how="diagonal_relaxed")
        stored = pl.concat([one.marked(model) for one in measured.values()])
        written = tables.replace(model.key("performance_report"), stored, {model.spine.partition: drops})
        performance = pl.concat([one.performance for one in measured.values()])
        timelines = {drop: plot_performance(one.performance, spec.metric) for drop, one in measured.items()}
        reports = {drop: _write_report(tables, model, one, timelines[drop]) for drop, one in measured.items()}
        values = performance.filter(scope="period").drop_nulls("value").sort("chunk_start")
        return dg.MaterializeResult(
            metadata={
                **_label_metadata(measured[drops[-1]].performance),
                **{f"{kind}_{metric}": v for kind, metric, v in values.select("kind", "metric", "value").iter_rows()},
                "reports": reports,
                "timeline": inline_png(timelines[drops[-1]], f"{spec.metric} by week, {drops[-1]}"),
                **table_metadata(written, stored, model.described(PERFORMANCE)),
            },
            data_version=data_version(written),
            check_results=[_limits_kept(performance, kind) for kind in ("estimated", "realised")],
        )

    return performance_report


@dataclass(frozen=True)
class _Performance:
    """Estimated and realised performance of one drop, and what it was measured on.

    ``before`` holds the stored performance of earlier drops, ``version`` made the predictions.
    """

    drop: str
    version: str
    performance: pl.DataFrame
    before: pl.DataFrame
    rows: pl.DataFrame
    reference: pl.DataFrame

    def marked(self, model: ModelContext) -> pl.DataFrame:
        return _marked(self.performance, model, self.drop, self.version)


def _record(lake: Lake, model: ModelContext, drops: list[str]) -> pl.DataFrame:
    """The stored performance of the drops before ``drops[-1]`` that are not measured again."""
    key, partition = model.key("performance_report"), model.spine.partition
    if not lake.exists(key):
        return pl.DataFrame(schema=dict.fromkeys([partition, *_COMPARED], pl.String))
    others = ~pl.col(partition).is_in(drops) & (pl.col(partition) < drops[-1])
    return lake.scan(key).filter(others).collect()


_COMPARED = ("kind", "scope", "metric")


def _perform(lake: Lake, model: ModelContext, drop: str, before: pl.DataFrame) -> _Performance:
    from ml_assets.monitoring.performance.watch import no_performance, watch_performance

    rows = scored_rows(lake, model, drop)
    if rows.is_empty():
        none = no_performance(rows.schema[model.spine.time])
        return _Performance(drop, NO_VERSION, none, before, rows, rows)
    version = rows[VERSION][0]
    reference = reference_rows(lake, model, version)
    performance = watch_performance(
        reference,
        rows,
        model=model.spec,
        features=model.features,
        spec=model.monitoring,
        earlier=_earlier_rows(lake, model, drop, version),
        record=before if before.height else None,
    )
    return _Performance(drop, version, performance, before, rows, reference)


def _earlier_rows(lake: Lake, model: ModelContext, drop: str, version: str) -> pl.DataFrame | None:
    """What the same version said about the drops before, with the labels known when this drop ended."""
    by_drop = lake.scan(model.watched).filter(pl.col(model.spine.partition) < drop, pl.col(VERSION) == version)
    drops = by_drop.select(pl.col(model.spine.partition).unique().sort()).collect().to_series().to_list()
    drops = drops[max(0, len(drops) - model.monitoring.earlier_drops) :]
    found = [scored_rows(lake, model, one, known_in=drop) for one in drops]
    same = [rows for rows in found if rows.height and rows[VERSION][0] == version]
    return pl.concat(same, how="diagonal_relaxed") if same else None


def _label_metadata(performance: pl.DataFrame) -> dict[str, int]:
    realised = performance.filter(kind="realised", scope="period")
    return {"labelled_rows": realised["rows"].max() or 0, "missing_labels": realised["missing"].max() or 0}


def _write_report(lake: Lake, model: ModelContext, measured: _Performance, timeline: bytes) -> str:
    """One self-contained HTML file per drop, beside the tables in the lake; returns its address."""
    import fsspec

    from ml_assets.monitoring.drift.impact import rank_by_impact
    from ml_assets.monitoring.report.render import render_report

    drop = measured.drop
    stored = lake.scan(model.key("drift_report")).filter(pl.col(model.spine.partition) == drop)
    drift = stored.drop(model.spine.partition, VERSION).collect()
    importance = _importance(lake, model, measured.version)
    order = rank_by_impact(drift, importance)["feature"].to_list()
    page = render_report(
        model=model.spec.name,
        version=measured.version,
        period=drop,
        drift=drift,
        performance=measured.performance,
        spec=model.monitoring,
        before=measured.before,
        importance=importance,
        plots={f"{model.spec.metric} by week": timeline, **_drift_plots(measured, drift, order)},
    )
    address = f"{lake.uri(model.key('reports'))}/{drop}.html"
    with fsspec.open(address, "w", encoding="utf-8", auto_mkdir=True) as file:
        file.write(page)
    return address


def _drift_plots(measured: _Performance, drift: pl.DataFrame, order: list[str]) -> dict[str, bytes]:
    from ml_assets.monitoring.report.plots import plot_distributions, plot_drift
    from ml_assets.monitoring.report.render import SHOWN

    if drift.is_empty():
        return {}
    shown = plot_distributions(measured.reference, measured.rows, order[:SHOWN])
    return {
        "The features of most impact: reference and this period": shown,
        "PSI by week and feature, in the order of impact": plot_drift(drift, order),
    }


def _importance(lake: Lake, model: ModelContext, version: str) -> pl.DataFrame | None:
    """How much the version listens to each feature, as evaluated; None where that was not kept."""
    table = lake.scan(model.key("evaluation"))
    if VERSION not in table.collect_schema():
        return None
    kept = (pl.col("subject") == IMPORTANCE) & (pl.col(VERSION) == version)
    found = table.filter(kept).select(pl.col("metric").alias("feature"), pl.col("value").alias("share")).collect()
    return None if found.is_empty() else found


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
