"""The relay's way to Kafka: an idempotent producer, batches made by hand, the acknowledged prefix of each partition.

aiokafka's `send()` per record halves the relay (benchmarks/relay.py compares), so records go into batches of our own
making.
"""

import asyncio
import json
import logging
import time
from base64 import b64decode
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaConnectionError, KafkaError
from aiokafka.producer.message_accumulator import BatchBuilder

from libs.messaging.relay.store import FIRST_HEADER, HEADER_NAMES, ID, KEY, KEY_HASH, PAYLOAD, RAW_HEADERS, SIZE, TOPIC
from libs.messaging.settings import KafkaSettings
from libs.postgres import Record

STOP_LIMIT_SECONDS: Final = 3.0
METADATA_LIMIT_SECONDS: Final = 2.0

_CONSTANT_HEADERS: Final = [("ce_specversion", b"1.0"), ("content-type", b"application/json")]

logger = logging.getLogger(__name__)


class Lane:
    """What goes to one partition: batches in order, each sent only when the one before it is acknowledged."""

    __slots__ = ("acknowledged", "batches", "builder", "error", "partition", "rows", "topic")

    def __init__(self, topic: str, partition: int) -> None:
        self.topic = topic
        self.partition = partition
        self.builder: BatchBuilder | None = None
        self.rows: list[Record] = []
        self.batches: list[tuple[BatchBuilder, list[Record]]] = []
        self.acknowledged = 0
        self.error: BaseException | None = None

    def acknowledged_rows(self) -> list[Record]:
        """The rows that Kafka has: a prefix of the partition's rows, so a prefix of each key's."""
        return [row for _, rows in self.batches[: self.acknowledged] for row in rows]

    def failed_rows(self) -> list[Record]:
        """The rows of the batch that failed; what came after it was not sent."""
        return self.batches[self.acknowledged][1] if self.error is not None else []


class Outgoing:
    """Rows of one read as batches per partition. A batch holds no more than its topic takes."""

    def __init__(self, partitions: Mapping[str, int], batch_bytes: Callable[[str], int]) -> None:
        self._topics = {name.encode(): (name, count, batch_bytes(name)) for name, count in partitions.items()}
        self.lanes: dict[tuple[bytes, int], Lane] = {}

    def add(self, rows: Sequence[Record], large: Mapping[int, bytes]) -> None:
        """Put rows into batches in their order. `large` holds the values that were fetched apart, by row id."""
        lanes = self.lanes
        now = int(time.time() * 1000)
        for row in rows:
            topic = row[TOPIC]
            name, count, limit = self._topics[topic]
            place = (topic, row[KEY_HASH] % count)
            lane = lanes.get(place)
            if lane is None:
                lane = lanes[place] = Lane(name, place[1])
            value = row[PAYLOAD]
            if value is None and row[SIZE] is not None:
                value = large[row[ID]]
            headers = headers_of(row)
            if lane.builder is None or (
                lane.builder.append(timestamp=now, key=row[KEY], value=value, headers=headers) is None
            ):
                lane.builder = BatchBuilder(limit, 0)  # its first record goes in whatever it weighs
                lane.builder.append(timestamp=now, key=row[KEY], value=value, headers=headers)
                lane.rows = []
                lane.batches.append((lane.builder, lane.rows))
            lane.rows.append(row)


def headers_of(row: Any) -> list[tuple[str, bytes | None]]:
    """Give the headers of an outbox row: the names and values that `Envelope.to_headers` gives, in another order."""
    if row[RAW_HEADERS] is not None:
        return [(name, None if value is None else b64decode(value)) for name, value in json.loads(row[RAW_HEADERS])]
    pairs = [pair for pair in zip(HEADER_NAMES, row[FIRST_HEADER:], strict=True) if pair[1] is not None]
    return pairs + _CONSTANT_HEADERS


class BatchProducer:
    """One idempotent producer. After any failed send it must be thrown away: its sequence numbers may have a gap."""

    def __init__(self, kafka: KafkaSettings, client_id: str) -> None:
        self._producer: Any = AIOKafkaProducer(
            **kafka.client_options(client_id), enable_idempotence=True, acks="all", linger_ms=0
        )
        self._partitions: dict[str, int] = {}

    async def start(self) -> None:
        """Connect and get a producer id. Raises: KafkaError while no broker answers."""
        await self._producer.start()

    async def stop(self) -> None:
        """Close. What is still queued may go out or not: the rows are in the outbox, and are sent again."""
        try:
            await asyncio.wait_for(self._producer.stop(), STOP_LIMIT_SECONDS)
        except (TimeoutError, KafkaError) as error:
            logger.warning("the producer did not stop in time and is cut off: %r", error)
            await self._cut_off()

    async def _cut_off(self) -> None:
        # aiokafka's stop() waits for a flush that cannot end while a broker is away, and offers no other way out.
        task = self._producer._sender.sender_task
        if task is not None:
            task.cancel()
        await asyncio.wait_for(self._producer.client.close(), STOP_LIMIT_SECONDS)

    async def partitions(self, topics: Sequence[str]) -> dict[str, int]:
        """Return the number of partitions of those topics that exist; the count is asked once per producer.

        Raises: KafkaError when no broker says which topics there are: a silent one may have them.
        """
        for topic in topics:
            if topic not in self._partitions:
                asked_ms = time.time() * 1000
                try:
                    known = await asyncio.wait_for(self._producer.partitions_for(topic), METADATA_LIMIT_SECONDS)
                except (TimeoutError, KafkaError) as error:
                    if self._producer.client.cluster._last_successful_refresh_ms < asked_ms:
                        raise KafkaConnectionError(f"no broker says whether there is a topic {topic}") from error
                    continue
                self._partitions[topic] = len(known)
        return {topic: self._partitions[topic] for topic in topics if topic in self._partitions}

    async def send(self, lanes: Sequence[Lane], limit_seconds: float) -> None:
        """Send every lane's batches, one after the other, and note on the lane how far Kafka acknowledged them.

        Never raises for a failed send: the lane keeps its error. After the time limit a batch may still go out later.
        """
        deadline = time.monotonic() + limit_seconds
        waiting = list(lanes)
        while waiting:
            sent = [(lane, future) for lane in waiting if (future := await self._enqueue(lane)) is not None]
            if sent:
                await asyncio.wait([future for _, future in sent], timeout=max(0.0, deadline - time.monotonic()))
            waiting = []
            for lane, future in sent:
                lane.error = _error_of(future)
                if lane.error is None:
                    lane.acknowledged += 1
                    if lane.acknowledged < len(lane.batches):
                        waiting.append(lane)

    async def _enqueue(self, lane: Lane) -> "asyncio.Future[Any] | None":
        builder = lane.batches[lane.acknowledged][0]
        builder.close()  # a closed batch does not linger
        try:
            future: asyncio.Future[Any] = await self._producer.send_batch(builder, lane.topic, partition=lane.partition)
        except KafkaError as error:
            lane.error = error
            return None
        return future


def _error_of(future: "asyncio.Future[Any]") -> BaseException | None:
    if not future.done():
        future.add_done_callback(lambda late: late.cancelled() or late.exception())
        return TimeoutError("Kafka did not acknowledge in time")
    if future.cancelled():
        return TimeoutError("the producer was closed before Kafka acknowledged")
    return future.exception()
