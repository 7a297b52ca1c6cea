"""Requests that come in the same moment: predictions are made together, and pushes in one transaction."""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from ml_assets.online.stores.protocol import OnlineStore, PreparedPush, WantedChange
from ml_assets.scoring.predictor import Answer, Predictor
from ml_assets.serving.http.exchange import Exchange
from ml_assets.serving.http.push import REFUSALS, FactsHandler, refusal

_LARGEST = 16 << 10
"""Bytes of a body that is read with others; whoever pushes more waits alone for it to be read."""

_MOST = 64
"""Pushes that are made together: whoever sends them waits for the last."""

Waiting = tuple[Exchange, FactsHandler, asyncio.Future[bytes]]
Outcome = bytes | Exception


class Together:
    """Predicts what has come in by the time that the event loop has read all of its sockets, at once.

    Trees that were not asked lately have to be fetched from memory, which takes longer than to walk through them: that
    is paid once for all requests of a moment. A request that comes alone is answered as soon as without it.
    """

    def __init__(self) -> None:
        self._waiting: dict[Predictor, list[tuple[np.ndarray, asyncio.Future[Answer]]]] = {}

    async def predict(self, predictor: Predictor, matrix: np.ndarray) -> Answer:
        """Predict as `Predictor.predict` does."""
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        if not self._waiting:
            # What is ready to run now comes first: requests whose bodies are there already.
            loop.call_soon(self._answer)
        self._waiting.setdefault(predictor, []).append((matrix, future))
        return await future

    def _answer(self) -> None:
        waiting, self._waiting = self._waiting, {}
        for predictor, requests in waiting.items():
            try:
                answers = _predict(predictor, [matrix for matrix, _ in requests])
            except Exception as error:  # noqa: BLE001 - each request is told, and logs it
                for _, future in requests:
                    if not future.done():
                        future.set_exception(error)
                continue
            for (_, future), answer in zip(requests, answers, strict=True):
                # A request whose client has left waits no more.
                if not future.done():
                    future.set_result(answer)


def _predict(predictor: Predictor, matrices: list[np.ndarray]) -> list[Answer]:
    if len(matrices) == 1:
        return [predictor.predict(matrices[0])]
    predicted, begin, answers = predictor.predict(np.concatenate(matrices)), 0, []
    for matrix in matrices:
        end = begin + len(matrix)
        answers.append({name: values[begin:end] for name, values in predicted.items()})
        begin = end
    return answers


class PushesTogether:
    """Makes small pushes in the order in which they came, on a thread of its own: all that wait at once.

    Each of them is answered when the transaction that it is in is committed, and refused alone.

    Args:
        store: None where nothing is online.
    """

    def __init__(self, store: OnlineStore | None) -> None:
        self._store = store if store is not None and store.changes_together else None
        self._thread = ThreadPoolExecutor(1, "pushes")
        self._waiting: list[Waiting] = []
        self._works = False

    def handler(self, exchange: Exchange) -> FactsHandler | None:
        """Return what prepares the push of a request; None for another request, and one that is to be made apart."""
        handler = exchange.endpoint.handler
        if self._store is None or not isinstance(handler, FactsHandler) or len(exchange.body) > _LARGEST:
            return None
        return handler

    async def push(self, exchange: Exchange, handler: FactsHandler) -> bytes:
        """Push the facts of a request, and return the body of its answer; raises BadRequest."""
        future = asyncio.get_running_loop().create_future()
        self._waiting.append((exchange, handler, future))
        if not self._works:
            self._works = True
            self._begin()
        return await future

    def close(self) -> None:
        """End the thread when what waits is made."""
        self._thread.shutdown()

    def _begin(self) -> None:
        loop = asyncio.get_running_loop()
        some = self._waiting[:_MOST]
        del self._waiting[: len(some)]
        made = loop.run_in_executor(self._thread, self._make, some)
        made.add_done_callback(lambda made: self._tell(some, made))

    def _tell(self, some: Sequence[Waiting], made: "asyncio.Future[list[Outcome]]") -> None:
        error = made.exception()
        outcomes = made.result() if error is None else [error] * len(some)
        for (_, _, future), outcome in zip(some, outcomes, strict=True):
            if future.done():
                continue  # its client has left
            if isinstance(outcome, bytes):
                future.set_result(outcome)
            else:
                future.set_exception(outcome)
        self._works = bool(self._waiting)
        if self._works:
            self._begin()

    def _make(self, some: Sequence[Waiting]) -> list[Outcome]:
        assert self._store is not None  # nothing waits without it
        prepared = [_prepare(handler, exchange) for exchange, handler, _ in some]
        pushes = [each for each in prepared if isinstance(each, PreparedPush)]
        wanted = {id(push): WantedChange(push.decide, push.arrived_at) for push in pushes}
        self._store.change_all(list(wanted.values()))
        return [_outcome(each, wanted[id(each)]) if isinstance(each, PreparedPush) else each for each in prepared]


def _prepare(handler: FactsHandler, exchange: Exchange) -> PreparedPush[bytes] | Exception:
    try:
        return handler.prepare(exchange)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is its own request's
        return _as_answered(error)


def _outcome(push: PreparedPush[bytes], change: WantedChange) -> Outcome:
    try:
        return push.answer(change.result())
    except Exception as error:  # noqa: BLE001 - whatever it is, it is its own request's
        return _as_answered(error)


def _as_answered(error: Exception) -> Exception:
    if not isinstance(error, REFUSALS):
        return error
    refused = refusal(error)
    if refused is not error:
        refused.__cause__ = error
    return refused
