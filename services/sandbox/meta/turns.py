"""Long lists of the sandbox's own interface: other calls have their turn in between."""

import asyncio
import time
from collections.abc import Callable, Iterable
from typing import TypeVar

from services.sandbox.meta.world import World

TURN_SECONDS = 0.02
"""So long nobody else is served."""
Read = TypeVar("Read")


async def read_in_turns(
    world: World, read: Callable[[], Iterable[Read]], monotonic: Callable[[], float] = time.monotonic
) -> list[Read]:
    """Everything that `read` gives, as it is at one moment: where a call in between writes, it is read anew at once."""
    found: list[Read] = []
    writes, begun = world.writes, monotonic()
    for row in read():
        found.append(row)
        if monotonic() - begun < TURN_SECONDS:
            continue
        await asyncio.sleep(0)
        if world.writes != writes:
            return list(read())
        begun = monotonic()
    return found
