"""What becomes of a delivery that arrives: kept before the answer if its signature is true; of the others a sample."""

import asyncio
import contextlib
import hashlib
import logging
import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from libs.postgres import Connection, Database
from libs.telemetry.redaction import safe_error
from services.webhook_receiver.metrics import REFUSALS_SEEN
from services.webhook_receiver.models import Arrival, Refusal
from services.webhook_receiver.store import arrivals

REFUSED_BODY_BYTES: Final = 4_096
"""So much of a body with a wrong signature is kept."""
SUMMARY_SECONDS: Final = 60.0
_MINUTE: Final = 60.0
_LAST_SECONDS: Final = 2.0

_log = logging.getLogger(__name__)


async def keep_arrivals(wake: Callable[[], None], conn: Connection, batch: Sequence[Arrival]) -> None:
    """Keep deliveries in one statement, which is its own transaction, and say that there is work."""
    await arrivals.add_arrivals(conn, batch)
    wake()


def new_delivery_id() -> tuple[UUID, datetime]:
    """Give a version 7 id and its time."""
    now = time.time()
    chance = random.getrandbits(74)  # to be unique, not to be secret
    high, low = chance >> 62, chance & 0x3FFF_FFFF_FFFF_FFFF
    number = int(now * 1_000) << 80 | 7 << 76 | high << 64 | 2 << 62 | low
    return UUID(int=number), datetime.fromtimestamp(now, UTC)


class Refusals:
    """Keeps some of what is refused, in the background: never more than a number per app and minute, never in the way.

    What is over the number, or comes while the database is away, is only counted.
    """

    def __init__(self, database: Database, *, per_minute: int = 30, max_waiting: int = 256) -> None:
        self._database = database
        self._per_minute = per_minute
        self._max_waiting = max_waiting
        self._minutes: dict[tuple[str, str], tuple[float, int]] = {}
        self._waiting: asyncio.Queue[Refusal] = asyncio.Queue()
        self._tally: Counter[tuple[str, str]] = Counter()

    def wants(self, platform: str, app: str) -> bool:
        """Whether one more of this app would be kept; to be asked only for apps that are known."""
        begun, count = self._minutes.get((platform, app), (0.0, 0))
        return count < self._per_minute or time.monotonic() - begun >= _MINUTE

    def count(self, platform: str, reason: str) -> None:
        """Note a refusal for the summary in the log."""
        self._tally[platform, reason] += 1

    def keep(self, arrival: Arrival, reason: str) -> None:
        """Keep a refused delivery soon, with the beginning of its body, if its app has not had its number."""
        if not self.wants(arrival.platform, arrival.app) or self._waiting.qsize() >= self._max_waiting:
            REFUSALS_SEEN.labels("only_counted").inc()
            return
        now = time.monotonic()
        begun, count = self._minutes.get((arrival.platform, arrival.app), (now, 0))
        if now - begun >= _MINUTE:
            begun, count = now, 0
        self._minutes[arrival.platform, arrival.app] = (begun, count + 1)
        digest = hashlib.sha256(arrival.raw).digest()
        kept = replace(arrival, raw=arrival.raw[:REFUSED_BODY_BYTES])
        self._waiting.put_nowait(Refusal(kept, reason, len(arrival.raw), digest))

    async def run(self, stop: asyncio.Event) -> None:
        """Write what is to be kept until told to stop, then what is left; once a minute log how many there were."""
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._write()), group.create_task(self._summarise())]
            await stop.wait()
            for task in tasks:
                task.cancel()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LAST_SECONDS):
                while not self._waiting.empty():
                    await self._write_one(self._waiting.get_nowait())
        self.log_summary()

    def log_summary(self) -> None:
        """Say in one line what was refused since the last time."""
        if self._tally:
            told = {f"{platform} {reason}": count for (platform, reason), count in self._tally.most_common(20)}
            _log.warning("webhooks were refused", extra={"refused": told, "seconds": SUMMARY_SECONDS})
            self._tally.clear()

    async def _write(self) -> None:
        while True:
            await self._write_one(await self._waiting.get())

    async def _write_one(self, refusal: Refusal) -> None:
        outcome = "failed"
        try:
            async with self._database.acquire() as conn:
                await arrivals.add_refusal(conn, refusal)
            outcome = "kept"
        except Exception as error:  # noqa: BLE001  a sample that is lost is no harm, whatever the reason
            _log.debug("a refused webhook was not kept: %s", safe_error(error))
        finally:
            REFUSALS_SEEN.labels(outcome).inc()

    async def _summarise(self) -> None:
        while True:
            await asyncio.sleep(SUMMARY_SECONDS)
            self.log_summary()
