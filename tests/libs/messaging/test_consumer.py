"""The consume loop on a real broker: redelivery, poison, failing records, crashes and rebalances."""

import asyncio
import json
import logging
import struct
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import asyncpg
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.record.util import calc_crc32c
from prometheus_client import REGISTRY

from libs.events.ingest_identities import Organization
from libs.events.requests import RequestSubmitted
from libs.events.topics import Topic
from libs.messaging.consumer import Consumer, ConsumerOptions
from libs.messaging.messages import Message, Route
from libs.messaging.parked.options import ReplayOptions
from libs.postgres import Connection, Database
from tests.support.bus import (
    Crash,
    CrashesAfterCommit,
    Headers,
    a_request,
    an_organization,
    committed,
    declare,
    headers_for,
    kafka_settings,
    lookup,
    publish,
    running,
    until,
)
from tests.support.databases import ServiceDatabase
from tests.support.topics import Topics

pytestmark = [pytest.mark.db, pytest.mark.kafka]

QUICK = ConsumerOptions(
    session_timeout_ms=6_000,
    first_wait_seconds=0.05,
    replay=ReplayOptions(first_wait_seconds=0.05, longest_wait_seconds=0.2, poll_seconds=0.02),
)
BODY = a_request().model_dump_json().encode()


@dataclass
class Bench:
    """A worker's pool, a table `seen` that handlers write to, and a topic."""

    database: Database
    owner: asyncpg.Connection
    bootstrap: str
    topic: Topic

    def consumer(self, handle: Any = None, **given: Any) -> Consumer:
        return Consumer(
            service="ingest",
            database=given.pop("database", self.database),
            # A key that was given up waits for a person: a slow machine spends twenty attempts before a test mends it.
            kafka=kafka_settings(self.bootstrap).model_copy(update={"parked_max_attempts": 1_000_000}),
            routes=[Route(self.topic.name, self.topic.events, handle or see)],
            group_id=f"ingest-{self.topic.name}",
            declarations=lookup(self.topic),
            options=given.pop("options", QUICK),
        )

    async def publish(self, *records: tuple[bytes | None, bytes | None, Headers], partition: int = 0) -> None:
        await publish(self.bootstrap, self.topic.name, records, partition)

    async def seen(self) -> list[str]:
        rows = await self.owner.fetch("SELECT what FROM seen ORDER BY id")
        return [row["what"] for row in rows]

    async def until_seen(self, count: int) -> None:
        async def enough() -> bool:
            return int(await self.owner.fetchval("SELECT count(*) FROM seen")) >= count

        await until(enough, f"{count} messages were handled")

    async def until_dead(self, count: int) -> None:
        async def enough() -> bool:
            return int(await self.owner.fetchval("SELECT count(*) FROM dead_letters")) >= count

        await until(enough, f"{count} dead letters")

    async def until_committed(self, offset: int, partition: int = 0) -> None:
        async def is_committed() -> bool:
            return await self.committed(partition) == offset

        await until(is_committed, f"offset {offset} is committed")

    async def committed(self, partition: int = 0) -> int | None:
        return await committed(self.bootstrap, f"ingest-{self.topic.name}", self.topic.name, partition)


async def see(conn: Connection, messages: Sequence[Message]) -> None:
    """Note each message's key and offset; tombstones too."""
    for message in messages:
        end = " ended" if message.data is None else ""
        await conn.execute("INSERT INTO seen (what) VALUES ($1)", f"{message.key}@{message.offset}{end}")


@asynccontextmanager
async def _bench(service_database: ServiceDatabase, bootstrap: str, topic: Topic) -> AsyncIterator[Bench]:
    owner = await asyncpg.connect(service_database.owner_dsn)
    await owner.execute("CREATE TABLE seen (id bigint GENERATED ALWAYS AS IDENTITY, what text NOT NULL)")
    database = await Database.connect(service_database.worker_dsn, role="worker", application_name="test")
    try:
        yield Bench(database, owner, bootstrap, topic)
    finally:
        await database.close()
        await owner.close()


@pytest.fixture
async def bench(ingest_database: ServiceDatabase, topics: Topics) -> AsyncIterator[Bench]:
    topic = declare(await topics.create("requests", partitions=3), "command", RequestSubmitted)
    async with _bench(ingest_database, topics.bootstrap, topic) as made:
        yield made


@pytest.fixture
async def state_bench(ingest_database: ServiceDatabase, topics: Topics) -> AsyncIterator[Bench]:
    topic = declare(await topics.create("identities"), "state", Organization)
    async with _bench(ingest_database, topics.bootstrap, topic) as made:
        yield made


