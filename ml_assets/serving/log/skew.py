"""Whether what was served is what training would have computed: logged answers, computed again from what was known."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import orjson
import polars as pl
from pydantic import BaseModel, ConfigDict, Field

from ml_assets.features.engine.checks import MOMENT
from ml_assets.features.row.features import computable, row_features
from ml_assets.features.spec import FeatureViewSpec
from ml_assets.serving.log.known_facts import BUILD, LAST_SEQ, LIVE, KnownFacts, of_declaration, stored_values
from ml_assets.serving.log.request_log import FEATURE, GIVEN
from ml_assets.serving.rollout.challenger import NOT_THE_MODELS
from ml_assets.training.fit import TrainedModel, predict
from ml_assets.training.predictions.scored import score_columns

RELATIVE = 1e-9
"""How far a float may be from the one computed again, relative to the larger: a value has been text in between."""

SCORE_TOLERANCE = 1e-6
"""How far a score may be, absolutely and relatively: a row alone is answered by another implementation of the model."""

ANSWER = "answer"
"""Stands in place of a view's name for the score columns of an answer."""

DIFFERING = pl.Schema(
    {
        "view": pl.String,
        "feature": pl.String,
        "key": pl.String,
        "requested_at": MOMENT,
        "request_id": pl.String,
        "row": pl.Int64,
        "state": pl.String,
        "served": pl.String,
        "recomputed": pl.String,
    }
)


