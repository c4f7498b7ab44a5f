"""What an operator does with parked records: look, edit, drop. Redriving is a replay that does not wait for its time.

A change locks the key's row before the record's, as parking and replay do, and is written down with its actor.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from libs.events.topics import topic as declared_topic
from libs.messaging import inbox, operator_actions
from libs.messaging.kept import Headers, KeptRecord, headers_json, headers_of
from libs.messaging.messages import Route
from libs.messaging.operator_actions import MAX_NOTE_CHARS, CannotChange, check_edit, read_kept
from libs.messaging.parked import store
from libs.messaging.parked.store import Key
from libs.messaging.records import Declarations
from libs.postgres import Connection, Record


@dataclass(frozen=True, slots=True)
class Parked:
    """A parked record, and while it is open what is known of its key."""

    id: UUID
    consumer: str
    topic: str
    key: str
    """What is blocked; the record's own key is `record_key`."""
    partition: int
    offset: int
    record_key: bytes | None
    value: bytes | None
    headers: Headers
    event_id: str | None
    type: str | None
    version: int | None
    status: str
    attempts: int
    error: str | None
    created_at: datetime
    ended_at: datetime | None
    note: str | None
    edited_at: datetime | None
    original_value: bytes | None
    key_status: str | None
    key_attempts: int | None
    next_attempt_at: datetime | None
    waiting: int
    """Open records of its key, itself among them."""


_COLUMNS: Final = """
    record.id, record.consumer, record.topic, record.key, record.partition, record.record_offset, record.record_key,
    record.value, record.headers, record.event_id, record.type, record.version, record.status, record.attempts,
    record.error, record.created_at, record.ended_at, record.note, record.edited_at, record.original_value,
    known.status AS key_status, known.attempts AS key_attempts, known.next_attempt_at,
    (
        SELECT count(*) FROM parked AS behind
        WHERE behind.consumer = known.consumer AND behind.topic = known.topic AND behind.key = known.key
          AND behind.status = 'open'
    ) AS waiting
"""
# The record that is tried next: the first, of a state topic the newest.
HEADS: Final = f"""
SELECT {_COLUMNS}
FROM parked_keys AS known
JOIN LATERAL (
    SELECT parked.* FROM parked
    WHERE parked.consumer = known.consumer AND parked.topic = known.topic AND parked.key = known.key
      AND parked.status = 'open'
    ORDER BY CASE WHEN parked.topic = ANY($3::text[]) THEN -parked.version ELSE parked.seq END, parked.seq DESC
    LIMIT 1
) AS record ON true
WHERE known.consumer = $1 AND ($2::text IS NULL OR known.topic = $2)
ORDER BY known.since, known.topic, known.key
LIMIT $4
"""  # noqa: S608
OF_KEY: Final = f"""
SELECT {_COLUMNS}
FROM parked AS record
JOIN parked_keys AS known USING (consumer, topic, key)
WHERE record.consumer = $1 AND ($2::text IS NULL OR record.topic = $2) AND record.key = $3 AND record.status = 'open'
ORDER BY record.topic, record.seq
LIMIT $4
"""  # noqa: S608
GET: Final = f"""
SELECT {_COLUMNS}
FROM parked AS record
LEFT JOIN parked_keys AS known
  ON record.status = 'open' AND known.consumer = record.consumer AND known.topic = record.topic
  AND known.key = record.key
WHERE record.id = $1
"""  # noqa: S608


async def list_heads(
    conn: Connection, consumer: str, *, topic: str | None, states: Sequence[str], limit: int
) -> list[Parked]:
    """Give of each blocked key the record that is tried next, the key that is blocked for longest first.

    `states` are the names of the consumer's state topics.
    """
    return [_parked(row) for row in await conn.fetch(HEADS, consumer, topic, list(states), limit)]


async def list_key(conn: Connection, consumer: str, *, topic: str | None, key: str, limit: int) -> list[Parked]:
    """Give the open records of a blocked key, in order."""
    return [_parked(row) for row in await conn.fetch(OF_KEY, consumer, topic, key, limit)]


async def get(conn: Connection, record_id: UUID) -> Parked | None:
    """Give one record, whatever became of it."""
    row = await conn.fetchrow(GET, record_id)
    return _parked(row) if row else None


