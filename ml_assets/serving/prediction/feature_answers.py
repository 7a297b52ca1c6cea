"""Requests that give the features: Open Inference Protocol v2 and MLflow's scoring protocol."""

from collections.abc import Callable
from typing import Any

import numpy as np
import orjson

from ml_assets.scoring.errors import InvalidRows
from ml_assets.scoring.predictor import Answer
from ml_assets.serving.errors import BadRequest
from ml_assets.serving.prediction.exchange import Exchange, Question, Scored
from ml_assets.serving.prediction.given import Columns, Given
from ml_assets.serving.protocols import mlflow_scoring, open_inference
from ml_assets.serving.protocols.open_inference import HEADER_LENGTH, read_json
from ml_assets.serving.rollout.challenger import CHAMPION
from ml_assets.serving.rollout.champions import Served
from ml_assets.serving.rollout.choice import Choosing


class FeatureAnswers:
    """Answers requests with every feature by name.

    Args:
        most: rows of a request.
        kept: whether the answers are wanted row by row afterwards.
    """

    def __init__(self, choosing: Choosing, most: int, kept: bool) -> None:
        self._choosing = choosing
        self._most = most
        self._kept = kept

    def infer(self, asked: Exchange) -> Question:
        """Tensors in, tensors out; raises BadRequest."""
        served = asked.served = self._choosing.named(asked.path.name, asked.path.version)
        request, tensors = open_inference.read_request(asked.body, asked.header(HEADER_LENGTH))
        return self._question(
            asked,
            served,
            Columns(tensors),
            lambda answer: open_inference.write_response(served.name, served.version, request, answer),
        )

    def invocations(self, asked: Exchange) -> Question:
        """Any of MLflow's forms in, predictions by row out; raises BadRequest."""
        served = asked.served = self._choosing.only()
        require_json(asked)
        given = mlflow_scoring.read_request(read_json(asked.body))
        asked.reply_headers.append((b"x-model-version", served.version.encode()))
        return self._question(asked, served, given, lambda answer: {"predictions": by_row(answer)})

    def _question(self, asked: Exchange, served: Served, given: Given, write: Callable[[Answer], Any]) -> Question:
        try:
            matrix = given.encode(served.predictor)
        except InvalidRows as error:
            raise BadRequest(str(error)) from error
        require_rows(len(matrix), self._most)

        def finish(answers: list[Answer]) -> bytes:
            (answer,) = answers
            body = orjson.dumps(write(answer))
            asked.missing = np.count_nonzero(matrix != matrix)
            asked.rows[served.name, served.version] = len(matrix)
            if self._kept:
                told = zip(given.by_row(), by_row(answer), strict=True)
                asked.scored = [Scored(served, CHAMPION, features, row) for features, row in told]
            return body

        return Question([(served, matrix)], finish)


def by_row(answer: dict[str, list]) -> list[dict]:
    """Columns as rows."""
    if len(answer["score"]) == 1:
        return [{name: values[0] for name, values in answer.items()}]
    return [dict(zip(answer, row, strict=True)) for row in zip(*answer.values(), strict=True)]


def require_json(asked: Exchange) -> None:
    """Raise BadRequest (415) for a body that does not say that it is JSON."""
    kind = (asked.header(b"content-type") or "").partition(";")[0].strip()
    if kind != "application/json":
        raise BadRequest(f"content-type must be application/json, not {kind[:60]!r}", 415)


def require_rows(rows: int, most: int) -> None:
    """Raise BadRequest for no rows, or more than `most`."""
    if rows > most:
        raise BadRequest(f"{rows} rows are more than {most}: send fewer at once", 413)
    if rows == 0:
        raise BadRequest("there is no row to predict")
