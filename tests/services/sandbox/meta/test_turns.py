"""Turns: a long list is that of one moment, and holds nobody up."""

import asyncio
from collections.abc import Iterator
from itertools import count

import pytest

from services.sandbox.clock import Clock
from services.sandbox.meta.node import Node
from services.sandbox.meta.turns import read_in_turns
from services.sandbox.meta.world import World


@pytest.fixture
def world() -> World:
    return World(7, "small", Clock())


def write(world: World, name: str) -> None:
    now = world.clock.now()
    world.create(Node(name, "campaign", "act_1", {"id": name}, now, now))


async def test_others_have_their_turn_while_a_long_list_is_read(world: World) -> None:
    served: list[int] = []

    async def serve_others() -> None:
        for number in range(5):
            served.append(number)
            await asyncio.sleep(0)

    def read() -> Iterator[int]:
        for number in range(5):
            assert len(served) == number
            yield number

    others = asyncio.create_task(serve_others())
    ticks = count()
    assert await read_in_turns(world, read, lambda: float(next(ticks))) == [0, 1, 2, 3, 4]
    await others


async def test_a_list_that_somebody_wrote_to_meanwhile_is_read_anew(world: World) -> None:
    listed = ["first", "second", "third"]

    async def write_soon() -> None:
        listed.remove("first")
        write(world, "new")

    writing = asyncio.create_task(write_soon())
    ticks = count()
    assert await read_in_turns(world, lambda: list(listed), lambda: float(next(ticks))) == ["second", "third"]
    await writing


async def test_a_short_list_is_read_at_once(world: World) -> None:
    async def never() -> None:
        raise AssertionError("nobody should have had a turn")

    other = asyncio.create_task(never())
    assert await read_in_turns(world, lambda: range(3), lambda: 0.0) == [0, 1, 2]
    other.cancel()