async def test_records_of_a_partition_are_handled_in_order_and_their_offset_is_committed(bench: Bench) -> None:
    await bench.publish(*((b"k%d" % (n % 3), BODY, headers_for(RequestSubmitted)) for n in range(50)))
    async with running(bench.consumer()):
        await bench.until_seen(50)
    assert await bench.seen() == [f"k{n % 3}@{n}" for n in range(50)]
    assert await bench.committed() == 50


async def test_a_duplicate_is_handled_once_within_a_poll_and_across_polls(bench: Bench) -> None:
    twin = headers_for(RequestSubmitted, event_id="twin")
    await bench.publish((b"a", BODY, twin), (b"a", BODY, headers_for(RequestSubmitted)), (b"a", BODY, twin))
    async with running(bench.consumer()):
        await bench.until_seen(2)
        await bench.publish((b"a", BODY, twin), (b"b", BODY, headers_for(RequestSubmitted)))
        await bench.until_seen(3)
    assert await bench.seen() == ["a@0", "a@1", "b@4"]
    assert await bench.committed() == 5


async def test_redelivery_of_everything_changes_nothing(bench: Bench) -> None:
    await bench.publish(*((b"k", BODY, headers_for(RequestSubmitted)) for _ in range(20)))
    async with running(bench.consumer()):
        await bench.until_seen(20)
    await _set_offset(bench, 0)
    async with running(bench.consumer()):
        await bench.publish((b"last", BODY, headers_for(RequestSubmitted)))
        await bench.until_seen(21)
    assert await bench.seen() == [*(f"k@{n}" for n in range(20)), "last@20"]


async def test_only_newer_states_are_handled_tombstones_too(state_bench: Bench) -> None:
    def state(key: bytes, version: int, *, ended: bool = False) -> tuple[bytes, bytes | None, Headers]:
        body = None if ended else an_organization("x").model_dump_json().encode()
        return key, body, headers_for(Organization, version=version)

    await state_bench.publish(state(b"a", 1), state(b"b", 1), state(b"a", 3), state(b"a", 2))
    async with running(state_bench.consumer()):
        await state_bench.until_seen(2)
        await state_bench.publish(state(b"a", 3), state(b"b", 2, ended=True), state(b"c", 1))
        await state_bench.until_seen(4)
    assert sorted(await state_bench.seen()) == ["a@2", "b@1", "b@5 ended", "c@6"]
    versions = await state_bench.owner.fetch("SELECT key, last_version FROM state_versions ORDER BY key")
    assert [tuple(row) for row in versions] == [("a", 3), ("b", 2), ("c", 1)]


def _poison() -> dict[str, tuple[bytes | None, bytes | None, Headers]]:
    good = headers_for(RequestSubmitted)
    return {
        "Invalid JSON": (b"k", b"{not json", good),
        "null": (b"k", BODY, [*good, ("x", None)]),
        "not UTF-8": (b"k", BODY, [*good, ("x", b"\xff\xfe")]),
        "not known": (b"k", BODY, [(name, b"no.such.v1" if name == "ce_type" else value) for name, value in good]),
        "do not belong": (b"k", an_organization("x").model_dump_json().encode(), headers_for(Organization, version=1)),
        "only state has tombstones": (b"k", None, headers_for(RequestSubmitted)),
        "key is not UTF-8": (b"\xff", BODY, headers_for(RequestSubmitted)),
        "ce_id is missing": (b"k", BODY, [pair for pair in good if pair[0] != "ce_id"]),
        "is no request.submitted.v1": (b"k", b"x" * 900_000, headers_for(RequestSubmitted)),
    }


async def test_what_does_not_fit_becomes_a_dead_letter_as_it_came_and_everything_else_goes_on(bench: Bench) -> None:
    poison = _poison()
    records = []
    for record in poison.values():
        records += [record, (b"good", BODY, headers_for(RequestSubmitted))]
    await bench.publish(*records)
    async with running(bench.consumer()):
        await bench.until_seen(len(poison))
        await bench.until_dead(len(poison))
    assert await bench.seen() == [f"good@{2 * n + 1}" for n in range(len(poison))]
    assert await bench.committed() == 2 * len(poison)
    letters = await bench.owner.fetch("SELECT * FROM dead_letters ORDER BY record_offset")
    for (reason, (key, value, headers)), letter in zip(poison.items(), letters, strict=True):
        assert reason in letter["reason"]
        assert (letter["key"], letter["value"], letter["status"]) == (key, value, "open")
        assert [name for name, _ in json.loads(letter["headers"])] == [name for name, _ in headers]
    copies = await bench.owner.fetch("SELECT aggregatetype, payload FROM outbox ORDER BY id")
    assert [tuple(copy) for copy in copies] == [("ingest.dead_letters", value) for _, value, _ in poison.values()]


