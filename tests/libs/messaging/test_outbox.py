"""Appending to the outbox: what it refuses, in which order it writes, and what row security lets the api role do."""

import asyncio
import uuid
from collections.abc import AsyncIterator

import asyncpg
import pytest

from libs.events.envelope import Envelope
from libs.events.ingest_identities import Organization
from libs.events.requests import RequestSubmitted
from libs.messaging.outbox import SHARDS, MessageTooLarge, OutboxItem, append, append_many, hash_of, shard_of
from libs.telemetry.tracing import start_span
from tests.support.bus import a_request, an_organization, declare, until
from tests.support.databases import ServiceDatabase

pytestmark = pytest.mark.db

REQUESTS = declare("requests.x", "command", RequestSubmitted)
IDENTITIES = declare("identities.x", "state", Organization)


@pytest.fixture
async def connection(ingest_database: ServiceDatabase) -> AsyncIterator[asyncpg.Connection]:
    made = await asyncpg.connect(ingest_database.worker_dsn)
    yield made
    await made.close()


async def test_events_are_appended_in_the_given_order_and_share_the_fate_of_the_transaction(
    connection: asyncpg.Connection,
) -> None:
    items = [OutboxItem(topic=REQUESTS, key=f"k{n % 7}", event=a_request(n + 1), source="s") for n in range(500)]
    transaction = connection.transaction()
    await transaction.start()
    await append_many(connection, items)
    await transaction.rollback()
    assert await connection.fetchval("SELECT count(*) FROM outbox") == 0
    ids = await append_many(connection, items)
    rows = await connection.fetch("SELECT event_id, shard, key_hash, aggregateid FROM outbox ORDER BY id")
    assert [row["event_id"] for row in rows] == ids
    assert all(row["shard"] == hash_of(row["aggregateid"]) % SHARDS for row in rows)


async def test_an_event_without_a_cause_begins_a_conversation_and_an_answer_goes_on_with_it(
    connection: asyncpg.Connection,
) -> None:
    first = await append(connection, topic=REQUESTS, key="k", event=a_request(), source="s")
    row = await connection.fetchrow("SELECT correlation_id, causation_id, event_time::timestamptz AS time FROM outbox")
    cause = Envelope(id=first, type="t", source="s", time=row["time"], correlation_id=row["correlation_id"])
    await append(connection, topic=REQUESTS, key="k", event=a_request(), source="s", causation=cause)
    rows = await connection.fetch("SELECT correlation_id, causation_id FROM outbox ORDER BY id")
    assert [tuple(one) for one in rows] == [(first, None), (first, first)]


async def test_the_trace_of_the_cause_is_kept_when_this_process_exports_none(connection: asyncpg.Connection) -> None:
    traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    with start_span("outer", parent_traceparent=traceparent):
        await append(connection, topic=REQUESTS, key="k", event=a_request(), source="s")
    found = await connection.fetchval("SELECT traceparent FROM outbox")
    assert found.split("-")[1] == traceparent.split("-")[1]


async def test_an_event_that_no_event_caused_goes_on_with_the_trace_that_it_is_given(
    connection: asyncpg.Connection,
) -> None:
    traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    items = [OutboxItem(topic=REQUESTS, key="k", event=a_request(), source="s", traceparent=traceparent)]
    await append_many(connection, items)
    kept = await connection.fetchval("SELECT traceparent FROM outbox")
    assert kept.split("-")[1] == traceparent.split("-")[1]


