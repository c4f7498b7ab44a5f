"""Deliveries as operators look for them, and the way to have them processed again."""

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from libs.postgres import Connection, Record
from libs.vocabulary import PlatformName, WebhookStatus
from services.webhook_receiver.models import (
    Actor,
    ChangeRow,
    DeedRow,
    DeliveryRow,
    Filter,
    PublicationRow,
    StatRow,
    WholeDelivery,
)

_COLUMNS: Final = (
    "id, received_at, platform, app, status, reason, error, signature_valid, body_bytes, raw IS NOT NULL AS has_body,"
    " attempts, max_attempts, next_attempt_at, processed_at, replays, source_ip, user_agent"
)
# Ids are in the order of time: the bounds on them keep the search within the window's part of the primary key.
_WANTED: Final = """
    id >= $1 AND id < $2
    AND received_at >= coalesce($3::timestamptz, '-infinity') AND received_at < coalesce($4::timestamptz, 'infinity')
    AND ($5::text IS NULL OR platform = $5)
    AND ($6::text IS NULL OR app = $6)
    AND ($7::text IS NULL OR status = $7)
    AND ($8::boolean IS NULL OR signature_valid = $8)
    AND ($9::boolean IS NULL OR (status = 'failed' AND next_attempt_at IS NOT NULL) = $9)
"""
_NOT_PUBLISHED: Final = "status IN ('failed', 'ignored', 'duplicate')"
"""The condition of the index webhook_events_not_published, in its words."""

LIST: Final = f"SELECT {_COLUMNS} FROM webhook_events WHERE {_WANTED} ORDER BY id DESC LIMIT $10"  # noqa: S608
LIST_NOT_PUBLISHED: Final = f"""
SELECT {_COLUMNS} FROM webhook_events WHERE status = $7 AND {_NOT_PUBLISHED} AND {_WANTED} ORDER BY id DESC LIMIT $10
"""  # noqa: S608  constant conditions
_SEARCHED: Final = (WebhookStatus.FAILED, WebhookStatus.IGNORED, WebhookStatus.DUPLICATE)


async def list_deliveries(
    conn: Connection, wanted: Filter, *, above: UUID, below: UUID, limit: int
) -> list[DeliveryRow]:
    """Give deliveries with ids from `above` on and lower than `below`, newest first."""
    query = LIST_NOT_PUBLISHED if wanted.status in _SEARCHED else LIST
    return [_delivery(row) for row in await conn.fetch(query, *_values(wanted, above, below), limit)]


FIND: Final = f"""
SELECT {_COLUMNS}, signature, headers, raw, body_hash, traceparent FROM webhook_events WHERE id = $1
"""  # noqa: S608  a constant list of columns
FIND_CHANGES: Final = """
SELECT position, external_event_id, object, field, change_type, account_type, account_id, occurred_at, status, reason
FROM webhook_changes
WHERE event_id = $1
ORDER BY position
"""
FIND_PUBLICATIONS: Final = """
SELECT org_id, connection_id, position, external_event_id, outbox_event_id, published_at
FROM webhook_keys
WHERE event_id = $1
ORDER BY position, org_id
"""
FIND_DEEDS: Final = """
SELECT at, actor_key_id, actor_role, action, details FROM audit_log WHERE subject = $1 ORDER BY id
"""


async def find_delivery(conn: Connection, delivery_id: UUID) -> WholeDelivery | None:
    """Give everything that is kept of a delivery."""
    row = await conn.fetchrow(FIND, delivery_id)
    if row is None:
        return None
    changes = await conn.fetch(FIND_CHANGES, delivery_id)
    publications = await conn.fetch(FIND_PUBLICATIONS, delivery_id)
    deeds = await conn.fetch(FIND_DEEDS, str(delivery_id))
    return WholeDelivery(
        row=_delivery(row),
        signature=row["signature"],
        headers=json.loads(row["headers"]),
        raw=row["raw"],
        body_hash=row["body_hash"],
        traceparent=row["traceparent"],
        changes=tuple(_change(change) for change in changes),
        publications=tuple(PublicationRow(**dict(each.items())) for each in publications),
        deeds=tuple(DeedRow(**{**dict(deed.items()), "details": json.loads(deed["details"])}) for deed in deeds),
    )


COUNT: Final = """
SELECT platform, app, status, signature_valid, count(*) AS rows, min(received_at) AS oldest_at
FROM webhook_events
WHERE id >= $1 AND received_at >= $2
GROUP BY platform, app, status, signature_valid
ORDER BY platform, app, status, signature_valid
"""


async def count_deliveries(conn: Connection, above: UUID, since: datetime) -> list[StatRow]:
    """Count deliveries since then, which have ids from `above` on."""
    return [
        StatRow(
            platform=PlatformName(row["platform"]),
            app=row["app"],
            status=WebhookStatus(row["status"]),
            signature_valid=row["signature_valid"],
            rows=row["rows"],
            oldest_at=row["oldest_at"],
        )
        for row in await conn.fetch(COUNT, above, since)
    ]


