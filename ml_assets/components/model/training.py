"""training_set, tuned_parameters and model: from spine and features to a registered challenger."""

import dataclasses
from typing import TYPE_CHECKING

import dagster as dg
import polars as pl

from ml_assets.code_version import platform_version, project_code
from ml_assets.components.features.feature_view import AUDITED_ROWS, POINT_IN_TIME, differing_features
from ml_assets.components.metadata.columns import TRAINING_SET
from ml_assets.components.metadata.tables import data_version, inline_png, markdown, table_metadata
from ml_assets.components.model.context import ROW, ModelContext
from ml_assets.components.partitions import drop_at
from ml_assets.components.records import (
    AS_OF,
    TrainedVersion,
    read_record,
    record_metadata,
    replace_as_of,
    write_record,
)
from ml_assets.components.stages import STAGE, TRAINING
from ml_assets.home import Home
from ml_assets.lake import Lake
from ml_assets.registry.records import CHALLENGER, RunOrigin
from ml_assets.resources import AsOf, LakeResource, RegistryResource
from ml_assets.training.splits import PARTS

if TYPE_CHECKING:
    from ml_assets.registry.registry import Registry

SPLIT = "split"
AS_THE_CHAMPION = "declared_as_the_champion"
TAGS = {STAGE: TRAINING}


def training_assets(model: ModelContext) -> list[dg.AssetsDefinition]:
    return [_training_set(model), _tuned_parameters(model), _model(model)]


def read_part(lake: Lake, model: ModelContext, as_of: str, part: str) -> pl.DataFrame:
    """One part of a training set: one of ``PARTS``.

    A part is written whole in its order, which the seeded sample of the search depends on.
    """
    rows = lake.scan(model.key("training_set")).filter(pl.col(AS_OF) == as_of, pl.col(SPLIT) == part)
    return rows.drop(AS_OF, SPLIT).sort(model.spine.time, *model.spec.spine.key).collect()


def _training_set(model: ModelContext) -> dg.AssetsDefinition:
    spec = model.spec
    upstream = [model.spine.table, *(view.key for view in model.views)]

    @dg.multi_asset(
        name=f"{spec.name}__training_set",
        specs=[
            model.asset_spec(
                "training_set",
                TAGS,
                upstream,
                "Spine, features as of each prediction time, and the labels known by the training cut-off, "
                "in parts that follow one another in time.",
                kinds={"polars", "delta"},
            )
        ],
        check_specs=[
            dg.AssetCheckSpec(
                "labels_known_in_time",
                asset=dg.AssetKey([spec.name, "training_set"]),
                description="No label was known after the training cut-off, none of the training rows' after "
                "validation begins.",
                blocking=True,
            ),
            dg.AssetCheckSpec(
                POINT_IN_TIME,
                asset=dg.AssetKey([spec.name, "training_set"]),
                description="Features of a sample of rows, recomputed row by row from what the row holds and what was "
                "known at its prediction time, are the same.",
                blocking=True,
            ),
            dg.AssetCheckSpec(
                AS_THE_CHAMPION,
                asset=dg.AssetKey([spec.name, "training_set"]),
                description="Features, label and task are declared as they were when the champion was trained.",
            ),
        ],
    )
    def training_set(lake: LakeResource, as_of: AsOf, registry: RegistryResource) -> dg.MaterializeResult:
        from ml_assets.training.splits import split_by_time

        tables = lake.open()
        moment = model.moment(tables, as_of)
        drops = [d for d in model.drops(tables) if d <= drop_at(moment, model.spine.drops)]
        spine_rows = model.spine_rows(tables, drops, before=moment)
        rows = model.featured(tables, spine_rows, drops)
        split = split_by_time(
            rows,
            spine=spec.spine,
            label=spec.label,
            split=spec.split,
            as_of=moment,
            task=spec.task,
            calibration_share=spec.calibration_share,
        )
        marked = pl.concat([getattr(split, part).with_columns(pl.lit(part).alias(SPLIT)) for part in PARTS])
        written, stored = replace_as_of(tables, model.key("training_set"), moment.isoformat(), marked.drop(ROW))
        late = _labels_too_late(marked, model, split.bounds)
        return dg.MaterializeResult(
            metadata={
                "as_of": moment.isoformat(),
                **{f"{part}_rows": count for part, count in split.rows.items()},
                **{f"left_out_{reason}": count for reason, count in split.dropped.items()},
                "left_out_after_cut_off": model.rows_from(tables, moment),
                "table_versions_read": {key: tables.version(key) for key in upstream},
                **table_metadata(written, stored, model.described(TRAINING_SET)),
            },
            data_version=data_version(written),
            check_results=[
                dg.AssetCheckResult(
                    passed=late == 0,
                    check_name="labels_known_in_time",
                    metadata={"observed": late, "threshold": 0},
                ),
                _audit(model, tables, spine_rows, marked),
                _as_the_champion(model, registry.open()),
            ],
        )

    return training_set


