"""How a caller outlives a bus of which a part is away: it asks again, the same, until it is answered."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final

import httpx

from deploy.local.demo.internal_system import DemoFailed

SECONDS: Final = 60.0
PAUSE_SECONDS: Final = 0.1
_AGAIN: Final = (408, 409, 429)


async def insist(
    ask: Callable[[], Awaitable[httpx.Response]], what: str, *, seconds: float = SECONDS
) -> httpx.Response:
    """Give the first answer that is about what was asked: no 5xx, no time-out, no lost line.

    What is asked must be harmless to repeat. Raises DemoFailed when there is none in time.
    """
    said = "nothing"
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            answer = await ask()
        except DemoFailed as error:
            said = str(error)
        else:
            if answer.status_code < 500 and answer.status_code not in _AGAIN:
                return answer
            said = f"{answer.status_code} {answer.text[:300]}"
        await asyncio.sleep(PAUSE_SECONDS)
    raise DemoFailed(f"{what}: no answer in {seconds:.0f} s, the last was: {said}")
