"""Every statement fits the migrated schema, and those that run all the time find their rows by an index."""

import ast
import importlib
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import pytest

import services.webhook_receiver.store as package
from libs.postgres import Database
from services.webhook_receiver.store import changes, connections, deliveries, listing, retention
from tests.support.databases import Databases, ServiceDatabase
from tests.support.plans import tables_read_whole

pytestmark = pytest.mark.db

ROWS = 60_000
FULL = """
INSERT INTO webhook_events (
    id, received_at, platform, app, headers, raw, body_bytes, body_hash, shard, status, next_attempt_at
)
SELECT uuidv7(make_interval(secs => number - {rows})), now() + make_interval(secs => number - {rows}), 'meta', '1',
    '{{}}', '\\x00', 1, '\\x00', number % 8,
    CASE WHEN number % 1000 = 0 THEN 'received' WHEN number % 1000 = 1 THEN 'failed'
        WHEN number % 1000 = 2 THEN 'ignored' ELSE 'processed' END,
    CASE WHEN number % 2000 = 1 THEN now() END
FROM generate_series(1, {rows}) AS number
"""
FULL_CHANGES = """
INSERT INTO webhook_changes (
    event_id, position, received_at, external_event_id, object, field, change_type, account_type, account_id, status
)
SELECT id, 0, received_at, id::text, 'page', 'feed', 'post.created', 'page', '1', 'processed' FROM webhook_events
"""
FULL_KEYS = """
INSERT INTO webhook_keys (
    org_id, platform, external_event_id, connection_id, event_id, position, outbox_event_id, published_at
)
SELECT uuidv7(), 'meta', id::text, id, id, 0, id::text, received_at FROM webhook_events
"""
FULL_CONNECTIONS = """
WITH made AS (
    INSERT INTO connections (connection_id, org_id, platform, status, created_at, version)
    SELECT uuidv7(), uuidv7(), 'meta', 'healthy', now(), 1 FROM generate_series(1, 20000)
    RETURNING connection_id, org_id
)
INSERT INTO connection_accounts (connection_id, org_id, platform, account_type, account_id)
SELECT connection_id, org_id, 'meta', 'page', connection_id::text FROM made
"""


@pytest.fixture(scope="module")
async def full(databases: Databases) -> AsyncIterator[asyncpg.Connection]:
    """A worker's connection to tables as they are after a busy day."""
    database = await databases.create("webhook_receiver")
    worker = await asyncpg.connect(database.dsn("webhook_receiver", "worker"))
    for statement in (FULL.format(rows=ROWS), FULL_CHANGES, FULL_KEYS, FULL_CONNECTIONS):
        await worker.execute(statement)
    owner = await asyncpg.connect(database.dsn("webhook_receiver", "owner"))
    await owner.execute("ANALYZE")
    await owner.close()
    yield worker
    await worker.close()
    await databases.drop(database)


def queries() -> list[tuple[str, str]]:
    """Every constant of the store that is SQL, by module and name."""
    found = []
    for path in sorted(Path(package.__path__[0]).glob("[a-z]*.py")):
        module: Any = importlib.import_module(f"services.webhook_receiver.store.{path.stem}")
        names = [
            node.target.id
            for node in ast.parse(path.read_text()).body
            if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.target.id.isupper()
        ]
        found += [
            (f"{path.stem}.{name}", getattr(module, name))
            for name in names
            if not name.startswith("_") and isinstance(getattr(module, name), str)
        ]
    return found


async def test_every_query_fits_the_migrated_schema(webhook_receiver_database: ServiceDatabase) -> None:
    database = await Database.connect(webhook_receiver_database.worker_dsn, role="worker", application_name="test")
    try:
        async with database.acquire() as conn:
            for name, query in queries():
                assert await conn.prepare(query), name
    finally:
        await database.close()
    assert len(queries()) > 40


NOW = datetime.now(UTC)
ID = UUID(int=0)
ALL = (ID, UUID(int=(1 << 128) - 1), None, None, None, None)


