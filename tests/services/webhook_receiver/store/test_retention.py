"""Months are made ahead and dropped, what is old goes, keys outlive deliveries; and roles can do no more than that."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import asyncpg
import pytest

from services.webhook_receiver.handlers import daily_months, every_minute_sweep, make_months
from services.webhook_receiver.store import retention
from services.webhook_receiver.usecases import keeping
from tests.support.databases import ServiceDatabase
from tests.support.webhook_receiver import Bench, bench, change, held

pytestmark = pytest.mark.db

OURS = uuid4()
MONTHS = """
SELECT child.relname AS name FROM pg_inherits JOIN pg_class AS child ON child.oid = inhrelid
WHERE inhparent = 'webhook_events'::regclass AND child.relkind = 'r' ORDER BY child.relname
"""


@pytest.fixture
async def receiver(webhook_receiver_database: ServiceDatabase, tmp_path: Path) -> AsyncIterator[Bench]:
    async with bench(webhook_receiver_database, tmp_path) as made:
        yield made


@pytest.fixture
async def owner(webhook_receiver_database: ServiceDatabase) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(webhook_receiver_database.owner_dsn)
    yield connection
    await connection.close()


async def age(receiver: Bench, delivery_id: UUID, days: float) -> UUID:
    """Let a delivery, its changes and its publications have come so many days earlier; gives its new id."""
    at = datetime.now(UTC) - timedelta(days=days)
    older = UUID(int=(int(at.timestamp() * 1_000) << 80) | (delivery_id.int & ((1 << 80) - 1)))
    await receiver.run("UPDATE webhook_events SET id = $2, received_at = $3 WHERE id = $1", delivery_id, older, at)
    await receiver.run(
        "UPDATE webhook_changes SET event_id = $2, received_at = $3 WHERE event_id = $1", delivery_id, older, at
    )
    await receiver.run(
        "UPDATE webhook_keys SET event_id = $2, published_at = $3 WHERE event_id = $1", delivery_id, older, at
    )
    return older


async def months(receiver: Bench) -> list[str]:
    return [row["name"] for row in await receiver.rows(MONTHS)]


async def test_this_month_and_two_more_are_there_from_the_start(receiver: Bench) -> None:
    first = datetime.now(UTC).replace(day=1)
    wanted = [f"webhook_events_{first + timedelta(days=31 * ahead):%Y%m}" for ahead in range(3)]
    assert await months(receiver) == [*wanted, "webhook_events_default"]
    delivery_id = await receiver.receive(change("a"))
    (row,) = await receiver.rows(
        "SELECT tableoid::regclass::text AS name FROM webhook_events WHERE id = $1", delivery_id
    )
    assert row["name"] == wanted[0]


async def test_what_is_older_than_it_is_kept_goes_in_portions_and_its_keys_stay_longer(
    receiver: Bench,
) -> None:
    await receiver.connect(OURS)
    kept = await receiver.receive(change("new"))
    received = [await receiver.receive(change(f"a{number}")) for number in range(5)]
    await receiver.work()
    for delivery_id in received[:3]:
        await age(receiver, delivery_id, 31)
    for delivery_id in received[3:]:
        await age(receiver, delivery_id, 39)
    counts = await daily_months(30.0, receiver.database)
    assert (counts["deliveries"], counts["changes"], counts["keys"]) == (5, 5, 2)
    assert [row["id"] for row in await receiver.rows("SELECT id FROM webhook_events")] == [kept]
    repeated = await receiver.receive(change("a0"))
    await receiver.work()
    assert await receiver.status(repeated) == "duplicate", "a platform may deliver again what is not kept any more"
    assert (await daily_months(30.0, receiver.database))["deliveries"] == 0


async def test_what_waits_to_be_processed_is_kept_however_old_it_is(receiver: Bench, owner: asyncpg.Connection) -> None:
    await receiver.connect(OURS)
    await owner.execute(
        "CREATE TABLE webhook_events_202001 PARTITION OF webhook_events"
        " FOR VALUES FROM ('2020-01-01Z') TO ('2020-02-01Z')"
    )
    january = (datetime.now(UTC) - datetime(2020, 1, 15, tzinfo=UTC)).days
    await age(receiver, await receiver.receive({"raise": "a bug"}), 32)
    await receiver.work()
    waiting = [await age(receiver, await receiver.receive(change(f"{days}")), days) for days in (january, 31)]
    counts = await daily_months(30.0, receiver.database)
    assert (counts["deliveries"], counts["partitions_dropped"]) == (0, 0)
    await receiver.work()
    assert [await receiver.status(each) for each in waiting] == ["processed", "processed"]
    counts = await daily_months(30.0, receiver.database)
    assert (counts["deliveries"], counts["partitions_dropped"]) == (2, 1)
    assert [row["status"] for row in await receiver.rows("SELECT status FROM webhook_events")] == ["failed"]


async def test_one_that_waits_among_the_oldest_does_not_end_the_run(receiver: Bench) -> None:
    await receiver.connect(OURS)
    waiting = await age(receiver, await receiver.receive(change("waits")), 40)
    await receiver.run(
        "INSERT INTO webhook_events (id, received_at, platform, app, headers, body_bytes, body_hash, shard, status)"
        " SELECT uuidv7(-make_interval(days => 35, secs => -number)), now() - make_interval(days => 35), 'meta', '1',"
        " '{}', 0, '', 0, 'processed' FROM generate_series(1, $1) AS number",
        2 * retention.AT_ONCE,
    )
    assert (await daily_months(30.0, receiver.database))["deliveries"] == 2 * retention.AT_ONCE
    assert [row["id"] for row in await receiver.rows("SELECT id FROM webhook_events")] == [waiting]


async def test_a_month_that_is_over_is_dropped_and_one_that_is_not_never(
    receiver: Bench, owner: asyncpg.Connection
) -> None:
    for table in ("webhook_events", "webhook_changes"):
        await owner.execute(
            f"CREATE TABLE {table}_202001 PARTITION OF {table} FOR VALUES FROM ('2020-01-01Z') TO ('2020-02-01Z')"
        )
    before = await months(receiver)
    assert (await daily_months(30.0, receiver.database))["partitions_dropped"] == 2
    assert await months(receiver) == [name for name in before if name != "webhook_events_202001"]
    async with receiver.database.transaction() as conn:
        assert await retention.drop_partitions(conn, 2 * 86_400.0) == 0


async def test_deliveries_that_came_before_their_month_existed_move_into_it(
    receiver: Bench, owner: asyncpg.Connection
) -> None:
    await receiver.connect(OURS)
    name = (await months(receiver))[0]
    for table in (name, name.replace("events", "changes")):
        await owner.execute(f"DROP TABLE {table}")
    strays = [await receiver.receive(change(f"a{number}")) for number in range(3)]
    assert await receiver.work() == 3
    async with receiver.database.transaction() as conn:
        assert (await keeping.measure(conn)).default_partition_rows == 6
    assert (await daily_months(30.0, receiver.database))["partitions_made"] == 2
    async with receiver.database.transaction() as conn:
        assert (await keeping.measure(conn)).default_partition_rows == 0
    for delivery_id in strays:
        assert await receiver.changes(delivery_id) != []
    assert [row["seq"] for row in await receiver.rows("SELECT seq FROM webhook_events ORDER BY seq")] == [1, 2, 3]
    await receiver.receive(change("b"))
    await receiver.work()
    assert await receiver.keys_published() == ["a0", "a1", "a2", "b"]


async def test_a_month_that_cannot_be_had_at_once_makes_nobody_wait_behind_it(
    receiver: Bench, owner: asyncpg.Connection
) -> None:
    for table in ("webhook_events", "webhook_changes"):
        await owner.execute(
            f"CREATE TABLE {table}_202001 PARTITION OF {table} FOR VALUES FROM ('2020-01-01Z') TO ('2020-02-01Z')"
        )
    async with held(receiver.dsns.worker_dsn, "SELECT count(*) FROM webhook_events"):
        dropping = asyncio.create_task(daily_months(30.0, receiver.database))
        for number in range(50):
            await asyncio.wait_for(receiver.receive(change(f"{number}")), 2.5)  # the api role gives up after 3 s
        assert not dropping.done()
    assert (await asyncio.wait_for(dropping, 60))["partitions_dropped"] == 2


async def test_a_service_starts_though_its_months_cannot_be_made(receiver: Bench, owner: asyncpg.Connection) -> None:
    name = (await months(receiver))[0]
    await owner.execute(f"DROP TABLE {name}")
    async with held(receiver.dsns.worker_dsn, "SELECT count(*) FROM webhook_events"):
        await asyncio.wait_for(make_months(receiver.database), 10)
    assert name not in await months(receiver)
    await make_months(receiver.database)
    assert name in await months(receiver)


@pytest.mark.parametrize(
    "call",
    [
        "make_webhook_partitions(25)",
        "make_webhook_partitions(-1)",
        "make_webhook_partitions(NULL)",
        "drop_webhook_partitions(now())",
        "drop_webhook_partitions(now() + interval '1 year')",
        "drop_webhook_partitions(NULL)",
    ],
)
async def test_the_owners_functions_refuse_what_no_job_asks(receiver: Bench, call: str) -> None:
    with pytest.raises(asyncpg.InvalidParameterValueError):
        await receiver.rows(f"SELECT {call}")


async def test_a_worker_makes_and_drops_months_only_by_the_owners_functions(receiver: Bench) -> None:
    name = (await months(receiver))[0]
    for attempt in (
        f"DROP TABLE {name}",
        f"TRUNCATE {name}",
        f"ALTER TABLE webhook_events DETACH PARTITION {name}",
        "CREATE TABLE webhook_events_209901 PARTITION OF webhook_events DEFAULT",
        "UPDATE audit_log SET action = 'nothing'",
        "DELETE FROM audit_log",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await receiver.run(attempt)


async def test_the_edges_role_puts_deliveries_in_and_reads_nothing_at_all(
    receiver: Bench, webhook_receiver_database: ServiceDatabase
) -> None:
    await receiver.connect(OURS)
    await receiver.receive(change("a"))
    await receiver.work()
    api = await asyncpg.connect(webhook_receiver_database.api_dsn)
    tables = await receiver.rows(
        "SELECT relname FROM pg_class WHERE relnamespace = 'webhooks'::regnamespace AND relkind IN ('r', 'p')"
    )
    for name in {row["relname"] for row in tables} - {"outbox", "schema_migrations"}:
        for statement in (f"SELECT FROM {name}", f"DELETE FROM {name}"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await api.execute(statement)
    for call in ("make_webhook_partitions(1)", "drop_webhook_partitions(now() - interval '2 years')"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await api.execute(f"SELECT {call}")
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await api.execute("UPDATE webhook_events SET status = 'received'")
    with pytest.raises(asyncpg.CheckViolationError):  # what was not signed can never come to be processed
        await api.execute(
            "INSERT INTO webhook_events (id, received_at, platform, app, headers, body_bytes, body_hash, shard,"
            " signature_valid) VALUES (uuidv7(), now(), 'meta', '1', '{}', 0, '', 0, false)"
        )
    await api.close()


async def test_what_waits_is_measured(receiver: Bench) -> None:
    await receiver.receive(body=b"{}")
    await receiver.receive({"raise": "a bug"})
    await receiver.work()
    waiting = await receiver.receive(change("a"))
    await age(receiver, waiting, 0.5)
    async with receiver.database.transaction() as conn:
        state = await keeping.measure(conn)
    assert state.rows_by_status == {"received": 1, "processing": 0, "retrying": 1, "failed": 1}
    assert 43_000 < state.oldest_age_seconds < 44_000
    await receiver.work()
    async with receiver.database.transaction() as conn:
        assert (await keeping.measure(conn)).oldest_age_seconds == 0.0


async def test_the_minute_job_processes_what_is_left_and_leaves_alone_what_somebody_works_on(receiver: Bench) -> None:
    await receiver.connect(OURS)
    await age(receiver, await receiver.receive(change("a")), 0.01)
    await receiver.receive(change("b"))
    assert await every_minute_sweep(receiver.deps, receiver.database) == {"left": 1, "handled": 2}
    assert await receiver.keys_published() == ["a", "b"]
    assert await receiver.work() == 0  # takes the shards: the job gave them back
    await receiver.receive(change("c"))
    assert await every_minute_sweep(receiver.deps, receiver.database) == {"left": 0, "handled": 0}
    assert await receiver.work() == 1
