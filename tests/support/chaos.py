"""Kills at seeded random times: the same seed gives the same order of victims and the same pauses."""

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.support.processes import Fleet


@dataclass(slots=True)
class Chaos:
    """Kills processes of a fleet until it is told to stop; every victim at least `each` times if time allows."""

    fleet: Fleet
    victims: Sequence[str]
    seed: int
    each: int
    shortest_seconds: float
    longest_seconds: float
    killed: list[str] = field(default_factory=list)

    async def run(self) -> None:
        """Kill every victim `each` times, in seeded order at seeded moments."""
        generator = random.Random(self.seed)
        order = [name for name in self.victims for _ in range(self.each)]
        generator.shuffle(order)
        for name in order:
            # A point in time, not a wait for something: where the kill hits is meant to be arbitrary.
            await asyncio.sleep(generator.uniform(self.shortest_seconds, self.longest_seconds))
            await self.fleet[name].kill()
            self.killed.append(name)
