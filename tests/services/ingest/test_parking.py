"""A request whose row cannot be written is parked, and holds up nobody but its own producer's object."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from uuid import uuid4

import asyncpg
import pytest

from libs.events.envelope import Envelope
from libs.events.requests import RequestSubmitted
from libs.events.topics import topic as declared
from libs.messaging.consumer import Consumer
from services.ingest.handlers import routes
from tests.support.bus import Headers, kafka_settings, lookup, publish, running, until
from tests.support.databases import Databases
from tests.support.ingest import DEPS, SOURCE, Ingest, IngestServer, an_ingest_server
from tests.support.parking import QUICK
from tests.support.topics import Topics

pytestmark = [pytest.mark.db, pytest.mark.kafka]

BREAK = "ALTER TABLE ingest.requests ADD CONSTRAINT broken CHECK (source <> 'stranger')"
MEND = "ALTER TABLE ingest.requests DROP CONSTRAINT broken"
BY_SOURCE = "SELECT source, idempotency_key FROM requests ORDER BY received_at"


@pytest.fixture
async def server(databases: Databases) -> AsyncIterator[IngestServer]:
    async with an_ingest_server(databases) as made:
        yield made


def asked(ingest: Ingest, name: str, *, source: str) -> tuple[bytes, bytes, Headers]:
    event = RequestSubmitted(kind="api_request", org_id=ingest.org_id, payload=ingest.payload())
    envelope = Envelope(id=name, type=RequestSubmitted.event_type, source=source, time=datetime.now(UTC))
    return b"campaign-1", event.model_dump_json().encode(), list(envelope.to_headers())


async def test_a_parked_request_blocks_its_own_producers_object_only(server: IngestServer, topics: Topics) -> None:
    ingest = await server.fresh()
    topic = replace(declared("requests"), name=await topics.create("requests"))
    (route,) = [replace(route, topic=topic.name) for route in routes(DEPS) if route.topic == "requests"]
    consumer = Consumer(
        service="ingest",
        database=ingest.worker,
        kafka=kafka_settings(topics.bootstrap),
        routes=[route],
        group_id=f"ingest-{uuid4()}",
        declarations=lookup(topic),
        options=QUICK,
    )
    admin = await asyncpg.connect(server.admin_dsn)
    await admin.execute(BREAK)
    records = [("s1", "stranger"), ("m1", SOURCE), ("s2", "stranger"), ("m2", SOURCE)]
    await publish(topics.bootstrap, topic.name, [asked(ingest, name, source=source) for name, source in records])

    async def requests(count: int) -> None:
        async def enough() -> bool:
            return len(await ingest.rows(BY_SOURCE)) >= count

        await until(enough, f"{count} requests")

    async with running(consumer):
        await requests(2)
        assert [row["source"] for row in await ingest.rows(BY_SOURCE)] == [SOURCE, SOURCE]
        keys = await ingest.rows("SELECT key FROM parked_keys")
        assert [row["key"] for row in keys] == [f"{ingest.org_id}/stranger/campaign-1"]
        parked = await ingest.rows("SELECT event_id, error FROM parked ORDER BY seq")
        assert [row["event_id"] for row in parked] == ["s1", "s2"]
        assert "broken" in parked[0]["error"]
        await admin.execute(MEND)
        await requests(4)
    await admin.close()
    answers = await ingest.outbox("ingest.accepted")
    assert [answer["causation_id"] for answer in answers] == ["m1", "m2", "s1", "s2"]
    assert await ingest.rows("SELECT key FROM parked_keys") == []