class _BadName(BatchBuilder):  # type: ignore[misc]  # aiokafka ships no annotations
    """A batch with a header name that no Java client could write: not UTF-8."""

    def _build(self) -> bytearray:
        batch = bytearray(super()._build()).replace(b"badname", b"bad\xffame")
        struct.pack_into(">I", batch, 17, calc_crc32c(bytes(batch[21:])))
        return batch


async def _publish_unreadable(bench: Bench) -> None:
    """Publish a batch of four records, of which the client can read the first two."""
    producer = AIOKafkaProducer(bootstrap_servers=bench.bootstrap)
    await producer.start()
    batch = _BadName(100_000, 0)
    for name in ("fine", "fine", "badname", "fine"):
        headers = [*headers_for(RequestSubmitted), (name, b"x")]
        batch.append(timestamp=None, key=b"k", value=BODY, headers=headers)
    await (await producer.send_batch(batch, bench.topic.name, partition=0))
    await producer.stop()


async def test_a_record_that_the_client_cannot_read_becomes_a_dead_letter_by_its_place(bench: Bench) -> None:
    await _publish_unreadable(bench)
    await bench.publish((b"other", BODY, headers_for(RequestSubmitted)), partition=1)
    async with running(bench.consumer()):
        await bench.publish((b"next", BODY, headers_for(RequestSubmitted)))
        await bench.until_seen(4)
    assert sorted(await bench.seen()) == ["k@0", "k@1", "next@4", "other@0"]
    letters = await bench.owner.fetch("SELECT record_offset, value, reason FROM dead_letters ORDER BY record_offset")
    assert [(letter["record_offset"], letter["value"]) for letter in letters] == [(2, None), (3, None)]
    assert all("still in Kafka" in letter["reason"] for letter in letters)
    assert REGISTRY.get_sample_value("dead_letters_total", {"topic": bench.topic.name}) == 2


AWAY_TWICE = """
CREATE SEQUENCE tries;
CREATE FUNCTION be_away() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    IF nextval('ingest.tries') <= 2 THEN
        RAISE 'the database system is shutting down' USING ERRCODE = 'cannot_connect_now';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER away BEFORE INSERT ON dead_letters FOR EACH ROW EXECUTE FUNCTION be_away();
"""


async def test_a_database_that_goes_away_while_an_unreadable_record_is_kept_only_delays(bench: Bench) -> None:
    await bench.owner.execute(AWAY_TWICE)
    await _publish_unreadable(bench)
    async with running(bench.consumer()):
        await bench.publish((b"next", BODY, headers_for(RequestSubmitted)))
        await bench.until_seen(3)
    assert await bench.seen() == ["k@0", "k@1", "next@4"]
    letters = await bench.owner.fetch("SELECT record_offset FROM dead_letters ORDER BY record_offset")
    assert [letter["record_offset"] for letter in letters] == [2, 3]


