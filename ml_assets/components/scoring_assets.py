"""predictions: the champion at work, one drop at a time."""

import json

import dagster as dg
import polars as pl

from ml_assets.components.conditions import SCORE_DROPS
from ml_assets.components.metadata import data_version, markdown, table_metadata
from ml_assets.components.model_context import ModelContext
from ml_assets.components.partitions import SINGLE_RUN, drops_of
from ml_assets.components.records import VERSION
from ml_assets.components.run_clock import run_started
from ml_assets.components.stages import SCORING, STAGE
from ml_assets.resources import LakeResource, RegistryResource
from ml_assets.training.tasks import BINARY, MULTICLASS

TAGS = {STAGE: SCORING}


def scoring_assets(model: ModelContext) -> list[dg.AssetsDefinition]:
    return [_predictions(model)]


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
                kinds={model.library, "delta"},
                partitions_def=model.spine.partitions_def,
                automation_condition=SCORE_DROPS,
            )
        ],
        backfill_policy=SINGLE_RUN,
    )
    def predictions(
        context: dg.AssetExecutionContext, lake: LakeResource, registry: RegistryResource
    ) -> dg.MaterializeResult:
        from ml_assets.registry.decisions import Decisions
        from ml_assets.training.fit import predict
        from ml_assets.training.scored import score_columns

        tables, mlflow = lake.open(), registry.open()
        drops = drops_of(context, model.spine.drops)
        Decisions(tables, mlflow, spec.name).settle()
        champion = mlflow.champion(spec.name)
        if champion is None:
            raise ValueError(f"model {spec.name} has no champion yet: materialize {spec.name}/champion first")
        fitted = mlflow.load(spec.name, version=champion.version)
        rows = model.rows(tables, drops)
        scored = rows.select(model.spine.partition, model.spine.time, *spec.spine.key).with_columns(
            *score_columns(fitted, predict(fitted, rows)),
            pl.lit(champion.version).alias(VERSION),
            pl.lit(json.dumps({view.key: tables.version(view.key) for view in model.views})).alias("feature_versions"),
            pl.lit(run_started(context)).alias("scored_at"),
        )
        written = tables.replace(model.key("predictions"), scored, {model.spine.partition: drops})
        return dg.MaterializeResult(
            metadata={
                **table_metadata(written, scored),
                "model_version": champion.version,
                **_told(scored, spec.task),
            },
            data_version=data_version(written),
        )

    return predictions


def _told(scored: pl.DataFrame, task: str) -> dict[str, object]:
    from ml_assets.training.scored import LOWER, PREDICTION, SCORE, UPPER

    told: dict[str, object] = {"mean_score": scored[SCORE].mean()}
    if task == BINARY:
        told["predicted_positive_share"] = scored[PREDICTION].mean()
    if task == MULTICLASS:
        told["called"] = markdown(scored[PREDICTION].value_counts(sort=True).head(20))
    if LOWER in scored.columns:
        told["mean_interval_width"] = (scored[UPPER] - scored[LOWER]).mean()
    return told
