"""What the demo breaks on its way: processes killed without a warning, and started again as a supervisor would."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Victims:
    """Processes that the demo may kill."""

    names: Sequence[str]
    kill: Callable[[str], Awaitable[None]]
    """Sends SIGKILL, starts the process again, and returns when it says that it is ready."""


@dataclass(frozen=True, slots=True)
class Killed:
    """One that was killed, and how long it was away."""

    name: str
    away_seconds: float


async def kill_in_turn(victims: Victims, progress: Callable[[], float]) -> list[Killed]:
    """Kill one after the other, evenly spread over what `progress` (0 to 1) tells of the traffic."""
    killed: list[Killed] = []
    for number, name in enumerate(victims.names):
        while progress() < (number + 0.5) / len(victims.names):  # noqa: ASYNC110  the traffic knows nothing of us
            await asyncio.sleep(0.02)
        started = time.monotonic()
        await victims.kill(name)
        killed.append(Killed(name, time.monotonic() - started))
    return killed
