"""Rows of requests: written once when they come, changed once when they end."""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from libs.postgres import Connection, Record
from libs.vocabulary import OrgId, RequestId
from services.ingest.models import Ask, Ending, Former, NewRequest, RequestFilter, RequestStatus, ResultPart

INSERT_REQUESTS: Final = """
INSERT INTO requests (
    request_id, org_id, source, idempotency_key, content_hash, kind, object_key, via, event_id, key_id, correlation_id,
    status, platform, connection_id, request_type, params, priority, max_wait_seconds, problem, received_at, ended_at
)
SELECT
    request_id, org_id, source, idempotency_key, content_hash, kind, object_key, via, event_id, key_id, correlation_id,
    status, platform, connection_id, request_type, params, priority, max_wait_seconds, problem, $20::timestamptz,
    CASE WHEN status = 'rejected' THEN $20::timestamptz END
FROM unnest(
    $1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::bytea[], $6::text[], $7::text[], $8::text[], $9::text[],
    $10::uuid[], $11::text[], $12::text[], $13::text[], $14::uuid[], $15::text[], $16::jsonb[], $17::smallint[],
    $18::double precision[], $19::jsonb[]
) WITH ORDINALITY AS asked (
    request_id, org_id, source, idempotency_key, content_hash, kind, object_key, via, event_id,
    key_id, correlation_id, status, platform, connection_id, request_type, params, priority,
    max_wait_seconds, problem, place
)
ORDER BY org_id, source, CASE status WHEN 'rejected' THEN event_id ELSE idempotency_key END,
    CASE status WHEN 'rejected' THEN content_hash END, place
ON CONFLICT DO NOTHING
RETURNING request_id
"""


async def insert_requests(conn: Connection, requests: Sequence[NewRequest], now: datetime) -> set[RequestId]:
    """Write the rows whose idempotency key is free and give their ids; of equal keys the first in order.

    Rejected rows hold no key: they are written unless the same event was rejected with the same content before.
    Waits for other transactions that are writing one of the keys, or one of the rejections.
    """
    if not requests:
        return set()
    rows = [_columns(request) for request in requests]
    written = await conn.fetch(INSERT_REQUESTS, *map(list, zip(*rows, strict=True)), now)
    return {RequestId(row["request_id"]) for row in written}


def _columns(request: NewRequest) -> tuple[Any, ...]:
    ask, read = request.ask, request.read
    status = RequestStatus.REJECTED if read is None else RequestStatus.ACCEPTED
    return (
        request.request_id,
        ask.org_id,
        ask.source,
        ask.idempotency_key,
        request.content_hash,
        ask.kind,
        ask.object_key,
        ask.via,
        ask.cause.id if ask.cause else None,
        ask.key_id,
        correlation_of(ask, request.request_id),
        status.value,
        read.platform.value if read else None,
        read.connection_id if read else None,
        read.request_type if read else None,
        json.dumps(read.params) if read else None,
        read.priority if read else None,
        read.max_wait_seconds if read else None,
        request.problem.model_dump_json() if request.problem else None,
    )


def correlation_of(ask: Ask, request_id: RequestId) -> str:
    """Give what ties together all that follows from an ask: the caller's own word for it, else the request's id."""
    return (ask.cause.correlation_id or ask.cause.id) if ask.cause else str(request_id)


FIND_FORMERS: Final = """
SELECT asked.place, requests.request_id, requests.status, requests.content_hash
FROM unnest($1::uuid[], $2::text[], $3::text[]) WITH ORDINALITY AS asked (org_id, source, idempotency_key, place)
JOIN requests ON requests.org_id = asked.org_id AND requests.source = asked.source
    AND requests.idempotency_key = asked.idempotency_key AND requests.status <> 'rejected'
"""


async def find_formers(conn: Connection, asks: Sequence[Ask]) -> list[Former | None]:
    """Give, in the order of the asks, the request that holds each one's idempotency key."""
    if not asks:
        return []
    keys = [(ask.org_id, ask.source, ask.idempotency_key) for ask in asks]
    found: list[Former | None] = [None] * len(asks)
    for row in await conn.fetch(FIND_FORMERS, *map(list, zip(*keys, strict=True))):
        former = Former(RequestId(row["request_id"]), RequestStatus(row["status"]), row["content_hash"])
        found[row["place"] - 1] = former
    return found


END_REQUESTS: Final = """
WITH held AS MATERIALIZED (
    SELECT request_id FROM requests
    WHERE request_id = ANY($1::uuid[]) AND status = 'accepted'
    ORDER BY request_id
    FOR UPDATE
)
UPDATE requests
SET status = ending.status, ended_at = ending.ended_at, call_id = ending.call_id, http_status = ending.http_status,
    result = ending.result, result_bytes = ending.result_bytes, error = ending.error
FROM held
JOIN unnest(
    $1::uuid[], $2::uuid[], $3::text[], $4::timestamptz[], $5::uuid[], $6::integer[], $7::jsonb[], $8::bigint[],
    $9::jsonb[]
) AS ending (request_id, org_id, status, ended_at, call_id, http_status, result, result_bytes, error)
    ON ending.request_id = held.request_id
WHERE requests.request_id = held.request_id AND requests.org_id = ending.org_id
RETURNING requests.request_id
"""


