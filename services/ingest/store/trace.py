"""What ingest's records say of an id, for `platformbus trace show`."""

from collections.abc import Sequence
from typing import Final

from libs.messaging.trace import MOST_STEPS, Step, uuids_of
from libs.postgres import Connection, Record

# The conditions beside the ids are those of the partial indexes: what they leave out is found by another way.
TRACE_REQUESTS: Final = """
SELECT request_id, org_id, source, idempotency_key, kind, object_key, via, event_id, correlation_id, status,
    connection_id, call_id, http_status, problem ->> 'title' AS refusal, error ->> 'code' AS error_code, received_at,
    ended_at
FROM requests
WHERE request_id = ANY (ARRAY(
    SELECT unnest($1::uuid[])
    UNION (SELECT request_id FROM requests WHERE correlation_id = ANY($2::text[]) AND via = 'kafka' LIMIT $3)
    UNION (SELECT request_id FROM requests WHERE event_id = ANY($2::text[]) AND event_id <> correlation_id LIMIT $3)
    UNION (
        SELECT request_id FROM requests
        WHERE idempotency_key = ANY($2::text[]) AND idempotency_key <> correlation_id LIMIT $3)
))
ORDER BY received_at
LIMIT $3
"""
# The inbox knows when it was kept: in the same transaction.
TRACE_WEBHOOKS: Final = """
SELECT kept.event_id, kept.org_id, kept.connection_id, kept.change_type, kept.account_type, kept.account_id,
    kept.external_event_id, coalesce(read.received_at, kept.received_at) AS kept_at
FROM webhooks AS kept
LEFT JOIN inbox AS read
    ON read.consumer = 'ingest' AND read.source = 'platformbus/webhook_receiver' AND read.event_id = kept.event_id
WHERE kept.event_id = ANY($1::text[]) OR kept.webhook_id = ANY($2::uuid[])
ORDER BY kept.event_id
LIMIT $3
"""
TRACE_CONNECTIONS: Final = """
SELECT connection_id, org_id, status, version, applied_at FROM connections WHERE connection_id = ANY($1::uuid[])
"""


async def find_steps(conn: Connection, ids: Sequence[str]) -> list[Step]:
    """Give the requests and webhooks that carry any of the ids, and connections as they are known here."""
    uuids = uuids_of(ids)
    requests = await conn.fetch(TRACE_REQUESTS, uuids, list(ids), MOST_STEPS)
    webhooks = await conn.fetch(TRACE_WEBHOOKS, list(ids), uuids, MOST_STEPS)
    connections = await conn.fetch(TRACE_CONNECTIONS, uuids) if uuids else []
    return [
        *(step for row in requests for step in _request(row)),
        *(_webhook(row) for row in webhooks),
        *(_connection(row) for row in connections),
    ]


def _request(row: Record) -> list[Step]:
    request_id = str(row["request_id"])
    event_id = row["event_id"]
    rejected = row["status"] == "rejected"
    came = Step(
        at=row["received_at"],
        what=f"{row['kind']} {'rejected' if rejected else 'accepted'}",
        kind="request",
        id=request_id,
        caused_by=(f"event:{event_id}",) if event_id else (),
        follow=tuple(found for found in (request_id, event_id) if found),
        detail={
            "via": row["via"],
            "source": row["source"],
            "organization": str(row["org_id"]),
            "object": row["object_key"],
            "idempotency_key": row["idempotency_key"],
            "correlation": row["correlation_id"],
            "connection": None if row["connection_id"] is None else str(row["connection_id"]),
            "refusal": row["refusal"],
        },
    )
    if rejected or row["ended_at"] is None:
        return [came]
    call_id = row["call_id"]
    ended = Step(
        at=row["ended_at"],
        what=f"{row['kind']} {row['status']}",
        kind="ending",
        id=request_id,
        caused_by=(*([f"call:{call_id}"] if call_id else []), f"ask:{request_id}", f"request:{request_id}"),
        detail={"http_status": row["http_status"], "error": row["error_code"]},
    )
    return [came, ended]


def _webhook(row: Record) -> Step:
    """A webhook as it is kept for its organization; its delivery is not followed, for it may hold others'."""
    return Step(
        at=row["kept_at"],
        what="webhook kept",
        kind="kept_webhook",
        id=row["event_id"],
        caused_by=(f"event:{row['event_id']}",),
        follow=(row["event_id"],),
        detail={
            "type": row["change_type"],
            "account": f"{row['account_type']}:{row['account_id']}",
            "key": row["external_event_id"],
            "organization": str(row["org_id"]),
            "connection": str(row["connection_id"]),
        },
    )


def _connection(row: Record) -> Step:
    return Step(
        at=row["applied_at"],
        what="connection known to ingest",
        kind="known_connection",
        id=str(row["connection_id"]),
        caused_by=(f"connection:{row['connection_id']}",),
        follow=(str(row["connection_id"]),),
        detail={"organization": str(row["org_id"]), "status": row["status"], "version": row["version"]},
    )
