"""A server's answers as rows of the lake's table `<model>/request_log`."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from functools import lru_cache
from itertools import chain
from typing import Any, Self

import numpy as np
import orjson
import polars as pl

from ml_assets.features.engine.checks import MOMENT
from ml_assets.online.values.record import moment_of
from ml_assets.serving.declared import FieldKind, RequestField
from ml_assets.training.encoding import STORED_TYPES, FeatureEncoding
from ml_assets.training.fit import TrainedModel
from ml_assets.training.predictions.scored import score_columns

DAY = "_day"
"""Partition column of a log: the day of the request in UTC, such as 2013-10-05, or FAR."""

FAR = "far"
"""The one partition of all requests about moments before FIRST or from LAST on, or of too many days."""

FIRST, LAST = datetime(1970, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)
"""A replayed request names its moment itself: one outside is a slip, and gets no partition of its own."""

GIVEN, FEATURE = "given_", "feature_"
"""What the columns of request values and of features begin with: the two may bear the same name."""

FIELD_TYPES: dict[FieldKind, pl.DataType] = {
    "integer": pl.Int64(),
    "number": pl.Float64(),
    "boolean": pl.Boolean(),
    "text": pl.String(),
    "moment": MOMENT,
    "date": pl.Date(),
}
"""Kind of a request's field -> the type of its column."""


@dataclass(slots=True)
class Answered:
    """One row answered; light, for it is made on the request path, where a frozen one would take three times as long.

    Attributes:
        row: position in the request, from 0.
        role: champion, canary, shadow or fallback.
        requested_at: microseconds since the epoch, UTC: the moment the features were asked as of.
        latency: seconds from the request to its answer.
        given: entity keys and what features of the row read; empty where only features were given.
        features: every feature by name, null None, before encoding.
        answer: what `score_columns` names, by column.
        versions: view -> build and last sequence number behind its stored values.
        states: view -> fresh, unseen, stale, expired or missing.
        replayed: whether the request named its moment itself, instead of the clock.
        api_key: name of the key that let the request in; empty where none was needed.
        complete_until: view -> the moment up to which its facts were known to be complete, microseconds; None where
            that was not known.
    """

    request_id: str
    row: int
    model: str
    version: str
    role: str
    requested_at: int
    latency: float
    given: Mapping[str, Any]
    features: Mapping[str, Any]
    answer: Mapping[str, Any]
    versions: Mapping[str, tuple[str, int]]
    states: Mapping[str, str]
    replayed: bool = False
    api_key: str = ""
    complete_until: Mapping[str, int | None] = field(default_factory=dict)


@dataclass(frozen=True)
class LogSchema:
    """The types of what one version of a model is given and answers, by name."""

    given: Mapping[str, pl.DataType]
    features: Mapping[str, pl.DataType]
    answer: Mapping[str, pl.DataType]

    @classmethod
    def of(cls, model: TrainedModel, fields: Iterable[RequestField] = ()) -> Self:
        """Return the types of a fitted model with the fields of its requests."""
        return cls(
            given={field.name: FIELD_TYPES[field.kind] for field in fields},
            features=feature_types(model.encoding.features),
            answer=answer_types(model),
        )


def feature_types(features: Iterable[FeatureEncoding]) -> dict[str, pl.DataType]:
    """Return the types that features are stored in: numbers as Float64, booleans as Boolean, categories as String."""
    return {feature.name: STORED_TYPES[feature.kind] for feature in features}


def answer_types(model: TrainedModel) -> dict[str, pl.DataType]:
    """Return the types of a model's score columns."""
    score = np.zeros((1, len(model.classes)) if model.classes else 1)
    return {column.name: column.dtype for column in score_columns(model, score)}


def log_frame(answered: Sequence[Answered], schemas: Mapping[str, LogSchema]) -> pl.DataFrame:
    """Return answers of one model as rows of its log.

    Args:
        schemas: types by version of the model; a column that only some of them have is null for the others.

    Raises:
        TypeError, ValueError, PolarsError: a value is of another type than its column.
    """
    known = list(schemas.values())
    moments = pl.Series("requested_at", [each.requested_at for each in answered], dtype=pl.Int64).cast(MOMENT)
    return pl.DataFrame(
        [
            _days(moments).alias(DAY),
            moments,
            pl.Series("request_id", [each.request_id for each in answered], dtype=pl.String),
            pl.Series("row", [each.row for each in answered], dtype=pl.Int64),
            pl.Series("role", [each.role for each in answered], dtype=pl.String),
            pl.Series("model_version", [each.version for each in answered], dtype=pl.String),
            pl.Series("latency_ms", [each.latency * 1e3 for each in answered], dtype=pl.Float64),
            *_columns("", _types(each.answer for each in known), [each.answer for each in answered]),
            *_columns(GIVEN, _types(each.given for each in known), [each.given for each in answered]),
            *_columns(FEATURE, _types(each.features for each in known), [each.features for each in answered]),
            pl.Series("versions", [_json(each.versions) for each in answered], dtype=pl.String),
            pl.Series("states", [_json(each.states) for each in answered], dtype=pl.String),
            pl.Series("replayed", [each.replayed for each in answered], dtype=pl.Boolean),
            pl.Series("api_key", [each.api_key or None for each in answered], dtype=pl.String),
            pl.Series("complete_until", [_moments(each.complete_until) for each in answered], dtype=pl.String),
        ]
    )


def _days(moments: pl.Series) -> pl.Series:
    near = moments.is_between(FIRST, LAST, closed="left")
    return moments.dt.strftime("%Y-%m-%d").zip_with(near, pl.Series([FAR]))


def score_names(columns: Iterable[str]) -> list[str]:
    """Select the columns of a log that are a model's predictions."""
    about = log_frame([], {}).columns
    return [name for name in columns if name not in about and not name.startswith((GIVEN, FEATURE))]


def _types(mappings: Iterable[Mapping[str, pl.DataType]]) -> dict[str, pl.DataType]:
    return dict(chain.from_iterable(each.items() for each in mappings))


def _columns(prefix: str, types: Mapping[str, pl.DataType], rows: list[Mapping[str, Any]]) -> list[pl.Series]:
    columns = []
    for name, dtype in types.items():
        values = [row.get(name) for row in rows]
        if dtype in _READ:
            read = _READ[dtype]
            values = [read(value) if isinstance(value, str) else value for value in values]
        columns.append(pl.Series(prefix + name, values, dtype=dtype))
    return columns


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


_READ: dict[pl.DataType, Callable[[str], date]] = {MOMENT: _moment, pl.Date(): date.fromisoformat}
"""How the text of a request, or of a spool, becomes a value of a type."""


def _moments(by_view: Mapping[str, int | None]) -> str | None:
    """Return moments by view as JSON; None without a view."""
    return _json({view: None if at is None else _written(at) for view, at in by_view.items()}) if by_view else None


@lru_cache(maxsize=1024)
def _written(at: int) -> str:
    return moment_of(at).isoformat()


def _json(value: Mapping[str, Any]) -> str:
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()
