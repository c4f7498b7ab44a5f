"""The asks: one row per organization's wish."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from libs.postgres import Connection, Record
from libs.vocabulary import PlatformName
from services.batcher.models import Ask, EndedAsk

FIND_KNOWN: Final = "SELECT id FROM batch_request_queue WHERE id = ANY($1::uuid[])"


async def find_known(conn: Connection, request_ids: Iterable[UUID]) -> set[UUID]:
    """Give which of these requests were queued before."""
    return {row["id"] for row in await conn.fetch(FIND_KNOWN, list(request_ids))}


ADD: Final = """
INSERT INTO batch_request_queue (
    id, org_id, platform, connection_id, request_type, request_key, params, priority, max_wait_seconds, call_id,
    object_key, event_id, event_source, correlation_id, traceparent, asked_at, give_up_at
)
SELECT id, org_id, platform, connection_id, request_type, request_key, params, priority, max_wait_seconds, call_id,
    object_key, event_id, event_source, correlation_id, traceparent, asked_at,
    statement_timestamp() + make_interval(secs => $17)
FROM unnest(
    $1::uuid[], $2::uuid[], $3::text[], $4::uuid[], $5::text[], $6::text[], $7::jsonb[], $8::smallint[], $9::real[],
    $10::uuid[], $11::text[], $12::text[], $13::text[], $14::text[], $15::text[], $16::timestamptz[]
) AS asked (
    id, org_id, platform, connection_id, request_type, request_key, params, priority, max_wait_seconds, call_id,
    object_key, event_id, event_source, correlation_id, traceparent, asked_at
)
"""


async def add(conn: Connection, asks: Sequence[tuple[Ask, UUID | None]], *, give_up_seconds: float) -> None:
    """Queue asks, each with its call; one without a call is to be ended in this transaction."""
    rows = [
        (
            ask.request_id,
            ask.org_id,
            ask.platform.value,
            ask.connection_id,
            ask.request_type,
            ask.request_key,
            ask.params,
            ask.priority,
            ask.max_wait_seconds,
            call_id,
            ask.object_key,
            ask.event_id,
            ask.event_source,
            ask.correlation_id,
            ask.traceparent,
            ask.asked_at,
        )
        for ask, call_id in asks
    ]
    if rows:
        await conn.execute(ADD, *map(list, zip(*rows, strict=True)), give_up_seconds)


START: Final = """
UPDATE batch_request_queue SET status = 'processing'
WHERE call_id = ANY($1::uuid[]) AND ended_at IS NULL
RETURNING call_id, traceparent
"""


async def start(conn: Connection, call_ids: Sequence[UUID]) -> list[tuple[UUID, str | None]]:
    """Say that the asks of these calls are on their way; give call and trace context of each."""
    return [(row["call_id"], row["traceparent"]) for row in await conn.fetch(START, list(call_ids))]


MOVE: Final = """
UPDATE batch_request_queue AS ask SET call_id = moved.to_id
FROM unnest($1::uuid[], $2::uuid[]) AS moved (from_id, to_id)
WHERE ask.call_id = moved.from_id AND ask.ended_at IS NULL
"""


async def move(conn: Connection, moves: Mapping[UUID, UUID]) -> None:
    """Let the open asks of calls be answered by other calls of the same read."""
    await conn.execute(MOVE, list(moves), list(moves.values()))


WAIT_AGAIN: Final = """
UPDATE batch_request_queue SET status = 'pending' WHERE call_id = ANY($1::uuid[]) AND status = 'processing'
"""


async def wait_again(conn: Connection, call_ids: Collection[UUID]) -> None:
    """Say that the asks of these calls wait again."""
    if call_ids:
        await conn.execute(WAIT_AGAIN, list(call_ids))


_ENDED_COLUMNS: Final = """ask.id, ask.org_id, ask.platform, ask.connection_id, ask.request_type, ask.call_id,
    ask.object_key, ask.event_id, ask.event_source, ask.correlation_id, ask.traceparent, ask.ended_at, ask.queued_at"""

END_OF_CALLS: Final = f"""
UPDATE batch_request_queue AS ask
SET status = ended.status, ended_at = statement_timestamp(), error_code = ended.code, error_message = ended.message
FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[]) AS ended (call_id, status, code, message)
WHERE ask.call_id = ended.call_id AND ask.ended_at IS NULL
RETURNING {_ENDED_COLUMNS}
"""  # noqa: S608


@dataclass(frozen=True, slots=True)
class AskEnd:
    """How asks end; the message holds no secret."""

    id: UUID
    """Of the call, or of the ask, as the function says."""
    status: str
    code: str | None = None
    message: str | None = None


async def end_of_calls(conn: Connection, ends: Sequence[AskEnd]) -> list[EndedAsk]:
    """End the open asks of calls."""
    return await _end(conn, END_OF_CALLS, ends)


END: Final = f"""
UPDATE batch_request_queue AS ask
SET status = ended.status, ended_at = statement_timestamp(), error_code = ended.code, error_message = ended.message
FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[]) AS ended (id, status, code, message)
WHERE ask.id = ended.id AND ask.ended_at IS NULL
RETURNING {_ENDED_COLUMNS}
"""  # noqa: S608


async def end(conn: Connection, ends: Sequence[AskEnd]) -> list[EndedAsk]:
    """End open asks."""
    return await _end(conn, END, ends)


FIND_HOPELESS: Final = """
SELECT ask.id, ask.org_id IS DISTINCT FROM $2::uuid AS is_foreign
FROM batch_request_queue AS ask
WHERE ask.call_id = ANY($1::uuid[]) AND ask.ended_at IS NULL
    AND (ask.give_up_at <= statement_timestamp() OR ($2::uuid IS NOT NULL AND ask.org_id <> $2::uuid))
