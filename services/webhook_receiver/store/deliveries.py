"""The queue of deliveries: which are due, who works on them, how they ended. Only a shard's owner calls what writes."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

from libs.postgres import Connection, Record
from libs.vocabulary import WebhookStatus
from services.webhook_receiver.models import Delivery, Due, Ending

# Ids are unique, so the times only tell which months to look at.
_MINE: Final = "event.id = ANY($1::uuid[]) AND event.received_at BETWEEN $2 AND $3"

IS_DUE: Final = """
SELECT EXISTS (SELECT FROM webhook_events WHERE shard = ANY($1::smallint[]) AND status IN ('received', 'processing'))
    OR EXISTS (
        SELECT FROM webhook_events
        WHERE shard = ANY($1::smallint[]) AND status = 'failed' AND next_attempt_at <= statement_timestamp()
    )
"""


async def is_due(conn: Connection, shards: Sequence[int]) -> bool:
    """Tell whether anything of these shards waits to be claimed."""
    return bool(await conn.fetchval(IS_DUE, shards))


FIND_DUE: Final = """
SELECT open.id, open.received_at, open.shard, open.seq, open.status, open.attempts, open.max_attempts, open.body_bytes,
    open.locked_by
FROM unnest($1::smallint[]) AS mine (shard)
CROSS JOIN LATERAL (
    SELECT id, received_at, shard, seq, status, attempts, max_attempts, body_bytes, locked_by
    FROM webhook_events
    WHERE shard = mine.shard AND status IN ('received', 'processing')
    ORDER BY seq
    LIMIT $2
) AS open
UNION ALL
SELECT late.id, late.received_at, late.shard, late.seq, late.status, late.attempts, late.max_attempts, late.body_bytes,
    late.locked_by
FROM unnest($1::smallint[]) AS mine (shard)
CROSS JOIN LATERAL (
    SELECT id, received_at, shard, seq, status, attempts, max_attempts, body_bytes, locked_by
    FROM webhook_events
    WHERE shard = mine.shard AND status = 'failed' AND next_attempt_at <= statement_timestamp()
    ORDER BY next_attempt_at
    LIMIT 1
) AS late
"""


async def find_due(conn: Connection, shards: Sequence[int], limit: int) -> list[Due]:
    """Give, of each shard, the first `limit` open ones in order of arrival, and one that failed and is due again."""
    return [
        Due(
            id=row["id"],
            received_at=row["received_at"],
            shard=row["shard"],
            seq=row["seq"],
            status=WebhookStatus(row["status"]),
            attempts=row["attempts"],
            max_attempts=row["max_attempts"],
            body_bytes=row["body_bytes"],
            locked_by=row["locked_by"],
        )
        for row in await conn.fetch(FIND_DUE, shards, limit)
    ]


CLAIM: Final = f"""
UPDATE webhook_events AS event
SET status = 'processing', attempts = event.attempts + CASE WHEN event.locked_by = $4 THEN 0 ELSE 1 END,
    next_attempt_at = NULL, locked_by = $4,
    lease_epoch = (SELECT held.epoch FROM unnest($5::smallint[], $6::bigint[]) AS held (shard, epoch)
        WHERE held.shard = event.shard)
WHERE {_MINE}
    AND (event.status IN ('received', 'processing') OR (event.status = 'failed' AND event.next_attempt_at IS NOT NULL))
RETURNING event.id, event.received_at, event.seq, event.platform, event.app, event.shard, event.raw, event.attempts,
    event.max_attempts, event.replays, event.traceparent
"""  # noqa: S608  a constant condition


async def claim(conn: Connection, due: Sequence[Due], epochs: Mapping[int, int], owner: str) -> list[Delivery]:
    """Give these with their bodies, in order of arrival, and count an attempt on each.

    Not on what the same owner had claimed already: that lives, so it was the database that went away in between.
    """
    rows = await conn.fetch(CLAIM, *_mine(due), owner, list(epochs), list(epochs.values()))
    return sorted((_delivery(row) for row in rows), key=lambda delivery: delivery.seq)


FINISH: Final = f"""
UPDATE webhook_events AS event
SET status = ending.status, reason = ending.reason, error = NULL, locked_by = NULL,
    processed_at = statement_timestamp(),
    raw = CASE WHEN ending.forgets THEN NULL ELSE event.raw END
FROM unnest($1::uuid[], $4::text[], $5::text[], $6::boolean[]) AS ending (id, status, reason, forgets)
WHERE {_MINE} AND ending.id = event.id AND event.status = 'processing'
"""  # noqa: S608  a constant condition


async def finish(conn: Connection, endings: Sequence[Ending]) -> None:
    """Write down how claimed deliveries ended."""
    await conn.execute(
        FINISH,
        *_mine([ending.delivery for ending in endings]),
        [ending.status.value for ending in endings],
        [ending.reason for ending in endings],
        [ending.forgets for ending in endings],
    )


FAIL: Final = """
UPDATE webhook_events
SET status = 'failed', reason = $3, error = $4, locked_by = NULL, processed_at = NULL,
    next_attempt_at = statement_timestamp() + make_interval(secs => $5)
WHERE id = $1 AND received_at = $2 AND status = 'processing'
"""


async def fail(
    conn: Connection, failed: Due | Delivery, *, reason: str, error: str, retry_seconds: float | None
) -> None:
    """Mark a claimed delivery as failed; it is tried again after that time, with None not before it is replayed."""
    await conn.execute(FAIL, failed.id, failed.received_at, reason, error, retry_seconds)


# Paused in the middle of a transaction, an owner keeps its leases' rows locked: who waits for those loses his own.
LIST_FREE: Final = """
SELECT name
FROM leases
WHERE name = ANY($1::text[]) AND (owner = $2 OR owner IS NULL OR until <= clock_timestamp())
ORDER BY name
FOR UPDATE SKIP LOCKED
"""
LIST_KNOWN: Final = "SELECT name FROM leases WHERE name = ANY($1::text[])"


async def list_takeable(conn: Connection, names: Sequence[str], owner: str) -> list[str]:
    """Give the leases that can be taken or renewed without waiting for anybody, and hold them."""
    free = {row["name"] for row in await conn.fetch(LIST_FREE, names, owner)}
    if len(free) == len(names):
        return list(names)
    known = {row["name"] for row in await conn.fetch(LIST_KNOWN, names)}
    return [name for name in names if name in free or name not in known]


def _mine(of: Sequence[Due] | Sequence[Delivery]) -> tuple[list[UUID], datetime, datetime]:
    times = [each.received_at for each in of]
    return [each.id for each in of], min(times), max(times)


def _delivery(row: Record) -> Delivery:
    return Delivery(
        id=row["id"],
        received_at=row["received_at"],
        seq=row["seq"],
        platform=row["platform"],
        app=row["app"],
        shard=row["shard"],
        raw=row["raw"],
        attempts=row["attempts"],
        max_attempts=row["max_attempts"],
        replays=row["replays"],
        traceparent=row["traceparent"],
    )
