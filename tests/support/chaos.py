"""Kills at seeded random times: the same seed gives the same order of victims and the same pauses."""

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from tests.support.processes import Fleet

T = TypeVar("T")


@dataclass(slots=True)
class Chaos:
    """Kills processes of a fleet, every victim `each` times, spread over `seconds`."""

    fleet: Fleet
    victims: Sequence[str]
    seed: int
    each: int
    seconds: float
    killed: list[str] = field(default_factory=list)

    async def run(self) -> None:
        """Kill in seeded order at seeded moments."""
        generator = random.Random(self.seed)
        order = [name for name in self.victims for _ in range(self.each)]
        generator.shuffle(order)
        for name in order:
            # A point in time, not a wait for something: where the kill hits is meant to be arbitrary.
            await asyncio.sleep(generator.uniform(0, 2 * self.seconds / len(order)))
            await self.fleet[name].kill()
            self.killed.append(name)


async def spread(items: Sequence[T], seconds: float) -> AsyncIterator[T]:
    """Give the items at an even pace over this time, as callers come: not all at once. One that waits holds up none."""
    began = asyncio.get_running_loop().time()
    for number, item in enumerate(items):
        due = began + seconds * number / len(items)
        await asyncio.sleep(max(0.0, due - asyncio.get_running_loop().time()))
        yield item
