"""training_set, tuned_parameters and model: from spine and features to a registered challenger."""

import dagster as dg
import polars as pl

from ml_assets.code_version import platform_version, project_code
from ml_assets.components.features.feature_view import POINT_IN_TIME
from ml_assets.components.metadata.columns import TRAINING_SET
from ml_assets.components.metadata.tables import (
    Metadata,
    data_version,
    inline_png,
    markdown,
    record_metadata,
    table_metadata,
)
from ml_assets.components.model.asset_specs import model_asset_key, model_asset_spec
from ml_assets.components.stages import TRAINING
from ml_assets.lake import Lake
from ml_assets.modelling.context import ModelContext
from ml_assets.modelling.records import write_record
from ml_assets.modelling.training import train_challenger, tune
from ml_assets.modelling.training_set import (
    DeclarationChanges,
    TrainingSet,
    build_training_set,
    changes_since_champion,
    count_late_labels,
    count_positives,
    count_sampled,
    recompute_sample,
    store_training_set,
)
from ml_assets.registry.records import RunOrigin
from ml_assets.resources import AsOf, LakeResource, RegistryResource, StudiesResource
from ml_assets.training.evaluation.label_lag import describe_span

FEW_POSITIVES = 30
"""Positive rows of a part below which what is measured on it says little."""

LABELS_IN_TIME = "labels_known_in_time"
AS_THE_CHAMPION = "declared_as_the_champion"


def training_assets(model: ModelContext) -> list[dg.AssetsDefinition]:
    return [_training_set(model), _tuned_parameters(model), _model(model)]


def _training_set(model: ModelContext) -> dg.AssetsDefinition:
    @dg.multi_asset(
        name=f"{model.spec.name}__training_set",
        specs=[
            model_asset_spec(
                model,
                "training_set",
                TRAINING,
                _upstream(model),
                "Spine, features as of each prediction time, and the labels known by the training cut-off, "
                "in parts that follow one another in time.",
                kinds={"polars", "delta"},
            )
        ],
        check_specs=_training_set_checks(model),
    )
    def training_set(lake: LakeResource, as_of: AsOf, registry: RegistryResource) -> dg.MaterializeResult:
        tables = lake.open()
        built = build_training_set(tables, model, model.moment(tables, as_of))
        written, stored = store_training_set(tables, model, built)
        return dg.MaterializeResult(
            metadata={
                **_training_set_metadata(tables, model, built),
                **table_metadata(written, stored, model.described(TRAINING_SET)),
            },
            data_version=data_version(written),
            check_results=[
                _labels_in_time(count_late_labels(model, built)),
                _point_in_time(*recompute_sample(tables, model, built)),
                _as_the_champion(changes_since_champion(model, registry.open())),
            ],
        )

    return training_set


def _upstream(model: ModelContext) -> list[str]:
    return list(dict.fromkeys([model.spine.table, model.label_table, *(view.key for view in model.views)]))


def _training_set_checks(model: ModelContext) -> list[dg.AssetCheckSpec]:
    asset = model_asset_key(model, "training_set")
    return [
        dg.AssetCheckSpec(
            LABELS_IN_TIME,
            asset=asset,
            description="No label was known after the training cut-off, none of the training rows' after "
            "validation begins.",
            blocking=True,
        ),
        dg.AssetCheckSpec(
            POINT_IN_TIME,
            asset=asset,
            description="Features of a sample of rows, recomputed row by row from what the row holds and what was "
            "known at its prediction time, are the same.",
            blocking=True,
        ),
        dg.AssetCheckSpec(
            AS_THE_CHAMPION,
            asset=asset,
            description="Features, label and task are declared as they were when the champion was trained.",
        ),
    ]


def _training_set_metadata(lake: Lake, model: ModelContext, built: TrainingSet) -> Metadata:
    return {
        "as_of": built.as_of.isoformat(),
        **{f"{part}_rows": count for part, count in built.split.rows.items()},
        **{f"left_out_{reason}": count for reason, count in built.split.dropped.items()},
        **_positives(count_positives(model, built)),
        **{f"{part}_sampled_rows": count for part, count in count_sampled(model, built).items()},
        "left_out_after_cut_off": model.rows_from(lake, built.as_of),
        **built.split.without_season,
        **_lag_metadata(model, built),
        "table_versions_read": {key: lake.version(key) for key in _upstream(model)},
    }


def _positives(counts: dict[str, int]) -> Metadata:
    few = [f"{part} holds {count}" for part, count in counts.items() if count < FEW_POSITIVES]
    advice = f"{', '.join(few)}: metrics, calibration and threshold are uncertain there; make that part longer"
    return {f"{part}_positives": count for part, count in counts.items()} | ({"few_positives": advice} if few else {})


