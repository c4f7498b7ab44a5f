"""SQL of asset_sync: every query fits the schema, and no role passes row security or reads what it must not."""

from collections.abc import AsyncIterator
from pathlib import Path
from uuid import UUID, uuid4

import asyncpg
import pytest

from services.asset_sync import store
from tests.support.asset_sync import World, world
from tests.support.databases import ServiceDatabase

pytestmark = pytest.mark.db
TABLES = ["connections", "ended_connections", "idempotency_keys", "audit_log"]


@pytest.fixture
async def w(asset_sync_database: ServiceDatabase, tmp_path: Path) -> AsyncIterator[World]:
    async with world(asset_sync_database, tmp_path) as made:
        yield made


async def test_every_query_can_be_prepared(w: World) -> None:
    queries = {
        name: text
        for name, text in vars(store).items()
        if name[0].isupper() and name.isupper() and isinstance(text, str)
    }
    assert len(queries) > 15
    async with w.worker.acquire() as conn:
        for text in queries.values():
            await conn.prepare(text)


async def test_the_api_role_can_never_read_a_sealed_token(w: World) -> None:
    await w.add()
    async with w.api.tenant_transaction(w.org_id) as conn:
        assert await conn.fetchval("SELECT count(id) FROM connections") == 1
        for query in ("SELECT sealed_access_token FROM connections", "SELECT * FROM connections"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                async with conn.transaction():
                    await conn.fetch(query)


@pytest.mark.parametrize("other", [True, False])
async def test_without_its_organization_the_api_role_sees_and_changes_nothing(w: World, other: bool) -> None:
    made = await w.add(headers={"Idempotency-Key": "1"})
    org_id = uuid4()
    async with w.api.tenant_transaction(org_id) if other else w.api.transaction() as conn:
        for table in ("connections", "idempotency_keys", "audit_log"):
            assert await conn.fetchval(f"SELECT count(org_id) FROM {table}") == 0
        assert await conn.execute("UPDATE connections SET name = 'stolen'") == "UPDATE 0"
        assert await conn.execute("DELETE FROM connections") == "DELETE 0"
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="row-level security"):
            async with conn.transaction():
                await conn.execute(store.INSERT_ENDED, UUID(made["id"]), w.org_id, 2)
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="row-level security"):
            async with conn.transaction():
                await conn.fetchval(store.CLAIM_KEY, w.org_id, "2", b"x", uuid4())


@pytest.mark.parametrize("table", TABLES)
async def test_row_security_is_forced_on_every_table_with_an_organization(w: World, table: str) -> None:
    rows = await w.rows("SELECT relrowsecurity, relforcerowsecurity FROM pg_class WHERE relname = $1", table)
    assert rows == [{"relrowsecurity": True, "relforcerowsecurity": True}]


async def test_the_audit_log_can_only_be_added_to(w: World) -> None:
    await w.add()
    for database in (w.worker, w.api):
        async with database.tenant_transaction(w.org_id) as conn:
            for query in ("UPDATE audit_log SET action = 'x'", "DELETE FROM audit_log"):
                with pytest.raises(asyncpg.InsufficientPrivilegeError):
                    async with conn.transaction():
                        await conn.execute(query)
