"""What the batcher's records say of an id, for `platformbus trace show`."""

from collections.abc import Sequence
from typing import Final
from uuid import UUID

from libs.messaging.trace import MOST_STEPS, Step, uuids_of
from libs.postgres import Connection, Record

TRACE_ASKS: Final = """
SELECT id, org_id, request_type, object_key, priority, status, call_id, event_id, queued_at, ended_at, error_code
FROM batch_request_queue
WHERE id = ANY (ARRAY(
    SELECT unnest($1::uuid[])
    UNION (SELECT id FROM batch_request_queue WHERE event_id = ANY($2::text[]) LIMIT $3)
    UNION (SELECT id FROM batch_request_queue WHERE call_id = ANY($1::uuid[]) LIMIT $3)
))
ORDER BY queued_at
LIMIT $3
"""
TRACE_CALLS: Final = """
SELECT q.id, q.platform, q.connection_id, q.request_type, q.status, q.held_for, q.attempts, q.http_status, q.last_error,
    q.created_at, q.ended_at, (SELECT count(*) FROM batch_request_queue AS ask WHERE ask.call_id = q.id) AS asks
FROM calls AS q
WHERE q.id = ANY($1::uuid[])
ORDER BY q.created_at
LIMIT $2
"""
TRACE_CONNECTIONS: Final = """
SELECT connection_id, org_id, status, version, updated_at FROM connections WHERE connection_id = ANY($1::uuid[])
"""


async def find_steps(conn: Connection, ids: Sequence[str]) -> list[Step]:
    """Give the asks that carry any of the ids, the calls that answer them, and connections as they are known here."""
    uuids = uuids_of(ids)
    asks = await conn.fetch(TRACE_ASKS, uuids, list(ids), MOST_STEPS)
    call_ids = {*uuids, *(row["call_id"] for row in asks if row["call_id"] is not None)}
    calls = await conn.fetch(TRACE_CALLS, list(call_ids), MOST_STEPS) if call_ids else []
    connections = await conn.fetch(TRACE_CONNECTIONS, uuids) if uuids else []
    return [
        *(step for row in asks for step in _ask(row)),
        *(_call(row, [ask["id"] for ask in asks if ask["call_id"] == row["id"]]) for row in calls),
        *(_connection(row) for row in connections),
    ]


def _ask(row: Record) -> list[Step]:
    """The event that asked, which this service has read, and the ask. The call is not followed: others share it."""
    request_id, event_id = str(row["id"]), row["event_id"]
    read = Step(
        at=row["queued_at"],
        what="event read by batcher",
        kind="event",
        id=event_id,
        caused_by=(f"request:{request_id}",),
        follow=(event_id, request_id),
    )
    queued = Step(
        at=row["queued_at"],
        what="ask queued",
        kind="ask",
        id=request_id,
        caused_by=(f"event:{event_id}",),
        follow=(request_id,),
        detail={
            "read": row["request_type"],
            "organization": str(row["org_id"]),
            "object": row["object_key"],
            "priority": row["priority"],
            "status": row["status"],
            "error": row["error_code"],
        },
    )
    return [read, queued]


def _call(row: Record, asks: Sequence[UUID]) -> Step:
    """A call at its end, or while it waits at its beginning."""
    return Step(
        at=row["ended_at"] or row["created_at"],
        what=f"call {row['status']}",
        kind="call",
        id=str(row["id"]),
        caused_by=tuple(f"ask:{ask}" for ask in asks),
        detail={
            "platform": row["platform"],
            "read": row["request_type"],
            "connection": str(row["connection_id"]),
            "asks_answered": row["asks"],
            "tries": row["attempts"],
            "held_for": row["held_for"],
            "http_status": row["http_status"],
            "error": row["last_error"],
        },
    )


def _connection(row: Record) -> Step:
    return Step(
        at=row["updated_at"],
        what="connection known to batcher",
        kind="known_connection",
        id=str(row["connection_id"]),
        caused_by=(f"connection:{row['connection_id']}",),
        follow=(str(row["connection_id"]),),
        detail={"organization": str(row["org_id"]), "status": row["status"], "version": row["version"]},
    )
