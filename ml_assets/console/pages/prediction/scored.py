"""What was answered about a row: in batch, and by the server."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import polars as pl

from ml_assets.console.pages.prediction.query import PredictionQuery, WrongQuestion, typed_key
from ml_assets.features.assemble import ViewTables, join_features
from ml_assets.lake import Lake
from ml_assets.modelling.context import ModelContext
from ml_assets.modelling.records import VERSION
from ml_assets.modelling.served import LOG
from ml_assets.serving.log.request_log import DAY, FEATURE, GIVEN, score_names
from ml_assets.serving.log.served import keyed
from ml_assets.training.predictions.kept import CORRECTED, FEATURES_HASH

BATCH, SERVED = "batch", "served"
ANSWERS = 50
"""Served answers about one row that are listed at most."""

RECENT = 20
"""Predictions that are listed where none is asked for."""

_NOT_ANSWERS = (VERSION, "feature_versions", "scored_at", FEATURES_HASH, CORRECTED)


@dataclass(frozen=True)
class LoggedAnswer:
    """One answer about a row.

    Attributes:
        scored: batch or served.
        at: when it was made, UTC.
        drop: of a batch prediction; empty of a served one.
        values: score, prediction and what the task adds.
        time: the moment that the features are as of.
        features_hash: of the features that a batch prediction was scored with; None where that is not kept.
        request: id of the request, and the row's place in it; empty for batch.
        role: of the version: champion, canary, shadow, fallback; empty for batch.
        served: the features as served, None of a batch prediction.
        states: view -> fresh, stale, missing ..., as JSON; empty for batch.
        given: what a request named of the row, with its moment; None of a batch prediction.
    """

    scored: str
    at: datetime
    drop: str
    version: str
    values: Mapping[str, Any]
    time: datetime
    features_hash: int | None = None
    request: str = ""
    role: str = ""
    served: pl.DataFrame | None = None
    states: str = ""
    given: pl.DataFrame | None = None


def key_types(lake: Lake, model: ModelContext) -> dict[str, pl.DataType]:
    """Return the type of each column of the spine's key, in their order."""
    schema = lake.scan(model.spine.table).collect_schema()
    return {name: schema[name] for name in model.spine.key}


def find_answers(lake: Lake, model: ModelContext, question: PredictionQuery) -> list[LoggedAnswer]:
    """Find every answer about a row, the newest first.

    Raises:
        WrongQuestion: the key is no key of the spine.
    """
    types = key_types(lake, model)
    key = typed_key(question.key, list(types), types)
    answers = [*_batch(lake, model, key, types, question.drop), *_served(lake, model, key, types)]
    return sorted(answers, key=lambda answer: answer.at, reverse=True)


def choose(answers: Sequence[LoggedAnswer], question: PredictionQuery) -> LoggedAnswer:
    """Return the answer that a question is about, by default the newest.

    Raises:
        WrongQuestion: there is none.
    """
    wanted = [
        answer
        for answer in answers
        if question.scored in ("", answer.scored) and question.request in ("", answer.request)
    ]
    if wanted:
        return wanted[0]
    key = ", ".join(question.key)
    which = f" {question.scored}" if question.scored else ""
    raise WrongQuestion(f"no{which} prediction of {question.model} is known for {key}")


def recent(lake: Lake, model: ModelContext) -> list[dict[str, Any]]:
    """Read some predictions of the newest drop, the highest scores first: its key, drop, score and version."""
    key, partition = model.key("predictions"), model.spine.partition
    drops = lake.partitions(key, partition)
    if not drops:
        return []
    named = dict.fromkeys([partition, *model.spine.key, "score", VERSION])
    rows = lake.scan(key).filter(pl.col(partition) == drops[-1]).select(*named)
    return list(rows.top_k(RECENT, by="score").sort("score", descending=True).collect().iter_rows(named=True))


