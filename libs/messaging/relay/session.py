"""A stretch of a relay's work with one producer: it ends at the first failed send, at an error, or when told to."""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack, ExitStack
from typing import Any, Final

from aiokafka.errors import MessageSizeTooLargeError, RecordListTooLargeError, TopicAuthorizationFailedError

from libs.messaging import metrics
from libs.messaging.relay import store
from libs.messaging.relay.options import Knowledge, RelayOptions
from libs.messaging.relay.producer import BatchProducer, Lane, Outgoing
from libs.messaging.relay.shards import Shards
from libs.messaging.relay.store import ID, SHARD, SIZE, TOPIC, TRACEPARENT
from libs.messaging.settings import KafkaSettings
from libs.postgres import Record
from libs.telemetry.redaction import safe_error
from libs.telemetry.spans import send_span
from libs.telemetry.tracing import tracing_is_on

_TOO_LARGE: Final = (MessageSizeTooLargeError, RecordListTooLargeError)
_LOOK_SECONDS: Final = 5.0
_BLOCK_KEY_SECONDS: Final = 30.0

logger = logging.getLogger(__name__)


class Session:
    """Leases, a producer, a connection that reads, one that keeps the leases, and one per group of shards in flight."""

    def __init__(
        self, dsn: str, kafka: KafkaSettings, service: str, options: RelayOptions, knowledge: Knowledge, owner: str
    ) -> None:
        self._dsn = dsn
        self._name = f"{service}-relay"
        self._options = options
        self._knowledge = knowledge
        self._shards = Shards(owner, options.lease_seconds)
        self._producer = BatchProducer(kafka, self._name)
        self._keeper: Any = None
        self._reader: Any = None
        self._writers: asyncio.LifoQueue[Any] = asyncio.LifoQueue()
        self._exits = AsyncExitStack()
        self._busy: set[int] = set()
        self._full: set[int] = set()  # shards whose last read brought as much as it was allowed to
        self._in_flight = 0
        self._turn = 0
        self._blocks = False
        self._broken = False
        self._freed = asyncio.Event()

    async def __aenter__(self) -> "Session":
        try:
            self._exits.push_async_callback(self._producer.stop)
            await self._producer.start()
            self._keeper = await self._connect(text_as_bytes=False)
            self._reader = await self._connect(text_as_bytes=True)
            for _ in range(self._options.at_once):
                self._writers.put_nowait(await self._connect(text_as_bytes=True))
        except BaseException:
            await self._exits.aclose()
            raise
        return self

    async def _connect(self, *, text_as_bytes: bool) -> Any:
        connection = await store.connect(self._dsn, self._name, text_as_bytes=text_as_bytes)
        self._exits.callback(connection.terminate)
        return connection

    async def __aexit__(self, *_: object) -> None:
        await self._exits.aclose()

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set or a send fails; in both cases what is being sent is waited for."""
        await self._shards.renew(self._keeper)
        await self._look_at_blocked_keys()
        async with asyncio.TaskGroup() as group:
            keeping = group.create_task(self._keep())
            sending: set[asyncio.Task[None]] = set()
            await self._dispatch(stop, group, sending)
            if sending:
                await asyncio.wait(sending, timeout=self._options.stop_limit_seconds)
            for task in (*sending, keeping):
                task.cancel()
        if stop.is_set():
            await self._shards.release(self._keeper)

    async def _keep(self) -> None:
        """Renew the leases four times a term; now and then look whether keys are blocked."""
        looked_at = time.monotonic() - _LOOK_SECONDS
        while True:
            if time.monotonic() - looked_at >= _LOOK_SECONDS:
                looked_at = time.monotonic()
                await self._look_at_blocked_keys()
            await asyncio.sleep(self._options.lease_seconds / 4)
            await self._shards.renew(self._keeper)
            self._freed.set()

    async def _look_at_blocked_keys(self) -> None:
        blocked = await store.count_blocked_keys(self._keeper)
        metrics.BLOCKED_KEYS.set(blocked)
        self._blocks = blocked > 0

    async def _dispatch(
        self, stop: asyncio.Event, group: asyncio.TaskGroup, sending: "set[asyncio.Task[None]]"
    ) -> None:
        """Read free shards and hand what they hold to a task; sleep a little longer each time nothing waits.

        While as many sends as may be are in flight nothing is read: the next read takes more for the same price.
        """
        nap = self._options.poll_min_seconds
        while not stop.is_set() and not self._broken:
            self._knowledge.alive_at = time.monotonic()
            epochs = self._next_shards() if self._in_flight < self._options.at_once else {}
            if not epochs:
                self._freed.clear()
                await self._freed.wait()  # set by the keeper too, at least four times a lease's term
                continue
            rows = await self._read(epochs)
            if not rows:
                await asyncio.sleep(nap)
                nap = min(nap * 1.5, self._options.poll_max_seconds)
                continue
            nap = self._options.poll_min_seconds
            mine = {shard: epochs[shard] for shard in {row[SHARD] for row in rows}}
            self._busy |= mine.keys()
            self._in_flight += 1
            task = group.create_task(self._publish(rows, mine))
            sending.add(task)
            task.add_done_callback(sending.discard)

    def _next_shards(self) -> dict[int, int]:
        """Choose what to read: all free shards, or while there is a backlog a share of them, so that sends overlap."""
        held = self._shards.held()
        free = [shard for shard in held if shard not in self._busy]
        if self._full and free:
            share = -(-len(held) // self._options.at_once)
            free.sort(key=lambda shard: (shard - self._turn) % (max(held) + 1))
            free = free[:share]
            self._turn = free[-1] + 1
        return {shard: held[shard] for shard in free}

    async def _read(self, epochs: dict[int, int]) -> list[Record]:
        limit = self._options.batch_rows // (len(self._full & epochs.keys()) or len(epochs))
        rows = await store.read(
            self._reader, list(epochs), limit, blocks=self._blocks, held_topics=self._knowledge.held_topics()
        )
        counts = Counter([row[SHARD] for row in rows])
        self._full -= epochs.keys()
        self._full |= {shard for shard, count in counts.items() if count == limit}
        return rows

    async def _publish(self, rows: Sequence[Record], epochs: dict[int, int]) -> None:
        """Send rows and delete those that were acknowledged; `epochs` names the shards that they are of."""
        started = time.monotonic()
        metrics.BATCH_ROWS.observe(len(rows))
        connection = await self._writers.get()  # there is one for each that may be in flight
        try:
            lanes = await self._lanes(connection, rows)
            if not self._shards.still_hold(epochs):
                return  # frozen or late: what is ours no more is not begun
            await self._send(lanes)
            await self._settle(connection, lanes, epochs)
            metrics.PUBLISH_SECONDS.observe(time.monotonic() - started)
        finally:
            self._writers.put_nowait(connection)
            self._busy -= epochs.keys()
            self._in_flight -= 1
            self._freed.set()

    async def _lanes(self, connection: Any, rows: Sequence[Record]) -> list[Lane]:
        names = {topic: topic.decode() for topic in {row[TOPIC] for row in rows}}
        partitions = await self._producer.partitions(list(names.values()))
        missing = [topic for topic, name in names.items() if name not in partitions]
        for topic in missing:
            self._knowledge.hold(names[topic])
            logger.error("topic %s is not there; its events wait. `platformbus topics apply` makes it", names[topic])
        if missing:
            rows = [row for row in rows if row[TOPIC] not in missing]
        rows, large = _within(rows, self._options.large_bytes)
        values = await store.read_payloads(connection, *_places(large)) if large else {}
        outgoing = Outgoing(partitions, self._knowledge.batch_bytes)
        outgoing.add(rows, values)
        return list(outgoing.lanes.values())

    async def _send(self, lanes: Sequence[Lane]) -> None:
        with ExitStack() as spans:
            if tracing_is_on():
                for topic in {lane.topic for lane in lanes}:
                    spans.enter_context(send_span(topic, _traceparents(lanes, topic)))
            await self._producer.send(lanes, self._options.send_limit_seconds)

    async def _settle(self, connection: Any, lanes: Sequence[Lane], epochs: dict[int, int]) -> None:
        acknowledged = [row for lane in lanes for row in lane.acknowledged_rows()]
        if acknowledged:
            ids = [row[ID] for row in acknowledged]
            deleted = await store.delete(connection, ids, epochs, self._shards.owner)
            if deleted < len(ids):
                logger.warning("%d events were sent, but another relay has their shard now", len(ids) - deleted)
            for lane in lanes:
                metrics.PUBLISHED.labels(lane.topic).inc(
                    sum(len(rows) for _, rows in lane.batches[: lane.acknowledged])
                )
        failed = [lane for lane in lanes if lane.error is not None]
        for lane in failed:
            await self._note_failure(connection, lane)
        if not failed and acknowledged and not self._broken:
            self._knowledge.failures = 0

    async def _note_failure(self, connection: Any, lane: Lane) -> None:
        """Learn from a refused batch. The rows stay; this producer is done with."""
        self._broken = True
        self._knowledge.failures += 1
        error, rows = lane.error, lane.failed_rows()
        metrics.PUBLISH_FAILURES.labels(type(error).__name__).inc()
        reason = safe_error(error) if error else ""
        if isinstance(error, _TOO_LARGE) and len(rows) == 1:
            await store.block_key(connection, rows[0], reason, _BLOCK_KEY_SECONDS)
            logger.error(
                "outbox row %d is too large for topic %s: its key waits; raise the topic's max.message.bytes",
                rows[0][ID],
                lane.topic,
            )
        elif isinstance(error, _TOO_LARGE):
            self._knowledge.was_too_large(lane.topic)
            logger.warning("a batch was too large for topic %s; smaller ones from now on", lane.topic)
        else:
            if isinstance(error, TopicAuthorizationFailedError):
                self._knowledge.hold(lane.topic)
            logger.error("%d events for topic %s were not acknowledged: %s", len(rows), lane.topic, reason)


def _within(rows: Sequence[Record], budget: int) -> tuple[Sequence[Record], list[Record]]:
    """Cut each shard's rows where values fetched apart exceed the budget; give the rest, and the large ones."""
    if all(row[SIZE] is None or row[SIZE] <= store.LARGE_BYTES for row in rows):
        return rows, []
    kept, large, cut, spent = [], [], set(), 0
    for row in rows:
        if row[SHARD] in cut:
            continue
        if row[SIZE] is not None and row[SIZE] > store.LARGE_BYTES:
            if spent and spent + row[SIZE] > budget:
                cut.add(row[SHARD])
                continue
            spent += row[SIZE]
            large.append(row)
        kept.append(row)
    return kept, large


def _places(rows: Sequence[Record]) -> tuple[list[int], list[int]]:
    return list({row[SHARD] for row in rows}), [row[ID] for row in rows]


def _traceparents(lanes: Sequence[Lane], topic: str) -> list[str | None]:
    found = [row[TRACEPARENT] for lane in lanes if lane.topic == topic for _, rows in lane.batches for row in rows]
    return [None if text is None else text.decode() for text in found]
