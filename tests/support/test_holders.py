"""Who holds a lease, as the database knows it."""

import asyncpg
import pytest

from libs.postgres.leases import release, take
from tests.support.databases import ServiceDatabase
from tests.support.holders import Holding, Lease, find_holding, is_taken, leases_of

pytestmark = pytest.mark.db

LEASE = Lease(("one", "two"), 60.0, leases_of("ingest", "relay"))
PIDS = {"one": 101, "two": 102}
FIRST, SECOND, ANOTHER = (f"ingest-some-host-{pid}-0123abcd" for pid in (101, 102, 103))


async def test_the_holder_is_the_process_whose_pid_the_owners_name_has(ingest_database: ServiceDatabase) -> None:
    conn = await asyncpg.connect(ingest_database.worker_dsn)
    try:
        assert await find_holding(conn.fetch, LEASE, lambda: PIDS) is None
        await take(conn, ["relay/0", "relay/1"], SECOND, 60)
        await take(conn, ["relay/2"], FIRST, 60)
        await take(conn, ["other/0", "other/1", "other/2"], FIRST, 60)
        held = await find_holding(conn.fetch, LEASE, lambda: PIDS)
        assert held == Holding("two", {"relay/0": 1, "relay/1": 1})
        assert await find_holding(conn.fetch, LEASE, lambda: {"one": None, "two": 999}) is None
    finally:
        await conn.close()


async def test_a_lease_that_ran_out_or_was_given_back_is_held_by_nobody(ingest_database: ServiceDatabase) -> None:
    conn = await asyncpg.connect(ingest_database.worker_dsn)
    try:
        await take(conn, ["relay/0"], FIRST, 0)
        await take(conn, ["relay/1"], FIRST, 60)
        await release(conn, ["relay/1"], FIRST)
        assert await find_holding(conn.fetch, LEASE, lambda: PIDS) is None
    finally:
        await conn.close()


async def test_a_lease_is_taken_when_another_owner_has_it_and_not_when_it_is_renewed(
    ingest_database: ServiceDatabase,
) -> None:
    conn = await asyncpg.connect(ingest_database.worker_dsn)
    try:
        await take(conn, ["relay/0", "relay/1"], FIRST, 0)
        await take(conn, ["relay/0", "relay/1"], FIRST, 60)
        held = await find_holding(conn.fetch, LEASE, lambda: PIDS)
        assert held is not None
        await take(conn, ["relay/0"], FIRST, 0)
        assert not await is_taken(conn.fetch, LEASE, held)
        await take(conn, ["relay/0"], ANOTHER, 60)
        assert await is_taken(conn.fetch, LEASE, held)
    finally:
        await conn.close()
