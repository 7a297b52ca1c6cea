"""Every answer of a server, kept in the lake: gathered on the request path, written by a thread of its own."""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain
from typing import Any, Self

import numpy as np
import orjson
import polars as pl

from ml_assets.features.engine.checks import MOMENT
from ml_assets.serving.declared import FieldKind, RequestField
from ml_assets.training.encoding import STORED_TYPES, FeatureEncoding
from ml_assets.training.fit import TrainedModel
from ml_assets.training.predictions.scored import score_columns

log = logging.getLogger(__name__)

DAY = "_day"
"""Partition column of a log: the day of the request in UTC, such as 2013-10-05."""

GIVEN, FEATURE = "given_", "feature_"
"""What the columns of request values and of features begin with: the two may bear the same name."""

LONGEST_PAUSE = 60.0
"""Seconds between two tries of an append that keeps failing."""

_FIELD_TYPES: dict[FieldKind, pl.DataType] = {
    "integer": pl.Int64(),
    "number": pl.Float64(),
    "boolean": pl.Boolean(),
    "text": pl.String(),
    "moment": MOMENT,
    "date": pl.Date(),
}


@dataclass(frozen=True, slots=True)
class Answered:
    """One row answered; light, for it is made on the request path.

    Attributes:
        row: position in the request, from 0.
        role: champion, canary or shadow.
        requested_at: microseconds since the epoch, UTC: the moment the features were asked as of.
        latency: seconds from the request to its answer.
        given: entity keys and what features of the row read; empty where only features were given.
        features: every feature by name, null None, before encoding.
        answer: what `score_columns` names, by column.
        versions: view -> build and last sequence number behind its stored values.
        states: view -> fresh, unseen, expired or missing.
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
            given={field.name: _FIELD_TYPES[field.kind] for field in fields},
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
            moments.dt.strftime("%Y-%m-%d").alias(DAY),
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
        ]
    )


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
        if dtype == MOMENT:
            values = [_moment(value) if isinstance(value, str) else value for value in values]
        columns.append(pl.Series(prefix + name, values, dtype=dtype))
    return columns


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def _json(value: Mapping[str, Any]) -> str:
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()


class RequestLog:
    """Answers on their way into the lake, one table `<model>/request_log` a model.

    A process that is killed loses what it answered within the last window, and what a failing append held up.
    """

    def __init__(
        self,
        append: Callable[[str, pl.DataFrame], object],
        schema_of: Callable[[str, str], LogSchema],
        *,
        window: float = 1.0,
        capacity: int = 50_000,
    ) -> None:
        """Start the writing thread.

        Args:
            append: adds rows to the table with a key, partitioned by `DAY`.
            schema_of: the types of a model's version; asked once for each, when it first answers.
            window: seconds within which an answer is in the lake.
            capacity: answers held at most, those that wait for another try of an append among them.
        """
        self._append = append
        self._schema_of = schema_of
        self._schemas: dict[str, dict[str, LogSchema]] = {}
        self._window = window
        self._capacity = capacity
        self._queue: deque[Answered] = deque()
        self._waiting: dict[str, _Waiting] = {}
        self._held = 0
        self._counting = threading.Lock()
        self._closing = threading.Event()
        self.dropped = 0
        self.written = 0
        self._thread = threading.Thread(target=self._write_on, name="request-log", daemon=True)
        self._thread.start()

    def put(self, answered: Answered) -> bool:
        """Queue an answer, at once; returns False if there is no room for it, which is counted in `dropped`."""
        versions = self._schemas.setdefault(answered.model, {})
        if answered.version not in versions:
            versions[answered.version] = self._schema_of(answered.model, answered.version)
        with self._counting:
            room = self._held < self._capacity and not self._closing.is_set()
            if room:
                self._held += 1
                self._queue.append(answered)
            else:
                self.dropped += 1
        return room

    def close(self) -> None:
        """Write what is left and end the thread; what the lake does not take now is dropped and logged."""
        with self._counting:
            self._closing.set()
        self._thread.join()

    def _write_on(self) -> None:
        pause = self._window
        while not self._closing.wait(pause):
            began = time.monotonic()
            self._write(began)
            # The next append is to end within the window, not to begin with its end.
            took = time.monotonic() - began
            pause = max(self._window - took, self._window / 2)
        self._write(float("inf"))
        for model, waiting in self._waiting.items():
            if waiting.rows:
                log.error("%s/request_log: %d answers are lost", model, len(waiting.rows))
                self._let_go(len(waiting.rows), lost=True)

    def _write(self, now: float) -> None:
        """Append what has come in, model by model; a model whose append failed is tried again when it is due."""
        for _ in range(len(self._queue)):
            each = self._queue.popleft()
            self._waiting.setdefault(each.model, _Waiting()).rows.append(each)
        for model, waiting in self._waiting.items():
            if waiting.rows and now >= waiting.due:
                self._write_model(model, waiting, now)

    def _write_model(self, model: str, waiting: "_Waiting", now: float) -> None:
        key = f"{model}/request_log"
        frame = self._frame(key, model, waiting.rows)
        try:
            if frame is not None:
                self._append(key, frame)
        except Exception:
            # Whatever the lake says, the answers are kept and tried again: the thread must go on.
            waiting.failed(now, self._window)
            log.exception("%s: append failed, %d answers wait for another try", key, len(waiting.rows))
            return
        if waiting.pause:
            log.warning("%s: appends again, %d answers that waited are written", key, len(waiting.rows))
        written = 0 if frame is None else frame.height
        self.written += written
        self._let_go(written)
        self._let_go(len(waiting.rows) - written, lost=True)
        self._waiting[model] = _Waiting()

    def _frame(self, key: str, model: str, rows: list[Answered]) -> pl.DataFrame | None:
        """Return the answers as rows, without those whose values do not fit: another attempt would not help them."""
        try:
            versions = dict.fromkeys(each.version for each in rows)
            return log_frame(rows, {version: self._schemas[model][version] for version in versions})
        except (TypeError, ValueError, pl.exceptions.PolarsError) as error:
            if len(rows) == 1:
                log.error("%s: request %s, row %d, is dropped: %s", key, rows[0].request_id, rows[0].row, error)
                return None
        halves = [self._frame(key, model, half) for half in (rows[: len(rows) // 2], rows[len(rows) // 2 :])]
        frames = [half for half in halves if half is not None]
        return pl.concat(frames, how="diagonal") if frames else None

    def _let_go(self, rows: int, lost: bool = False) -> None:
        with self._counting:
            self._held -= rows
            if lost:
                self.dropped += rows


class _Waiting:
    """Answers of one model on their way, and when to try again after an append failed."""

    def __init__(self) -> None:
        self.rows: list[Answered] = []
        self.pause = 0.0
        self.due = 0.0

    def failed(self, now: float, window: float) -> None:
        self.pause = min(max(2 * self.pause, window), LONGEST_PAUSE)
        self.due = now + self.pause
