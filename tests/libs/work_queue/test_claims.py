"""Claims: each row to one worker at a time, fenced, and back again after a crash in any gap."""

import asyncio
import json
import random
from collections.abc import AsyncIterator
from dataclasses import replace
from uuid import UUID, uuid4

import asyncpg
import pytest

from libs.postgres import Connection, Database
from libs.work_queue import (
    Held,
    QueueTable,
    backoff_seconds,
    claim,
    claim_statement,
    fail,
    finish,
    give_back,
    keep,
    lock_held,
    redrive,
    retry,
)
from tests.support.databases import TestDatabase

QUEUE = QueueTable("work")
CREATE_WORK = """
CREATE TABLE work (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    lane text NOT NULL DEFAULT 'a',
    status text NOT NULL DEFAULT 'queued',
    priority smallint NOT NULL DEFAULT 5,
    due_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    locked_by text,
    locked_until timestamptz,
    lease_epoch bigint NOT NULL DEFAULT 0,
    attempts integer NOT NULL DEFAULT 0,
    max_attempts integer NOT NULL DEFAULT 3,
    last_error text
);
CREATE INDEX work_waiting ON work (priority, due_at, id) WHERE status = 'queued';
CREATE INDEX work_running ON work (locked_until) WHERE status = 'running';
"""

db = pytest.mark.db


@pytest.fixture
async def database(empty_database: TestDatabase) -> AsyncIterator[Database]:
    owner = await asyncpg.connect(empty_database.dsn("ingest", "owner"))
    await owner.execute(CREATE_WORK)
    await owner.close()
    made = await Database.connect(empty_database.dsn("ingest", "worker"), role="worker", application_name="test")
    yield made
    await made.close()


@pytest.fixture
async def conn(database: Database) -> AsyncIterator[Connection]:
    async with database.acquire() as connection:
        yield connection


async def add(conn: Connection, count: int = 1, **columns: object) -> list[UUID]:
    names = ", ".join(columns)
    values = ", ".join(f"${n}" for n in range(2, len(columns) + 2))
    rows = await conn.fetch(
        f"INSERT INTO work ({names or 'lane'}) SELECT {values or repr('a')} FROM generate_series(1, $1::integer)"
        " RETURNING id",
        count,
        *columns.values(),
    )
    return [row["id"] for row in rows]


async def take(conn: Connection, worker: str = "one", limit: int = 10) -> list[Held]:
    return [claimed.held for claimed in await claim(conn, QUEUE, worker, limit=limit, lease_seconds=60)]


async def state(conn: Connection, row_id: UUID | int) -> tuple[str, int, int]:
    row = await conn.fetchrow("SELECT status, attempts, lease_epoch FROM work WHERE id = $1", row_id)
    assert row is not None
    return row["status"], row["attempts"], row["lease_epoch"]


async def expire_leases(conn: Connection) -> None:
    await conn.execute("UPDATE work SET locked_until = clock_timestamp() - interval '1 ms' WHERE status = 'running'")


@db
async def test_what_is_due_is_claimed_by_priority_then_age(conn: Connection) -> None:
    late, *_ = await add(conn, priority=9)
    first, *_ = await add(conn, priority=1)
    second, *_ = await add(conn, priority=5)
    await conn.execute("INSERT INTO work (due_at, priority) VALUES (clock_timestamp() + interval '1 h', 1)")
    assert [held.id for held in await take(conn, limit=1)] == [first]
    assert [held.id for held in await take(conn, limit=1)] == [second]
    assert [held.id for held in await take(conn)] == [late]
    assert await take(conn) == []


@db
async def test_many_workers_at_once_never_share_a_row_nor_exceed_their_limit(database: Database) -> None:
    async with database.acquire() as conn:
        ids = await add(conn, 300)

    async def work(name: str) -> list[Held]:
        mine: list[Held] = []
        async with database.acquire() as conn:
            while taken := await take(conn, name, limit=7):
                assert len(taken) <= 7
                mine += taken
        return mine

    taken = [held.id for part in await asyncio.gather(*(work(f"worker {n}") for n in range(8))) for held in part]
    assert len(taken) == len(set(taken)) == 300
    assert set(taken) == set(ids)


@db
async def test_a_row_that_another_transaction_has_locked_is_passed_over(database: Database) -> None:
    async with database.transaction() as locker, database.acquire() as conn:
        blocked, free = await add(conn, 2)
        await locker.execute("SELECT 1 FROM work WHERE id = $1 FOR UPDATE", blocked)
        assert [held.id for held in await take(conn)] == [free]


@db
async def test_a_crash_before_the_claim_commits_leaves_the_row_untouched(database: Database) -> None:
    async with database.acquire() as conn:
        (row_id,) = await add(conn)
        with pytest.raises(ConnectionAbortedError):
            async with database.transaction() as dying:
                assert len(await take(dying)) == 1
                raise ConnectionAbortedError
        assert await state(conn, row_id) == ("queued", 0, 0)
        assert len(await take(conn, "two")) == 1