def _lag_metadata(model: ModelContext, built: TrainingSet) -> Metadata:
    """Return how long labels take beside the declared gap, and the newest row that could be used."""
    return {
        "gap": model.spec.split.gap,
        "labels_known_within": "unknown: too few labels" if built.lag is None else describe_span(built.lag),
        "newest_row": str(built.rows[model.spine.time].max()),
    }


def _labels_in_time(late: int) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(passed=late == 0, check_name=LABELS_IN_TIME, metadata={"observed": late, "threshold": 0})


def _point_in_time(rows: int, differing: pl.DataFrame) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        passed=differing.is_empty(),
        check_name=POINT_IN_TIME,
        metadata={
            "observed": differing.height,
            "threshold": 0,
            "rows_recomputed": rows,
            "differing": markdown(differing.head(10)),
        },
    )


def _as_the_champion(since: DeclarationChanges) -> dg.AssetCheckResult:
    follows = {"what_follows": since.consequence} if since.changes else {}
    return dg.AssetCheckResult(
        passed=not since.changes,
        check_name=AS_THE_CHAMPION,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={
            "observed": "; ".join([*since.changes, *follows.values()]) or "no change",
            "threshold": "no change",
            "champion": since.champion or "none",
            **follows,
        },
    )


def _tuned_parameters(model: ModelContext) -> dg.AssetsDefinition:
    @dg.multi_asset(
        name=f"{model.spec.name}__tuned_parameters",
        specs=[
            model_asset_spec(
                model,
                "tuned_parameters",
                TRAINING,
                [model.key("training_set")],
                "The best parameters of a seeded Optuna search, measured on the validation rows.",
                kinds={"optuna"},
            )
        ],
    )
    def tuned_parameters(
        context: dg.AssetExecutionContext, lake: LakeResource, studies: StudiesResource, as_of: AsOf
    ) -> dg.MaterializeResult:
        from ml_assets.training.search.search import search_history

        tables, storage = lake.open(), studies.url
        moment = model.moment(tables, as_of).isoformat()

        def show(done: int, total: int, best: float) -> None:
            context.log.info(f"trial {done} of {total}, best {best:.4f}")

        tuned = tune(tables, model, moment, storage, show)
        written = write_record(tables, model.key("tuned_parameters"), moment, tuned)
        return dg.MaterializeResult(
            metadata={
                **_search_metadata(model, search_history(storage, tuned.study), tuned.metric),
                **record_metadata(tuned),
            },
            data_version=data_version(written),
        )

    return tuned_parameters


def _search_metadata(model: ModelContext, history: pl.DataFrame, metric: str) -> Metadata:
    from ml_assets.training.search.plots import plot_parallel_coordinates, plot_search_history

    parallel = plot_parallel_coordinates(history, model.spec.search.space, metric)
    return {
        "history": inline_png(plot_search_history(history, metric), "search history"),
        "parallel_coordinates": inline_png(parallel, "parallel coordinates"),
        "trials_table": markdown(history),
    }


def _model(model: ModelContext) -> dg.AssetsDefinition:
    @dg.multi_asset(
        name=f"{model.spec.name}__model",
        specs=[
            model_asset_spec(
                model,
                "model",
                TRAINING,
                [model.key("training_set"), model.key("tuned_parameters")],
                "What the tuned parameters and the training rows make, stopped early on the validation rows where it "
                "learns in rounds, logged and registered in MLflow as the challenger.",
                kinds={model.library, "mlflow"},
            )
        ],
    )
    def trained_model(
        context: dg.AssetExecutionContext,
        lake: LakeResource,
        studies: StudiesResource,
        as_of: AsOf,
        registry: RegistryResource,
    ) -> dg.MaterializeResult:
        tables = lake.open()
        moment, origin = model.moment(tables, as_of).isoformat(), _origin(context, tables, model)
        record, rows = train_challenger(tables, registry.open(), model, moment, origin, studies.url)
        written = write_record(tables, model.key("model"), moment, record, record.version)
        return dg.MaterializeResult(
            metadata={**record_metadata(record), "train_rows": rows, "features": len(model.features)},
            data_version=data_version(written),
        )

    return trained_model


def _origin(context: dg.AssetExecutionContext, lake: Lake, model: ModelContext) -> RunOrigin:
    read = [*_upstream(model), model.key("training_set")]
    code = project_code(model.folder)
    return RunOrigin(
        dagster_run_id=context.run.run_id,
        code_commit=code.commit,
        code_changed=code.changed,
        platform=platform_version(),
        table_versions={key: lake.version(key) for key in read},
        source=f"{model.group}/{model.spec.name}",
        declaration=model.spec.model_dump(mode="json"),
    )
