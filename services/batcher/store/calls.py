"""The calls: joined while they wait, claimed as batches, ended or put back under their fence."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from libs.postgres import Connection
from libs.vocabulary import PlatformName
from libs.work_queue import Claimed, Held, claim, claim_statement
from services.batcher.models import CALLS, Ask, HeldFor, QueuedCall

CallKey = tuple[UUID, str]
"""Connection and request key: what makes two asks share a call."""

# A call that is held for a reason keeps its time: who joins it waits with it.
JOIN: Final = """
INSERT INTO calls (platform, connection_id, request_type, request_key, params, priority, due_at, max_attempts)
SELECT platform, connection_id, request_type, request_key, params, priority,
    statement_timestamp() + make_interval(secs => wait_seconds), $8
FROM unnest($1::text[], $2::uuid[], $3::text[], $4::text[], $5::jsonb[], $6::smallint[], $7::float8[])
    AS asked (platform, connection_id, request_type, request_key, params, priority, wait_seconds)
ORDER BY connection_id, request_key
ON CONFLICT (connection_id, request_key) WHERE status = 'pending' DO UPDATE
SET priority = least(calls.priority, excluded.priority),
    due_at = CASE WHEN calls.held_for IS NULL THEN least(calls.due_at, excluded.due_at) ELSE calls.due_at END
RETURNING id, connection_id, request_key
"""


async def join(conn: Connection, asks: Sequence[Ask], *, max_attempts: int) -> dict[CallKey, UUID]:
    """Give each ask a waiting call: the one that waits already for the same read, or a new one.

    The call becomes as urgent as its most urgent ask. The connections' locks are held.
    """
    wanted: dict[CallKey, Ask] = {}
    urgency: dict[CallKey, tuple[int, float]] = {}
    for ask in asks:
        key = (ask.connection_id, ask.request_key)
        wanted.setdefault(key, ask)
        priority, wait = urgency.get(key, (ask.priority, ask.wait_seconds))
        urgency[key] = (min(priority, ask.priority), min(wait, ask.wait_seconds))
    rows = await conn.fetch(
        JOIN,
        [ask.platform.value for ask in wanted.values()],
        [ask.connection_id for ask in wanted.values()],
        [ask.request_type for ask in wanted.values()],
        [ask.request_key for ask in wanted.values()],
        [ask.params for ask in wanted.values()],
        [urgency[key][0] for key in wanted],
        [urgency[key][1] for key in wanted],
        max_attempts,
    )
    return {(row["connection_id"], row["request_key"]): row["id"] for row in rows}


MAKE_FULL_BATCHES_DUE: Final = """
WITH waiting AS (
    SELECT call.id, batch.size,
        row_number() OVER (PARTITION BY batch.connection_id ORDER BY call.priority, call.due_at, call.id) AS place,
        count(*) OVER (PARTITION BY batch.connection_id) AS size_of_queue
    FROM unnest($1::uuid[], $2::integer[]) AS batch (connection_id, size)
    CROSS JOIN LATERAL (
        SELECT q.id, q.priority, q.due_at FROM calls AS q
        WHERE q.connection_id = batch.connection_id AND q.status = 'pending' AND q.held_for IS NULL
            AND q.due_at > statement_timestamp()
        ORDER BY q.priority, q.due_at, q.id
        LIMIT batch.size * 20
    ) AS call
)
UPDATE calls AS q
SET due_at = statement_timestamp()
FROM waiting
WHERE q.id = waiting.id AND waiting.place <= waiting.size_of_queue / waiting.size * waiting.size
"""


async def make_full_batches_due(conn: Connection, batch_sizes: Mapping[UUID, int]) -> None:
    """Where a connection has waiting calls for a whole batch or several, make those due; the rest goes on waiting."""
    await conn.execute(MAKE_FULL_BATCHES_DUE, list(batch_sizes), list(batch_sizes.values()))


FLUSH: Final = """
UPDATE calls SET due_at = statement_timestamp()
WHERE connection_id = $1 AND platform = $2 AND status = 'pending' AND held_for IS NULL
    AND due_at > statement_timestamp()
"""


async def flush(conn: Connection, connection_id: UUID, platform: str) -> int:
    """Make the calls of a connection due that only wait for company; give how many. Its lock is held."""
    tag = await conn.execute(FLUSH, connection_id, platform)
    return int(tag.rpartition(" ")[2])


COUNT_FLUSHABLE: Final = """
SELECT count(*) FROM calls
WHERE connection_id = $1 AND platform = $2 AND status = 'pending' AND held_for IS NULL
    AND due_at > statement_timestamp()
