"""Relays as processes that are killed, or frozen past their lease, while events flow."""

import asyncio
import random
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import pytest

from libs.events.requests import RequestSubmitted
from libs.events.topics import Topic
from libs.messaging.outbox import OutboxItem, append_many
from tests.support.bus import a_request, check_order, declare, outbox_is_empty, read_topic, until
from tests.support.databases import ServiceDatabase
from tests.support.topics import Topics

pytestmark = [pytest.mark.db, pytest.mark.kafka]

LEASE_SECONDS = 0.8
KEYS = [f"key-{number}" for number in range(40)]


class Flow:
    """Writers that raise the versions of keys under their lock until told to stop, and the truth about them."""

    def __init__(self, dsn: str, topic: Topic) -> None:
        self._dsn = dsn
        self._topic = topic
        self._stop = asyncio.Event()
        self.versions = dict.fromkeys(KEYS, 0)

    async def write(self, seed: str) -> None:
        dice = random.Random(seed)
        connection = await asyncpg.connect(self._dsn)
        while not self._stop.is_set():
            keys = sorted(dice.sample(KEYS, 5))
            async with connection.transaction():
                rows = await connection.fetch(
                    "UPDATE things SET version = version + 1 WHERE id = ANY ($1) RETURNING id, version", keys
                )
                items = [
                    OutboxItem(topic=self._topic, key=row["id"], event=a_request(), source="s", version=row["version"])
                    for row in rows
                ]
                await append_many(connection, items)
            for row in rows:
                self.versions[row["id"]] = max(self.versions[row["id"]], row["version"])
        await connection.close()

    def stop(self) -> None:
        self._stop.set()


@asynccontextmanager
async def _flow(database: ServiceDatabase, topic: Topic, seed: int) -> AsyncIterator[Flow]:
    owner = await asyncpg.connect(database.owner_dsn)
    await owner.execute("CREATE TABLE things (id text PRIMARY KEY, version bigint NOT NULL DEFAULT 0)")
    await owner.execute("INSERT INTO things (id) SELECT unnest($1::text[])", KEYS)
    flow = Flow(database.worker_dsn, topic)
    # Each writer locks its keys in one statement, in order of the index.
    writers = [asyncio.create_task(flow.write(f"{seed}/{number}")) for number in range(1)]
    try:
        yield flow
    finally:
        flow.stop()
        await asyncio.gather(*writers)
        await owner.close()


async def _start(database: ServiceDatabase, bootstrap: str) -> asyncio.subprocess.Process:
    module = ("-m", "tests.support.relay_process", database.worker_dsn, bootstrap, str(LEASE_SECONDS))
    return await asyncio.create_subprocess_exec(sys.executable, *module)


async def _holder(connection: asyncpg.Connection) -> int | None:
    """The process that holds the leases now; it is part of the owner's name."""
    owner = await connection.fetchval(
        "SELECT owner FROM leases WHERE until > clock_timestamp() AND owner IS NOT NULL LIMIT 1"
    )
    return int(owner.split("-")[-2]) if owner else None


async def test_killed_and_frozen_relays_lose_and_invert_nothing(
    ingest_database: ServiceDatabase, topics: Topics
) -> None:
    seed = random.randrange(10**9)
    dice = random.Random(seed)
    topic = declare(await topics.create("requests", partitions=4), "command", RequestSubmitted)
    connection = await asyncpg.connect(ingest_database.worker_dsn)
    relays = {one.pid: one for one in [await _start(ingest_database, topics.bootstrap) for _ in range(2)]}

    async def until_held_by(pids: set[int]) -> int:
        async def held() -> bool:
            return await _holder(connection) in pids

        await until(held, f"one of {pids} holds the leases")
        return await _holder(connection) or min(pids)

    async def progress(count: int) -> None:
        """Let the relays publish some more, so that the next blow falls into the middle of work."""
        at_least = await connection.fetchval("SELECT last_value FROM pg_sequences WHERE sequencename LIKE 'outbox%'")

        async def gone() -> bool:
            low = await connection.fetchval("SELECT min(id) FROM outbox")
            return low is None or low > (at_least or 0) + count

        await until(gone, f"{count} more events went out")

    async with _flow(ingest_database, topic, seed) as flow:
        for blow in ("kill", "freeze", "freeze", "kill", "freeze"):
            holder = await until_held_by(set(relays))
            await progress(dice.randrange(20, 200))
            process = relays[holder]
            if blow == "kill":
                process.send_signal(signal.SIGKILL)
                await process.wait()
                del relays[holder]
                fresh = await _start(ingest_database, topics.bootstrap)
                relays[fresh.pid] = fresh
                continue
            process.send_signal(signal.SIGSTOP)
            await until_held_by(set(relays) - {holder})  # the other one takes over when the lease has run out
            await progress(50)
            process.send_signal(signal.SIGCONT)
    await until(outbox_is_empty(connection), "the outbox is empty")
    for process in relays.values():
        process.send_signal(signal.SIGTERM)
    assert [await process.wait() for process in relays.values()] == [0, 0]
    await connection.close()
    records = await read_topic(topics.bootstrap, topic.name)
    assert sum(flow.versions.values()) > 500
    assert check_order(records, flow.versions) == (0, 0), f"seed {seed}"