_ENDED: Final = "status IN ('processed', 'failed', 'ignored', 'duplicate')"
PAGE: Final = f"""
SELECT id, received_at, status, signature_valid, raw IS NOT NULL AS has_body
FROM webhook_events
WHERE {_ENDED} AND {_WANTED}
ORDER BY id
LIMIT $10
"""  # noqa: S608  constant conditions
PAGE_NOT_PUBLISHED: Final = f"""
SELECT id, received_at, status, signature_valid, raw IS NOT NULL AS has_body
FROM webhook_events
WHERE status = $7 AND {_NOT_PUBLISHED} AND {_WANTED}
ORDER BY id
LIMIT $10
"""  # noqa: S608  constant conditions
# Among what a delivery tells of, something may have found nobody though the delivery as a whole is processed.
PAGE_IGNORED: Final = f"""
SELECT id, received_at, status, signature_valid, raw IS NOT NULL AS has_body
FROM webhook_events
WHERE id = ANY(ARRAY(
    (SELECT id FROM webhook_events WHERE status = 'ignored' AND {_NOT_PUBLISHED} AND {_WANTED} ORDER BY id LIMIT $10)
    UNION
    (SELECT event_id
    FROM webhook_changes AS change
    WHERE change.status = 'ignored' AND event_id >= $1 AND event_id < $2 AND EXISTS (
        SELECT FROM webhook_events AS event
        WHERE event.id = event_id AND event.received_at = change.received_at AND {_ENDED} AND {_WANTED}
    )
    GROUP BY event_id
    ORDER BY event_id
    LIMIT $10)
))
ORDER BY id
LIMIT $10
"""  # noqa: S608  constant conditions
NAMED: Final = """
SELECT id, received_at, status, signature_valid, raw IS NOT NULL AS has_body
FROM webhook_events
WHERE id = ANY($1::uuid[])
ORDER BY id
"""


async def list_page(conn: Connection, wanted: Filter, *, above: UUID, below: UUID, limit: int) -> list[Record]:
    """Give what a replay needs to know of the first deliveries of a window that ended somehow.

    Ignored ones are also those of which only a part was.
    """
    if wanted.status is WebhookStatus.IGNORED:
        whole = replace(wanted, status=None)
        return await conn.fetch(PAGE_IGNORED, *_values(whole, above, below), limit)
    query = PAGE_NOT_PUBLISHED if wanted.status in _SEARCHED else PAGE
    return await conn.fetch(query, *_values(wanted, above, below), limit)


async def list_named(conn: Connection, ids: Sequence[UUID]) -> list[Record]:
    """Give the same of deliveries that are named."""
    return await conn.fetch(NAMED, ids)


# Locked in one order, so that two replays of the same never wait in a circle. Whoever works on a row keeps it.
REPLAY: Final = f"""
WITH mine AS MATERIALIZED (
    SELECT id, received_at
    FROM webhook_events
    WHERE id = ANY($1::uuid[]) AND received_at BETWEEN $2 AND $3 AND {_ENDED} AND signature_valid AND raw IS NOT NULL
    ORDER BY id
    FOR UPDATE
)
UPDATE webhook_events AS event
SET status = 'received', reason = NULL, error = NULL, attempts = 0, next_attempt_at = NULL, locked_by = NULL,
    processed_at = NULL, replays = event.replays + 1
FROM mine
WHERE event.id = mine.id AND event.received_at = mine.received_at AND event.received_at BETWEEN $2 AND $3
RETURNING event.id
"""  # noqa: S608  a constant condition


async def replay(conn: Connection, ids: Sequence[UUID], times: Sequence[datetime]) -> set[UUID]:
    """Let these be processed again as if they had just come, in their old place; give those that could be."""
    rows = await conn.fetch(REPLAY, ids, min(times), max(times))
    return {row["id"] for row in rows}


NOTE_REPLAYS: Final = """
INSERT INTO audit_log (actor_key_id, actor_role, action, subject, details)
SELECT $1, $2, 'webhook.replayed', replayed.id::text, jsonb_build_object('was', replayed.status)
FROM unnest($3::uuid[], $4::text[]) AS replayed (id, status)
"""


async def note_replays(conn: Connection, actor: Actor, replayed: Sequence[tuple[UUID, str]]) -> None:
    """Record who had which deliveries processed again: pairs of delivery and former status."""
    role = actor.role.value if actor.role else None
    await conn.execute(NOTE_REPLAYS, actor.key_id, role, [each for each, _ in replayed], [was for _, was in replayed])


def _values(wanted: Filter, above: UUID, below: UUID) -> tuple[Any, ...]:
    return (
        above,
        below,
        wanted.since,
        wanted.until,
        wanted.platform.value if wanted.platform else None,
        wanted.app,
        wanted.status.value if wanted.status else None,
        wanted.signature_valid,
        wanted.retryable,
    )


def _delivery(row: Record) -> DeliveryRow:
    return DeliveryRow(
        id=row["id"],
        received_at=row["received_at"],
        platform=PlatformName(row["platform"]),
        app=row["app"],
        status=WebhookStatus(row["status"]),
        reason=row["reason"],
        error=row["error"],
        signature_valid=row["signature_valid"],
        body_bytes=row["body_bytes"],
        has_body=row["has_body"],
        attempts=row["attempts"],
        max_attempts=row["max_attempts"],
        next_attempt_at=row["next_attempt_at"],
        processed_at=row["processed_at"],
        replays=row["replays"],
        source_ip=row["source_ip"],
        user_agent=row["user_agent"],
    )


def _change(row: Record) -> ChangeRow:
    return ChangeRow(**{**dict(row.items()), "status": WebhookStatus(row["status"])})
