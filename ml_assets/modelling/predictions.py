"""Batch predictions: which version scores a drop, and which predictions made before stand."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import polars as pl

from ml_assets.lake import Lake
from ml_assets.modelling.context import ModelContext
from ml_assets.modelling.records import VERSION
from ml_assets.sources.drops.grains import WHOLE, drop_start
from ml_assets.training.predictions.kept import hash_features, keep_made

if TYPE_CHECKING:
    from ml_assets.registry.records import RegisteredVersion
    from ml_assets.registry.registry import Registry
    from ml_assets.training.fit import TrainedModel


@dataclass(frozen=True)
class ScoredDrops:
    """Predictions of some drops.

    Attributes:
        champion: the version that scores what no other has scored.
        task: of the version that scored last.
        unseen: feature -> categories that the version was not trained on.
    """

    rows: pl.DataFrame
    champion: str
    task: str
    unseen: dict[str, list[str]]


def score_drops(
    lake: Lake, registry: "Registry", model: ModelContext, drops: list[str], *, by_condition: bool, scored_at: datetime
) -> ScoredDrops:
    """Score some drops, each by the version whose predictions of it stand, or else by the champion.

    Args:
        by_condition: whether an automation condition requested the run, and nobody by hand.
        scored_at: what new predictions are marked with.

    Raises:
        ValueError: the model has no champion, or a version lacks a feature.
    """
    from ml_assets.registry.decisions import Decisions, describe_no_champion

    name = model.spec.name
    Decisions(lake, registry, name).settle()
    champion = registry.champion(name)
    if champion is None:
        raise ValueError(describe_no_champion(lake, name))
    made, parts, unseen, task = _kept(lake, model, champion, drops, by_condition=by_condition), [], {}, model.spec.task
    for version, those in _by_version(model, made, champion.version, drops):
        fitted = registry.load(name, version=version)
        own, task = model.trained_on(fitted.inputs), fitted.task
        rows = rows_to_score(lake, own, fitted, version, those)
        unseen |= fitted.encoding.unseen(rows)
        fresh = _score(lake, own, fitted, version, rows, scored_at)
        parts.append(keep_made(fresh, made, [model.spine.partition, *model.spec.spine.row]))
    return ScoredDrops(pl.concat(parts, how="diagonal"), champion.version, task, unseen)


def _kept(
    lake: Lake, model: ModelContext, champion: "RegisteredVersion", drops: list[str], *, by_condition: bool
) -> pl.DataFrame:
    """Return the predictions of these drops that stand, whatever has become known since.

    Predictions stand where a condition requests the drop again, and where the champion has learnt from the drop. Any
    other run is requested so that the champion scores.
    """
    key, partition = model.key("predictions"), model.spine.partition
    if model.after_correction == "recompute" or not lake.exists(key):
        return pl.DataFrame(schema=dict.fromkeys([partition, model.spine.time, *model.spec.spine.key, VERSION]))
    made = lake.scan(key).filter(pl.col(partition).is_in(drops)).collect()
    if by_condition:
        return made
    cut_off, learnt = datetime.fromisoformat(champion.tags["as_of"]), []
    if model.spine.drops.grain != WHOLE:
        learnt = [drop for drop in drops if drop_start(model.spine.drops.grain, drop).replace(tzinfo=UTC) < cut_off]
    return made.filter((pl.col(VERSION) == champion.version) | pl.col(partition).is_in(learnt))


def _by_version(
    model: ModelContext, made: pl.DataFrame, champion: str, drops: list[str]
) -> list[tuple[str, list[str]]]:
    """Return the version that scores each drop: that of the predictions that stand, of several the busiest."""
    busiest = made.group_by(model.spine.partition, VERSION).len().sort("len", VERSION)
    versions = dict.fromkeys(drops, champion) | dict(busiest.select(model.spine.partition, VERSION).iter_rows())
    return [(version, [d for d in drops if versions[d] == version]) for version in sorted(set(versions.values()))]


def _score(
    lake: Lake,
    model: ModelContext,
    fitted: "TrainedModel",
    version: str,
    rows: pl.DataFrame,
    scored_at: datetime,
) -> pl.DataFrame:
    from ml_assets.training.fit import predict
    from ml_assets.training.predictions.scored import score_columns

    stored = [view for view in model.views if lake.exists(view.key)]
    columns = dict.fromkeys([model.spine.partition, model.spine.time, *model.spec.spine.key, *model.spine.ahead])
    return rows.select(*columns).with_columns(
        *score_columns(fitted, predict(fitted, rows)),
        pl.lit(version).alias(VERSION),
        pl.lit(json.dumps({view.key: lake.version(view.key) for view in stored})).alias("feature_versions"),
        pl.lit(scored_at).alias("scored_at"),
        hash_features(rows, fitted.features),
    )


def rows_to_score(
    lake: Lake, model: ModelContext, fitted: "TrainedModel", version: str, drops: list[str]
) -> pl.DataFrame:
    """Return the rows of some drops with the features that a version was trained on.

    Raises:
        ValueError: a feature cannot be had any more.
    """
    if why := model.lacking(lake, drops):
        raise _unscorable(model, version, drops, why)
    rows = model.rows(lake, drops)
    if why := fitted.encoding.misfits(rows.schema):
        raise _unscorable(model, version, drops, why)
    return rows


def _unscorable(model: ModelContext, version: str, drops: list[str], why: Sequence[str]) -> ValueError:
    return ValueError(
        f"version {version} of {model.spec.name} cannot score {', '.join(drops)}: {'; '.join(why)}. Declare it "
        f"again, or train a version without it: materialize {model.key('training_set')} to {model.key('champion')}"
    )
