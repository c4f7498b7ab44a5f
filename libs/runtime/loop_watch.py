"""Measures how late the event loop runs: a loop held up by a long computation serves nobody, and only it can know."""

import asyncio
import contextlib
import time
from collections.abc import Callable

from libs.telemetry.metrics import gauge

INTERVAL_SECONDS = 0.5
LIMIT_SECONDS = 5.0
LAG_SECONDS = gauge("event_loop_lag_seconds", "How much later than asked the event loop woke up, last time")


class LoopWatch:
    """Wakes up twice a second; `/live` fails when the last wake-up was far too late or has not come."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic, limit_seconds: float = LIMIT_SECONDS) -> None:
        self._clock = clock
        self._limit = limit_seconds
        self._last = clock()
        self.lag_seconds = 0.0

    async def run(self, stop: asyncio.Event) -> None:
        """Measure until told to stop."""
        self._last = self._clock()
        while not stop.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(INTERVAL_SECONDS):
                    await stop.wait()
            self.tick()

    def tick(self) -> None:
        """Note a wake-up that was asked for half a second after the last one."""
        now = self._clock()
        self.lag_seconds = max(0.0, now - self._last - INTERVAL_SECONDS)
        self._last = now
        LAG_SECONDS.set(self.lag_seconds)

    async def check(self) -> str | None:
        """Give the reason when the loop is too late, else None."""
        lag = max(self.lag_seconds, self._clock() - self._last - INTERVAL_SECONDS)
        return f"the event loop was {lag:.1f} s late" if lag > self._limit else None