@pytest.mark.parametrize(
    ("name", "query", "arguments"),
    [
        ("is_due", deliveries.IS_DUE, ([0, 1, 2, 3, 4, 5, 6, 7],)),
        ("find_due", deliveries.FIND_DUE, ([0, 1, 2, 3, 4, 5, 6, 7], 200)),
        ("claim", deliveries.CLAIM, ([ID] * 200, NOW, NOW, "me", [0], [1])),
        ("finish", deliveries.FINISH, ([ID] * 200, NOW, NOW, ["processed"] * 200, [None] * 200, [False] * 200)),
        ("fail", deliveries.FAIL, (ID, NOW, "error", "words", 1.0)),
        ("insert_keys", changes.FIND_DELIVERIES, ([ID] * 200, ["meta"] * 200, ["key"] * 200)),
        ("clear", changes.CLEAR, ([ID] * 200, NOW, NOW)),
        ("find_owners", connections.FIND_OWNERS, (["meta"] * 200, ["page"] * 200, [str(n) for n in range(200)])),
        ("list", listing.LIST, (*ALL, None, None, None, 50)),
        ("list_failed", listing.LIST_NOT_PUBLISHED, (*ALL, "failed", None, None, 50)),
        ("list_not_published", listing.PAGE_NOT_PUBLISHED, (*ALL, "failed", None, None, 500)),
        ("list_ignored", listing.PAGE_IGNORED, (*ALL, None, None, None, 500)),
        ("page", listing.PAGE, (*ALL, None, None, None, 500)),
        ("named", listing.NAMED, ([ID] * 100,)),
        ("find", listing.FIND, (ID,)),
        ("find_changes", listing.FIND_CHANGES, (ID,)),
        ("find_publications", listing.FIND_PUBLICATIONS, (ID,)),
        ("replay", listing.REPLAY, ([ID] * 500, NOW, NOW)),
        ("forget_events", retention.FORGET_EVENTS, (86_400.0,)),
        ("forget_changes", retention.FORGET_CHANGES, (86_400.0,)),
        ("forget_keys", retention.FORGET_KEYS, (86_400.0,)),
        ("count_left", retention.COUNT_LEFT, (60.0, 100_000)),
        ("count_by_status", retention.COUNT_BY_STATUS, (100_000,)),
        ("find_oldest", retention.FIND_OLDEST, ()),
    ],
)
async def test_what_runs_all_the_time_finds_its_rows_by_an_index(
    full: asyncpg.Connection, name: str, query: str, arguments: tuple[Any, ...]
) -> None:
    # Nobody knows the parameters of a prepared statement when its plan is made for good.
    await full.execute("SET plan_cache_mode = force_generic_plan")
    prefix = f"wanted_{name}"
    await full.execute(f"PREPARE {prefix} AS {query}")
    values = ", ".join("NULL" for _ in arguments)
    whole = await tables_read_whole(full, f"EXECUTE {prefix}({values})" if arguments else f"EXECUTE {prefix}")
    empty = {row["relname"] for row in await full.fetch("SELECT relname FROM pg_class WHERE reltuples <= 0")}
    assert not whole - empty, f"{name} reads {whole - empty} from end to end"


@pytest.mark.parametrize(
    ("query", "parameters"),
    [
        (deliveries.IS_DUE, 1),
        (deliveries.FIND_DUE, 2),
        (changes.FIND_DELIVERIES, 3),
        (connections.FIND_OWNERS, 3),
    ],
)
async def test_a_plan_made_while_the_tables_are_empty_is_good_for_full_ones(
    webhook_receiver_database: ServiceDatabase, query: str, parameters: int
) -> None:
    """A busy process keeps its plans for minutes, and a burst may fill the tables in less."""
    worker = await asyncpg.connect(webhook_receiver_database.worker_dsn)
    await worker.execute("SET plan_cache_mode = force_generic_plan")
    await worker.execute(f"PREPARE early AS {query}")
    whole = await tables_read_whole(worker, f"EXECUTE early({', '.join(['NULL'] * parameters)})")
    await worker.close()
    assert whole == set()


async def test_a_round_of_an_idle_queue_costs_little_however_much_is_kept(full: asyncpg.Connection) -> None:
    await full.execute("SET plan_cache_mode = force_custom_plan")
    text = await full.fetchval(
        f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {deliveries.FIND_DUE}", [0, 1, 2, 3, 4, 5, 6, 7], 200
    )
    plan = json.loads(text)[0]["Plan"]
    assert plan["Shared Hit Blocks"] + plan["Shared Read Blocks"] < 400