"""


async def count_flushable(conn: Connection, connection_id: UUID, platform: str) -> int:
    """Count what `flush` would make due."""
    return int(await conn.fetchval(COUNT_FLUSHABLE, connection_id, platform))


LIST_CONNECTIONS_TO_FLUSH: Final = """
SELECT DISTINCT connection_id FROM calls
WHERE platform = $1 AND status = 'pending' AND held_for IS NULL AND due_at > statement_timestamp()
ORDER BY connection_id
"""


async def list_connections_to_flush(conn: Connection, platform: str) -> list[UUID]:
    """Give the connections that have calls waiting for company."""
    return [row["connection_id"] for row in await conn.fetch(LIST_CONNECTIONS_TO_FLUSH, platform)]


# Through the projection, because row security guards that and not the calls.
LIST_OWN_CONNECTIONS_TO_FLUSH: Final = """
SELECT known.connection_id FROM connections AS known
WHERE EXISTS (
    SELECT FROM calls AS q
    WHERE q.connection_id = known.connection_id AND q.platform = $1 AND q.status = 'pending' AND q.held_for IS NULL
        AND q.due_at > statement_timestamp())
ORDER BY known.connection_id
"""


async def list_own_connections_to_flush(conn: Connection, platform: str) -> list[UUID]:
    """Give the organization's own connections that have calls waiting for company."""
    return [row["connection_id"] for row in await conn.fetch(LIST_OWN_CONNECTIONS_TO_FLUSH, platform)]


# A probe per platform and priority: each finds its oldest due call at one place of the index.
FIND_DUE_CONNECTION: Final = """
WITH running AS (
    SELECT name FROM unnest($1::text[]) AS given (name)
    WHERE NOT EXISTS (SELECT FROM paused_platforms AS paused WHERE paused.platform = given.name)
), expired AS (
    SELECT q.platform, q.connection_id, q.priority, q.locked_until AS due_at FROM calls AS q
    WHERE q.status = 'processing' AND q.locked_until <= statement_timestamp()
        AND q.platform IN (SELECT name FROM running)
    ORDER BY q.locked_until
    LIMIT 1
), due AS (
    SELECT running.name AS platform, call.connection_id, call.priority, call.due_at
    FROM running
    CROSS JOIN generate_series(1, 10) AS level (priority)
    CROSS JOIN LATERAL (
        SELECT q.connection_id, q.priority, q.due_at FROM calls AS q
        WHERE q.platform = running.name AND q.priority = level.priority::smallint AND q.status = 'pending'
            AND q.due_at <= statement_timestamp()
        ORDER BY q.due_at, q.id
        LIMIT 1
    ) AS call
)
SELECT platform, connection_id FROM (SELECT * FROM expired UNION ALL SELECT * FROM due) AS found
ORDER BY priority, due_at
LIMIT 1
"""


async def find_due_connection(conn: Connection, platforms: Sequence[PlatformName]) -> tuple[PlatformName, UUID] | None:
    """Give platform and connection of the most urgent due call of these platforms, those paused left out."""
    row = await conn.fetchrow(FIND_DUE_CONNECTION, [name.value for name in platforms])
    return (PlatformName(row["platform"]), row["connection_id"]) if row is not None else None


_CLAIMED_COLUMNS: Final = (
    "request_type",
    "request_key",
    "params",
    "priority",
    "waits_for_connection_version",
)
CLAIM_DUE: Final = claim_statement(CALLS, where="q.connection_id = $4 AND q.platform = $5", returning=_CLAIMED_COLUMNS)
FILL_UP: Final = claim_statement(
    CALLS,
    # A lease shorter than the statement before must not let a call be claimed twice for one batch.
    where="q.connection_id = $4 AND q.platform = $5 AND q.id <> ALL($6::uuid[])",
    due="q.held_for IS NULL",
    returning=_CLAIMED_COLUMNS,
)


async def claim_batch(
    conn: Connection, platform: PlatformName, connection_id: UUID, worker: str, *, limit: int, lease_seconds: float
) -> list[QueuedCall]:
    """Claim up to `limit` calls of a connection whose lock is held; give them, most urgent first.

    What is due comes first. Room that is left costs no further HTTP call, so it is filled with what may still wait;
    but nothing is claimed unless something is due.
    """
    args = (connection_id, platform.value)
    rows = await claim(conn, CALLS, worker, limit=limit, lease_seconds=lease_seconds, statement=CLAIM_DUE, args=args)
    if 0 < len(rows) < limit:
        room = limit - len(rows)
        rows += await claim(
            conn,
            CALLS,
            worker,
            limit=room,
            lease_seconds=lease_seconds,
            statement=FILL_UP,
            args=(*args, [row.held.id for row in rows]),
        )
    return sorted((_queued_call(row) for row in rows), key=lambda call: (call.priority, call.call_id))


END: Final = f"""
UPDATE calls AS q
SET status = held.status, last_error = held.error, http_status = held.http_status, ended_at = statement_timestamp(),
    held_for = NULL, waits_for_connection_version = NULL, {CALLS.drop_lease}
FROM unnest($1::uuid[], $2::bigint[], $3::text[], $4::text[], $5::integer[])
    AS held (id, epoch, status, error, http_status)
WHERE {CALLS.still_ours}
RETURNING q.id
"""  # noqa: S608  the inserted parts are the queue's fence, made of names


