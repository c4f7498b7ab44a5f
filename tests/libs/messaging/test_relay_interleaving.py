"""The experiment that every change of the relay must pass: ids and commits come in different orders."""

import asyncio
import random

import asyncpg
import pytest

from libs.events.requests import RequestSubmitted
from libs.events.topics import Topic
from libs.messaging.outbox import append
from libs.messaging.relay import Relay
from tests.support.bus import (
    a_request,
    check_order,
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

WRITERS = 12
TRANSACTIONS = 60
KEYS = 20


async def test_no_event_is_lost_or_inverted_however_transactions_interleave(
    ingest_database: ServiceDatabase, topics: Topics
) -> None:
    topic = declare(await topics.create("requests", partitions=6), "command", RequestSubmitted)
    connection = await asyncpg.connect(ingest_database.owner_dsn)
    await connection.execute("CREATE TABLE things (id text PRIMARY KEY, version bigint NOT NULL DEFAULT 0)")
    await connection.execute("INSERT INTO things (id) SELECT 'key-' || i FROM generate_series(1, $1::int) AS i", KEYS)
    seed = random.randrange(10**9)

    def relay() -> Relay:
        return Relay(worker_dsn=ingest_database.worker_dsn, kafka=kafka_settings(topics.bootstrap), service="ingest")

    async with running(relay()):
        writing = asyncio.gather(
            *(_write(ingest_database.worker_dsn, topic, random.Random(f"{seed}/{n}")) for n in range(WRITERS))
        )
        # A second relay waits for the leases; the first one goes away and comes back in the middle of it all.
        while not writing.done():
            async with running(relay()):
                await asyncio.wait((writing,), timeout=0.3)
        await writing
        await until(outbox_is_empty(connection), "the outbox is empty")

    versions = {row["id"]: row["version"] for row in await connection.fetch("SELECT id, version FROM things")}
    await connection.close()
    records = await read_topic(topics.bootstrap, topic.name)
    assert sum(versions.values()) > WRITERS * TRANSACTIONS / 2, "the writers hardly wrote"
    assert check_order(records, versions) == (0, 0), f"seed {seed}"


async def _write(dsn: str, topic: Topic, dice: random.Random) -> None:
    """Write as the appendix of the experiment does: early transaction ids, sleeps at every step, roll-backs."""
    connection = await asyncpg.connect(dsn)
    for _ in range(TRANSACTIONS):
        transaction = connection.transaction()
        await transaction.start()
        if dice.random() < 0.5:
            await connection.execute("SELECT pg_current_xact_id()")
        await _maybe_sleep(dice)
        key = f"key-{dice.randint(1, KEYS)}"
        version = await connection.fetchval(
            "UPDATE things SET version = version + 1 WHERE id = $1 RETURNING version", key
        )
        await _maybe_sleep(dice)
        await append(connection, topic=topic, key=key, event=a_request(n=version), source="tests", version=version)
        if dice.random() < 0.1:
            await transaction.rollback()
            continue
        await _maybe_sleep(dice)
        await transaction.commit()
    await connection.close()


async def _maybe_sleep(dice: random.Random) -> None:
    """Part of the experiment: what a transaction does between its statements takes time."""
    if dice.random() < 0.5:
        await asyncio.sleep(dice.random() * 0.02)
