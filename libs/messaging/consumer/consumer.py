"""The consume loop: one transaction per poll, offsets committed by us after it, nothing ever skipped.

What goes wrong, and what happens then:
    a record does not fit its contract     dead letter, in the same transaction; the offset moves on
    the batch fails                        halved, in savepoints, until the failing records are found
    ... after a time limit                 each record alone, so that one that is slow is waited for twice, not often
    a record fails                         parked in the same transaction, and what comes of its key behind it
    a parked key is due                    replayed in order, beside the loop, with back-off (libs.messaging.parked)
    the database is away, a deadlock       the whole poll waits and is taken again
    a record cannot even be read           dead letter that names its place
    Kafka or the group fails               the client is rebuilt; it starts at the committed offsets
    a crash before the offsets' commit     the records come again; inbox, versions and places keep them single
"""

import asyncio
import gc
import logging
import random
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

from aiokafka import TopicPartition
from aiokafka.errors import ConsumerStoppedError, IllegalStateError, KafkaError

from libs.events.topics import topic as declared_topic
from libs.messaging import metrics
from libs.messaging.consumer.client import subscribed
from libs.messaging.consumer.lag import LagAges, LagWatch
from libs.messaging.consumer.options import ConsumerOptions
from libs.messaging.consumer.partitions import Assignment
from libs.messaging.consumer.unreadable import REASON, Unreadable, UnreadableRecord, next_record
from libs.messaging.kafka_logs import limit_kafka_logs
from libs.messaging.messages import Route
from libs.messaging.parked.replay import Replayer
from libs.messaging.parked.settling import Settler
from libs.messaging.passing import is_away, others_were_in_the_way
from libs.messaging.processing import Processor, count, note_delays
from libs.messaging.records import Declarations, Incoming, Routing
from libs.messaging.settings import KafkaSettings
from libs.postgres import Database
from libs.telemetry.redaction import safe_error

Batch = Mapping[TopicPartition, Sequence[Incoming]]

_MAX_PASSING_FAILURES: Final = 5
"""In a row; a deadlock that comes back each time is taken for the record's own fault."""
logger = logging.getLogger(__name__)


