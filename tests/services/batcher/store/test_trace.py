from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from uuid import uuid4

import pytest

from libs.messaging.trace import MOST_STEPS, Step
from services.batcher.store.trace import TRACE_ASKS, TRACE_CALLS, find_steps
from tests.support.batcher import Bench, open_bench
from tests.support.databases import ServiceDatabase
from tests.support.plans import LARGE_ROWS, tables_read_whole

pytestmark = pytest.mark.db

MANY_CALLS = """
INSERT INTO calls (platform, connection_id, request_type, request_key, params, priority, due_at, max_attempts)
SELECT 'meta', gen_random_uuid(), 'get_object', 'key-' || n, '{}', 5, now(), 3
FROM generate_series(1, $1::integer) AS n
"""
MANY_ASKS = """
INSERT INTO batch_request_queue (id, org_id, platform, connection_id, request_type, request_key, params, call_id,
    object_key, event_id, event_source, asked_at, give_up_at)
SELECT gen_random_uuid(), $1, 'meta', connection_id, 'get_object', request_key, '{}', id, 'o', 'event-' || request_key,
    'platformbus/ingest', now(), now()
FROM calls
"""


@pytest.fixture
async def bench(batcher_database: ServiceDatabase, valkey_url: str, tmp_path: Path) -> AsyncIterator[Bench]:
    async with open_bench(batcher_database, valkey_url, tmp_path) as opened:
        yield opened


async def steps_of(bench: Bench, *ids: str) -> list[Step]:
    async with bench.database.acquire() as conn:
        return await find_steps(conn, ids)


def kinds(steps: Sequence[Step]) -> list[str]:
    return [step.kind for step in steps]


async def test_an_ask_is_found_by_its_request_and_by_the_event_that_asked_with_the_call_that_answered(
    bench: Bench,
) -> None:
    await bench.connect()
    message = bench.accepted("1", max_wait_seconds=0)
    await bench.handle([message])
    await bench.work()
    request_id = str(message.data.request_id)  # type: ignore[union-attr]
    for name in (request_id, message.envelope.id):
        event, ask, call = await steps_of(bench, name)
        assert kinds([event, ask, call]) == ["event", "ask", "call"]
        assert (event.id, event.caused_by) == (message.envelope.id, (f"request:{request_id}",))
        assert (ask.id, ask.caused_by) == (request_id, (f"event:{message.envelope.id}",))
        assert (call.what, call.caused_by, call.detail["http_status"]) == (
            "call completed",
            (f"ask:{request_id}",),
            200,
        )
    assert await steps_of(bench, str(uuid4()), "somebody else's") == []


async def test_a_shared_call_shows_every_ask_only_to_who_asks_for_the_call(bench: Bench) -> None:
    await bench.connect()
    first, second = await bench.ask("1", "1", max_wait_seconds=0)
    await bench.work()
    steps = await steps_of(bench, str(first))
    assert [step.id for step in steps if step.kind == "ask"] == [str(first)]
    (call,) = [step for step in steps if step.kind == "call"]
    assert call.detail["asks_answered"] == 2
    assert call.id not in {other for step in steps for other in step.follow}
    asks = [step.id for step in await steps_of(bench, call.id) if step.kind == "ask"]
    assert set(asks) == {str(first), str(second)}


async def test_a_connection_is_what_the_batcher_knows_of_it(bench: Bench) -> None:
    await bench.connect(version=3)
    (step,) = await steps_of(bench, str(bench.connection_id))
    assert (step.kind, step.detail["version"]) == ("known_connection", 3)


async def test_no_table_is_read_whole(bench: Bench) -> None:
    await bench.run(MANY_CALLS, LARGE_ROWS)
    await bench.run(MANY_ASKS, uuid4())
    (row,) = await bench.fetch("SELECT id FROM calls LIMIT 1")
    async with bench.database.acquire() as conn:
        asks = await tables_read_whole(conn, TRACE_ASKS, [row["id"]], ["event-key-3"], MOST_STEPS)
        calls = await tables_read_whole(conn, TRACE_CALLS, [row["id"]], MOST_STEPS)
    assert asks | calls == set()