def _audit(model: ModelContext, lake: Lake, spine_rows: pl.DataFrame, marked: pl.DataFrame) -> dg.AssetCheckResult:
    """Recompute features row by row of the training set, so that a row with another row's value is noticed."""
    features = marked.sample(min(AUDITED_ROWS, marked.height), seed=model.spec.seed)
    rows, time = spine_rows[features[ROW]], model.spine.time
    differing = [
        differing_features(view, features, rows, view.facts(lake), time).select(
            pl.lit(view.name).alias("view"), time, "feature", "stored", "recomputed"
        )
        for view in model.views
    ]
    found = pl.concat(differing)
    return dg.AssetCheckResult(
        passed=found.is_empty(),
        check_name=POINT_IN_TIME,
        metadata={
            "observed": found.height,
            "threshold": 0,
            "rows_recomputed": rows.height,
            "differing": markdown(found.head(10)),
        },
    )


def _as_the_champion(model: ModelContext, registry: "Registry") -> dg.AssetCheckResult:
    """Tell what has been declared otherwise since the champion was trained, and what follows from it."""
    champion, name = registry.champion(model.spec.name), model.spec.name
    inputs = None if champion is None else registry.inputs(name, champion.version)
    changes = [] if inputs is None else model.inputs.changes_since(inputs)
    told = {}
    if changes:
        version = champion.version
        told["what_follows"] = (
            f"version {version} serves on with the features that it was trained on, computed from their tables while "
            "these have the columns; the version that is trained now goes by the declaration"
        )
        if model.inputs.apart_from(inputs):
            told["what_follows"] += (
                f". The two cannot be compared: version {version} stays champion unless promotion.accept_over: "
                f"'{version}' is declared"
            )
    return dg.AssetCheckResult(
        passed=not changes,
        check_name=AS_THE_CHAMPION,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={
            "observed": "; ".join([*changes, *told.values()]) or "no change",
            "threshold": "no change",
            "champion": "none" if champion is None else champion.version,
            **told,
        },
    )


def _labels_too_late(marked: pl.DataFrame, model: ModelContext, bounds) -> int:
    limits = {
        "train": bounds.validation_start,
        "validation": bounds.holdout_start,
        "calibration": bounds.holdout_start,
    }
    known = pl.col(model.spec.label.known_at)
    return sum(marked.filter(pl.col(SPLIT) == part, known > limit).height for part, limit in limits.items())


def _tuned_parameters(model: ModelContext) -> dg.AssetsDefinition:
    spec = model.spec

    @dg.multi_asset(
        name=f"{spec.name}__tuned_parameters",
        specs=[
            model.asset_spec(
                "tuned_parameters",
                TAGS,
                [model.key("training_set")],
                "The best parameters of a seeded Optuna search, measured on the validation rows.",
                kinds={"optuna"},
            )
        ],
    )
    def tuned_parameters(context: dg.AssetExecutionContext, lake: LakeResource, as_of: AsOf) -> dg.MaterializeResult:
        from ml_assets.training.search.plots import plot_parallel_coordinates, plot_search_history
        from ml_assets.training.search.search import search_history, search_parameters

        tables = lake.open()
        moment = model.moment(tables, as_of).isoformat()
        storage = Home.from_environment().studies
        tuned = search_parameters(
            read_part(tables, model, moment, "train"),
            read_part(tables, model, moment, "validation"),
            model=spec.name,
            features=model.features,
            label=spec.label.column,
            search=spec.search,
            training=spec.training,
            metric=spec.metric,
            seed=spec.seed,
            storage=storage,
            task=spec.task,
            kind=spec.kind,
            on_trial=lambda done, total, best: context.log.info(f"trial {done} of {total}, best {best:.4f}"),
        )
        written = write_record(tables, model.key("tuned_parameters"), moment, tuned)
        history = search_history(storage, tuned.study)
        return dg.MaterializeResult(
            metadata={
                "history": inline_png(plot_search_history(history, tuned.metric), "search history"),
                "parallel_coordinates": inline_png(
                    plot_parallel_coordinates(history, spec.search.space, tuned.metric),
                    "parallel coordinates",
                ),
                "trials_table": markdown(history),
                **record_metadata(tuned),
            },
            data_version=data_version(written),
        )

    return tuned_parameters