@db
async def test_a_crash_after_the_claim_brings_the_row_back_when_the_lease_ends(conn: Connection) -> None:
    (row_id,) = await add(conn)
    assert len(await take(conn, "dead")) == 1
    assert await take(conn, "two") == [], "the lease still runs"
    await expire_leases(conn)
    (held,) = await take(conn, "two")
    assert held == Held(row_id, 2)
    assert await state(conn, row_id) == ("running", 2, 2)


@db
async def test_a_crash_before_the_end_commits_brings_the_row_back_with_nothing_half_done(database: Database) -> None:
    async with database.acquire() as conn:
        (row_id,) = await add(conn)
        held = await take(conn, "dead")
        with pytest.raises(ConnectionAbortedError):
            async with database.transaction() as dying:
                assert await finish(dying, QUEUE, held) == {row_id}
                raise ConnectionAbortedError
        await expire_leases(conn)
        assert await take(conn, "two") == [Held(row_id, 2)]


@db
async def test_a_finished_row_is_never_claimed_again(conn: Connection) -> None:
    (row_id,) = await add(conn)
    held = await take(conn)
    assert await finish(conn, QUEUE, held) == {row_id}
    await expire_leases(conn)
    assert await take(conn, "two") == []
    assert await finish(conn, QUEUE, held) == set(), "a second end changes nothing"
    assert await state(conn, row_id) == ("completed", 1, 1)


@db
async def test_a_worker_paused_past_its_lease_can_end_nothing_that_another_claimed(conn: Connection) -> None:
    (row_id,) = await add(conn)
    old = await take(conn, "paused")
    await expire_leases(conn)
    new = await take(conn, "two")
    assert await keep(conn, QUEUE, old, lease_seconds=60) == set()
    assert await lock_held(conn, QUEUE, old) == set()
    assert await finish(conn, QUEUE, old) == set()
    assert await fail(conn, QUEUE, old, error="no") == set()
    assert await retry(conn, QUEUE, old, error="no", delay_seconds=0) == set()
    assert await give_back(conn, QUEUE, old) == set()
    assert await state(conn, row_id) == ("running", 2, 2)
    assert await finish(conn, QUEUE, new) == {row_id}
    assert await finish(conn, QUEUE, old) == set()


@db
async def test_the_same_worker_name_does_not_pass_the_fence_either(conn: Connection) -> None:
    await add(conn)
    old = await take(conn, "one")
    await expire_leases(conn)
    await take(conn, "one")
    assert await finish(conn, QUEUE, old) == set()


@db
async def test_a_late_worker_may_still_end_a_row_that_nobody_took(conn: Connection) -> None:
    (row_id,) = await add(conn)
    held = await take(conn)
    await expire_leases(conn)
    assert await finish(conn, QUEUE, held) == {row_id}


@db
async def test_keeping_a_lease_moves_its_end(conn: Connection) -> None:
    await add(conn, 3)
    held = await take(conn)
    await expire_leases(conn)
    assert await keep(conn, QUEUE, held[:2], lease_seconds=60) == {held[0].id, held[1].id}
    assert [one.id for one in await take(conn, "two")] == [held[2].id]


@db
async def test_a_retried_row_waits_for_its_delay_and_counts_its_tries(conn: Connection) -> None:
    (row_id,) = await add(conn)
    held = await take(conn)
    assert await retry(conn, QUEUE, held, error="throttled", delay_seconds=3600) == {row_id}
    assert await state(conn, row_id) == ("queued", 1, 1)
    assert await conn.fetchval("SELECT last_error FROM work") == "throttled"
    assert await take(conn) == []
    await conn.execute("UPDATE work SET due_at = clock_timestamp()")
    (again,) = await claim(conn, QUEUE, "one", limit=1, lease_seconds=60)
    assert (again.attempts, again.held.epoch, again.last_try, again.exhausted) == (2, 2, False, False)


@db
async def test_a_row_whose_workers_always_die_is_handed_out_as_exhausted(conn: Connection) -> None:
    (row_id,) = await add(conn, max_attempts=2)
    seen = []
    for _ in range(3):
        (claimed,) = await claim(conn, QUEUE, "dies", limit=1, lease_seconds=60)
        seen.append((claimed.last_try, claimed.exhausted))
        await expire_leases(conn)
    assert seen == [(False, False), (True, False), (True, True)]
    assert await fail(conn, QUEUE, [claimed.held], error="its workers died") == {row_id}
    assert await state(conn, row_id) == ("failed", 3, 3)


@db
async def test_a_redriven_row_has_all_its_tries_again_and_a_higher_epoch(conn: Connection) -> None:
    (row_id,) = await add(conn, max_attempts=1)
    await fail(conn, QUEUE, await take(conn), error="no")
    assert await redrive(conn, QUEUE, [row_id]) == {row_id}
    assert await redrive(conn, QUEUE, [row_id]) == set()
    (again,) = await claim(conn, QUEUE, "one", limit=1, lease_seconds=60)
    assert (again.attempts, again.held.epoch, again.exhausted) == (1, 2, False)


