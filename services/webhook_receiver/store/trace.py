"""What webhook_receiver's records say of an id, for `platformbus trace show`."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from libs.messaging.trace import MOST_STEPS, Step, uuids_of
from libs.postgres import Connection, Record

# Changes found by themselves do not bring the others of their delivery with them.
TRACE_CHANGES: Final = """
WITH named AS MATERIALIZED (
    (SELECT event_id, position FROM webhook_changes WHERE event_id = ANY($1::uuid[]) LIMIT $3)
    UNION (SELECT event_id, position FROM webhook_keys WHERE outbox_event_id = ANY($2::text[]) LIMIT $3)
    UNION (SELECT event_id, position FROM webhook_changes WHERE external_event_id = ANY($2::text[]) LIMIT $3)
)
SELECT change.event_id, change.position, change.received_at, change.external_event_id, change.object, change.field,
    change.change_type, change.account_type, change.account_id, change.status, change.reason
FROM named
CROSS JOIN LATERAL (
    SELECT * FROM webhook_changes AS one WHERE one.event_id = named.event_id AND one.position = named.position LIMIT 1
) AS change
ORDER BY change.received_at, change.event_id, change.position
LIMIT $3
"""
TRACE_DELIVERIES: Final = """
SELECT id, received_at, platform, app, signature_valid, status, reason, attempts, replays, processed_at, body_bytes
FROM webhook_events
WHERE id = ANY($1::uuid[])
ORDER BY received_at
LIMIT $2
"""
TRACE_PUBLICATIONS: Final = """
SELECT org_id, connection_id, event_id, position, outbox_event_id, published_at
FROM webhook_keys
WHERE event_id = ANY($1::uuid[])
ORDER BY published_at
LIMIT $2
"""
TRACE_CONNECTIONS: Final = """
SELECT connection_id, org_id, status, version, updated_at FROM connections WHERE connection_id = ANY($1::uuid[])
"""


async def find_steps(conn: Connection, ids: Sequence[str]) -> list[Step]:
    """Give deliveries by their id, changes by the platform's key or the event they became, and who got them."""
    uuids = uuids_of(ids)
    changes = await conn.fetch(TRACE_CHANGES, uuids, list(ids), MOST_STEPS)
    places = {(row["event_id"], row["position"]) for row in changes}
    deliveries = {row["event_id"] for row in changes}
    came = await conn.fetch(TRACE_DELIVERIES, [*deliveries, *uuids], MOST_STEPS) if deliveries or uuids else []
    published = await conn.fetch(TRACE_PUBLICATIONS, list(deliveries), MOST_STEPS) if deliveries else []
    known = await conn.fetch(TRACE_CONNECTIONS, uuids) if uuids else []
    ended_at = {row["id"]: row["processed_at"] for row in came}
    return [
        *(_delivery(row) for row in came),
        *(_change(row, ended_at.get(row["event_id"])) for row in changes),
        *(_publication(row) for row in published if (row["event_id"], row["position"]) in places),
        *(_connection(row) for row in known),
    ]


def _delivery(row: Record) -> Step:
    """A delivery as it came. It is not followed: its other changes merely happened beside what was asked for."""
    return Step(
        at=row["received_at"],
        what="delivery stored" if row["signature_valid"] else "delivery refused",
        kind="webhook",
        id=str(row["id"]),
        detail={
            "platform": row["platform"],
            "app": row["app"],
            "status": row["status"],
            "reason": row["reason"],
            "tries": row["attempts"],
            "replays": row["replays"],
            "bytes": row["body_bytes"],
        },
    )


def _change(row: Record, ended_at: datetime | None) -> Step:
    return Step(
        at=ended_at or row["received_at"],
        what=f"change {row['status']}",
        kind="change",
        id=f"{row['event_id']}/{row['position']}",
        caused_by=(f"webhook:{row['event_id']}",),
        detail={
            "type": row["change_type"],
            "object": row["object"],
            "field": row["field"],
            "account": f"{row['account_type']}:{row['account_id']}",
            "key": row["external_event_id"],
            "reason": row["reason"],
        },
    )


def _publication(row: Record) -> Step:
    return Step(
        at=row["published_at"],
        what="event made for an organization",
        kind="event",
        id=row["outbox_event_id"],
        caused_by=(f"change:{row['event_id']}/{row['position']}",),
        follow=(row["outbox_event_id"],),
        detail={"organization": str(row["org_id"]), "connection": str(row["connection_id"])},
    )


def _connection(row: Record) -> Step:
    return Step(
        at=row["updated_at"],
        what="connection known to webhook_receiver",
        kind="known_connection",
        id=str(row["connection_id"]),
        caused_by=(f"connection:{row['connection_id']}",),
        follow=(str(row["connection_id"]),),
        detail={"organization": str(row["org_id"]), "status": row["status"], "version": row["version"]},
    )
