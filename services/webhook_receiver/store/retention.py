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


AT_ONCE: Final = 2_000
"""Rows of one portion. Part of the statements: of a number that it does not know, the planner thinks too much."""

# Ids are in the order of time, so the oldest are the first of the primary key, whether they are old enough or not. What
# waits to be processed stays: it was answered. It takes no place in a portion either, which would look like the last
# one; and it is asked again where it is deleted, as a replay may have come in between.
_DONE: Final = "status NOT IN ('received', 'processing') AND next_attempt_at IS NULL"
FORGET_EVENTS: Final = f"""
WITH oldest AS MATERIALIZED (
    SELECT id, received_at FROM webhook_events WHERE {_DONE} ORDER BY id, received_at LIMIT {AT_ONCE}
)
DELETE FROM webhook_events
WHERE received_at < statement_timestamp() - make_interval(secs => $1) AND id = ANY(ARRAY(SELECT id FROM oldest))
    AND {_DONE}
"""  # noqa: S608  a constant number and condition
FORGET_CHANGES: Final = f"""
WITH oldest AS MATERIALIZED (
    SELECT event_id, position, received_at
    FROM webhook_changes
    ORDER BY event_id, position, received_at
    LIMIT {AT_ONCE}
)
DELETE FROM webhook_changes
WHERE received_at < statement_timestamp() - make_interval(secs => $1)
    AND event_id = ANY(ARRAY(SELECT DISTINCT event_id FROM oldest))
"""  # noqa: S608  a constant number
FORGET_KEYS: Final = f"""
DELETE FROM webhook_keys
WHERE ctid = ANY(ARRAY(
    SELECT ctid
    FROM webhook_keys
    WHERE published_at < statement_timestamp() - make_interval(secs => $1)
    ORDER BY published_at
    LIMIT {AT_ONCE}
))
"""  # noqa: S608  a constant number


async def forget_events(conn: Connection, older_than_seconds: float) -> int:
    """Delete a portion of the oldest deliveries that are done; give how many went."""
    return _count(await conn.execute(FORGET_EVENTS, older_than_seconds))


async def forget_changes(conn: Connection, older_than_seconds: float) -> int:
    """Delete a portion of the oldest deliveries' changes; give how many went."""
    return _count(await conn.execute(FORGET_CHANGES, older_than_seconds))


async def forget_keys(conn: Connection, older_than_seconds: float) -> int:
    """Forget a portion of the oldest publications; give how many went."""
    return _count(await conn.execute(FORGET_KEYS, older_than_seconds))


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
