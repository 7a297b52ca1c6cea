"""How long a version takes to answer a single row, measured before it serves."""

import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import orjson
import polars as pl

from ml_assets.serving.declared import Declarations
from ml_assets.serving.prediction.answering import Answering
from ml_assets.serving.protocols.adapter import ProtocolLimits
from ml_assets.serving.protocols.mlflow_scoring import MlflowScoring
from ml_assets.serving.rollout.champions import Champions, Version
from ml_assets.serving.rollout.choice import Choosing
from ml_assets.training.fit import TrainedModel
from ml_assets.training.records.known_answers import plain_rows

WARM_UP = 50
"""Requests that are not counted: the first ones pay for caches that a server has filled long since."""


@dataclass(frozen=True)
class Latency:
    """Milliseconds of a number of single-row requests."""

    p50_ms: float
    p95_ms: float
    p99_ms: float
    requests: int


@dataclass(frozen=True)
class _First:
    version: str = "1"


_FIRST = _First()


@dataclass(frozen=True)
class _Alone:
    """A registry that knows one version."""

    model: TrainedModel

    def champion(self, name: str) -> Version:  # noqa: ARG002
        return _FIRST

    def challenger(self, name: str) -> None:  # noqa: ARG002
        return None

    def load(self, name: str, *, version: str) -> TrainedModel:  # noqa: ARG002
        return self.model


def measure_latency(
    model: TrainedModel, rows: pl.DataFrame, *, requests: int = 1000, clock: Callable[[], float] = time.perf_counter
) -> Latency:
    """Measure how long a version takes for single rows one after the other, in this process, as in the server.

    What is measured is the server's own code: JSON is read, the features are checked and encoded, the model is asked,
    JSON is written. The network and the look-up of online features, which every version shares, are not in it.

    Args:
        rows: rows with every feature, asked about in turn.
        clock: seconds.

    Raises:
        ValueError: there is no row, or the version cannot answer.
    """
    if rows.is_empty():
        raise ValueError("there is no row to measure the latency with")
    name = "measured"
    choosing = Choosing(Champions(_Alone(model), [name]))
    answering = Answering(choosing, Declarations(), None, most=1, replay=False)
    protocol = MlflowScoring(ProtocolLimits(rows=1))
    bodies = [orjson.dumps({"dataframe_records": [row]}) for row in plain_rows(rows, model.encoding)]
    seconds = []
    for body in itertools.islice(itertools.cycle(bodies), WARM_UP + requests):
        began = clock()
        protocol.write(answering.answer(protocol.read(body, {}), "measured", 0))
        seconds.append(clock() - began)
    p50, p95, p99 = np.percentile(seconds[WARM_UP:], (50, 95, 99)) * 1e3
    return Latency(float(p50), float(p95), float(p99), requests)