async def lock_open(conn: Connection, record_id: UUID) -> Parked:
    """Lock a record's key and give the record. Raises: CannotChange when it is not open."""
    parked = await get(conn, record_id)
    if parked is not None and parked.status == "open":
        await store.lock_blocked(conn, parked.consumer, [key_of(parked)])
        parked = await get(conn, record_id)  # as it is now that nobody else can end it
    if parked is None:
        raise CannotChange(f"there is no parked record {record_id}")
    if parked.status != "open":
        raise CannotChange(f"it was {parked.status} at {parked.ended_at:%Y-%m-%d %H:%M:%S} UTC")
    return parked


def key_of(parked: Parked) -> Key:
    """Name what it blocks."""
    return parked.topic, parked.key


EDIT: Final = """
UPDATE parked
SET original_value = CASE WHEN edited_at IS NULL THEN value ELSE original_value END, value = $2, edited_at = now()
WHERE id = $1 AND status = 'open'
"""


async def edit(
    conn: Connection,
    record_id: UUID,
    value: bytes | None,
    routes: Sequence[Route],
    actor: str,
    declarations: Declarations = declared_topic,
) -> None:
    """Give an open record another body, which must fit its contract and leave it on its key; the first one is kept.

    Raises: CannotChange.
    """
    parked = await lock_open(conn, record_id)
    check_edit(parked.value, value)
    routing, item = read_kept(_record(parked, value), routes, declarations)
    if routing.blocking_key(item) != parked.key:
        raise CannotChange("with this body it would belong to another key, and lose its place among that one's records")
    await conn.execute(EDIT, record_id, value)
    await operator_actions.note(conn, actor, "edit", "parked", record_id, replaced_value=parked.value)


# An id is unique within its source only, which is a header like any other.
TWIN_WAITS: Final = """
SELECT EXISTS (
    SELECT FROM parked
    WHERE event_id = $2 AND consumer = $1 AND status = 'open' AND id <> $3 AND headers @> $4::jsonb
)
"""


async def drop(
    conn: Connection,
    record_id: UUID,
    reason: str,
    routes: Sequence[Route],
    actor: str,
    declarations: Declarations = declared_topic,
) -> None:
    """Give a record up; it is kept, with the reason. When it was the next to be tried, its key is due at once.

    Its id counts as handled from now on, so that Kafka cannot bring it back, unless another record of the same id
    waits: that one then has its turn. Of a route without an inbox, and of a state topic, it is judged anew when it
    comes again. Raises: CannotChange when it is not open.
    """
    parked = await lock_open(conn, record_id)
    was_next = await _is_next(conn, parked, declarations)
    await store.end(conn, record_id, "dropped", reason[:MAX_NOTE_CHARS])
    await _remember(conn, parked, routes, declarations)
    is_free = await store.unblock_empty(conn, parked.consumer, [key_of(parked)])
    if was_next and not is_free:
        await store.go_on(conn, parked.consumer, key_of(parked))
    await operator_actions.note(conn, actor, "drop", "parked", record_id, words=reason)


async def _is_next(conn: Connection, parked: Parked, declarations: Declarations) -> bool:
    """Whether a replay of its key would begin with it: attempts and their end are the key's, and so that record's."""
    try:
        is_state = declarations(parked.topic).kind == "state"
    except KeyError:
        return False  # nothing here replays it any more
    if is_state:
        found = await store.newest_open(conn, parked.consumer, key_of(parked))
    else:
        found = await store.first_open(conn, parked.consumer, key_of(parked), 1)
    return [waiting.id for waiting in found] == [parked.id]


async def _remember(conn: Connection, parked: Parked, routes: Sequence[Route], declarations: Declarations) -> None:
    try:
        routing, item = read_kept(_record(parked, parked.value), routes, declarations)
    except CannotChange:
        return  # nothing would be applied either if it came again
    assert item.message is not None, "read_kept gives messages only"
    assert item.route is not None, "a message has its route"
    # A state may come again: it is whole, and its version keeps its order.
    if item.route.once and not routing.is_state(parked.topic):
        envelope = item.message.envelope
        source = headers_json([("ce_source", envelope.source.encode())])
        if not await conn.fetchval(TWIN_WAITS, parked.consumer, envelope.id, parked.id, source):
            await inbox.remember(conn, parked.consumer, [(envelope.source, envelope.id)])


def _record(parked: Parked, value: bytes | None) -> KeptRecord:
    return KeptRecord(parked.topic, parked.partition, parked.offset, parked.record_key, value, parked.headers)


def _parked(row: Record) -> Parked:
    fields: dict[str, Any] = dict(row.items())
    fields["offset"] = fields.pop("record_offset")
    return Parked(**(fields | {"headers": headers_of(row["headers"])}))
