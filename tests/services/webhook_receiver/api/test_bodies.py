"""Bodies that come in pieces: each has a limit, all have one together, and who stalls makes room."""

import asyncio

import pytest
from starlette.types import Message

from libs.postgres.group_commit import Full
from services.webhook_receiver.api.bodies import Bodies, Gone, MadeRoom, TooLarge


class Sender:
    """A body that a test lets come piece by piece."""

    def __init__(self, bodies: Bodies) -> None:
        self._pieces: asyncio.Queue[Message] = asyncio.Queue()
        self.reading = asyncio.ensure_future(bodies.read(self._pieces.get))

    async def send(self, piece: bytes, *, more: bool = True) -> None:
        self.give(piece, more=more)
        for _ in range(5):  # turns of the loop, in which it is taken and nothing else is waited for
            await asyncio.sleep(0)

    def give(self, piece: bytes, *, more: bool = True) -> None:
        self._pieces.put_nowait({"type": "http.request", "body": piece, "more_body": more})

    async def result(self) -> bytes:
        async with asyncio.timeout(5):
            return await self.reading

    def end(self) -> None:
        self._pieces.put_nowait({"type": "http.disconnect"})


def bodies(slow_seconds: float = 0.0) -> Bodies:
    return Bodies(body_bytes=60, reading_bytes=100, slow_seconds=slow_seconds)


async def test_pieces_are_put_together_and_whole_bodies_are_not_counted() -> None:
    made = bodies()
    senders = [Sender(made) for _ in range(20)]
    for each in senders:
        each.give(b"x" * 60, more=False)
    assert await asyncio.gather(*(each.result() for each in senders)) == [b"x" * 60] * 20
    one = Sender(made)
    for piece in (b"a", b"", b"b"):
        await one.send(piece)
    await one.send(b"c", more=False)
    assert await one.result() == b"abc"


async def test_who_stalls_makes_room_for_whoever_comes_oldest_first() -> None:
    made = bodies()
    first, second = Sender(made), Sender(made)
    await first.send(b"x" * 45)
    await second.send(b"y" * 45)
    good = Sender(made)
    await good.send(b"z" * 30)
    with pytest.raises(MadeRoom):
        await first.result()
    assert not second.reading.done()
    await good.send(b"!", more=False)
    assert await good.result() == b"z" * 30 + b"!"
    await second.send(b"!", more=False)
    assert await second.result() == b"y" * 45 + b"!"


async def test_many_who_stall_keep_nobody_out_again_and_again() -> None:
    made = bodies()
    stalled = []
    for _ in range(10):
        stalled += [Sender(made) for _ in range(5)]
        for each in stalled[-5:]:
            await each.send(b"x" * 59)
        good = Sender(made)
        await good.send(b"good, ")
        await good.send(b"and whole", more=False)
        assert await good.result() == b"good, and whole"
    ended = await asyncio.gather(*(each.result() for each in stalled[:-1]), return_exceptions=True)
    assert {type(each) for each in ended} == {MadeRoom}
    stalled[-1].end()
    with pytest.raises(Gone):
        await stalled[-1].result()


async def test_the_slowest_goes_itself_where_it_is_the_one_that_brings_too_much() -> None:
    made = bodies()
    slow, other = Sender(made), Sender(made)
    await slow.send(b"x" * 10)
    await other.send(b"y" * 50)
    await slow.send(b"x" * 45)
    with pytest.raises(MadeRoom):
        await slow.result()
    await other.send(b"!", more=False)
    assert await other.result() == b"y" * 50 + b"!"


async def test_bodies_that_come_quickly_are_not_cut_for_others() -> None:
    made = bodies(slow_seconds=60)
    quick = [Sender(made) for _ in range(2)]
    for each in quick:
        await each.send(b"x" * 45)
    late = Sender(made)
    await late.send(b"z" * 30)
    with pytest.raises(Full):
        await late.result()
    for each in quick:
        await each.send(b"!", more=False)
        assert await each.result() == b"x" * 45 + b"!"


async def test_what_was_cut_leaves_no_count_behind_though_a_piece_comes_at_that_moment() -> None:
    made = bodies()
    for _ in range(10):
        slow, other = Sender(made), Sender(made)
        await slow.send(b"x" * 55)
        other.give(b"y" * 55)
        slow.give(b"x")
        with pytest.raises(MadeRoom):
            await slow.result()
        other.end()
        with pytest.raises(Gone):
            await other.result()
    held = made._held_bytes
    assert held == 0
    assert not made._readings


async def test_a_body_that_grows_too_large_is_given_up_and_counts_no_more() -> None:
    made = bodies()
    for _ in range(3):
        large = Sender(made)
        await large.send(b"x" * 50)
        await large.send(b"x" * 11)
        with pytest.raises(TooLarge):
            await large.result()
    assert made._held_bytes == 0
