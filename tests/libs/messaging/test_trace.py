import json
from base64 import b64encode
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from uuid import uuid4

import pytest

from libs.events.envelope import Envelope, new_event_id
from libs.events.requests import RequestSubmitted
from libs.messaging.outbox import append
from libs.messaging.trace import MOST_STEPS, PARKED, READ, Step, find_steps, uuids_of
from libs.postgres import Database
from tests.support.databases import ServiceDatabase
from tests.support.plans import tables_read_whole

pytestmark = pytest.mark.db

PUT_LETTER = """
INSERT INTO dead_letters (id, consumer, topic, partition, record_offset, headers, record_hash, reason)
VALUES ($1, 'ingest', 'requests', 3, 42, $2, '', 'the body is no request')
"""
PARK = """
INSERT INTO parked (id, consumer, topic, key, partition, record_offset, headers, record_hash, event_id, type)
VALUES ($1, 'ingest', 'requests', 'object 1', 3, 42, '[]', '', 'e1', 'request.submitted.v1')
"""
MANY_PARKED = """
INSERT INTO parked (id, consumer, topic, key, partition, record_offset, headers, record_hash, event_id)
SELECT gen_random_uuid(), 'ingest', 'requests', 'k', 0, n, '[]', '', 'event ' || n FROM generate_series(1, $1::int) AS n
"""


@pytest.fixture
async def database(ingest_database: ServiceDatabase) -> AsyncIterator[Database]:
    made = await Database.connect(ingest_database.worker_dsn, role="worker", application_name="test")
    yield made
    await made.close()


async def steps_of(database: Database, *ids: str) -> list[Step]:
    async with database.acquire() as conn:
        return await find_steps(conn, "ingest", ids)


def test_only_whole_uuids_are_taken_for_one() -> None:
    known = uuid4()
    assert uuids_of([str(known), str(known).upper(), known.hex, "key 1", "x" * 36]) == [known, known]


async def test_an_event_that_was_read_is_known_by_its_id(database: Database) -> None:
    async with database.transaction() as conn:
        await conn.execute("INSERT INTO inbox VALUES ('ingest', 'crm', 'e1'), ('ingest', 'shop', 'e2')")
    (step,) = await steps_of(database, "e1", "e3")
    assert (step.kind, step.id, step.what, step.detail) == ("event", "e1", "event read by ingest", {"source": "crm"})


async def test_an_event_that_waits_for_kafka_is_known_by_itself_and_by_what_it_belongs_to(database: Database) -> None:
    cause = Envelope(
        id=new_event_id(), type="x.v1", source="crm", time=datetime.now(UTC), correlation_id="correlation 1"
    )
    async with database.transaction() as conn:
        event_id = await append(
            conn,
            topic="requests",
            key="object 1",
            event=RequestSubmitted(kind="api_request", org_id=uuid4(), payload={}),
            source="platformbus/ingest",
            subject="subject 1",
            causation=cause,
            idempotency_key="key 1",
        )
    for name in (event_id, cause.id, "correlation 1", "subject 1", "key 1"):
        (step,) = await steps_of(database, name)
        assert (step.kind, step.id) == ("event", event_id)
        assert step.what == "request.submitted.v1 waits for Kafka"
        assert step.caused_by == (f"event:{cause.id}", ":subject 1")
    assert await steps_of(database, "object 1") == []


async def test_a_dead_letter_is_known_by_its_id_and_by_the_ids_in_its_headers(database: Database) -> None:
    letter_id = uuid4()
    headers = [("ce_id", b"e1"), ("ce_correlationid", b"\xff"), ("ce_idempotencykey", b"key 1"), ("x", b"e2")]
    text = json.dumps([(name, b64encode(value).decode()) for name, value in headers])
    async with database.transaction() as conn:
        await conn.execute(PUT_LETTER, letter_id, text)
    for name in (str(letter_id), "e1", "key 1"):
        (step,) = await steps_of(database, name)
        assert (step.kind, step.id, step.what) == ("dead_letter", str(letter_id), "dead letter, open")
        assert (step.caused_by, step.follow) == (("event:e1",), ("e1",))
    assert await steps_of(database, "e2") == []
    async with database.transaction() as conn:
        await conn.execute("UPDATE dead_letters SET status = 'dropped', ended_at = now()")
    (step,) = await steps_of(database, str(letter_id))
    assert step.what == "dead letter, dropped"


async def test_a_parked_record_is_known_by_its_id_and_by_its_event(database: Database) -> None:
    parked_id = uuid4()
    async with database.transaction() as conn:
        await conn.execute(PARK, parked_id)
    for name in (str(parked_id), "e1"):
        (step,) = await steps_of(database, name)
        assert (step.kind, step.id, step.what) == ("parked", str(parked_id), "record parked, open")
        assert (step.caused_by, step.detail["key"]) == (("event:e1",), "object 1")


async def test_no_table_is_read_whole(database: Database) -> None:
    async with database.transaction() as conn:
        await conn.execute(MANY_PARKED, 5_000)
        assert await tables_read_whole(conn, PARKED, [uuid4()], ["e1"], MOST_STEPS) == set()


async def test_the_inbox_is_not_read_whole_though_the_source_is_not_asked_for(database: Database) -> None:
    async with database.transaction() as conn:
        await conn.execute(
            "INSERT INTO inbox SELECT 'ingest', 'source ' || n % 20, 'event ' || n FROM generate_series(1, 30000) AS n"
        )
        await conn.execute("SELECT 1")
        assert await tables_read_whole(conn, READ, "ingest", ["event 7"], MOST_STEPS) == set()
