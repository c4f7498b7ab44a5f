"""Leases: one owner at a time, an epoch that only grows, and a fence for paused holders."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from libs.postgres import Connection, Database, leases
from tests.support.databases import ServiceDatabase

pytestmark = pytest.mark.db


@pytest.fixture
async def database(ingest_database: ServiceDatabase) -> AsyncIterator[Database]:
    made = await Database.connect(ingest_database.worker_dsn, role="worker", application_name="test")
    yield made
    await made.close()


async def expire(conn: Connection, name: str) -> None:
    await conn.execute("UPDATE leases SET until = clock_timestamp() - interval '1 ms' WHERE name = $1", name)


async def test_only_one_of_two_owners_gets_a_lease(database: Database) -> None:
    async with database.acquire() as conn:
        assert await leases.take(conn, ["relay/0", "relay/1"], "first", 60) == {"relay/0": 1, "relay/1": 1}
        assert await leases.take(conn, ["relay/0", "relay/1", "relay/2"], "second", 60) == {"relay/2": 1}


async def test_renewing_keeps_the_epoch_and_moves_the_end(database: Database) -> None:
    async with database.acquire() as conn:
        await leases.take(conn, ["relay/0"], "first", 1)
        before = await conn.fetchval("SELECT until FROM leases")
        assert await leases.take(conn, ["relay/0"], "first", 60) == {"relay/0": 1}
        assert await conn.fetchval("SELECT until FROM leases") > before


async def test_an_expired_lease_is_taken_with_a_higher_epoch(database: Database) -> None:
    async with database.acquire() as conn:
        await leases.take(conn, ["relay/0"], "first", 60)
        await expire(conn, "relay/0")
        assert await leases.take(conn, ["relay/0"], "second", 60) == {"relay/0": 2}


async def test_a_released_lease_is_free_at_once_and_another_owners_is_left_alone(database: Database) -> None:
    async with database.acquire() as conn:
        await leases.take(conn, ["relay/0", "relay/1"], "first", 60)
        await leases.release(conn, ["relay/0"], "first")
        await leases.release(conn, ["relay/1"], "second")
        assert await leases.take(conn, ["relay/0", "relay/1"], "second", 60) == {"relay/0": 2}


async def test_a_holder_paused_past_its_lease_finds_that_it_holds_nothing(database: Database) -> None:
    async with database.acquire() as conn:
        mine = await leases.take(conn, ["relay/0", "relay/1"], "first", 60)
        await expire(conn, "relay/0")
        await leases.take(conn, ["relay/0"], "second", 60)
        async with conn.transaction():
            assert await leases.lock_held(conn, mine, "first") == {"relay/1"}


async def test_an_owner_that_took_its_lease_back_is_not_let_in_with_the_old_epoch(database: Database) -> None:
    async with database.acquire() as conn:
        old = await leases.take(conn, ["relay/0"], "first", 60)
        await leases.release(conn, ["relay/0"], "first")
        await leases.take(conn, ["relay/0"], "second", 60)
        await leases.release(conn, ["relay/0"], "second")
        new = await leases.take(conn, ["relay/0"], "first", 60)
        assert new["relay/0"] > old["relay/0"]
        assert await leases.lock_held(conn, old, "first") == set()
        assert await leases.lock_held(conn, new, "first") == {"relay/0"}


async def test_a_takeover_waits_for_a_transaction_that_writes_under_the_lease(database: Database) -> None:
    async with database.acquire() as holder, database.acquire() as taker, database.acquire() as watcher:
        mine = await leases.take(holder, ["relay/0"], "first", 60)
        taker_pid = await taker.fetchval("SELECT pg_backend_pid()")
        async with holder.transaction():
            await expire(holder, "relay/0")
            assert await leases.lock_held(holder, mine, "first") == {"relay/0"}
            taking = asyncio.ensure_future(leases.take(taker, ["relay/0"], "second", 60))
            while not await watcher.fetchval(
                "SELECT wait_event_type = 'Lock' FROM pg_stat_activity WHERE pid = $1", taker_pid
            ):
                assert not taking.done()
        assert await taking == {"relay/0": 2}


async def test_of_many_takers_at_once_exactly_one_gets_each_lease(database: Database) -> None:
    async def take(owner: str) -> dict[str, int]:
        async with database.acquire() as conn:
            return await leases.take(conn, [f"relay/{n}" for n in range(8)], owner, 60)

    taken = await asyncio.gather(*(take(f"owner {n}") for n in range(8)))
    assert sorted(name for part in taken for name in part) == [f"relay/{n}" for n in range(8)]
    assert {epoch for part in taken for epoch in part.values()} == {1}