@pytest.mark.parametrize(
    ("item", "words"),
    [
        (OutboxItem(topic=REQUESTS, key="k", event=an_organization("x"), source="s"), "is not declared"),
        (OutboxItem(topic=REQUESTS, key="", event=a_request(), source="s"), "needs a key"),
        (OutboxItem(topic=REQUESTS, key="k", event=None, source="s"), "needs event_type"),
        (
            OutboxItem(topic=REQUESTS, key="k", event=None, event_type=RequestSubmitted, source="s"),
            "has no tombstones",
        ),
        (OutboxItem(topic=IDENTITIES, key="k", event=an_organization("x"), source="s"), "needs a version"),
    ],
)
async def test_what_the_declaration_does_not_allow_is_refused(
    connection: asyncpg.Connection, item: OutboxItem, words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        await append_many(connection, [OutboxItem(topic=REQUESTS, key="k", event=a_request(), source="s"), item])
    assert await connection.fetchval("SELECT count(*) FROM outbox") == 0


async def test_an_event_larger_than_its_topic_is_refused_where_it_is_made(connection: asyncpg.Connection) -> None:
    small = declare("small", "command", RequestSubmitted, max_message_bytes=10_000)
    await append(connection, topic=small, key="k", event=a_request(pad="x" * 9_000), source="s")
    with pytest.raises(MessageTooLarge, match="split it into parts"):
        await append(connection, topic=small, key="k", event=a_request(pad="x" * 10_000), source="s")
    with pytest.raises(MessageTooLarge):
        await append(connection, topic=small, key="k", event=a_request(pad="ö" * 4_000), source="s" * 2_000)


async def test_two_writers_of_a_locked_key_come_one_after_the_other(
    connection: asyncpg.Connection, ingest_database: ServiceDatabase
) -> None:
    other = await asyncpg.connect(ingest_database.worker_dsn)
    watcher = await asyncpg.connect(ingest_database.worker_dsn)

    async def write(conn: asyncpg.Connection, name: str) -> None:
        async with conn.transaction():
            items = [
                OutboxItem(topic=REQUESTS, key=key, event=a_request(), source=name, lock_key=True) for key in ("a", "b")
            ]
            await append_many(conn, items if name == "first" else items[::-1])

    transaction = connection.transaction()
    await transaction.start()
    await append(connection, topic=REQUESTS, key="b", event=a_request(), source="first", lock_key=True)
    second = asyncio.create_task(write(other, "second"))

    async def waits() -> bool:
        return bool(await watcher.fetchval("SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)"))

    await until(waits, "the second writer waits for the lock")
    await transaction.commit()
    await second
    rows = await connection.fetch("SELECT source FROM outbox WHERE aggregateid = 'b' ORDER BY id")
    assert [row["source"] for row in rows] == ["first", "second"]
    await asyncio.gather(other.close(), watcher.close())


async def test_the_api_role_speaks_for_its_organization_only_and_reads_nothing(
    ingest_database: ServiceDatabase,
) -> None:
    api = await asyncpg.connect(ingest_database.api_dsn)
    mine, other = uuid.uuid4(), uuid.uuid4()
    async with api.transaction():
        await api.execute("SELECT set_config('app.org_id', $1, true)", str(mine))
        await append(api, topic=REQUESTS, key="k", event=a_request(), source="s", org_id=mine)
    for org_id in (other, None):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            async with api.transaction():
                await api.execute("SELECT set_config('app.org_id', $1, true)", str(mine))
                await append(api, topic=REQUESTS, key="k", event=a_request(), source="s", org_id=org_id)
    for statement in ("SELECT id FROM outbox", "DELETE FROM outbox", "SELECT topic FROM outbox_blocked_keys"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await api.execute(statement)
    await api.close()


async def test_the_outbox_has_every_column_that_debeziums_router_reads(connection: asyncpg.Connection) -> None:
    rows = await connection.fetch("SELECT column_name FROM information_schema.columns WHERE table_name = 'outbox'")
    assert {row["column_name"] for row in rows} >= {"id", "aggregatetype", "aggregateid", "type", "payload"}


def test_every_shard_gets_its_share_of_keys() -> None:
    counts = [0] * SHARDS
    for number in range(8_000):
        counts[shard_of(hash_of(f"org/{number}"))] += 1
    assert min(counts) > 800
