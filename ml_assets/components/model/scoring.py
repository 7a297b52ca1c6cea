"""predictions: the champion at work, one drop at a time."""

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import dagster as dg
import polars as pl

from ml_assets.components.conditions import SCORE_DROPS
from ml_assets.components.metadata.columns import PREDICTIONS
from ml_assets.components.metadata.tables import data_version, markdown, table_metadata
from ml_assets.components.model.context import ModelContext
from ml_assets.components.partitions import SINGLE_RUN, drops_of
from ml_assets.components.records import VERSION
from ml_assets.components.run_clock import run_started
from ml_assets.components.stages import SCORING, STAGE
from ml_assets.lake import Lake
from ml_assets.resources import LakeResource, RegistryResource
from ml_assets.sources.drops.grains import WHOLE, drop_start
from ml_assets.training.kept import CORRECTED, hash_features, keep_made
from ml_assets.training.tasks import find_task

if TYPE_CHECKING:
    from ml_assets.registry.records import RegisteredVersion
    from ml_assets.training.fit import TrainedModel

TAGS = {STAGE: SCORING}

BY_CONDITION = "dagster/from_automation_condition"
"""Tag of a run that an automation condition asked for."""


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

        tables, mlflow = lake.open(), registry.open()
        drops = drops_of(context, model.spine.drops)
        Decisions(tables, mlflow, spec.name).settle()
        champion = mlflow.champion(spec.name)
        if champion is None:
            raise ValueError(f"model {spec.name} has no champion yet: materialize {spec.name}/champion first")
        made, parts, unseen = _kept(context, tables, model, champion, drops), [], {}
        for version, those in _by_version(model, made, champion.version, drops):
            fitted = mlflow.load(spec.name, version=version)
            own = model.trained_on(fitted.inputs)
            rows = rows_to_score(tables, own, fitted, version, those)
            unseen |= fitted.encoding.unseen(rows)
            fresh = _score(context, tables, own, fitted, version, rows)
            parts.append(keep_made(fresh, made, [model.spine.partition, model.spine.time, *spec.spine.key]))
        scored = pl.concat(parts, how="diagonal")
        written = tables.replace(model.key("predictions"), scored, {model.spine.partition: drops})
        return dg.MaterializeResult(
            metadata={
                "model_version": champion.version,
                "kept_rows": scored.filter(pl.col("scored_at") != run_started(context)).height,
                "features_corrected": int(scored[CORRECTED].sum()),
                **_told(scored, fitted.task),
                "unseen_categories": unseen,
                **table_metadata(written, scored, model.described(PREDICTIONS)),
            },
            data_version=data_version(written),
        )

    return predictions


def _kept(
    context: dg.AssetExecutionContext, lake: Lake, model: ModelContext, champion: "RegisteredVersion", drops: list[str]
) -> pl.DataFrame:
    """Predictions of these drops that stand, whatever has become known since.

    What conditions ask for again stands, and so does what the champion, or one before it, said of a drop that the
    champion has learnt from. Else a run is asked for so that the champion scores.
    """
    key, partition = model.key("predictions"), model.spine.partition
    if model.after_correction == "recompute" or not lake.exists(key):
        return pl.DataFrame(schema=dict.fromkeys([partition, model.spine.time, *model.spec.spine.key, VERSION]))
    made = lake.scan(key).filter(pl.col(partition).is_in(drops)).collect()
    if context.run.tags.get(BY_CONDITION) == "true":
        return made
    cut_off, learnt = datetime.fromisoformat(champion.tags["as_of"]), []
    if model.spine.drops.grain != WHOLE:
        learnt = [drop for drop in drops if drop_start(model.spine.drops.grain, drop).replace(tzinfo=UTC) < cut_off]
    return made.filter((pl.col(VERSION) == champion.version) | pl.col(partition).is_in(learnt))


def _by_version(
    model: ModelContext, made: pl.DataFrame, champion: str, drops: list[str]
) -> list[tuple[str, list[str]]]:
    """The version that scores each drop: that of the predictions that stand, of several the busiest."""
    busiest = made.group_by(model.spine.partition, VERSION).len().sort("len", VERSION)
    versions = dict.fromkeys(drops, champion) | dict(busiest.select(model.spine.partition, VERSION).iter_rows())
    return [(one, [d for d in drops if versions[d] == one]) for one in sorted(set(versions.values()))]


def _score(
    context: dg.AssetExecutionContext,
    lake: Lake,
    model: ModelContext,
    fitted: "TrainedModel",
    version: str,
    rows: pl.DataFrame,
) -> pl.DataFrame:
    from ml_assets.training.fit import predict
    from ml_assets.training.scored import score_columns

    stored = [view for view in model.views if lake.exists(view.key)]
    return rows.select(model.spine.partition, model.spine.time, *model.spec.spine.key).with_columns(
        *score_columns(fitted, predict(fitted, rows)),
        pl.lit(version).alias(VERSION),
        pl.lit(json.dumps({view.key: lake.version(view.key) for view in stored})).alias("feature_versions"),
        pl.lit(run_started(context)).alias("scored_at"),
        hash_features(rows, fitted.features),
    )


def rows_to_score(
    lake: Lake, model: ModelContext, fitted: "TrainedModel", version: str, drops: list[str]
) -> pl.DataFrame:
    """Rows of some drops with the features that a version was trained on.

    Raises:
        ValueError: a feature cannot be had any more.
    """
    why = model.lacking(lake, drops)
    if not why:
        rows = model.rows(lake, drops)
        why = fitted.encoding.misfits(rows.schema)
    if why:
        raise ValueError(
            f"version {version} of {model.spec.name} cannot score {', '.join(drops)}: {'; '.join(why)}. Declare it "
            f"again, or train a version without it: materialize {model.key('training_set')} to {model.key('champion')}"
        )
    return rows


def _told(scored: pl.DataFrame, task: str) -> dict[str, object]:
    from ml_assets.training.columns import LOWER, PREDICTION, SCORE, UPPER

    told: dict[str, object] = {"mean_score": scored[SCORE].mean()}
    for name, value in find_task(task).summarise_predictions(scored[PREDICTION]).items():
        told[name] = markdown(value) if isinstance(value, pl.DataFrame) else value
    if LOWER in scored.columns:
        told["mean_interval_width"] = (scored[UPPER] - scored[LOWER]).mean()
    return told
