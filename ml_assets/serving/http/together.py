"""Requests that come in the same moment are predicted together."""

import asyncio

import numpy as np

from ml_assets.scoring.predictor import Answer, Predictor


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
