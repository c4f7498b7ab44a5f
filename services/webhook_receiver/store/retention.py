"""Months of deliveries made ahead and dropped, what is forgotten in between, and what waits."""

from typing import Final

from libs.postgres import Connection

MAKE_PARTITIONS: Final = "SELECT make_webhook_partitions($1)"


async def make_partitions(conn: Connection, months_ahead: int) -> int:
    """Make the partitions of this month and of those ahead that are missing; give how many."""
    return int(await conn.fetchval(MAKE_PARTITIONS, months_ahead))


DROP_PARTITIONS: Final = "SELECT drop_webhook_partitions(statement_timestamp() - make_interval(secs => $1))"


async def drop_partitions(conn: Connection, older_than_seconds: float) -> int:
    """Drop the months that ended before then; give how many partitions went."""
    return int(await conn.fetchval(DROP_PARTITIONS, older_than_seconds))


# Ids are in the order of time, so the oldest are the first of the primary key, whether they are old enough or not.
FORGET_EVENTS: Final = """
WITH oldest AS MATERIALIZED (
    SELECT id, received_at FROM webhook_events ORDER BY id, received_at LIMIT $2
)
DELETE FROM webhook_events AS event
USING oldest
WHERE event.id = oldest.id AND event.received_at = oldest.received_at
    AND oldest.received_at < statement_timestamp() - make_interval(secs => $1)
"""
FORGET_CHANGES: Final = """
WITH oldest AS MATERIALIZED (
    SELECT event_id, position, received_at FROM webhook_changes ORDER BY event_id, position, received_at LIMIT $2
)
DELETE FROM webhook_changes AS change
USING oldest
WHERE change.event_id = oldest.event_id AND change.position = oldest.position
    AND change.received_at = oldest.received_at
    AND oldest.received_at < statement_timestamp() - make_interval(secs => $1)
"""
FORGET_KEYS: Final = """
DELETE FROM webhook_keys AS key
USING (
    SELECT org_id, platform, external_event_id
    FROM webhook_keys
    WHERE published_at < statement_timestamp() - make_interval(secs => $1)
    ORDER BY published_at
    LIMIT $2
) AS oldest
WHERE key.org_id = oldest.org_id AND key.platform = oldest.platform
    AND key.external_event_id = oldest.external_event_id
"""


async def forget_events(conn: Connection, older_than_seconds: float, limit: int) -> int:
    """Delete up to `limit` of the oldest deliveries; give how many went."""
    return _count(await conn.execute(FORGET_EVENTS, older_than_seconds, limit))


async def forget_changes(conn: Connection, older_than_seconds: float, limit: int) -> int:
    """Delete up to `limit` of the oldest deliveries' changes; give how many went."""
    return _count(await conn.execute(FORGET_CHANGES, older_than_seconds, limit))


async def forget_keys(conn: Connection, older_than_seconds: float, limit: int) -> int:
    """Forget up to `limit` of the oldest publications; give how many went."""
    return _count(await conn.execute(FORGET_KEYS, older_than_seconds, limit))


COUNT_LEFT: Final = """
SELECT count(*)
FROM (
    SELECT FROM webhook_events
    WHERE status IN ('received', 'processing') AND received_at < statement_timestamp() - make_interval(secs => $1)
    LIMIT $2
) AS late
"""


async def count_left(conn: Connection, older_than_seconds: float, limit: int) -> int:
    """Count, up to `limit`, what came before then and is not processed."""
    return int(await conn.fetchval(COUNT_LEFT, older_than_seconds, limit))


COUNT_BY_STATUS: Final = """
SELECT status, count(*) AS rows
FROM (
    (SELECT status FROM webhook_events WHERE status IN ('received', 'processing') LIMIT $1)
    UNION ALL
    (SELECT CASE WHEN next_attempt_at IS NULL THEN 'failed' ELSE 'retrying' END
    FROM webhook_events WHERE status = 'failed' LIMIT $1)
) AS not_done (status)
GROUP BY status
"""


async def count_by_status(conn: Connection, limit: int) -> dict[str, int]:
    """Count what is not done, up to `limit`: received, processing, retrying, and failed until somebody replays it."""
    return {row["status"]: row["rows"] for row in await conn.fetch(COUNT_BY_STATUS, limit)}


FIND_OLDEST: Final = """
SELECT greatest(extract(epoch FROM statement_timestamp() - min(first.received_at)), 0)::float8
FROM generate_series(0, 7) AS each (shard)
CROSS JOIN LATERAL (
    SELECT received_at
    FROM webhook_events
    WHERE shard = each.shard AND status IN ('received', 'processing')
    ORDER BY seq
    LIMIT 1
) AS first
"""


async def find_oldest_age(conn: Connection) -> float:
    """Give how long the delivery that came first of those not processed has waited, in seconds; 0 when none waits."""
    return float(await conn.fetchval(FIND_OLDEST) or 0.0)


COUNT_STRAYS: Final = """
SELECT (SELECT count(*) FROM (SELECT FROM webhook_events_default LIMIT $1) AS events)
    + (SELECT count(*) FROM (SELECT FROM webhook_changes_default LIMIT $1) AS changes)
"""


async def count_strays(conn: Connection, limit: int) -> int:
    """Count, up to `limit` each, the rows that no month's partition took."""
    return int(await conn.fetchval(COUNT_STRAYS, limit))


def _count(tag: str) -> int:
    return int(tag.rpartition(" ")[2])
