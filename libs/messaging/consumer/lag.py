"""How far behind the consumer is, and whether it hangs: aiokafka has no sign of its own for a fetcher that is stuck."""

import asyncio
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Final

from aiokafka import TopicPartition
from aiokafka.errors import IllegalStateError, KafkaError

from libs.messaging import metrics

_LIMIT_SECONDS: Final = 5.0
_PATIENCE: Final = 4
"""Checks in a row with lag and without records."""


class LagAges:
    """Since when the first record of each partition waits that is not handled; the metric ages by itself.

    Exact while records are polled. Of records that were not polled yet it is known that they came after the last one
    that was, and after the partition was last seen empty: their age is at most what is shown.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._since: dict[TopicPartition, float | None] = {}
        self._empty_at: dict[TopicPartition, float] = {}

    def of(self, partition: TopicPartition) -> float:
        """Give the age in seconds; 0 when nothing waits."""
        since = self._since.get(partition)
        return 0.0 if since is None else max(0.0, self._clock() - since)

    def begin(self, records: Mapping[TopicPartition, Sequence[Any]]) -> None:
        """Note what a poll brought."""
        for partition, some in records.items():
            self._set(partition, some[0].timestamp / 1_000 if some[0].timestamp > 0 else self._clock())

    def end(self, client: Any, records: Mapping[TopicPartition, Sequence[Any]]) -> None:
        """Note that it is handled: what follows, if anything does, is younger than its last record."""
        for partition, some in records.items():
            try:
                highwater = client.highwater(partition)
            except (AssertionError, IllegalStateError):
                continue  # not ours any more
            if highwater is None or some[-1].offset + 1 >= highwater:
                self.see_empty(partition)
            elif some[-1].timestamp > 0:
                self._set(partition, some[-1].timestamp / 1_000)

    def see_empty(self, partition: TopicPartition) -> None:
        """Note that nothing waits."""
        self._empty_at[partition] = self._clock()
        self._set(partition, None)

    def see_waiting(self, partition: TopicPartition) -> None:
        """Note that something waits, whose age is not known better than by when nothing did."""
        if self._since.get(partition) is None:
            self._set(partition, self._empty_at.get(partition, self._clock()))

    def keep(self, partitions: Collection[TopicPartition]) -> None:
        """Forget all others: they are somebody else's. A client that was thrown away has told of none that it lost."""
        for partition in self._since.keys() - set(partitions):
            metrics.LAG_MESSAGES.labels(partition.topic, str(partition.partition)).set(0)
            self._since[partition] = None
            self._empty_at.pop(partition, None)

    def _set(self, partition: TopicPartition, since: float | None) -> None:
        if partition not in self._since:
            labels = (partition.topic, str(partition.partition))
            metrics.LAG_SECONDS.labels(*labels).set_function(lambda: self.of(partition))
        self._since[partition] = since


class LagWatch:
    """Asks for end offsets every so often."""

    def __init__(self, every_seconds: float, ages: LagAges) -> None:
        self._every_seconds = every_seconds
        self._ages = ages
        self._asked_at = time.monotonic()
        self._brought = False
        self._silent = 0

    async def is_stuck(self, client: Any, *, brought: bool, settled: bool) -> bool:
        """Note whether a poll brought records; when it is time measure the lag and judge.

        `settled`: no rebalance is under way, during which the client still names the partitions that it had.
        """
        self._brought |= brought
        if time.monotonic() - self._asked_at < self._every_seconds:
            return False
        self._asked_at = time.monotonic()
        lag = await self._measure(client, settled=settled)
        self._silent = self._silent + 1 if lag and not self._brought else 0
        self._brought = False
        return self._silent >= _PATIENCE

    async def _measure(self, client: Any, *, settled: bool) -> int:
        """Set the metrics and give the records that wait in partitions that are not paused."""
        paused = client.paused()
        waiting = 0
        try:
            partitions = list(client.assignment())
            ends = await asyncio.wait_for(client.end_offsets(partitions), _LIMIT_SECONDS) if partitions else {}
            for partition, end in ends.items():
                lag = max(0, end - await asyncio.wait_for(client.position(partition), _LIMIT_SECONDS))
                metrics.LAG_MESSAGES.labels(partition.topic, str(partition.partition)).set(lag)
                (self._ages.see_waiting if lag else self._ages.see_empty)(partition)
                waiting += 0 if partition in paused else lag
        except (KafkaError, IllegalStateError, TimeoutError):
            return 0  # brokers away or a rebalance under way: the poll will say so
        if partitions and settled:  # of no partition, or of another's by now, nothing was learnt
            metrics.LAG_MEASURED.set_to_current_time()
        return waiting
