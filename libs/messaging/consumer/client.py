"""The subscription: FastStream declares it and builds the client with our security; it runs no handler."""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import ConsumerRebalanceListener
from faststream import AckPolicy
from faststream.kafka import KafkaBroker

from libs.messaging.consumer.options import ConsumerOptions
from libs.messaging.settings import KafkaSettings

logger = logging.getLogger(__name__)


@asynccontextmanager
async def subscribed(
    kafka: KafkaSettings,
    *,
    client_id: str,
    group_id: str,
    topics: Sequence[str],
    listener: ConsumerRebalanceListener,
    options: ConsumerOptions,
) -> AsyncIterator[Any]:
    """Join the group and lend the aiokafka consumer; at the end leave it, within a time limit.

    Raises: KafkaError while no broker answers.
    """
    broker = KafkaBroker(
        kafka.servers,
        client_id=client_id,
        request_timeout_ms=kafka.request_timeout_ms,
        security=kafka.faststream_security(),
        consumer_only=True,
        allow_auto_create_topics=False,
        logger=None,
    )
    subscriber = broker.subscriber(
        *topics,
        group_id=group_id,
        ack_policy=AckPolicy.MANUAL,
        auto_offset_reset="earliest",
        fetch_max_wait_ms=options.fetch_max_wait_ms,
        session_timeout_ms=options.session_timeout_ms,
        heartbeat_interval_ms=options.heartbeat_ms,
        rebalance_timeout_ms=options.rebalance_timeout_ms,
        listener=listener,
    )
    try:
        await broker.start()
        yield subscriber.consumer
    finally:
        # aiokafka's stop() waits for its coordination task, which may be looking for a coordinator that is not there.
        try:
            await asyncio.wait_for(broker.stop(), options.stop_limit_seconds)
        except TimeoutError:
            logger.warning("the consumer did not leave its group in time; the brokers will notice")