class SkewRecord(BaseModel):
    """How the sampled answers of one drop compare with what is computed again."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str = Field(description="Registered model.")
    drop: str = Field(description="Drop that the answers belong to.")
    rows: int = Field(description="Answers that were computed again.")
    values: int = Field(description="Values that were compared, features and scores.")
    fresh_values: int = Field(description="Those of them that a build stood behind that was not too old.")
    differing: int = Field(description="Values that differ.")
    worst_feature: str | None = Field(description="What differs in most answers, as view.feature; null for nothing.")

    @property
    def passed(self) -> bool:
        """Whether every value is what it should be."""
        return self.differing == 0


@dataclass(frozen=True)
class Skew:
    """Compared values.

    Attributes:
        differing: one row for each value that differs, with the columns of DIFFERING.
        rows: answers that were computed again.
        values: values compared.
        fresh_values: those that a build stood behind that was not too old.
    """

    differing: pl.DataFrame
    rows: int
    values: int
    fresh_values: int

    @classmethod
    def together(cls, parts: Sequence["Skew"]) -> "Skew":
        """Join comparisons of different answers into one."""
        differing = [pl.DataFrame(schema=DIFFERING), *(part.differing for part in parts)]
        return cls(
            differing=pl.concat(differing).sort("requested_at", "request_id", "row", "view"),
            rows=sum(part.rows for part in parts),
            values=sum(part.values for part in parts),
            fresh_values=sum(part.fresh_values for part in parts),
        )

    def record(self, model: str, drop: str) -> SkewRecord:
        """Return the record in which the comparison is stored."""
        counts = self.differing.group_by("view", "feature").len().sort(-pl.col("len").cast(pl.Int64), "view", "feature")
        worst = None if counts.is_empty() else ".".join(counts.row(0)[:2])
        return SkewRecord(
            model=model,
            drop=drop,
            rows=self.rows,
            values=self.values,
            fresh_values=self.fresh_values,
            differing=self.differing.height,
            worst_feature=worst,
        )


def sample_answers(log: pl.DataFrame, key: Sequence[str], rows: int, seed: int) -> pl.DataFrame:
    """Draw at most `rows` answers of a log that somebody was given and whose features can be computed again.

    Where a request gave features instead of keys, they cannot. The sample does not depend on the order of the log.

    Args:
        log: rows of a request log.
        key: columns that identify a row to predict.
    """
    named = [GIVEN + column for column in key]
    if not {*named} <= {*log.columns}:
        return log.clear()
    requests = log.filter(~pl.col("role").is_in(NOT_THE_MODELS), pl.all_horizontal(pl.col(named).is_not_null()))
    ordered = requests.sort("requested_at", "request_id", "row")
    return ordered.sample(min(rows, ordered.height), seed=seed, shuffle=True)


def find_skew(
    answers: pl.DataFrame,
    views: Sequence[FeatureViewSpec],
    facts: Mapping[str, KnownFacts],
    models: Mapping[str, TrainedModel],
    *,
    key: Sequence[str],
    time: str,
    spine: Mapping[str, pl.DataType],
) -> Skew:
    """Compare the values of logged answers with what the engine makes of the facts that could be known.

    For stored features these facts are told by `stored_values`; where no build was there, or it was too old, they
    must be null. What a build of another declaration of the view has given cannot be computed again, and is not
    compared, nor is what is derived from it. Features of the row are computed from what the request gave, scores from
    the features as logged.
    Integers, booleans and text must be equal, floats within RELATIVE, scores within SCORE_TOLERANCE.

    Args:
        answers: rows of a request log, see `sample_answers`.
        views: the views of the model.
        facts: what the stored features are made from, for every view with a table.
        models: every logged version; the features of its own version are compared of an answer.
        key: columns that identify a row to predict.
        time: the spine's time column; an answer's is the moment that it was asked for.
        spine: the types of the spine's columns.
    """
    compared = [
        *(each for view in views for each in _view_values(answers, view, facts.get(view.name), models, time, spine)),
        *(each for version, model in models.items() for each in _scores(answers, version, model)),
    ]
    differing = [_differing(answers, each, key) for each in compared]
    return Skew(
        differing=pl.concat([pl.DataFrame(schema=DIFFERING), *differing]).sort(
            "requested_at", "request_id", "row", "view"
        ),
        rows=answers.height,
        values=sum(int(each.wanted.sum()) for each in compared),
        fresh_values=sum(int((each.wanted & each.fresh).sum()) for each in compared),
    )


@dataclass(frozen=True)
class _Values:
    """One column of the answers beside what it should be, and where it matters."""

    view: str
    served: pl.Series
    recomputed: pl.Series
    same: pl.Series
    wanted: pl.Series
    fresh: pl.Series


def _view_values(
    answers: pl.DataFrame,
    view: FeatureViewSpec,
    facts: KnownFacts | None,
    models: Mapping[str, TrainedModel],
    time: str,
    spine: Mapping[str, pl.DataType],
) -> Iterator[_Values]:
    requests = _gather_requests(answers, view.name, time, spine)
    nowhere = pl.Series([False] * answers.height, dtype=pl.Boolean)
    stored = pl.DataFrame({LIVE: nowhere}) if facts is None else stored_values(requests, facts, time)
    of_row = computable(view, requests.columns, of_table=False).row_features
    of_table = stored.drop(LIVE)
    for column in [*of_table, *row_features(view, requests, of_table, time)]:
        having = [version for version, model in models.items() if column.name in model.features]
        if having:
            served = answers[FEATURE + column.name].alias(column.name)
            wanted = answers["model_version"].is_in(having)
            if column.name in of_row:
                yield _Values(view.name, served, column, _same(served, column), wanted, nowhere)
            else:
                ours = of_declaration(requests[BUILD], view).fill_null(True)
                yield _Values(view.name, served, column, _same(served, column), wanted & ours, stored[LIVE])


def _gather_requests(answers: pl.DataFrame, view: str, time: str, spine: Mapping[str, pl.DataType]) -> pl.DataFrame:
    """Return the requests' columns in the types of the spine, their moments, and the builds that were read of a
    view."""
    given = [
        (pl.col(GIVEN + name) if GIVEN + name in answers.columns else pl.lit(None)).cast(dtype).alias(name)
        for name, dtype in spine.items()
        if name != time
    ]
    read = [orjson.loads(text).get(view, (None, None)) for text in answers["versions"]]
    return answers.select(
        pl.col("requested_at").alias(time),
        *given,
        pl.Series(BUILD, [build for build, _ in read], dtype=pl.String),
        pl.Series(LAST_SEQ, [seq for _, seq in read], dtype=pl.Int64),
    )


def _same(served: pl.Series, again: pl.Series) -> pl.Series:
    """Return whether values are equal, floats within RELATIVE; NaN is as missing as null."""
    if not (again.dtype.is_float() or again.dtype.is_decimal()):
        return served.eq_missing(again.cast(served.dtype))
    pair = pl.DataFrame(
        {side: values.cast(pl.Float64).fill_nan(None) for side, values in zip("ab", (served, again), strict=True)}
    )
    near = (pl.col("a") - pl.col("b")).abs() <= RELATIVE * pl.max_horizontal(pl.col("a").abs(), pl.col("b").abs())
    return pair.select(near.fill_null(False) | pl.col("a").eq_missing(pl.col("b"))).to_series()


def _scores(answers: pl.DataFrame, version: str, model: TrainedModel) -> Iterator[_Values]:
    wanted = answers["model_version"] == version
    if not wanted.any():
        return
    features = answers.select(pl.col(FEATURE + name).alias(name) for name in model.features)
    for again in score_columns(model, predict(model, features)):
        if again.dtype == pl.Float64:
            served = answers[again.name]
            same = ((served - again).abs() <= SCORE_TOLERANCE * (1 + again.abs())).fill_null(False)
            yield _Values(ANSWER, served, again, same, wanted, wanted & False)


def _differing(answers: pl.DataFrame, values: _Values, key: Sequence[str]) -> pl.DataFrame:
    states = [orjson.loads(text).get(values.view) for text in answers["states"]]
    return answers.select(
        pl.lit(values.view).alias("view"),
        pl.lit(values.recomputed.name).alias("feature"),
        pl.struct(pl.col(GIVEN + column).alias(column) for column in key).struct.json_encode().alias("key"),
        "requested_at",
        "request_id",
        "row",
        pl.Series("state", states, dtype=pl.String),
        values.served.cast(pl.String).alias("served"),
        values.recomputed.cast(pl.String).alias("recomputed"),
    ).filter(values.wanted & ~values.same)
