"""Helpers around real topics and tables: declare, publish raw records, read a topic back, run a relay or consumer."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, Protocol

import asyncpg
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from libs.events.envelope import Envelope
from libs.events.ingest_identities import Organization
from libs.events.model import Event
from libs.events.requests import RequestSubmitted
from libs.events.topics import Topic, TopicKind
from libs.messaging.settings import KafkaSettings
from libs.postgres import Connection, Database

Headers = list[tuple[str, bytes | None]]


class Runnable(Protocol):
    async def run(self, stop: asyncio.Event) -> None: ...


class Crash(BaseException):
    """The end of a process, which nothing handles."""


class CrashesAfterCommit(Database):
    """Ends a consumer right after its transaction is committed, before anything else can happen."""

    def __init__(self, database: Database) -> None:
        vars(self).update(vars(database))

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        async with super().transaction() as connection:
            yield connection
        raise Crash


def kafka_settings(bootstrap: str) -> KafkaSettings:
    return KafkaSettings(bootstrap_servers=bootstrap, replication_factor=1)


def declare(name: str, kind: TopicKind, *events: type[Event], max_message_bytes: int = 1_048_576) -> Topic:
    """Declare a test's own topic."""
    return Topic(
        name=name,
        kind=kind,
        events=events,
        key="anything",
        summary="a test's own",
        written_by=("tests",),
        read_by=("tests",),
        max_message_bytes=max_message_bytes,
    )


def lookup(*topics: Topic) -> Callable[[str], Topic]:
    """Give what a consumer takes in place of the declared topics."""
    return {topic.name: topic for topic in topics}.__getitem__


def a_request(number: int = 1, **payload: Any) -> RequestSubmitted:
    return RequestSubmitted(kind="api_request", org_id=uuid.UUID(int=number), payload=payload)


def an_organization(name: str) -> Organization:
    return Organization(org_id=uuid.UUID(int=1), name=name, active=True, created_at=datetime(2026, 1, 1, tzinfo=UTC))


def headers_for(event: type[Event], *, event_id: str | None = None, version: int | None = None) -> Headers:
    """Give a valid record's headers."""
    envelope = Envelope(
        id=event_id or str(uuid.uuid4()),
        type=event.event_type,
        source="tests",
        time=datetime.now(UTC),
        version=version,
    )
    return list(envelope.to_headers())


async def publish(
    bootstrap: str, topic: str, records: Sequence[tuple[bytes | None, bytes | None, Headers]], partition: int = 0
) -> None:
    """Write records (key, value, headers) as they are, past every rule of ours."""
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, max_request_size=4_000_000)
    await producer.start()
    try:
        futures = [
            await producer.send(topic, value, key=key, headers=headers, partition=partition)
            for key, value, headers in records
        ]
        await asyncio.gather(*futures)
    finally:
        await producer.stop()


async def read_topic(bootstrap: str, topic: str) -> list[Any]:
    """Read every record of a topic, each partition in order."""
    consumer = AIOKafkaConsumer(
        topic, bootstrap_servers=bootstrap, auto_offset_reset="earliest", enable_auto_commit=False, fetch_max_wait_ms=50
    )
    await consumer.start()  # without a group: every partition of the topic
    try:
        ends = await consumer.end_offsets(list(consumer.assignment()))
        found: list[Any] = []
        while any([await consumer.position(partition) < end for partition, end in ends.items()]):
            for records in (await consumer.getmany(timeout_ms=200)).values():
                found += records
        return found
    finally:
        await consumer.stop()


async def committed(bootstrap: str, group_id: str, topic: str, partition: int = 0) -> int | None:
    """Give the offset that a group has committed."""
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, group_id=group_id, enable_auto_commit=False)
    await consumer.start()
    try:
        offset: int | None = await consumer.committed(TopicPartition(topic, partition))
        return offset
    finally:
        await consumer.stop()


@asynccontextmanager
async def running(*parts: Runnable) -> AsyncIterator[None]:
    """Run parts for the length of a block, then stop them in an orderly way; what they raise passes."""
    stop = asyncio.Event()
    tasks = [asyncio.create_task(part.run(stop)) for part in parts]
    try:
        yield
    finally:
        stop.set()
        await asyncio.wait_for(asyncio.gather(*tasks), 30)


async def until(condition: Callable[[], Awaitable[bool]], what: str, *, seconds: float = 60) -> None:
    """Return as soon as the condition holds: for what other processes and servers do, which has no event to await."""
    deadline = time.monotonic() + seconds
    while not await condition():
        assert time.monotonic() < deadline, f"not in {seconds:g} s: {what}"
        await asyncio.sleep(0.01)


def outbox_is_empty(connection: asyncpg.Connection) -> Callable[[], Awaitable[bool]]:
    async def condition() -> bool:
        return not await connection.fetchval("SELECT EXISTS (SELECT FROM outbox)")

    return condition


def check_order(records: Sequence[Any], committed_versions: Mapping[str, int]) -> tuple[int, int]:
    """Count what was lost and what was inverted, by first sight of each version; every key must be on one partition."""
    seen: dict[str, set[int]] = {}
    highest: dict[str, int] = {}
    places: dict[str, int] = {}
    inverted = 0
    for record in records:
        key = record.key.decode()
        assert places.setdefault(key, record.partition) == record.partition, f"{key} is on two partitions"
        version = int(dict(record.headers)["ce_version"])
        if version in seen.setdefault(key, set()):
            continue
        inverted += version < highest.get(key, 0)
        highest[key] = max(version, highest.get(key, 0))
        seen[key].add(version)
    lost = sum(len(set(range(1, last + 1)) - seen.get(key, set())) for key, last in committed_versions.items())
    return lost, inverted
