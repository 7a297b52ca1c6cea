import asyncio

from ml_assets.serving.log.group_commit import GroupCommit


def test_all_of_a_turn_share_one_write_and_one_that_is_cancelled_takes_nobody_along():
    writes = []

    async def wait(group):
        await group.wait()

    async def scenario():
        group = GroupCommit(lambda: writes.append(len(writes)))
        first = [asyncio.ensure_future(wait(group)) for _ in range(5)]
        await asyncio.sleep(0)
        first[2].cancel()
        done = await asyncio.gather(*first, return_exceptions=True)
        assert [type(each) for each in done] == [type(None)] * 2 + [asyncio.CancelledError] + [type(None)] * 2
        await group.wait()

    asyncio.run(scenario())
    assert writes == [0, 1]


def test_each_hears_of_a_write_that_failed_and_the_next_turn_is_written():
    failing = [True]

    def write():
        if failing:
            raise OSError(failing.pop())

    async def scenario():
        group = GroupCommit(write)
        done = await asyncio.gather(*(group.wait() for _ in range(3)), return_exceptions=True)
        assert [type(each) for each in done] == [RuntimeError] * 3
        await group.wait()

    asyncio.run(scenario())
