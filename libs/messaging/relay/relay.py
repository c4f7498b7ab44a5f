"""The relay: pending rows per shard, ordered by id, to Kafka, and out of the table once acknowledged.

Why it loses and inverts nothing: it asks for what is pending, never for what is after the last id seen, because a
lower id may commit later. A shard has one owner at a time. Of a partition, a batch is sent only when the one before
it is acknowledged, and exactly the acknowledged rows are deleted; so whatever is sent again, by this relay or by the
next owner, starts at the first pending row of each key. After any failed send the producer is thrown away and the
rows are read again.
"""

import asyncio
import logging
import os
import random
import socket
import time
from collections.abc import Iterator
from typing import Final
from uuid import uuid4

import asyncpg
from aiokafka.errors import KafkaError

from libs.messaging import metrics
from libs.messaging.kafka_logs import limit_kafka_logs
from libs.messaging.relay.options import Knowledge, RelayOptions
from libs.messaging.relay.session import Session
from libs.messaging.settings import KafkaSettings
from libs.postgres import is_available_error
from libs.telemetry.redaction import safe_error

_FIRST_BACKOFF_SECONDS: Final = 0.05
_MAX_BACKOFF_SECONDS: Final = 5.0

logger = logging.getLogger(__name__)


class Relay:
    """Publishes the outbox of one service. Any number of relays may run; each shard is worked on by one of them."""

    def __init__(
        self, *, worker_dsn: str, kafka: KafkaSettings, service: str, options: RelayOptions | None = None
    ) -> None:
        self._dsn = worker_dsn
        self._kafka = kafka
        self._service = service
        self._options = options or RelayOptions()
        self._knowledge = Knowledge()
        self._owner = f"{service}-{socket.gethostname()}-{os.getpid()}-{uuid4().hex[:8]}"

    def last_turn_age_seconds(self) -> float:
        """Seconds since the loop last turned: looked for events, or decided to wait for the database or the brokers."""
        return time.monotonic() - self._knowledge.alive_at

    async def run(self, stop: asyncio.Event) -> None:
        """Publish until `stop` is set; then finish what is being sent, and give the leases back.

        Goes on through every failure of database and broker, with back-off. Raises only what waiting cannot mend.
        """
        limit_kafka_logs()
        while not stop.is_set():
            self._knowledge.alive_at = time.monotonic()
            try:
                async with Session(
                    self._dsn, self._kafka, self._service, self._options, self._knowledge, self._owner
                ) as session:
                    await session.run(stop)
            except (KafkaError, OSError, asyncpg.PostgresError, asyncpg.InterfaceError, ExceptionGroup) as error:
                self._note(error)
            if self._knowledge.failures and not stop.is_set():
                await _wait(stop, _backoff_seconds(self._knowledge.failures))

    def _note(self, caught: Exception) -> None:
        errors = list(_leaves(caught))
        for error in errors:
            if not _passes(error):
                raise error
        self._knowledge.failures += 1
        metrics.PUBLISH_FAILURES.labels(type(errors[0]).__name__).inc()
        logger.warning("the relay starts over: %s", safe_error(errors[0]))


def _passes(error: Exception) -> bool:
    """Whether waiting may mend it: all that a broker says, a database that is away, a lock or a time limit."""
    if isinstance(error, asyncpg.PostgresError):
        return not isinstance(error, asyncpg.SyntaxOrAccessError)  # a missing table or right stays missing
    return isinstance(error, KafkaError) or is_available_error(error)


def _leaves(error: Exception) -> Iterator[Exception]:
    if isinstance(error, ExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error


def _backoff_seconds(failures: int) -> float:
    longest: float = min(_MAX_BACKOFF_SECONDS, _FIRST_BACKOFF_SECONDS * 2 ** min(failures - 1, 10))
    return longest * random.uniform(0.5, 1.0)  # noqa: S311  jitter, not a secret


async def _wait(event: asyncio.Event, seconds: float) -> None:
    try:
        await asyncio.wait_for(event.wait(), seconds)
    except TimeoutError:
        return
