"""The relay on a real broker: what goes out, what waits, and that nothing stands in the way of what is well."""

import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import asyncpg
import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from prometheus_client import REGISTRY

from libs.events.envelope import Envelope, decode, read_envelope
from libs.events.ingest_identities import Organization
from libs.events.requests import RequestSubmitted
from libs.events.topics import Topic
from libs.messaging.outbox import OutboxItem, RawCopy, append, append_copies, append_many, hash_of
from libs.messaging.relay import Relay, RelayOptions
from tests.support.bus import (
    a_request,
    an_organization,
    declare,
    kafka_settings,
    outbox_is_empty,
    read_topic,
    running,
    until,
)
from tests.support.databases import ServiceDatabase
from tests.support.topics import Topics

pytestmark = [pytest.mark.db, pytest.mark.kafka]


@dataclass
class Bench:
    """A connection of the worker's and the broker."""

    connection: asyncpg.Connection
    worker_dsn: str
    topics: Topics

    def relay(self, **options: Any) -> Relay:
        return Relay(
            worker_dsn=self.worker_dsn,
            kafka=kafka_settings(self.topics.bootstrap),
            service="ingest",
            options=RelayOptions(**options),
        )

    async def until_empty(self) -> None:
        await until(outbox_is_empty(self.connection), "the outbox is empty")

    async def count(self) -> int:
        return int(await self.connection.fetchval("SELECT count(*) FROM outbox"))


@pytest.fixture
async def bench(ingest_database: ServiceDatabase, topics: Topics) -> AsyncIterator[Bench]:
    connection = await asyncpg.connect(ingest_database.worker_dsn)
    yield Bench(connection, ingest_database.worker_dsn, topics)
    await connection.close()


async def _requests(bench: Bench, *, partitions: int = 3, config: dict[str, str] | None = None) -> Topic:
    name = await bench.topics.create("requests", partitions=partitions, config=config)
    return declare(name, "command", RequestSubmitted)


async def test_an_event_goes_out_with_the_envelope_that_every_reader_expects(bench: Bench) -> None:
    topic = await _requests(bench)
    cause = Envelope(id="c-1", type="x", source="y", time=datetime.now(UTC), correlation_id="conversation")
    event = a_request(1, word="ö")
    event_id = await append(
        bench.connection,
        topic=topic,
        key="org/ö",
        event=event,
        source="ingest",
        org_id=event.org_id,
        subject="object-1",
        version=7,
        causation=cause,
        idempotency_key="idem",
    )
    async with running(bench.relay()):
        await bench.until_empty()
    (record,) = await read_topic(bench.topics.bootstrap, topic.name)
    envelope, data = decode(record.headers, record.value)
    assert (record.key.decode(), data) == ("org/ö", event)
    assert (envelope.id, envelope.source, envelope.subject) == (event_id, "ingest", "object-1")
    assert (envelope.org_id, envelope.version, envelope.idempotency_key) == (event.org_id, 7, "idem")
    assert (envelope.correlation_id, envelope.causation_id) == ("conversation", "c-1")
    assert sorted(record.headers) == sorted(envelope.to_headers())


async def test_a_tombstone_has_no_body_and_keeps_its_version(bench: Bench) -> None:
    topic = declare(await bench.topics.create("identities"), "state", Organization)
    for version, event in ((1, an_organization("x")), (2, None)):
        await append(
            bench.connection,
            topic=topic,
            key="a",
            event=event,
            event_type=Organization,
            source="ingest",
            version=version,
        )
    async with running(bench.relay()):
        await bench.until_empty()
    records = await read_topic(bench.topics.bootstrap, topic.name)
    assert [record.value is None for record in records] == [False, True]
    assert [read_envelope(record.headers).version for record in records] == [1, 2]


async def test_a_key_goes_to_the_partition_that_kafkas_default_partitioner_chooses(bench: Bench) -> None:
    topic = await _requests(bench, partitions=7)
    keys = [f"0190b7a2-7f5e-7cc0-98a5-{number:012x}/thing-{number}" for number in range(100)]
    await append_many(
        bench.connection, [OutboxItem(topic=topic, key=key, event=a_request(), source="s") for key in keys]
    )
    async with running(bench.relay()):
        await bench.until_empty()
    producer = AIOKafkaProducer(bootstrap_servers=bench.topics.bootstrap)
    await producer.start()
    for key in keys[:20]:
        await producer.send_and_wait(topic.name, b"{}", key=key.encode())
    await producer.stop()
    places: dict[bytes, set[int]] = {}
    for record in await read_topic(bench.topics.bootstrap, topic.name):
        places.setdefault(record.key, set()).add(record.partition)
    assert len(places) == 100
    assert all(len(found) == 1 for found in places.values())


async def test_a_copy_of_a_dead_letter_keeps_headers_that_no_envelope_could_hold(bench: Bench) -> None:
    name = await bench.topics.create("dead_letters")
    headers: list[tuple[str, bytes | None]] = [("ce_id", None), ("x", b"\xff\x00"), ("x", b"twice")]
    await append_copies(bench.connection, [RawCopy(name, "k", b"\x00raw", headers, "ingest")])
    async with running(bench.relay()):
        await bench.until_empty()
    (record,) = await read_topic(bench.topics.bootstrap, name)
    assert (record.value, list(record.headers)) == (b"\x00raw", headers)


async def test_values_of_any_weight_go_out_in_order(bench: Bench) -> None:
    topic = await _requests(bench)
    sizes = [10, 900_000, 20, 400_000, 15_000, 17_000, 900_000, 1, 600_000, 5] * 3
    items = [
        OutboxItem(topic=topic, key="k", event=a_request(n=number, pad="x" * size), source="s", version=number + 1)
        for number, size in enumerate(sizes)
    ]
    await append_many(bench.connection, items)
    async with running(bench.relay(large_bytes=2_000_000)):
        await bench.until_empty()
    records = await read_topic(bench.topics.bootstrap, topic.name)
    assert [read_envelope(record.headers).version for record in records] == list(range(1, len(sizes) + 1))