"""


async def find_hopeless(
    conn: Connection, call_ids: Sequence[UUID], owner_org_id: UUID | None
) -> tuple[list[UUID], list[UUID]]:
    """Give open asks of calls that must not be answered: those of organizations that do not own the connection (None:
    not known yet), and those whose time is over.
    """
    rows = await conn.fetch(FIND_HOPELESS, list(call_ids), owner_org_id)
    foreign = [row["id"] for row in rows if row["is_foreign"] and owner_org_id is not None]
    return foreign, [row["id"] for row in rows if row["id"] not in set(foreign)]


COUNT_OPEN: Final = """
SELECT call_id, count(*) AS asks FROM batch_request_queue
WHERE call_id = ANY($1::uuid[]) AND ended_at IS NULL
GROUP BY call_id
"""


async def count_open(conn: Connection, call_ids: Sequence[UUID]) -> dict[UUID, int]:
    """Give how many asks each call still has; calls without any are left out."""
    return {row["call_id"]: row["asks"] for row in await conn.fetch(COUNT_OPEN, list(call_ids))}


async def _end(conn: Connection, statement: str, ends: Sequence[AskEnd]) -> list[EndedAsk]:
    if not ends:
        return []
    rows = await conn.fetch(
        statement,
        [each.id for each in ends],
        [each.status for each in ends],
        [each.code for each in ends],
        [each.message for each in ends],
    )
    return [_ended_ask(row) for row in rows]


def _ended_ask(row: Record) -> EndedAsk:
    return EndedAsk(
        request_id=row["id"],
        org_id=row["org_id"],
        platform=PlatformName(row["platform"]),
        connection_id=row["connection_id"],
        request_type=row["request_type"],
        call_id=row["call_id"],
        object_key=row["object_key"],
        event_id=row["event_id"],
        event_source=row["event_source"],
        correlation_id=row["correlation_id"],
        traceparent=row["traceparent"],
        ended_at=row["ended_at"],
        queued_at=row["queued_at"],
    )
