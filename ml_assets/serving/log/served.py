"""Logged answers as predictions: of which drop they are, the last one of each row, and what is told about them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import orjson
import polars as pl

from ml_assets.online.stores.records import FRESH
from ml_assets.serving.log.request_log import DAY, FEATURE, GIVEN, score_names
from ml_assets.serving.rollout.challenger import NOT_THE_MODELS, SHADOW
from ml_assets.sources.drops.grains import GRAINS
from ml_assets.sources.drops.spec import Drops
from ml_assets.training.tasks.columns import SCORE

Types = Mapping[str, pl.DataType]


_GIVEN = ~pl.col("role").is_in(NOT_THE_MODELS)
"""What a model has answered somebody."""


def keyed(log: pl.LazyFrame, key: Sequence[str], time: str) -> pl.LazyFrame:
    """Complete a log with every column of a spine's key: a time among them is when the request was made."""
    return log.with_columns(pl.col("requested_at").alias(GIVEN + time)) if time in key else log


def rows_asked_about(log: pl.LazyFrame, types: Types, drops: Drops, partition: str) -> pl.LazyFrame:
    """Return the rows that answers are about, of a spine whose rows are made: the entity at the moment of the request,
    in the drop that the moment lies in. No row of a calendar is at that moment, so that none can be looked up.

    Args:
        log: a model's request log, `keyed`.
        types: type of each column of the spine's key, its time among them.
        drops: how the spine is cut.
    """
    grain, given = GRAINS[drops.grain], log.filter(_GIVEN)
    local = pl.col("requested_at").dt.convert_time_zone(drops.time_zone)
    keys = [pl.col(GIVEN + name).cast(dtype, strict=False).alias(name) for name, dtype in types.items()]
    asked = given.select(local.dt.truncate(grain.every).dt.strftime(grain.pattern).alias(partition), *keys)
    return asked.drop_nulls().unique()


def answers_of(log: pl.LazyFrame, rows: pl.DataFrame, key: Sequence[str]) -> pl.DataFrame:
    """Select the logged answers, of every role, about some rows of a spine; days without one are not read.

    Args:
        log: a model's request log, `keyed`.
        rows: the spine's rows, with the columns of `key`.
        key: columns that identify a row to predict.
    """
    there = rows.select(key).unique()
    keys = [pl.col(GIVEN + name).cast(there.schema[name], strict=False) for name in key]
    on = {"left_on": keys, "right_on": list(key), "how": "semi"}
    days = log.join(there.lazy(), **on).select(pl.col(DAY).unique()).collect(engine="streaming")
    return log.filter(pl.col(DAY).is_in(days[DAY].implode())).join(there.lazy(), **on).collect(engine="streaming")


def drops_answered(log: pl.LazyFrame, spine: pl.LazyFrame, key: Sequence[str], partition: str) -> list[str]:
    """Return the drops of the spine's rows that answers are about, in order."""
    given = _keys(log, spine, key)
    matched = spine.join(given, on=list(key), how="semi").select(pl.col(partition).unique())
    return matched.collect(engine="streaming").to_series().sort().to_list()


def count_waiting(log: pl.LazyFrame, spine: pl.LazyFrame, key: Sequence[str]) -> int:
    """Count the answered rows that the spine does not have yet."""
    missing = _keys(log, spine, key).join(spine, on=list(key), how="anti")
    return missing.select(pl.len()).collect(engine="streaming").item()


def _keys(log: pl.LazyFrame, spine: pl.LazyFrame, key: Sequence[str]) -> pl.LazyFrame:
    schema = spine.collect_schema()
    given = log.filter(_GIVEN)
    typed = given.select(pl.col(GIVEN + name).cast(schema[name], strict=False).alias(name) for name in key)
    return typed.drop_nulls().unique()


def as_predictions(answers: pl.DataFrame, *, key: Types, time: str, features: Types) -> pl.DataFrame:
    """Select the last answer about each row, in the form of batch predictions; one of a request that was replayed
    counts only where there is no other.

    Args:
        answers: rows of a request log, see `answers_of`.
        key: type of each column that identifies a row.
        time: the spine's time column; it holds when the answer was asked for.
        features: type of each feature in training; a value that it does not hold is null.

    Returns:
        The time, the key, the score columns, `model_version`, `feature_versions` (per view the build and the last
        pushed fact, as JSON), `scored_at`, `role`, `states` (JSON), then the features as served that are no key.
    """
    given = _with_replayed(answers).filter(_GIVEN)
    last = given.sort("replayed", "requested_at", "request_id", "row", descending=[True, False, False, False])
    last = last.unique([GIVEN + name for name in key], keep="last", maintain_order=True)
    served = [
        (pl.col(FEATURE + name) if FEATURE + name in answers.columns else pl.lit(None)).cast(dtype).alias(name)
        for name, dtype in features.items()
        if name not in key
    ]
    return last.select(
        pl.col("requested_at").alias(time),
        *(pl.col(GIVEN + name).cast(dtype).alias(name) for name, dtype in key.items() if name != time),
        *score_names(answers.columns),
        "model_version",
        pl.col("versions").alias("feature_versions"),
        pl.col("requested_at").alias("scored_at"),
        "role",
        "states",
        *served,
    )


def _with_replayed(answers: pl.DataFrame) -> pl.DataFrame:
    """Complete answers that were logged before it was written of each whether it was replayed: none of them counts as
    that."""
    known = pl.col("replayed").fill_null(False) if "replayed" in answers.columns else pl.lit(False)
    return answers.with_columns(known.alias("replayed"))


@dataclass(frozen=True)
class Traffic:
    """What is told about the answers of a drop.

    Attributes:
        answers: rows answered, by role and version, such as {"champion 3": 120}.
        not_fresh: view -> share of given answers whose values were not fresh.
        shadow_difference: mean score of the shadow minus that of what was given, on the same rows; None for none.
        latency_ms: quantile of the given answers' milliseconds, such as {"p95": 3.2}; empty without answers.
        replayed: given answers whose requests named their moments themselves.
    """

    answers: dict[str, int]
    not_fresh: dict[str, float]
    shadow_difference: float | None
    latency_ms: dict[str, float]
    replayed: int


def describe_traffic(answers: pl.DataFrame) -> Traffic:
    """Count and measure the rows of a request log."""
    given = answers.filter(pl.col("role") != SHADOW)
    by_version = answers.group_by("role", "model_version").len().sort("role", "model_version")
    states = [orjson.loads(text) for text in given["states"]]
    views = sorted({view for each in states for view in each})
    quantiles = {f"p{q}": given["latency_ms"].quantile(q / 100, "linear") for q in (50, 95, 99)}
    same_row = ["request_id", "row"]
    shadow = answers.filter(pl.col("role") == SHADOW).select(*same_row, pl.col(SCORE).alias("shadow"))
    both = given.filter(_GIVEN).join(shadow, on=same_row, how="inner")
    return Traffic(
        answers={f"{role} {version}": count for role, version, count in by_version.iter_rows()},
        not_fresh={view: sum(each.get(view, FRESH) != FRESH for each in states) / len(states) for view in views},
        shadow_difference=both.select((pl.col("shadow") - pl.col(SCORE)).mean()).item(),
        latency_ms={name: value for name, value in quantiles.items() if value is not None},
        replayed=int(_with_replayed(given)["replayed"].sum()),
    )
