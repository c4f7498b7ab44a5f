"""The loop around a queue's work: busy while there is work, then waiting a little longer each time it finds none."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Final

from libs.postgres import is_available_error
from libs.telemetry.metrics import counter
from libs.telemetry.redaction import safe_error
from libs.work_queue.claims import backoff_seconds

_log = logging.getLogger(__name__)
_ROUNDS_FAILED: Final = counter("work_queue_rounds_failed_total", "Rounds of a worker that raised", ("worker",))

Work = Callable[[], Awaitable[int]]
"""One round: claim, work, record; returns how many rows it handled, 0 when there was nothing to do."""


class Worker:
    """Runs rounds of work until told to stop. Several loops, in one process or many, may share a queue."""

    def __init__(
        self,
        name: str,
        work: Work,
        *,
        idle_min_seconds: float = 0.01,
        idle_max_seconds: float = 0.25,
        failure_base_seconds: float = 0.5,
        failure_cap_seconds: float = 30.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._name = name
        self._work = work
        self._idle_min_seconds = idle_min_seconds
        self._idle_max_seconds = idle_max_seconds
        self._failure_base_seconds = failure_base_seconds
        self._failure_cap_seconds = failure_cap_seconds
        self._woken = asyncio.Event()
        self._clock = clock
        self._alive_at = clock()

    def last_round_age_seconds(self) -> float:
        """Seconds since the loop last began a round, or decided to wait for the next."""
        return self._clock() - self._alive_at

    def wake(self) -> None:
        """Begin the next round at once: there is work now. Safe to call at any time from the loop's thread."""
        self._woken.set()

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set; a round that has begun is finished.

        A round that raises is logged and counted, and the next one comes after a growing wait: its rows come back by
        their leases, and a row that fails every time runs out of attempts.
        """
        idle_seconds = self._idle_min_seconds
        failures = 0
        while not stop.is_set():
            self._woken.clear()
            self._alive_at = self._clock()
            try:
                handled = await self._work()
            except Exception as error:  # noqa: BLE001  reported; the loop must go on
                failures += 1
                self._report(error)
                await self._wait(
                    stop,
                    backoff_seconds(
                        failures, base_seconds=self._failure_base_seconds, cap_seconds=self._failure_cap_seconds
                    ),
                )
                continue
            failures = 0
            if handled:
                idle_seconds = self._idle_min_seconds
                await asyncio.sleep(0)  # a round that never waited would keep the loop from everything else
                continue
            await self._wait(stop, idle_seconds)
            idle_seconds = min(idle_seconds * 2, self._idle_max_seconds)

    def _report(self, error: Exception) -> None:
        _ROUNDS_FAILED.labels(self._name).inc()
        if is_available_error(error):
            _log.warning("%s: the database is away, waiting: %s", self._name, safe_error(error))
        else:
            _log.error("%s: a round failed", self._name, exc_info=error)

    async def _wait(self, stop: asyncio.Event, seconds: float) -> None:
        self._alive_at = self._clock()
        waits = [asyncio.ensure_future(event.wait()) for event in (stop, self._woken)]
        try:
            await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in waits:
                one.cancel()
            await asyncio.gather(*waits, return_exceptions=True)
