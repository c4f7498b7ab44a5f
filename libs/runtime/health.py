"""What `/live` and `/ready` answer: named checks, each with a reason when it fails.

Liveness asks only about this process (is the loop moving, do its parts still tick), never about the database or the
broker: restarting us would not mend them. Readiness asks whether a request sent here now would be served.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass

from libs.telemetry.metrics import gauge
from libs.telemetry.redaction import safe_error

CHECK_SECONDS = 2.0

LOOP_AGE_SECONDS = gauge("loop_age_seconds", "How long ago a loop of this process last turned", ["loop"])

Check = Callable[[], Awaitable[str | None]]
"""Gives None when all is well, else the reason in words."""


@dataclass(frozen=True, slots=True)
class NamedCheck:
    """A check, and the part of the service that must run for it to mean something (None: always)."""

    name: str
    check: Check
    part: str | None = None


class Health:
    """The checks of one process. Checks are added while it is built; `draining` is set by the frame."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic, check_seconds: float = CHECK_SECONDS) -> None:
        self._check_seconds = check_seconds
        self.draining = False
        self.parts: Collection[str] | None = None
        """Which parts run here; None: all."""
        self._live: list[NamedCheck] = []
        self._ready: list[NamedCheck] = []
        self._ages: dict[str, tuple[str, Callable[[], float]]] = {}
        self._started = clock()
        self._clock = clock

    def add_live(self, name: str, check: Check, *, part: str | None = None) -> None:
        """Add a check of `/live`; it must not leave the process."""
        self._live.append(NamedCheck(name, check, part))

    def add_ready(self, name: str, check: Check, *, part: str | None = None) -> None:
        """Add a check of `/ready`; it may take at most 2 s."""
        self._ready.append(NamedCheck(name, check, part))

    def add_tick(
        self, name: str, age_seconds: Callable[[], float | None], *, limit_seconds: float, part: str, live: bool = True
    ) -> None:
        """Demand that a loop's last tick is younger than the limit, for `/live` and `/ready`.

        `age_seconds` gives None before the first tick; then our own start counts, so a loop that never ticks fails too.
        """

        def age_now() -> float:
            age = age_seconds()
            return self._clock() - self._started if age is None else age

        async def check() -> str | None:
            age = age_now()
            return None if age <= limit_seconds else f"last tick {age:.0f} s ago, limit {limit_seconds:.0f} s"

        self._ages[name] = (part, age_now)
        self.add_ready(name, check, part=part)
        if live:
            self.add_live(name, check, part=part)

    def run_parts(self, parts: Collection[str]) -> None:
        """Say which parts run here; the age of their loops is a metric from now on."""
        self.parts = parts
        for name, (part, age_now) in self._ages.items():
            if part in parts:
                LOOP_AGE_SECONDS.labels(name).set_function(age_now)

    async def live(self) -> dict[str, str]:
        """Give the failed checks of liveness, by name; empty is healthy."""
        return await self._failures(self._live)

    async def ready(self) -> dict[str, str]:
        """Give the failed checks of readiness, by name; empty is ready."""
        if self.draining:
            return {"draining": "shutting down"}
        return await self._failures(self._ready)

    async def _failures(self, checks: list[NamedCheck]) -> dict[str, str]:
        active = [check for check in checks if check.part is None or self.parts is None or check.part in self.parts]
        reasons = await asyncio.gather(*(_reason(check, self._check_seconds) for check in active))
        return {check.name: reason for check, reason in zip(active, reasons, strict=True) if reason is not None}


async def _reason(check: NamedCheck, seconds: float) -> str | None:
    try:
        async with asyncio.timeout(seconds):
            return await check.check()
    except TimeoutError:
        return f"no answer within {seconds:g} s"
    except Exception as error:  # noqa: BLE001  whatever a check raises is its reason
        return safe_error(error, max_chars=200)
