"""Bodies are read whole, within limits, and given up where they do not come."""

import asyncio

import pytest

from ml_assets.serving.errors import BadRequest
from ml_assets.serving.http.body import BodyReader


def parts(*chunks):
    """ASGI's messages of a body in pieces."""
    messages = [
        {"type": "http.request", "body": chunk, "more_body": at < len(chunks) - 1} for at, chunk in enumerate(chunks)
    ]

    async def receive():
        return messages.pop(0)

    return receive


async def stalled():
    await asyncio.Event().wait()


async def gone():
    return {"type": "http.disconnect"}


def read(receive, **limits):
    reader = BodyReader(**{"most": 10, "seconds": 5, "readers": 2} | limits)

    async def asked():
        looking = asyncio.create_task(reader.give_up_late())
        try:
            return await reader.read(receive)
        finally:
            looking.cancel()

    return asyncio.run(asked())


@pytest.mark.parametrize("chunks", [[b""], [b"0123456789"], [b"0123", b"", b"456789"]])
def test_a_body_is_put_together(chunks):
    assert read(parts(*chunks)) == b"".join(chunks)


@pytest.mark.parametrize(
    ("receive", "status", "why"),
    [
        (parts(b"0123456789", b"0"), 413, "larger than 10 bytes"),
        (gone, 408, "the client left"),
        (stalled, 408, "did not arrive within 0.02 seconds"),
    ],
)
def test_a_body_that_is_not_right_is_refused(receive, status, why):
    with pytest.raises(BadRequest, match=why) as refused:
        read(receive, seconds=0.02 if receive is stalled else 5)
    assert refused.value.status == status


def test_too_many_at_once_are_turned_away_and_a_place_is_free_again():
    async def asked():
        reader = BodyReader(10, 5, readers=1)
        first = asyncio.create_task(reader.read(stalled))
        await asyncio.sleep(0)
        with pytest.raises(BadRequest, match="too many") as refused:
            await reader.read(parts(b"1"))
        assert refused.value.status == 503
        # A request that is cancelled by its server is not late.
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        return await reader.read(parts(b"1"))

    assert asyncio.run(asked()) == b"1"
