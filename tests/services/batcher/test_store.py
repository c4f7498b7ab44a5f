"""Every query fits the migrated schema, and the roles see what they may."""

import importlib
import pkgutil
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from libs.postgres import Database
from services.batcher import store
from services.batcher.handlers import daily_prune
from services.batcher.store import history
from tests.support.databases import ServiceDatabase

pytestmark = pytest.mark.db


def queries() -> list[tuple[str, str]]:
    found = []
    for module in pkgutil.iter_modules(store.__path__, f"{store.__name__}."):
        for name, value in vars(importlib.import_module(module.name)).items():
            if name.isupper() and not name.startswith("_") and isinstance(value, str):
                found.append((f"{module.name}.{name}", value))
    return found


async def test_every_query_fits_the_schema(batcher_database: ServiceDatabase) -> None:
    assert len(queries()) > 20
    database = await Database.connect(batcher_database.worker_dsn, role="worker", application_name="test")
    async with database.acquire() as conn:
        for name, query in queries():
            try:
                await conn.prepare(query)
            except asyncpg.PostgresError as error:
                raise AssertionError(f"{name}: {error}") from error
    await database.close()


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT sealed_access_token FROM connections",
        "UPDATE connections SET status = 'healthy'",
        "SELECT params FROM calls",
        "UPDATE calls SET status = 'pending'",
        "DELETE FROM batch_request_queue",
        "SELECT id FROM batch_execution_log",
        "SELECT id FROM quota_ledger",
        "DELETE FROM paused_platforms",
        "SELECT make_history_partitions(1)",
        "SELECT drop_history_partitions(now())",
    ],
)
async def test_the_api_role_cannot(batcher_database: ServiceDatabase, statement: str) -> None:
    database = await Database.connect(batcher_database.api_dsn, role="api", application_name="test")
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with database.tenant_transaction(uuid4()) as conn:
            await conn.execute(statement)
    await database.close()


async def test_the_api_role_without_an_organization_sees_no_asks(batcher_database: ServiceDatabase) -> None:
    worker = await Database.connect(batcher_database.worker_dsn, role="worker", application_name="test")
    async with worker.transaction() as conn:
        await conn.execute(
            """INSERT INTO batch_request_queue (id, org_id, platform, connection_id, request_type, request_key, params,
            object_key, event_id, event_source, asked_at, give_up_at)
            VALUES ($1, $1, 'meta', $1, 'get_object', 'k', '{}', 'o', 'e', 's', now(), now())""",
            uuid4(),
        )
    api = await Database.connect(batcher_database.api_dsn, role="api", application_name="test")
    async with api.transaction() as conn:
        assert await conn.fetchval("SELECT count(*) FROM batch_request_queue") == 0
    async with api.tenant_transaction(uuid4()) as conn:
        assert await conn.fetchval("SELECT count(*) FROM batch_request_queue") == 0
    await api.close()
    await worker.close()


async def test_old_rows_are_pruned_and_open_ones_stay(batcher_database: ServiceDatabase) -> None:
    database = await Database.connect(batcher_database.worker_dsn, role="worker", application_name="test")
    async with database.transaction() as conn:
        for ended in ("NULL", "now() - interval '40 days'", "now()"):
            status = "pending" if ended == "NULL" else "completed"
            call = await conn.fetchval(
                f"""INSERT INTO calls (platform, connection_id, request_type, request_key, params, priority, status,
                due_at, max_attempts, ended_at) VALUES ('meta', $1, 't', 'k', '{{}}', 5, '{status}', now(), 3, {ended})
                RETURNING id""",
                uuid4(),
            )
            await conn.execute(
                f"""INSERT INTO batch_request_queue (id, org_id, platform, connection_id, request_type, request_key,
                params, object_key, event_id, event_source, asked_at, give_up_at, call_id, status, ended_at)
                VALUES ($1, $1, 'meta', $1, 't', 'k', '{{}}', 'o', 'e', 's', now(), now(), $2, '{status}', {ended})""",
                uuid4(),
                call,
            )
    counts = await daily_prune(30 * 86_400.0, database)
    assert counts == {"asks": 1, "calls": 1, "partitions_made": 0, "partitions_dropped": 0}
    async with database.acquire() as conn:
        assert await conn.fetchval("SELECT count(*) FROM calls") == 2
    await database.close()


async def test_history_is_kept_by_months_and_old_months_go(batcher_database: ServiceDatabase) -> None:
    owner = await asyncpg.connect(batcher_database.owner_dsn)
    await owner.execute(
        """CREATE TABLE quota_ledger_202001 PARTITION OF quota_ledger
        FOR VALUES FROM ('2020-01-01 00:00+00') TO ('2020-02-01 00:00+00')"""
    )
    await owner.execute(f"DROP TABLE {await newest_partition(owner)}")
    await owner.close()
    database = await Database.connect(batcher_database.worker_dsn, role="worker", application_name="test")
    now = datetime.now(UTC)
    early = now.replace(day=1) + timedelta(days=70)  # in a month that has no partition yet, or lost it just above
    async with database.transaction() as conn:
        for started in (now, datetime(2019, 1, 1, tzinfo=UTC), early):
            await history.log(conn, history.LogEntry("meta", started, 1, "answered", 1, 1, 1, 0, 0, 1, 1, False, None))
    counts = await daily_prune(30 * 86_400.0, database)
    assert (counts["partitions_made"], counts["partitions_dropped"]) == (1, 1)
    async with database.acquire() as conn:
        rows = await conn.fetch("SELECT tableoid::regclass::text AS name FROM batch_execution_log ORDER BY started_at")
    # The one that came before its month has moved in, the one that is older than anything kept has gone.
    assert [row["name"] for row in rows] == [f"batch_execution_log_{at:%Y%m}" for at in (now, early)]
    await database.close()


async def newest_partition(owner: Any) -> str:
    """Give the partition of the month after next."""
    return str(
        await owner.fetchval("SELECT max(relname) FROM pg_class WHERE relname ~ '^batch_execution_log_[0-9]{6}$'")
    )
