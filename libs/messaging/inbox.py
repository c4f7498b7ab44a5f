"""What was handled before is not handled again: ids of facts and commands, versions of state.

Both are one statement for a whole poll, with sorted keys, so that two consumers that meet the same records after a
rebalance wait for each other instead of locking each other out. A duplicate of a running transaction waits for its end.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from libs.postgres import Connection, Database

REMEMBER: Final = """
INSERT INTO inbox (consumer, source, event_id)
SELECT $1, event.source, event.id FROM unnest($2::text[], $3::text[]) AS event (source, id)
ON CONFLICT DO NOTHING
RETURNING source, event_id
"""


async def remember(conn: Connection, consumer: str, events: Sequence[tuple[str, str]]) -> set[tuple[str, str]]:
    """Note events as (source, id) and return those that this consumer had not handled; each may be given once only."""
    ordered = sorted(events)
    rows = await conn.fetch(REMEMBER, consumer, [source for source, _ in ordered], [event for _, event in ordered])
    if len(rows) == len(ordered):
        return set(ordered)
    return {(row["source"], row["event_id"]) for row in rows}


ADVANCE: Final = """
INSERT INTO state_versions AS known (consumer, topic, key, last_version)
SELECT $1, state.topic, state.key, state.version FROM unnest($2::text[], $3::text[], $4::bigint[]) AS state (topic,
key, version) ON CONFLICT (consumer, topic, key) DO UPDATE
SET last_version = excluded.last_version, updated_at = now()
WHERE known.last_version < excluded.last_version
RETURNING topic, key
"""


async def advance(conn: Connection, consumer: str, versions: Mapping[tuple[str, str], int]) -> set[tuple[str, str]]:
    """Note the newest version of each (topic, key) and return those that were older before, or not known."""
    ordered = sorted(versions)
    rows = await conn.fetch(
        ADVANCE,
        consumer,
        [topic for topic, _ in ordered],
        [key for _, key in ordered],
        [versions[at] for at in ordered],
    )
    if len(rows) == len(ordered):
        return set(ordered)
    return {(row["topic"], row["key"]) for row in rows}


PAGES: Final = "SELECT pg_relation_size('inbox') / current_setting('block_size')::bigint"
# A range of row addresses reads just these pages: no index on received_at that every insert would pay for.
# A repeat that is parked behind a key which waits for a person has no age limit: what it repeats is remembered.
PRUNE: Final = """
DELETE FROM inbox
WHERE ctid >= format('(%s,0)', $1::bigint)::tid AND ctid < format('(%s,0)', $2::bigint)::tid
  AND received_at < now() - make_interval(days => $3)
  AND NOT EXISTS (
      SELECT FROM parked
      WHERE parked.event_id = inbox.event_id AND parked.consumer = inbox.consumer AND parked.status = 'open'
  )
"""
PAGES_AT_ONCE: Final = 512
INBOX_DAYS: Final = 30
"""Longer than Kafka can bring a fact again: topics keep them for 7 days.

A dead letter that is redriven later than this, of an id that was handled too, is handled again.
"""


async def prune_inbox(database: Database, *, days: int = INBOX_DAYS) -> dict[str, int]:
    """Forget what was handled more than `days` ago, some pages per transaction; gives `{"deleted": n}` (a job).

    What an open parked record names stays.
    """
    deleted = 0
    async with database.acquire() as connection:
        pages: int = await connection.fetchval(PAGES)
        for first in range(0, pages + 1, PAGES_AT_ONCE):
            tag = await connection.execute(PRUNE, first, first + PAGES_AT_ONCE, days)
            deleted += int(tag.rpartition(" ")[2])
    return {"deleted": deleted}