@db
async def test_what_is_given_back_does_not_count_as_tried(conn: Connection) -> None:
    (row_id,) = await add(conn)
    assert await give_back(conn, QUEUE, await take(conn)) == {row_id}
    assert await state(conn, row_id) == ("queued", 0, 1)
    assert await give_back(conn, QUEUE, await take(conn), delay_seconds=60) == {row_id}
    assert await take(conn) == []


@db
async def test_the_fence_and_the_services_own_rows_share_one_transaction(database: Database) -> None:
    async with database.acquire() as conn:
        await add(conn, 2)
        held = await take(conn)
        await expire_leases(conn)
        async with database.transaction() as recording:
            assert await lock_held(recording, QUEUE, held) == {one.id for one in held}
            assert await take(conn, "two") == [], "locked rows are passed over until the record commits"
            await finish(recording, QUEUE, held)
        assert await take(conn, "two") == []


@db
async def test_a_service_chooses_its_own_rows_and_the_lease_stays_the_same(conn: Connection) -> None:
    """As the batcher does: the most urgent rows of one lane, filled up with some that are not due yet."""
    statement = claim_statement(QUEUE, where="q.lane = $4", due="true", returning=("lane", "due_at"))
    await add(conn, 2, lane="a")
    await conn.execute("INSERT INTO work (lane, due_at) VALUES ('a', clock_timestamp() + interval '1 h')")
    await add(conn, 3, lane="b")
    rows = await claim(conn, QUEUE, "one", limit=10, lease_seconds=60, statement=statement, args=("a",))
    assert [claimed.row["lane"] for claimed in rows] == ["a", "a", "a"]
    assert await finish(conn, QUEUE, [claimed.held for claimed in rows]) == {claimed.held.id for claimed in rows}
    assert {held.epoch for held in await take(conn, "two")} == {1}


@db
async def test_expired_leases_come_before_what_waits_and_share_the_limit(conn: Connection) -> None:
    lost = [held.id for held in await take_after_adding(conn, 2)]
    await expire_leases(conn)
    await add(conn, 5)
    taken = [held.id for held in await take(conn, "two", limit=3)]
    assert len(taken) == 3
    assert set(lost) <= set(taken)


async def take_after_adding(conn: Connection, count: int) -> list[Held]:
    await add(conn, count)
    return await take(conn, "dead")


@db
async def test_a_claim_reads_the_partial_indexes_and_not_the_whole_table(
    database: Database, empty_database: TestDatabase
) -> None:
    owner = await asyncpg.connect(empty_database.dsn("ingest", "owner"))
    await owner.execute(
        "INSERT INTO work (status, due_at) SELECT CASE WHEN n % 100 = 0 THEN 'queued' ELSE 'completed' END,"
        " clock_timestamp() - n * interval '1 s' FROM generate_series(1, 20000) AS n"
    )
    await owner.execute("ANALYZE work")
    await owner.close()
    async with database.transaction() as conn:
        plan = json.loads(await conn.fetchval("EXPLAIN (FORMAT json) " + claim_statement(QUEUE), "one", 10, 60.0))
    text = json.dumps(plan)
    assert "work_waiting" in text
    assert "work_running" in text
    assert "Seq Scan" not in text


@db
async def test_numbers_serve_as_ids_too(database: Database, empty_database: TestDatabase) -> None:
    owner = await asyncpg.connect(empty_database.dsn("ingest", "owner"))
    await owner.execute(
        CREATE_WORK.replace("work", "numbered").replace(
            "uuid PRIMARY KEY DEFAULT gen_random_uuid()", "bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY"
        )
    )
    await owner.close()
    queue = replace(QUEUE, table="numbered", id_type="bigint")
    async with database.acquire() as conn:
        await conn.execute("INSERT INTO numbered (lane) SELECT 'a' FROM generate_series(1, 12)")
        held = [claimed.held for claimed in await claim(conn, queue, "one", limit=12, lease_seconds=60)]
        assert await finish(conn, queue, held) == set(range(1, 13))


@pytest.mark.parametrize("name", ["work; DROP TABLE work", "Work", "w'ork", "", "id DESC; DROP TABLE work"])
def test_a_queue_lets_only_plain_names_into_its_sql(name: str) -> None:
    with pytest.raises(ValueError, match="not a plain name"):
        QueueTable(name)
    with pytest.raises(ValueError, match="not a plain"):
        QueueTable("work", order_by=f"priority, {name}")


def test_backoff_doubles_up_to_the_cap_and_is_spread() -> None:
    rng = random.Random(1)
    for attempts, whole in ((1, 2.0), (2, 4.0), (3, 8.0), (10, 60.0), (10_000, 60.0)):
        waits = [backoff_seconds(attempts, base_seconds=2, cap_seconds=60, rng=rng) for _ in range(200)]
        assert whole / 2 <= min(waits) < max(waits) <= whole
        assert max(waits) - min(waits) > whole / 4


def test_ids_that_were_never_claimed_are_not_held() -> None:
    assert Held(uuid4(), 1) != Held(uuid4(), 1)