class Consumer:
    """Consumes the topics of its routes for one service. Any number may run: partitions are shared among them."""

    def __init__(
        self,
        *,
        service: str,
        database: Database,
        kafka: KafkaSettings,
        routes: Sequence[Route],
        group_id: str | None = None,
        declarations: Declarations = declared_topic,
        options: ConsumerOptions | None = None,
    ) -> None:
        self._service = service
        self._database = database
        self._kafka = kafka
        self._group_id = group_id or service
        self._options = options or ConsumerOptions()
        self._routing = Routing(routes, declarations)
        self._processor = Processor(service, self._routing)
        self._settler = Settler(
            service, database, self._routing, self._processor, self._options.replay.first_wait_seconds, self._beat
        )
        self._replayer = Replayer(
            service, database, self._routing, self._options.replay, most_attempts=kafka.parked_max_attempts
        )
        self._ages = LagAges()
        self._alive_at = time.monotonic()
        self._rebuilds = 0
        self._passing_failures = 0
        self._singly = False

    def last_poll_age_seconds(self) -> float:
        """Seconds since the loop last polled, began a part of a poll, or decided to wait for database or brokers."""
        return time.monotonic() - self._alive_at

    def _beat(self) -> None:
        self._alive_at = time.monotonic()

    async def run(self, stop: asyncio.Event) -> None:
        """Consume, and replay what is parked, until `stop` is set.

        The running transactions are finished and their offsets committed first. Goes on through every failure of
        database, broker and handlers; raises only what is a bug here.
        """
        limit_kafka_logs()
        tasks = [asyncio.create_task(self._run(stop)), asyncio.create_task(self._replayer.run(stop))]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        for task in tasks:
            if not task.cancelled():
                task.result()

    async def _run(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            self._beat()
            assignment = Assignment(self._options.revoke_limit_seconds, self._ages)
            try:
                async with subscribed(
                    self._kafka,
                    client_id=f"{self._service}-consumer",
                    group_id=self._group_id,
                    topics=self._routing.topics,
                    listener=assignment,
                    options=self._options,
                ) as client:
                    await self._consume(client, assignment, stop)
            except (KafkaError, ConsumerStoppedError, OSError, _Rebuild) as error:
                self._rebuilds += 1
                metrics.REBUILDS.labels(type(error).__name__).inc()
                logger.error("the consumer is built anew: %s", safe_error(error))  # noqa: TRY400  its trace says nothing
                await self._wait(stop, self._rebuilds)

    async def _consume(self, client: Any, assignment: Assignment, stop: asyncio.Event) -> None:
        lag = LagWatch(self._options.lag_seconds, self._ages)
        stopping = asyncio.create_task(stop.wait())
        try:
            while not stop.is_set():
                records = await (self._poll_singly(client, stop) if self._singly else self._poll(client, stopping))
                self._beat()
                metrics.LAST_POLL.set_to_current_time()
                if records and not assignment.is_changing:
                    with assignment:
                        await self._handle(client, records)
                    self._rebuilds = 0
                    if self._passing_failures:
                        await self._wait(stop, self._passing_failures)
                if await lag.is_stuck(client, brought=bool(records), settled=not assignment.is_changing):
                    raise _Rebuild("there are records, but none come")
        finally:
            stopping.cancel()

    async def _poll(self, client: Any, stopping: "asyncio.Task[bool]") -> Any:
        limits = {"timeout_ms": self._options.poll_ms, "max_records": self._options.max_records}
        poll = asyncio.create_task(client.getmany(**limits))
        try:
            await asyncio.wait((poll, stopping), return_when=asyncio.FIRST_COMPLETED)
            if not poll.done():
                return {}
            if poll.cancelled():
                raise _Rebuild("the group's coordination ended")
            return poll.result()
        except UnicodeDecodeError as error:
            self._singly = True
            raise _Rebuild("a record cannot be read; the next client looks for it") from error
        finally:
            poll.cancel()

    async def _poll_singly(self, client: Any, stop: asyncio.Event) -> Mapping[TopicPartition, Sequence[Any]]:
        """Poll one record, in search of one that cannot be read, which becomes a dead letter without its bytes."""
        try:
            records = await next_record(client)
        except Unreadable as error:
            logger.error("%s", error)  # noqa: TRY400  its trace says nothing
            await self._bury(client, error.record, stop)
            return {}
        self._singly = bool(records)
        return records

    async def _bury(self, client: Any, record: UnreadableRecord, stop: asyncio.Event) -> None:
        """Keep the dead letter of a record that cannot be read and go past it, or wait and come to it again."""
        place = TopicPartition(record.topic, record.partition)
        try:
            async with self._database.transaction() as connection:
                outcomes = await self._processor.apply(connection, [Incoming(record, reason=REASON)])
        except Exception as error:  # noqa: BLE001  whatever it is, the record must come again
            self._note_failure(error)
            _ignoring_revoked(client.seek, place, record.offset)
            await self._wait(stop, self._passing_failures)
            return
        count(outcomes)
        await self._commit(client, {place: record.offset + 1})
        _ignoring_revoked(client.seek, place, record.offset + 1)
        self._passing_failures = 0

    async def _handle(self, client: Any, records: Mapping[TopicPartition, Sequence[Any]]) -> None:
        """Take a poll's records to their end: handled and committed, or back to be polled again."""
        started = time.monotonic()
        self._ages.begin(records)
        batch = self._read(records)
        metrics.POLL_RECORDS.observe(sum(len(items) for items in batch.values()))
        try:
            outcomes = await self._settler.settle([item for some in batch.values() for item in some], self._passes)
        except Exception as error:  # noqa: BLE001  whatever it is, the records must come again
            self._note_failure(error)
            for partition, items in batch.items():
                _ignoring_revoked(client.seek, partition, items[0].record.offset)
            return
        count(outcomes)
        await self._commit(client, {partition: items[-1].record.offset + 1 for partition, items in batch.items()})
        self._passing_failures = 0
        self._ages.end(client, records)
        note_delays(self._routing, batch.values())
        metrics.POLL_SECONDS.observe(time.monotonic() - started)

    def _note_failure(self, error: Exception) -> None:
        self._passing_failures += 1
        metrics.FAILURES.labels("poll").inc()
        logger.warning("the poll is taken again: %s", safe_error(error))

    def _read(self, records: Mapping[TopicPartition, Sequence[Any]]) -> Batch:
        """Read every record by its contract.

        Garbage is not collected meanwhile: the young objects of 2,000 records would be walked over again and again
        (benchmarks/consumer.py: a third of the loop's time).
        """
        collects = gc.isenabled()
        gc.disable()
        try:
            return {partition: [self._routing.read(record) for record in some] for partition, some in records.items()}
        finally:
            if collects:
                gc.enable()

    async def _commit(self, client: Any, offsets: dict[TopicPartition, int]) -> None:
        """Commit offsets of what the database has. A failure costs a redelivery, which the inbox makes harmless."""
        if not offsets:
            return
        try:
            await asyncio.wait_for(client.commit(offsets), self._options.commit_limit_seconds)
        except (KafkaError, IllegalStateError, TimeoutError) as error:
            metrics.OFFSET_COMMIT_FAILURES.inc()
            logger.warning("offsets were not committed, the records may come again: %s", safe_error(error))

    def _passes(self, error: Exception) -> bool:
        """Whether the same poll may succeed later as it is: the database is away, or others were in the way."""
        if is_away(error):
            return True
        return others_were_in_the_way(error) and self._passing_failures < _MAX_PASSING_FAILURES

    async def _wait(self, stop: asyncio.Event, failures: int) -> None:
        self._beat()
        longest: float = min(
            self._options.max_wait_seconds, self._options.first_wait_seconds * 2 ** min(failures - 1, 20)
        )
        try:
            await asyncio.wait_for(stop.wait(), longest * random.uniform(0.5, 1.0))  # noqa: S311  jitter
        except TimeoutError:
            return


class _Rebuild(Exception):  # noqa: N818
    """The client is of no use any more."""


def _ignoring_revoked(act: Any, partition: TopicPartition, *args: Any) -> None:
    """Do something to a partition that may have been taken away meanwhile; its new owner starts where we committed."""
    try:
        act(partition, *args)
    except IllegalStateError:
        logger.debug("partition %s is not ours any more", partition)
