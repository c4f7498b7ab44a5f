from collections.abc import AsyncIterator
from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest

from libs.messaging.trace import MOST_STEPS, Step
from libs.vocabulary import RequestId
from services.ingest.models import Accepted, Ask
from services.ingest.store.trace import TRACE_REQUESTS, TRACE_WEBHOOKS, find_steps
from services.ingest.usecases.requests import admit_requests
from tests.support.databases import Databases
from tests.support.ingest import PLATFORMS, Ingest, IngestServer, an_ingest_server
from tests.support.plans import LARGE_ROWS, tables_read_whole

pytestmark = pytest.mark.db

WHEN = datetime(2026, 1, 2, tzinfo=UTC)
MANY = """
INSERT INTO requests (request_id, org_id, source, idempotency_key, content_hash, kind, object_key, via, event_id,
    correlation_id, status)
SELECT uuidv7(), $1, 'crm', 'key-' || n, '', 'api_request', 'o', 'kafka', 'event-' || n, 'correlation-' || n % 100,
    'accepted'
FROM generate_series(1, $2::integer) AS n
"""
MANY_WEBHOOKS = """
INSERT INTO webhooks (event_id, org_id, connection_id, platform, app, object, field, change_type, account_type,
    account_id, external_event_id, webhook_id, position, received_at, value)
SELECT 'many-' || n, $1, gen_random_uuid(), 'meta', '1001', 'page', 'leadgen', 'lead.created', 'page', '7', 'lead',
    gen_random_uuid(), 0, now(), '{}'
FROM generate_series(1, $2::integer) AS n
"""
KEEP_WEBHOOK = f"""
WITH read AS (
    INSERT INTO inbox VALUES ('ingest', 'platformbus/webhook_receiver', 'event 1', '{WHEN.isoformat()}')
)
INSERT INTO webhooks (event_id, org_id, connection_id, platform, app, object, field, change_type, account_type,
    account_id, external_event_id, webhook_id, position, received_at, value)
VALUES ('event 1', $1, gen_random_uuid(), 'meta', '1001', 'page', 'leadgen', 'lead.created', 'page', '7', 'lead 1', $2,
    0, now(), '{{}}')
"""


@pytest.fixture(scope="module")
async def server(databases: Databases) -> AsyncIterator[IngestServer]:
    async with an_ingest_server(databases) as made:
        yield made


@pytest.fixture
async def ingest(server: IngestServer) -> Ingest:
    return await server.fresh()


async def accept(ingest: Ingest, ask: Ask) -> RequestId:
    async with ingest.worker.transaction() as conn:
        (decision,) = await admit_requests(conn, [ask], PLATFORMS)
    assert isinstance(decision, Accepted)
    return decision.request_id


async def steps_of(ingest: Ingest, *ids: str) -> list[Step]:
    async with ingest.worker.acquire() as conn:
        return await find_steps(conn, ids)


async def test_a_request_is_found_by_each_of_its_ids(ingest: Ingest) -> None:
    ask = ingest.ask("key 1")
    request_id = await accept(ingest, ask)
    assert ask.cause is not None
    for name in (str(request_id), "key 1", ask.cause.id):
        (step,) = await steps_of(ingest, name)
        assert (step.kind, step.id, step.what) == ("request", str(request_id), "api_request accepted")
        assert step.caused_by == (f"event:{ask.cause.id}",)
        assert set(step.follow) == {str(request_id), ask.cause.id}
    assert await steps_of(ingest, str(uuid4()), "key 2") == []


async def test_a_request_over_http_has_no_cause_and_one_without_a_key_is_found_by_its_own_id(ingest: Ingest) -> None:
    ask = ingest.ask("key 1", via="http", cause=None, idempotency_key=None)
    request_id = await accept(ingest, ask)
    (step,) = await steps_of(ingest, str(request_id))
    assert (step.caused_by, step.detail["via"]) == ((), "http")


async def test_the_end_of_a_request_follows_from_its_call(ingest: Ingest) -> None:
    request_id, call_id = await accept(ingest, ingest.ask()), uuid4()
    async with ingest.worker.transaction() as conn:
        await conn.execute("UPDATE requests SET status = 'completed', ended_at = now(), call_id = $1", call_id)
    came, ended = await steps_of(ingest, str(request_id))
    assert (came.what, ended.what) == ("api_request accepted", "api_request completed")
    assert ended.caused_by[0] == f"call:{call_id}"
    assert str(call_id) not in ended.follow, "a call leads to the requests of others, which only share it"


async def test_a_connection_is_what_ingest_knows_of_it(ingest: Ingest) -> None:
    (step,) = await steps_of(ingest, str(ingest.connection_id))
    assert (step.kind, step.detail["status"], step.detail["version"]) == ("known_connection", "healthy", 1)


@pytest.mark.parametrize("name", ["event 1", str(UUID(int=8))])
async def test_a_webhook_is_found_by_its_event_and_by_its_delivery(ingest: Ingest, name: str) -> None:
    async with ingest.worker.transaction() as conn:
        await conn.execute("DELETE FROM webhooks")
        await conn.execute(KEEP_WEBHOOK, ingest.org_id, UUID(int=8))
    (step,) = await steps_of(ingest, name)
    assert (step.what, step.id, step.caused_by, step.follow) == (
        "webhook kept",
        "event 1",
        ("event:event 1",),
        ("event 1",),
    )
    assert step.at == WHEN, "when it came to ingest, as the inbox has it"


async def test_a_correlation_of_very_many_requests_is_cut_off(ingest: Ingest) -> None:
    async with ingest.worker.transaction() as conn:
        await conn.execute(MANY, ingest.org_id, 40_000)
    assert len(await steps_of(ingest, "correlation-7")) == MOST_STEPS


async def test_no_table_is_read_whole(ingest: Ingest) -> None:
    async with ingest.worker.transaction() as conn:
        await conn.execute(MANY, ingest.org_id, 4 * LARGE_ROWS)
        ids = ["key-8", "event-9", "correlation-7"]
        read = await tables_read_whole(conn, TRACE_REQUESTS, [uuid4()], ids, MOST_STEPS)
        await conn.execute(MANY_WEBHOOKS, ingest.org_id, LARGE_ROWS)
        read |= await tables_read_whole(conn, TRACE_WEBHOOKS, ["event-9"], [uuid4()], MOST_STEPS)
    assert read == set()
