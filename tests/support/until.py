"""Waiting for something outside this process, which no event of ours announces: asked again, with a limit."""

import asyncio
import time
from collections.abc import Awaitable, Callable

_PAUSE_SECONDS = 0.05


async def until(true: Callable[[], Awaitable[bool]], what: str, seconds: float = 60.0) -> None:
    """Return when `true()` is. Raises: TimeoutError that says what was waited for."""
    deadline = time.monotonic() + seconds
    while not await true():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {seconds:g} s for {what}")
        await asyncio.sleep(_PAUSE_SECONDS)
