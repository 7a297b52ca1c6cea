"""predictions: the champion at work, one drop at a time."""

from datetime import datetime

import dagster as dg
import polars as pl

from ml_assets.components.conditions import SCORE_DROPS
from ml_assets.components.metadata.columns import PREDICTIONS
from ml_assets.components.metadata.tables import Metadata, data_version, markdown, table_metadata
from ml_assets.components.model.asset_specs import model_asset_spec
from ml_assets.components.partitions import SINGLE_RUN, drops_of, partitions_of
from ml_assets.components.run_clock import run_started
from ml_assets.components.stages import SCORING
from ml_assets.modelling.context import ModelContext
from ml_assets.modelling.predictions import ScoredDrops, score_drops
from ml_assets.resources import LakeResource, RegistryResource
from ml_assets.training.predictions.kept import CORRECTED
from ml_assets.training.tasks import find_task

BY_CONDITION = "dagster/from_automation_condition"
"""Tag of a run that an automation condition requested."""


def scoring_assets(model: ModelContext) -> list[dg.AssetsDefinition]:
    @dg.multi_asset(name=f"{model.spec.name}__predictions", specs=[_asset_spec(model)], backfill_policy=SINGLE_RUN)
    def predictions(
        context: dg.AssetExecutionContext, lake: LakeResource, registry: RegistryResource
    ) -> dg.MaterializeResult:
        tables, drops, started = lake.open(), drops_of(context, model.spine.drops), run_started(context)
        by_condition = context.run.tags.get(BY_CONDITION) == "true"
        scored = score_drops(tables, registry.open(), model, drops, by_condition=by_condition, scored_at=started)
        written = tables.replace(model.key("predictions"), scored.rows, {model.spine.partition: drops})
        return dg.MaterializeResult(
            metadata={
                **_scores_metadata(scored, started),
                **table_metadata(written, scored.rows, model.described(PREDICTIONS)),
            },
            data_version=data_version(written),
        )

    return [predictions]


def _asset_spec(model: ModelContext) -> dg.AssetSpec:
    return model_asset_spec(
        model,
        "predictions",
        SCORING,
        [model.key("champion"), model.spine.table, *(view.key for view in model.views)],
        "The champion's score for every row of a drop, with its version and the versions of its inputs.",
        kinds={model.library, "delta"},
        partitions_def=partitions_of(model.spine.drops),
        automation_condition=SCORE_DROPS,
    )


def _scores_metadata(scored: ScoredDrops, started: datetime) -> Metadata:
    return {
        "model_version": scored.champion,
        "kept_rows": scored.rows.filter(pl.col("scored_at") != started).height,
        "features_corrected": int(scored.rows[CORRECTED].sum()),
        **_score_summary(scored.rows, scored.task),
        "unseen_categories": scored.unseen,
    }


def _score_summary(scored: pl.DataFrame, task: str) -> Metadata:
    from ml_assets.training.tasks.columns import LOWER, PREDICTION, SCORE, UPPER

    summary: dict[str, object] = {"mean_score": scored[SCORE].mean()}
    for name, value in find_task(task).summarise_predictions(scored[PREDICTION]).items():
        summary[name] = markdown(value) if isinstance(value, pl.DataFrame) else value
    if LOWER in scored.columns:
        summary["mean_interval_width"] = (scored[UPPER] - scored[LOWER]).mean()
    return summary
