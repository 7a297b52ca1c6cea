"""Requests of one moment are asked together and answered apart."""

import asyncio

import numpy as np
import pytest

from ml_assets.serving.http.together import Together


class Counted:
    """Says of each row its first value, and remembers how many rows it was asked about at once."""

    def __init__(self, wrong=None):
        self.asked = []
        self.wrong = wrong

    def predict(self, matrix):
        self.asked.append(len(matrix))
        if self.wrong is not None:
            raise self.wrong
        return {"score": matrix[:, 0].tolist(), "twice": (2 * matrix[:, 0]).tolist()}


def rows(*values):
    return np.array(values, dtype=np.float32)[:, None]


def test_what_comes_in_one_moment_is_asked_at_once_by_model():
    one, other, together = Counted(), Counted(), Together()

    async def asked():
        first = [together.predict(one, rows(1)), together.predict(other, rows(5)), together.predict(one, rows(2, 3))]
        told = await asyncio.gather(*first)
        return [*told, await together.predict(one, rows(4))]

    assert asyncio.run(asked()) == [
        {"score": [1], "twice": [2]},
        {"score": [5], "twice": [10]},
        {"score": [2, 3], "twice": [4, 6]},
        {"score": [4], "twice": [8]},
    ]
    assert (one.asked, other.asked) == ([3, 1], [1])


def test_who_has_left_keeps_nobody_else_from_an_answer():
    model, together = Counted(), Together()

    async def asked():
        leaving, staying = (asyncio.create_task(together.predict(model, rows(value))) for value in (1, 2))
        await asyncio.sleep(0)
        leaving.cancel()
        return await staying

    assert asyncio.run(asked()) == {"score": [2], "twice": [4]}


def test_what_goes_wrong_is_told_to_all_who_asked_for_it_and_to_nobody_else():
    broken, well, together = Counted(ZeroDivisionError("no")), Counted(), Together()

    async def asked():
        questions = [together.predict(model, rows(1)) for model in (broken, well, broken)]
        return await asyncio.gather(*questions, return_exceptions=True)

    first, second, third = asyncio.run(asked())
    assert [type(one) for one in (first, third)] == [ZeroDivisionError] * 2
    assert second == {"score": [1], "twice": [2]}
    with pytest.raises(ZeroDivisionError):
        asyncio.run(together.predict(broken, rows(1)))
