"""How far behind the consumer is, and whether it hangs: aiokafka has no sign of its own for a fetcher that is stuck."""

import asyncio
import time
from typing import Any, Final

from aiokafka.errors import IllegalStateError, KafkaError

from libs.messaging import metrics

_LIMIT_SECONDS: Final = 5.0
_PATIENCE: Final = 4
"""Checks in a row with lag and without records."""


class LagWatch:
    """Asks for end offsets every so often."""

    def __init__(self, every_seconds: float) -> None:
        self._every_seconds = every_seconds
        self._asked_at = time.monotonic()
        self._brought = False
        self._silent = 0

    async def is_stuck(self, client: Any, *, brought: bool) -> bool:
        """Note whether a poll brought records; when it is time measure the lag and judge."""
        self._brought |= brought
        if time.monotonic() - self._asked_at < self._every_seconds:
            return False
        self._asked_at = time.monotonic()
        lag = await self._measure(client)
        self._silent = self._silent + 1 if lag and not self._brought else 0
        self._brought = False
        return self._silent >= _PATIENCE

    async def _measure(self, client: Any) -> int:
        """Set the metrics and give the records that wait in partitions that are not paused."""
        paused = client.paused()
        waiting = 0
        try:
            partitions = list(client.assignment())
            ends = await asyncio.wait_for(client.end_offsets(partitions), _LIMIT_SECONDS) if partitions else {}
            for partition, end in ends.items():
                lag = max(0, end - await asyncio.wait_for(client.position(partition), _LIMIT_SECONDS))
                metrics.LAG_MESSAGES.labels(partition.topic, str(partition.partition)).set(lag)
                waiting += 0 if partition in paused else lag
        except (KafkaError, IllegalStateError, TimeoutError):
            return 0  # brokers away or a rebalance under way: the poll will say so
        return waiting