def _model(model: ModelContext) -> dg.AssetsDefinition:
    spec = model.spec

    @dg.multi_asset(
        name=f"{spec.name}__model",
        specs=[
            model.asset_spec(
                "model",
                TAGS,
                [model.key("training_set"), model.key("tuned_parameters")],
                "What the tuned parameters and the training rows make, stopped early on the validation rows where it "
                "learns in rounds, logged and registered in MLflow as the challenger.",
                kinds={model.library, "mlflow"},
            )
        ],
    )
    def trained_model(
        context: dg.AssetExecutionContext, lake: LakeResource, as_of: AsOf, registry: RegistryResource
    ) -> dg.MaterializeResult:
        from ml_assets.training.fit import fit_model
        from ml_assets.training.search.search import TunedParameters

        tables = lake.open()
        moment = model.moment(tables, as_of).isoformat()
        tuned = read_record(tables, model.key("tuned_parameters"), moment, TunedParameters)
        train, validation, unseen = (
            read_part(tables, model, moment, part) for part in ("train", "validation", "calibration")
        )
        mlflow = registry.open()
        with mlflow.training_run(spec.name, _origin(context, tables, model), tags={"as_of": moment}) as run:
            fitted = fit_model(
                train,
                validation,
                unseen,
                features=model.features,
                label=spec.label.column,
                parameters=tuned.parameters | spec.training.parameters,
                training=spec.training,
                metric=spec.metric,
                seed=spec.seed,
                task=spec.task,
                kind=spec.kind,
                calibration=spec.calibration,
                intervals=spec.intervals,
            )
            run.log_parameters(fitted.parameters | {"trees": fitted.best_iteration + 1})
            run.log_curve(f"validation_{spec.metric}", fitted.history)
            key = model.key("training_set")
            for part, rows in (("training", train), ("validation", validation)):
                run.log_dataset(rows, name=key, table=key, version=tables.version(key), used_for=part)
            fitted = dataclasses.replace(fitted, inputs=model.inputs)
            logged = run.log_model(spec.name, fitted, train.head(5))
            told = f"Trained as of {moment[:10]} on {train.height:,} rows, stopped on {validation.height:,}."
            run.describe(f"{spec.description} {told}")
            registered = mlflow.register(
                spec.name,
                logged,
                description=told,
                tags={"as_of": moment, "task": spec.task, "kind": spec.kind, "metric": spec.metric},
                about=spec.description,
            )
        mlflow.set_alias(spec.name, CHALLENGER, registered.version)
        record = TrainedVersion(
            model=spec.name,
            version=registered.version,
            run_id=registered.run_id,
            as_of=moment,
            training_set_version=tables.version(model.key("training_set")),
            trees=fitted.best_iteration + 1,
            threshold=fitted.threshold,
        )
        written = write_record(tables, model.key("model"), moment, record, record.version)
        return dg.MaterializeResult(
            metadata={**record_metadata(record), "train_rows": train.height, "features": len(model.features)},
            data_version=data_version(written),
        )

    return trained_model


def _origin(context: dg.AssetExecutionContext, lake: Lake, model: ModelContext) -> RunOrigin:
    read = [model.spine.table, *(view.key for view in model.views), model.key("training_set")]
    code = project_code()
    return RunOrigin(
        dagster_run_id=context.run.run_id,
        code_commit=code.commit,
        code_changed=code.changed,
        platform=platform_version(),
        table_versions={key: lake.version(key) for key in read},
        source=f"{model.group}/{model.spec.name}",
        declaration=model.spec.model_dump(mode="json"),
    )
