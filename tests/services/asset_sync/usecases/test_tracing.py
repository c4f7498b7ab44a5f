from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import pytest

from libs.messaging.trace import MOST_STEPS, Step
from services.asset_sync.store import TRACE_AUDIT, TRACE_CONNECTIONS
from services.asset_sync.usecases.tracing import find_steps
from tests.support.asset_sync import TOKEN, World
from tests.support.asset_sync import world as a_world
from tests.support.databases import ServiceDatabase
from tests.support.plans import LARGE_ROWS, tables_read_whole

pytestmark = pytest.mark.db


@pytest.fixture
async def world(asset_sync_database: ServiceDatabase, tmp_path: Path) -> AsyncIterator[World]:
    async with a_world(asset_sync_database, tmp_path) as made:
        yield made


async def steps_of(world: World, *ids: str) -> list[Step]:
    async with world.worker.acquire() as conn:
        return await find_steps(conn, ids)


async def test_a_connection_is_found_by_its_id_and_its_idempotency_key_with_what_was_done_to_it(world: World) -> None:
    made = await world.add(headers={"Idempotency-Key": "once"})
    await world.http.post(f"/v1/connections/{made['id']}/token", json={"access_token": TOKEN})
    for name in (made["id"], "once"):
        connection, *deeds = await steps_of(world, name)
        assert (connection.kind, connection.id, connection.what) == ("connection", made["id"], "connection is healthy")
        assert {deed.what for deed in deeds} == {"connection.added", "connection.token_replaced"}
        assert {deed.caused_by for deed in deeds} == {(f"connection:{made['id']}",)}
        assert all(deed.detail["by_key"] for deed in deeds)
    assert await steps_of(world, str(uuid4()), "twice") == []


async def test_no_table_is_read_whole(world: World) -> None:
    async with world.worker.transaction() as conn:
        await conn.execute(
            "INSERT INTO audit_log (action, subject) SELECT 'tried', n::text FROM generate_series(1, $1::integer) AS n",
            LARGE_ROWS,
        )
        await conn.execute(
            "INSERT INTO idempotency_keys (org_id, key, content_hash, connection_id)"
            " SELECT gen_random_uuid(), n::text, '', gen_random_uuid() FROM generate_series(1, $1::integer) AS n",
            LARGE_ROWS,
        )
        read = await tables_read_whole(conn, TRACE_AUDIT, ["7"], MOST_STEPS)
        read |= await tables_read_whole(conn, TRACE_CONNECTIONS, [uuid4()], ["7"], MOST_STEPS)
    assert read <= {"connections"}, "which is empty here, and else looked up by its primary key"