async def end_requests(conn: Connection, endings: Sequence[Ending]) -> set[RequestId]:
    """End the requests that still wait, and give their ids; at most one ending per request."""
    if not endings:
        return set()
    rows = [
        (
            e.request_id,
            e.org_id,
            e.status.value,
            e.ended_at,
            e.call_id,
            e.http_status,
            e.result,
            e.result_bytes,
            e.error,
        )
        for e in endings
    ]
    ended = await conn.fetch(END_REQUESTS, *map(list, zip(*rows, strict=True)))
    return {RequestId(row["request_id"]) for row in ended}


KNOWN_REQUESTS: Final = "SELECT request_id FROM requests WHERE request_id = ANY($1::uuid[])"


async def known_requests(conn: Connection, request_ids: Sequence[RequestId]) -> set[RequestId]:
    """Give those of the ids that are requests of ours."""
    return {RequestId(row["request_id"]) for row in await conn.fetch(KNOWN_REQUESTS, list(request_ids))}


INSERT_PARTS: Final = """
INSERT INTO request_result_parts (request_id, org_id, part, parts, chunk, chunk_bytes)
SELECT given.request_id, given.org_id, given.part, given.parts, given.chunk, given.chunk_bytes
FROM unnest($1::uuid[], $2::uuid[], $3::integer[], $4::integer[], $5::text[], $6::bigint[])
    AS given (request_id, org_id, part, parts, chunk, chunk_bytes)
JOIN requests ON requests.request_id = given.request_id AND requests.org_id = given.org_id
    AND requests.status = 'accepted'
ORDER BY given.request_id, given.part
ON CONFLICT (request_id, part) DO NOTHING
"""


async def insert_parts(conn: Connection, parts: Sequence[ResultPart]) -> None:
    """Keep parts of results whose requests still wait."""
    if parts:
        rows = [(p.request_id, p.org_id, p.part, p.parts, p.chunk, p.chunk_bytes) for p in parts]
        await conn.execute(INSERT_PARTS, *map(list, zip(*rows, strict=True)))


TAKE_PARTS: Final = """
DELETE FROM request_result_parts WHERE request_id = ANY($1::uuid[])
RETURNING request_id, org_id, part, parts, chunk, chunk_bytes
"""


async def take_parts(conn: Connection, request_ids: Sequence[RequestId]) -> dict[RequestId, list[ResultPart]]:
    """Remove the kept parts of requests and give them, each request's in order."""
    taken: dict[RequestId, list[ResultPart]] = {}
    for row in await conn.fetch(TAKE_PARTS, list(request_ids)) if request_ids else ():
        part = ResultPart(**dict(row.items()))
        taken.setdefault(part.request_id, []).append(part)
    for parts in taken.values():
        parts.sort(key=lambda part: part.part)
    return taken


GET_REQUEST: Final = """
SELECT request_id, org_id, source, idempotency_key, kind, object_key, via, event_id, key_id, correlation_id, status,
    platform, connection_id, request_type, params, priority, max_wait_seconds, problem, call_id, http_status, result,
    result_bytes, error, received_at, ended_at
FROM requests
WHERE request_id = $1 AND org_id = $2
"""


async def get_request(conn: Connection, org_id: OrgId, request_id: UUID) -> Record | None:
    """Give all of one request."""
    return await conn.fetchrow(GET_REQUEST, request_id, org_id)


LIST_REQUESTS: Final = """
SELECT request_id, source, idempotency_key, kind, object_key, via, status, platform, connection_id, request_type,
    priority, received_at, ended_at
FROM requests
WHERE org_id = $1
    AND ($2::text IS NULL OR status = $2)
    AND ($3::text IS NULL OR object_key = $3)
    AND ($4::uuid IS NULL OR connection_id = $4)
    AND ($5::uuid IS NULL OR request_id < $5)
ORDER BY request_id DESC
LIMIT $6
"""


async def list_requests(conn: Connection, org_id: OrgId, wanted: RequestFilter, limit: int) -> list[Record]:
    """Give requests newest first, without their params and results."""
    status = wanted.status.value if wanted.status else None
    return await conn.fetch(
        LIST_REQUESTS, org_id, status, wanted.object_key, wanted.connection_id, wanted.before, limit
    )


DELETE_OLD_REQUESTS: Final = """
DELETE FROM requests
WHERE ctid = ANY (ARRAY(SELECT ctid FROM requests WHERE received_at < $1 AND status <> 'accepted' LIMIT $2))
"""


async def delete_old_requests(conn: Connection, before: datetime, limit: int) -> int:
    """Delete at most `limit` ended requests that came before then; give how many. What still waits stays."""
    return int((await conn.execute(DELETE_OLD_REQUESTS, before, limit)).rpartition(" ")[2])