async def test_an_event_that_the_broker_refuses_blocks_its_key_alone_and_goes_out_when_the_topic_takes_it(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    topic = await _requests(bench, partitions=1, config={"max.message.bytes": "20000"})
    items = [
        OutboxItem(topic=topic, key=key, event=a_request(pad="x" * size), source="s", version=version)
        for key, version, size in (("big", 1, 5), ("big", 2, 50_000), ("big", 3, 5), ("small", 1, 5), ("small", 2, 9))
    ]
    await append_many(bench.connection, items)
    with caplog.at_level(logging.ERROR):
        async with running(bench.relay()):

            async def only_the_blocked_are_left() -> bool:
                return await bench.count() == 2

            await until(only_the_blocked_are_left, "everything but the blocked key went out")
    assert "too large" in caplog.text
    blocked = await bench.connection.fetchrow("SELECT topic, key, attempts FROM outbox_blocked_keys")
    assert tuple(blocked) == (topic.name, "big", 1)
    await _set_max_bytes(bench.topics.bootstrap, topic.name, 1_000_000)
    await bench.connection.execute("UPDATE outbox_blocked_keys SET next_try_at = now()")
    async with running(bench.relay()):
        await bench.until_empty()
    found = [
        (record.key, read_envelope(record.headers).version)
        for record in await read_topic(bench.topics.bootstrap, topic.name)
    ]
    assert [version for key, version in found if key == b"big"] == [1, 2, 3]
    assert [version for key, version in found if key == b"small"] == [1, 2]


async def test_a_missing_topic_holds_back_only_its_own_events(bench: Bench) -> None:
    topic = await _requests(bench)
    missing = declare("no.such.topic", "command", RequestSubmitted)
    items = [
        OutboxItem(topic=where, key=f"k{number}", event=a_request(), source="s")
        for number in range(20)
        for where in (missing, topic)
    ]
    await append_many(bench.connection, items)
    async with running(bench.relay()):

        async def only_the_missing_are_left() -> bool:
            return await bench.count() == 20

        await until(only_the_missing_are_left, "the events of the topic that is there went out")
    assert len(await read_topic(bench.topics.bootstrap, topic.name)) == 20


async def test_an_orderly_stop_gives_the_leases_back_at_once(bench: Bench) -> None:
    topic = await _requests(bench)
    async with running(bench.relay(lease_seconds=600)):
        await append(bench.connection, topic=topic, key="k", event=a_request(), source="s")
        await bench.until_empty()
    assert not await bench.connection.fetchval("SELECT count(*) FROM leases WHERE owner IS NOT NULL")
    async with running(bench.relay(lease_seconds=600)):
        await append(bench.connection, topic=topic, key="k", event=a_request(), source="s")
        await bench.until_empty()


async def test_a_relay_whose_lease_was_taken_deletes_nothing(bench: Bench) -> None:
    topic = await _requests(bench)
    async with running(bench.relay(lease_seconds=600)):
        await append(bench.connection, topic=topic, key="k", event=a_request(), source="s")
        await bench.until_empty()
        # Another owner, as if this process had been frozen: its own clock still says that the lease is good.
        await bench.connection.execute("UPDATE leases SET owner = 'other', epoch = epoch + 1")
        await append(bench.connection, topic=topic, key="k", event=a_request(), source="s")

        async def sent() -> bool:
            return len(await read_topic(bench.topics.bootstrap, topic.name)) >= 2

        await until(sent, "the late relay sent it")
        assert await bench.count() == 1


async def test_a_database_that_goes_away_only_delays(bench: Bench, ingest_database: ServiceDatabase) -> None:
    topic = await _requests(bench)
    admin = await asyncpg.connect(ingest_database.admin_dsn)
    async with running(bench.relay()):
        await append(bench.connection, topic=topic, key="k", event=a_request(), source="s")
        await bench.until_empty()
        await admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'ingest-relay' "
            "AND datname = current_database()"
        )
        await append(bench.connection, topic=topic, key="k", event=a_request(), source="s")
        await bench.until_empty()
    await admin.close()
    assert len(await read_topic(bench.topics.bootstrap, topic.name)) == 2


async def test_what_was_published_is_counted(bench: Bench) -> None:
    topic = await _requests(bench)
    await append_many(
        bench.connection, [OutboxItem(topic=topic, key="k", event=a_request(), source="s") for _ in range(25)]
    )
    async with running(bench.relay()):
        await bench.until_empty()
    assert REGISTRY.get_sample_value("outbox_published_total", {"topic": topic.name}) == 25


def test_the_hash_of_a_key_is_javas() -> None:
    # Values of org.apache.kafka.common.utils.Utils.murmur2, as its own tests have them, without the sign bit.
    assert hash_of("21") == -973932308 & 0x7FFF_FFFF
    assert hash_of("foobar") == -790332482 & 0x7FFF_FFFF


async def _set_max_bytes(bootstrap: str, topic: str, size: int) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    resource = ConfigResource(ConfigResourceType.TOPIC, topic, {"max.message.bytes": str(size)})
    await admin.alter_configs([resource])

    async def shows() -> bool:
        (answer,) = await admin.describe_configs(
            [ConfigResource(ConfigResourceType.TOPIC, topic, {"max.message.bytes": ""})]
        )
        return bool(answer.to_object()["resources"][0]["config_entries"][0]["config_value"] == str(size))

    await until(shows, "the broker has the change")  # it learns of what the controller did a moment later
    await admin.close()