async def test_a_failing_record_is_parked_loudly_with_its_key_and_every_other_key_goes_on(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    mended = asyncio.Event()

    async def handle(conn: Connection, messages: Sequence[Message]) -> None:
        await see(conn, messages)
        if not mended.is_set() and any(message.key == "bad" for message in messages):
            raise ValueError("access_token=EAAB0123456789abcdefghij is refused")

    keys = (b"first", b"bad", b"later", b"bad")
    await bench.publish(*((key, BODY, headers_for(RequestSubmitted)) for key in keys))
    await bench.publish(*((b"other", BODY, headers_for(RequestSubmitted)) for _ in range(5)), partition=1)
    with caplog.at_level(logging.ERROR):
        async with running(bench.consumer(handle)):
            await bench.until_seen(7)
            await bench.publish(*((key, BODY, headers_for(RequestSubmitted)) for key in (b"bad", b"last")))
            await bench.until_seen(8)
            await bench.until_committed(6)
            assert sorted(await bench.seen()) == ["first@0", "last@5", "later@2", *(f"other@{n}" for n in range(5))]
            mended.set()
            await bench.until_seen(11)
    assert [what for what in await bench.seen() if "bad" in what] == ["bad@1", "bad@3", "bad@4"]
    assert await bench.owner.fetchval("SELECT count(*) FROM parked_keys") == 0
    records = await bench.owner.fetch("SELECT record_offset, status, attempts > 0 AS failed FROM parked ORDER BY seq")
    assert [tuple(row) for row in records] == [(1, "replayed", True), (3, "replayed", False), (4, "replayed", False)]
    logged = [record for record in caplog.records if "it is parked" in record.message]
    assert [(record.__dict__["offset"], record.__dict__["topic"]) for record in logged] == [(1, bench.topic.name)]


async def test_an_error_at_commit_is_traced_to_its_record(bench: Bench) -> None:
    await bench.owner.execute("ALTER TABLE seen ADD CONSTRAINT no_twins UNIQUE (what) DEFERRABLE INITIALLY DEFERRED")

    async def handle(conn: Connection, messages: Sequence[Message]) -> None:
        for message in messages:
            await conn.execute("INSERT INTO seen (what) VALUES ($1)", message.data.payload["what"])  # type: ignore[union-attr]

    def record(key: str, what: str) -> tuple[bytes, bytes, Headers]:
        return key.encode(), a_request(what=what).model_dump_json().encode(), headers_for(RequestSubmitted)

    await bench.publish(record("a", "one"), record("b", "two"), record("c", "two"), record("c", "x"), record("d", "y"))
    async with running(bench.consumer(handle)):
        await bench.until_seen(3)
        await bench.until_committed(5)
        assert await bench.seen() == ["one", "two", "y"]
        parked = await bench.owner.fetch("SELECT key, record_offset, error FROM parked ORDER BY seq")
        assert [(row["key"], row["record_offset"]) for row in parked] == [("c", 2), ("c", 3)]
        assert "no_twins" in parked[0]["error"]
        await bench.owner.execute("UPDATE seen SET what = 'the first two' WHERE what = 'two'")
        await bench.until_seen(5)
    assert await bench.seen() == ["one", "the first two", "y", "two", "x"]


async def test_a_crash_between_the_commit_of_the_database_and_that_of_the_offsets_applies_once(bench: Bench) -> None:
    await bench.publish(*((b"k", BODY, headers_for(RequestSubmitted)) for _ in range(10)))
    with pytest.raises(Crash):
        await bench.consumer(database=CrashesAfterCommit(bench.database)).run(asyncio.Event())
    assert len(await bench.seen()) == 10
    assert await bench.committed() is None
    async with running(bench.consumer()):
        await bench.publish((b"next", BODY, headers_for(RequestSubmitted)))
        await bench.until_seen(11)
    assert await bench.seen() == [*(f"k@{n}" for n in range(10)), "next@10"]


async def test_a_second_consumer_takes_its_share_while_the_first_is_at_work(bench: Bench) -> None:
    for partition in range(3):
        await bench.publish(*((b"k", BODY, headers_for(RequestSubmitted)) for _ in range(300)), partition=partition)
    small = ConsumerOptions(max_records=20, session_timeout_ms=6_000, heartbeat_ms=200)
    async with running(bench.consumer(options=small)):
        await bench.until_seen(40)
        async with running(bench.consumer(options=small)):
            await bench.until_seen(300)
            for partition in range(3):
                late = ((b"late", BODY, headers_for(RequestSubmitted)) for _ in range(50))
                await bench.publish(*late, partition=partition)
            await bench.until_seen(800)
        await bench.until_seen(1_050)
    seen = await bench.seen()
    assert len(seen) == 1_050, "a record was handled twice or never"
    assert [await bench.committed(partition) for partition in range(3)] == [350, 350, 350]


async def test_a_database_that_goes_away_only_delays(bench: Bench, ingest_database: ServiceDatabase) -> None:
    await bench.publish((b"one", BODY, headers_for(RequestSubmitted)))
    async with running(bench.consumer()):
        await bench.until_seen(1)
        admin = await asyncpg.connect(ingest_database.admin_dsn)
        await admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'ingest_worker' "
            "AND datname = current_database()"
        )
        await admin.close()
        await bench.publish((b"two", BODY, headers_for(RequestSubmitted)))
        await bench.until_seen(2)
    assert await bench.seen() == ["one@0", "two@1"]


async def test_stopping_finishes_the_running_batch_and_commits_its_offsets(bench: Bench) -> None:
    began, stop = asyncio.Event(), asyncio.Event()

    async def handle(conn: Connection, messages: Sequence[Message]) -> None:
        began.set()
        await stop.wait()
        await see(conn, messages)

    await bench.publish((b"k", BODY, headers_for(RequestSubmitted)))
    task = asyncio.create_task(bench.consumer(handle).run(stop))
    await began.wait()
    stop.set()
    await task
    assert await bench.seen() == ["k@0"]
    assert await bench.committed() == 1


async def _set_offset(bench: Bench, offset: int) -> None:
    group = f"ingest-{bench.topic.name}"
    consumer = AIOKafkaConsumer(bootstrap_servers=bench.bootstrap, group_id=group, enable_auto_commit=False)
    await consumer.start()
    partition = TopicPartition(bench.topic.name, 0)
    consumer.assign([partition])
    await consumer.commit({partition: offset})
    await consumer.stop()
