"""Partitions that a rebalance takes away."""

import asyncio
import logging
from collections import Counter

from aiokafka import ConsumerRebalanceListener, TopicPartition

from libs.messaging import metrics
from libs.messaging.consumer.lag import LagAges

logger = logging.getLogger(__name__)


class Assignment(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka ships no annotations
    """Keeps a rebalance waiting, for a bounded time, until the running batch is over and its offsets are committed.

    aiokafka joins again in the background while a batch is handled; only this listener can hold it.
    """

    def __init__(self, limit_seconds: float, ages: LagAges) -> None:
        self._limit_seconds = limit_seconds
        self._ages = ages
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
        try:
            await asyncio.wait_for(self._idle.wait(), self._limit_seconds)
        except TimeoutError:
            logger.warning("a rebalance goes on although a batch still runs; the inbox keeps its records single")
        for partition in revoked:
            metrics.ASSIGNED.labels(partition.topic).set(0)
        self._ages.keep(())

    async def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:
        """Called when the partitions are known; positions start at what was committed."""
        self.is_changing = False
        self._ages.keep(assigned)
        metrics.REBALANCES.inc()
        for topic, number in Counter(partition.topic for partition in assigned).items():
            metrics.ASSIGNED.labels(topic).set(number)
        logger.info("assigned %d partitions", len(assigned))
