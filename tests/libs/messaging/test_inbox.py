"""Forgetting what was handled long ago."""

import asyncpg
import pytest

from libs.messaging import inbox
from libs.postgres import Database
from tests.support.databases import ServiceDatabase

pytestmark = pytest.mark.db


async def test_pruning_forgets_what_is_old_and_nothing_else(ingest_database: ServiceDatabase) -> None:
    connection = await asyncpg.connect(ingest_database.worker_dsn)
    await connection.execute(
        "INSERT INTO inbox (consumer, source, event_id, received_at) "
        "SELECT 'ingest', 's', n::text, now() - n * interval '1 hour' FROM generate_series(1, 60000) AS n"
    )
    database = await Database.connect(ingest_database.worker_dsn, role="worker", application_name="test")
    assert await inbox.prune_inbox(database, days=30) == {"deleted": 60_000 - 30 * 24 + 1}
    assert await inbox.prune_inbox(database, days=30) == {"deleted": 0}
    assert await connection.fetchval("SELECT max(event_id::int) FROM inbox") == 30 * 24 - 1
    await database.close()
    await connection.close()


PARK = """
INSERT INTO parked (id, consumer, topic, key, partition, record_offset, headers, record_hash, event_id, status,
    ended_at)
VALUES (gen_random_uuid(), $1, 't', 'k', 0, $2, '[]', '', $3, $4, CASE WHEN $4 <> 'open' THEN now() END)
"""


async def test_what_a_parked_record_repeats_is_remembered_as_long_as_it_waits(ingest_database: ServiceDatabase) -> None:
    connection = await asyncpg.connect(ingest_database.worker_dsn)
    await connection.execute(
        "INSERT INTO inbox (consumer, source, event_id, received_at) "
        "SELECT 'ingest', 's', name, now() - interval '60 days' "
        "FROM unnest('{waits,ended,elsewhere,gone}'::text[]) AS name"
    )
    await connection.execute(PARK, "ingest", 1, "waits", "open")
    await connection.execute(PARK, "ingest", 2, "ended", "replayed")
    await connection.execute(PARK, "other", 3, "elsewhere", "open")
    database = await Database.connect(ingest_database.worker_dsn, role="worker", application_name="test")
    assert await inbox.prune_inbox(database) == {"deleted": 3}
    assert await inbox.remember(connection, "ingest", [("s", "waits"), ("s", "ended")]) == {("s", "ended")}
    await connection.execute("UPDATE parked SET status = 'dropped', ended_at = now() WHERE status = 'open'")
    await connection.execute("UPDATE inbox SET received_at = now() - interval '60 days'")
    assert await inbox.prune_inbox(database) == {"deleted": 2}
    await database.close()
    await connection.close()


async def test_only_new_events_come_back(ingest_database: ServiceDatabase) -> None:
    connection = await asyncpg.connect(ingest_database.worker_dsn)
    assert await inbox.remember(connection, "a", [("s", "2"), ("s", "1")]) == {("s", "1"), ("s", "2")}
    assert await inbox.remember(connection, "a", [("s", "2"), ("t", "1")]) == {("t", "1")}
    assert await inbox.remember(connection, "b", [("s", "2")]) == {("s", "2")}
    assert await inbox.advance(connection, "a", {("t", "k"): 5, ("t", "j"): 1}) == {("t", "k"), ("t", "j")}
    assert await inbox.advance(connection, "a", {("t", "k"): 4, ("t", "j"): 2}) == {("t", "j")}
    assert await inbox.advance(connection, "a", {("t", "k"): 5}) == set()
    await connection.close()
