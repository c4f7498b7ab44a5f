from collections.abc import AsyncIterator
from uuid import UUID, uuid4

import pytest

from libs.messaging.trace import MOST_STEPS, Step
from libs.postgres import Database
from services.webhook_receiver.store.trace import TRACE_CHANGES, TRACE_DELIVERIES, TRACE_PUBLICATIONS, find_steps
from tests.support.databases import ServiceDatabase
from tests.support.plans import LARGE_ROWS, tables_read_whole

pytestmark = pytest.mark.db

DELIVERY = """
INSERT INTO webhook_events (id, received_at, platform, app, headers, body_bytes, body_hash, shard, status,
    signature_valid, reason)
VALUES ($1, now(), 'meta', '1001', '{}', 7, '', 0, $2, $3, $4)
"""
CHANGE = """
INSERT INTO webhook_changes (event_id, position, received_at, external_event_id, object, field, change_type,
    account_type, account_id, status)
VALUES ($1, $2, now(), $3, 'page', 'leadgen', 'lead.created', 'page', '7', $4)
"""
KEY = """
INSERT INTO webhook_keys (org_id, platform, external_event_id, connection_id, event_id, position, outbox_event_id)
VALUES ($1, 'meta', $2, $3, $4, $5, $6)
"""
MANY_CHANGES = """
INSERT INTO webhook_changes (event_id, position, received_at, external_event_id, object, field, change_type,
    account_type, account_id, status)
SELECT gen_random_uuid(), 0, now(), 'key-' || n, 'page', 'feed', 'other', 'page', '7', 'processed'
FROM generate_series(1, $1::integer) AS n
"""
MANY_KEYS = """
INSERT INTO webhook_keys (org_id, platform, external_event_id, connection_id, event_id, position, outbox_event_id)
SELECT gen_random_uuid(), 'meta', external_event_id, gen_random_uuid(), event_id, position, gen_random_uuid()::text
FROM webhook_changes
"""
MANY_DELIVERIES = """
INSERT INTO webhook_events (id, received_at, platform, app, headers, body_bytes, body_hash, shard)
SELECT event_id, received_at, 'meta', '1001', '{}', 7, '', 0 FROM webhook_changes
"""


@pytest.fixture
async def database(webhook_receiver_database: ServiceDatabase) -> AsyncIterator[Database]:
    made = await Database.connect(webhook_receiver_database.worker_dsn, role="worker", application_name="test")
    yield made
    await made.close()


async def steps_of(database: Database, *ids: str) -> list[Step]:
    async with database.acquire() as conn:
        return await find_steps(conn, ids)


async def deliver(database: Database, *keys: str) -> UUID:
    """A delivery of one change per key, each published to one organization as `event of <key>`."""
    webhook_id = uuid4()
    async with database.transaction() as conn:
        await conn.execute(DELIVERY, webhook_id, "processed", True, None)
        for position, key in enumerate(keys):
            await conn.execute(CHANGE, webhook_id, position, key, "processed")
            await conn.execute(KEY, uuid4(), key, uuid4(), webhook_id, position, f"event of {key}")
    return webhook_id


async def test_a_delivery_shows_its_changes_and_who_got_them(database: Database) -> None:
    webhook_id = await deliver(database, "lead 1", "lead 2")
    came, first, second, *published = await steps_of(database, str(webhook_id))
    assert (came.kind, came.id, came.what) == ("webhook", str(webhook_id), "delivery stored")
    assert [change.id for change in (first, second)] == [f"{webhook_id}/0", f"{webhook_id}/1"]
    assert first.caused_by == (f"webhook:{webhook_id}",)
    assert {event.id: event.caused_by for event in published} == {
        "event of lead 1": (f"change:{webhook_id}/0",),
        "event of lead 2": (f"change:{webhook_id}/1",),
    }
    assert {other for event in published for other in event.follow} == {"event of lead 1", "event of lead 2"}


@pytest.mark.parametrize("name", ["event of lead 1", "lead 1"])
async def test_one_change_is_shown_without_the_others_of_its_delivery(database: Database, name: str) -> None:
    webhook_id = await deliver(database, "lead 1", "lead 2")
    steps = await steps_of(database, name)
    assert [(step.kind, step.id) for step in steps] == [
        ("webhook", str(webhook_id)),
        ("change", f"{webhook_id}/0"),
        ("event", "event of lead 1"),
    ]
    assert str(webhook_id) not in {other for step in steps for other in step.follow}
    assert await steps_of(database, "lead 3", str(uuid4())) == []


async def test_a_refused_delivery_is_shown_with_its_reason(database: Database) -> None:
    webhook_id = uuid4()
    async with database.transaction() as conn:
        await conn.execute(DELIVERY, webhook_id, "ignored", False, "signature_wrong")
    (step,) = await steps_of(database, str(webhook_id))
    assert (step.what, step.detail["reason"]) == ("delivery refused", "signature_wrong")


async def test_no_table_is_read_whole(database: Database) -> None:
    async with database.transaction() as conn:
        for statement in (MANY_CHANGES, MANY_KEYS, MANY_DELIVERIES):
            await conn.execute(statement, *([4 * LARGE_ROWS] if statement is MANY_CHANGES else []))
        webhook_id = await conn.fetchval("SELECT event_id FROM webhook_changes LIMIT 1")
        read = await tables_read_whole(conn, TRACE_CHANGES, [webhook_id], ["key-7", "an event"], MOST_STEPS)
        read |= await tables_read_whole(conn, TRACE_DELIVERIES, [webhook_id], MOST_STEPS)
        read |= await tables_read_whole(conn, TRACE_PUBLICATIONS, [webhook_id], MOST_STEPS)
    assert {name for name in read if "default" not in name} == set()