def _batch(
    lake: Lake, model: ModelContext, key: Mapping[str, Any], types: Mapping[str, pl.DataType], drop: str
) -> list[LoggedAnswer]:
    table, partition, time = model.key("predictions"), model.spine.partition, model.spine.time
    if not lake.exists(table):
        return []
    rows = lake.scan(table).filter(*_equal(key, types, ""))
    found = (rows.filter(pl.col(partition) == drop) if drop else rows).head(ANSWERS).collect()
    about = {partition, time, *model.spine.key, *_NOT_ANSWERS}
    answered = [name for name in found.columns if name not in about]
    return [
        LoggedAnswer(
            scored=BATCH,
            at=row["scored_at"],
            drop=row[partition],
            version=row[VERSION],
            values={name: row[name] for name in answered},
            time=row[time],
            features_hash=row.get(FEATURES_HASH),
        )
        for row in found.iter_rows(named=True)
    ]


def _served(
    lake: Lake, model: ModelContext, key: Mapping[str, Any], types: Mapping[str, pl.DataType]
) -> list[LoggedAnswer]:
    table = model.key(LOG)
    if not lake.exists(table):
        return []
    log = keyed(lake.scan(table), model.spine.key, model.spine.time)
    given = [GIVEN + name for name in key]
    if not {*given} <= {*log.collect_schema().names()}:
        return []
    found = log.filter(*_equal(key, types, GIVEN)).sort("requested_at", descending=True).head(ANSWERS).collect()
    answered = score_names(name for name in found.columns if name != DAY)
    features = [name for name in found.columns if name.startswith(FEATURE)]
    served = found.select(pl.col(name).alias(name.removeprefix(FEATURE)) for name in features)
    named = [name for name in found.columns if name.startswith(GIVEN)]
    about = found.select(pl.col(name).alias(name.removeprefix(GIVEN)) for name in named)
    about = about.with_columns(found["requested_at"].alias(model.spine.time))
    return [
        LoggedAnswer(
            scored=SERVED,
            at=row["requested_at"],
            drop="",
            version=row["model_version"],
            values={name: row[name] for name in answered},
            time=row["requested_at"],
            request=f"{row['request_id']}/{row['row']}",
            role=row["role"],
            served=served[at : at + 1],
            states=row["states"],
            given=about[at : at + 1],
        )
        for at, row in enumerate(found.iter_rows(named=True))
    ]


def _equal(key: Mapping[str, Any], types: Mapping[str, pl.DataType], prefix: str) -> list[pl.Expr]:
    return [pl.col(prefix + name) == pl.lit(value, dtype=types[name]) for name, value in key.items()]


def spine_row(lake: Lake, model: ModelContext, answer: LoggedAnswer, key: Sequence[str]) -> pl.DataFrame:
    """Read the row of the spine that an answer is about, with label and all that views read; of height 1, or 0 where
    it is gone, or has not come yet."""
    read = [column for view in model.views for column in view.spine_columns]
    types = key_types(lake, model)
    drops = [answer.drop] if answer.drop else model.drops(lake)
    rows = model.labelled(lake, drops, [*model.columns, *read])
    values = typed_key(key, list(types), types)
    rows = rows.filter(*_equal(values, types, ""))
    return (rows.filter(pl.col(model.spine.time) == answer.time) if answer.scored == BATCH else rows).head(1).collect()


def features_of_row(lake: Lake, model: ModelContext, row: pl.DataFrame, drop: str) -> pl.DataFrame:
    """Return a row of the spine with the features that are stored for it, computed where none are; of a large drop only
    the rows of its moment are read."""
    partition, time = model.spine.partition, model.spine.time
    moment = row[time][0]
    facts = {table: lake.scan(table) for table in {view.table for view in model.views} if table is not None}
    tables = [
        ViewTables(
            view=view,
            stored=lake.scan(view.key).filter(pl.col(partition) == drop, pl.col(time) == moment)
            if view.table is not None and lake.exists(view.key)
            else None,
            facts=facts.get(view.table or ""),
            computed=True,
        )
        for view in model.views
    ]
    carried = [name for name in dict.fromkeys([partition, time, *model.columns]) if name in row.columns]
    return join_features(row, tables, time=time, drop=partition, carried=carried)