@dataclass(frozen=True, slots=True)
class CallEnd:
    """How a call ends; `error` holds no secret."""

    held: Held
    status: str
    error: str | None = None
    http_status: int | None = None


async def end(conn: Connection, ends: Sequence[CallEnd]) -> set[UUID]:
    """End calls that are still ours and give their ids."""
    if not ends:
        return set()
    rows = await conn.fetch(
        END,
        [each.held.id for each in ends],
        [each.held.epoch for each in ends],
        [each.status for each in ends],
        [each.error for each in ends],
        [each.http_status for each in ends],
    )
    return {row["id"] for row in rows}


@dataclass(frozen=True, slots=True)
class PutBack:
    """How a call goes back to waiting."""

    held: Held
    held_for: HeldFor
    delay_seconds: float
    counts: bool
    """Whether the try counts."""
    reason: str
    newer_than_version: int | None = None


_PUT_BACK_ROWS: Final = """unnest(
        $1::uuid[], $2::bigint[], $3::text[], $4::float8[], $5::integer[], $6::text[], $7::bigint[]
    ) AS held (id, epoch, held_for, delay_seconds, uncounted, reason, newer_than_version)"""

# Somebody asked the same while this call was on its way, so its twin waits already: only one of them may wait. The
# asks move to the twin, which waits and counts as this call would have.
MERGE_INTO_TWINS: Final = f"""
WITH ours AS (
    SELECT q.id, q.connection_id, q.request_key, q.priority, q.attempts - held.uncounted AS attempts,
        held.held_for, held.delay_seconds, held.newer_than_version
    FROM calls AS q JOIN {_PUT_BACK_ROWS} ON {CALLS.still_ours}
), twins AS (
    UPDATE calls AS twin
    SET priority = least(twin.priority, ours.priority), attempts = greatest(twin.attempts, ours.attempts),
        due_at = greatest(
            CASE WHEN twin.held_for IS NOT NULL THEN twin.due_at END,
            statement_timestamp() + make_interval(secs => ours.delay_seconds)),
        held_for = ours.held_for, waits_for_connection_version = ours.newer_than_version
    FROM ours
    WHERE twin.connection_id = ours.connection_id AND twin.request_key = ours.request_key AND twin.status = 'pending'
    RETURNING twin.id AS twin_id, ours.id AS our_id
), moved AS (
    UPDATE batch_request_queue AS ask
    SET call_id = twins.twin_id, status = 'pending'
    FROM twins
    WHERE ask.call_id = twins.our_id AND ask.ended_at IS NULL
)
UPDATE calls AS q
SET status = 'skipped', last_error = 'its asks joined the next call of the same read', ended_at = statement_timestamp(),
    held_for = NULL, waits_for_connection_version = NULL, {CALLS.drop_lease}
FROM twins
WHERE q.id = twins.our_id
RETURNING q.id
"""  # noqa: S608

PUT_BACK: Final = f"""
UPDATE calls AS q
SET status = 'pending', attempts = q.attempts - held.uncounted, last_error = held.reason, held_for = held.held_for,
    waits_for_connection_version = held.newer_than_version,
    due_at = statement_timestamp() + make_interval(secs => held.delay_seconds), {CALLS.drop_lease}
FROM {_PUT_BACK_ROWS}
WHERE {CALLS.still_ours}
RETURNING q.id
"""  # noqa: S608


async def put_back(conn: Connection, backs: Sequence[PutBack]) -> set[UUID]:
    """Let calls that are still ours wait again and give their ids; those with a waiting twin become part of it.

    The connection's lock is held.
    """
    if not backs:
        return set()
    merged = await conn.fetch(MERGE_INTO_TWINS, *_columns(backs))
    merged_ids = {row["id"] for row in merged}
    rest = [each for each in backs if each.held.id not in merged_ids]
    rows = await conn.fetch(PUT_BACK, *_columns(rest))
    return merged_ids | {row["id"] for row in rows}


def _columns(backs: Sequence[PutBack]) -> tuple[list[object], ...]:
    return (
        [each.held.id for each in backs],
        [each.held.epoch for each in backs],
        [each.held_for for each in backs],
        [each.delay_seconds for each in backs],
        [0 if each.counts else 1 for each in backs],
        [each.reason for each in backs],
        [each.newer_than_version for each in backs],
    )


def _queued_call(claimed: Claimed) -> QueuedCall:
    row = claimed.row
    return QueuedCall(
        held=claimed.held,
        call_id=row["id"],
        request_type=row["request_type"],
        request_key=row["request_key"],
        params=json.loads(row["params"]),
        priority=row["priority"],
        attempts=claimed.attempts,
        max_attempts=claimed.max_attempts,
        waits_for_connection_version=row["waits_for_connection_version"],
    )
