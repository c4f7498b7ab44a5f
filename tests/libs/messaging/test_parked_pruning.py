"""Forgetting what ended long ago."""

import asyncpg
import pytest

from libs.messaging.parked.pruning import prune_parked
from libs.postgres import Database
from tests.support.databases import ServiceDatabase

pytestmark = pytest.mark.db

FILL = """
INSERT INTO parked (id, consumer, topic, key, partition, record_offset, headers, record_hash, status, ended_at)
SELECT gen_random_uuid(), 'ingest', 't', 'k', 0, n, '[]', '', CASE n % 3 WHEN 0 THEN 'open' ELSE 'replayed' END,
    CASE n % 3 WHEN 0 THEN NULL WHEN 1 THEN now() - interval '31 days' ELSE now() - interval '29 days' END
FROM generate_series(1, 18000) AS n
"""
FILL_ACTIONS = """
INSERT INTO operator_actions (actor, action, subject, subject_id, done_at)
SELECT 'key 1', 'redrive', 'parked', id, now() - interval '40 days' FROM parked WHERE record_offset IN (1, 2, 3)
"""


async def test_what_ended_long_ago_goes_with_what_was_done_to_it_and_what_is_open_stays(
    ingest_database: ServiceDatabase,
) -> None:
    connection = await asyncpg.connect(ingest_database.worker_dsn)
    await connection.execute(FILL)
    await connection.execute(FILL_ACTIONS)
    database = await Database.connect(ingest_database.worker_dsn, role="worker", application_name="test")
    counts = {"parked_deleted": 6_000, "dead_letters_deleted": 0, "actions_deleted": 1}
    assert await prune_parked(database) == counts
    assert set((await prune_parked(database)).values()) == {0}
    left = await connection.fetch("SELECT status, count(*) FROM parked GROUP BY status ORDER BY status")
    assert [tuple(row) for row in left] == [("open", 6_000), ("replayed", 6_000)]
    await database.close()
    await connection.close()
