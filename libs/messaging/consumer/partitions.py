"""Partitions between polls: those that a failing record holds back, and those that a rebalance takes away."""

import asyncio
import logging
import random
import time
from collections.abc import Iterable
from dataclasses import dataclass

from aiokafka import ConsumerRebalanceListener, TopicPartition

from libs.messaging import metrics
from libs.messaging.consumer.options import ConsumerOptions

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class _Stopped:
    offset: int
    attempts: int
    resume_at: float
    waiting: bool = True


class StoppedPartitions:
    """Partitions whose next record fails. Each waits, longer each time, then gets that one record alone for a trial."""

    def __init__(self, options: ConsumerOptions) -> None:
        self._options = options
        self._stopped: dict[TopicPartition, _Stopped] = {}

    def stop(self, partition: TopicPartition, offset: int) -> float:
        """Note a failure at an offset and return the seconds that the partition waits now."""
        before = self._stopped.get(partition)
        attempts = before.attempts + 1 if before and before.offset == offset else 1
        longest: float = min(
            self._options.max_retry_seconds, self._options.first_retry_seconds * 2 ** min(attempts - 1, 20)
        )
        seconds = longest * random.uniform(0.75, 1.0)  # noqa: S311  jitter, not a secret
        self._stopped[partition] = _Stopped(offset, attempts, time.monotonic() + seconds)
        metrics.PARTITION_STOPPED.labels(partition.topic, str(partition.partition)).set(1)
        return seconds

    def due(self) -> list[TopicPartition]:
        """Give the partitions whose wait is over, each once: they are on trial now."""
        now = time.monotonic()
        due = [
            partition for partition, stopped in self._stopped.items() if stopped.waiting and stopped.resume_at <= now
        ]
        for partition in due:
            self._stopped[partition].waiting = False
        return due

    def is_on_trial(self, partition: TopicPartition) -> bool:
        """Whether the next record of the partition is to be tried alone."""
        stopped = self._stopped.get(partition)
        return stopped is not None and not stopped.waiting

    def passed(self, partition: TopicPartition) -> None:
        """The record went through: the partition is like any other again."""
        del self._stopped[partition]
        metrics.PARTITION_STOPPED.labels(partition.topic, str(partition.partition)).set(0)

    def seconds_to_next(self) -> float | None:
        """Seconds until a partition is due, or None when none waits."""
        waits = [stopped.resume_at for stopped in self._stopped.values() if stopped.waiting]
        return max(0.0, min(waits) - time.monotonic()) if waits else None

    def forget(self, partitions: Iterable[TopicPartition]) -> None:
        """Partitions were taken away; whoever gets them finds out for itself."""
        for partition in set(partitions) & self._stopped.keys():
            self.passed(partition)


class Assignment(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka ships no annotations
    """Keeps a rebalance waiting, for a bounded time, until the running batch is over and its offsets are committed.

    aiokafka joins again in the background while a batch is handled; only this listener can hold it.
    """

    def __init__(self, stopped: StoppedPartitions, limit_seconds: float) -> None:
        self._stopped = stopped
        self._limit_seconds = limit_seconds
        self._idle = asyncio.Event()
        self._idle.set()
        self.is_changing = False
        """Records that a poll brought while this is set may be another's already, and will come again: drop them."""

    def __enter__(self) -> None:
        """Begin a batch; a rebalance waits for its end."""
        self._idle.clear()

    def __exit__(self, *_: object) -> None:
        self._idle.set()

    async def on_partitions_revoked(self, revoked: set[TopicPartition]) -> None:
        """Called before the group is joined again."""
        self.is_changing = True
        self._stopped.forget(revoked)
        try:
            await asyncio.wait_for(self._idle.wait(), self._limit_seconds)
        except TimeoutError:
            logger.warning("a rebalance goes on although a batch still runs; the inbox keeps its records single")
        for partition in revoked:
            labels = (partition.topic, str(partition.partition))
            metrics.LAG_MESSAGES.labels(*labels).set(0)

    async def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:
        """Called when the partitions are known; positions start at what was committed."""
        self.is_changing = False
        logger.info("assigned %d partitions", len(assigned))
