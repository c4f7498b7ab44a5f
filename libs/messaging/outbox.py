"""The way out of a transaction: an event is published by appending it beside the state that it speaks of.

Nothing writes to Kafka any other way. What makes the order of a key: the caller holds the key's own row locked (its
version raised) before it appends, or passes `lock_key=True` where a key has no row of its own.
"""

import json
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final
from uuid import UUID

from aiokafka.partitioner import murmur2

from libs.events.envelope import Envelope, new_event_id
from libs.events.model import Event
from libs.events.topics import Topic
from libs.events.topics import topic as declared_topic
from libs.postgres import Connection
from libs.telemetry.spans import create_span
from libs.telemetry.tracing import current_traceparent

SHARDS: Final = 8
RECORD_OVERHEAD_BYTES: Final = 512
"""Room that a record's frame and its batch's head (61 bytes) take beside key, value and headers, rounded up."""


class MessageTooLarge(Exception):  # noqa: N818
    """An event is larger than its topic allows: refused where it is made, before anything is committed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxItem:
    """One event to append; the words are those of `append`."""

    topic: str | Topic
    key: str
    event: Event | None
    source: str
    org_id: UUID | None = None
    subject: str | None = None
    version: int | None = None
    correlation_id: str | None = None
    causation: Envelope | None = None
    event_type: type[Event] | None = None
    event_id: str | None = None
    idempotency_key: str | None = None
    lock_key: bool = False
    traceparent: str | None = None
    """Trace to go on with where what caused the event is no event itself, e.g. a delivery that came by HTTP."""


async def append(
    conn: Connection,
    *,
    topic: str | Topic,
    key: str,
    event: Event | None,
    source: str,
    org_id: UUID | None = None,
    subject: str | None = None,
    version: int | None = None,
    correlation_id: str | None = None,
    causation: Envelope | None = None,
    event_type: type[Event] | None = None,
    event_id: str | None = None,
    idempotency_key: str | None = None,
    lock_key: bool = False,
) -> str:
    """Append one event to the outbox of the open transaction and return its id.

    `event=None` with `event_type` is the tombstone of a state topic. `version` is needed on state topics, tombstones
    too, and must never start again for a key. `causation` is the event that is answered: its correlation and trace
    go on. `lock_key` takes the key's advisory lock until the transaction ends; without it the caller holds the key's
    row.
    Raises: MessageTooLarge; ValueError for what the topic's declaration does not allow.
    """
    item = OutboxItem(
        topic=topic,
        key=key,
        event=event,
        source=source,
        org_id=org_id,
        subject=subject,
        version=version,
        correlation_id=correlation_id,
        causation=causation,
        event_type=event_type,
        event_id=event_id,
        idempotency_key=idempotency_key,
        lock_key=lock_key,
    )
    return (await append_many(conn, (item,)))[0]


LOCK_KEYS: Final = """
SELECT pg_advisory_xact_lock(wanted.id)
FROM (
    SELECT DISTINCT hashtextextended(key.text, 7) AS id FROM unnest($1::text[]) AS key (text) ORDER BY id
) AS wanted
"""

APPEND: Final = """
INSERT INTO outbox (
    shard, key_hash, aggregatetype, aggregateid, type, payload, event_id, source, event_time,
    subject, org_id, correlation_id, causation_id, version, idempotency_key, traceparent
)
SELECT
    item.shard, item.key_hash, item.aggregatetype, item.aggregateid, item.type, item.payload, item.event_id,
    item.source, item.event_time, item.subject, item.org_id, item.correlation_id, item.causation_id, item.version,
    item.idempotency_key, item.traceparent
FROM unnest(
    $1::smallint[], $2::integer[], $3::text[], $4::text[], $5::text[], $6::bytea[], $7::text[], $8::text[],
    $9::text[], $10::text[], $11::uuid[], $12::text[], $13::text[], $14::bigint[], $15::text[], $16::text[]
) WITH ORDINALITY AS item (
    shard, key_hash, aggregatetype, aggregateid, type, payload, event_id, source, event_time,
    subject, org_id, correlation_id, causation_id, version, idempotency_key, traceparent, place
)
ORDER BY item.place
"""


async def append_many(conn: Connection, items: Sequence[OutboxItem]) -> list[str]:
    """Append events in the given order with one statement and return their ids in that order.

    Keys to lock are locked first, in one order for everybody. Raises as `append`; then nothing was appended.
    """
    if not items:
        return []
    rows = [_row(item) for item in items]
    locked = [f"{row[2]}\n{row[3]}" for item, row in zip(items, rows, strict=True) if item.lock_key]
    if locked:
        await conn.fetch(LOCK_KEYS, locked)
    await conn.execute(APPEND, *map(list, zip(*rows, strict=True)))
    return [row[6] for row in rows]


@lru_cache(maxsize=16_384)
def hash_of(key: str) -> int:
    """Give the number that decides a key's partition, as Kafka's default partitioner (Java, aiokafka) computes it."""
    return int(murmur2(key.encode())) & 0x7FFF_FFFF


def shard_of(key_hash: int) -> int:
    """Give the shard of a key: stable for ever, since two relays must not work on one key."""
    return key_hash % SHARDS


_Row = tuple[
    int,
    int,
    str,
    str,
    str,
    bytes | None,
    str,
    str,
    str,
    str | None,
    UUID | None,
    str | None,
    str | None,
    int | None,
    str | None,
    str | None,
]


def _row(item: OutboxItem) -> _Row:
    topic = declared_topic(item.topic) if isinstance(item.topic, str) else item.topic
    event_type = _event_type(item, topic)
    event_id = item.event_id or new_event_id()
    payload = None if item.event is None else item.event.model_dump_json().encode()
    correlation_id, causation_id, cause_traceparent = _cause(item, event_id)
    with create_span(
        topic.name, message_id=event_id, conversation_id=correlation_id, cause_traceparent=cause_traceparent
    ):
        traceparent = current_traceparent() or cause_traceparent
    key_hash = hash_of(item.key)
    row = (
        shard_of(key_hash),
        key_hash,
        topic.name,
        item.key,
        event_type,
        payload,
        event_id,
        item.source,
        _wire_time(datetime.now(UTC)),
        item.subject,
        item.org_id,
        correlation_id,
        causation_id,
        item.version,
        item.idempotency_key,
        traceparent,
    )
    _check_size(row, topic)
    return row


def _event_type(item: OutboxItem, topic: Topic) -> str:
    model = item.event_type if item.event is None else type(item.event)
    if model is None:
        raise ValueError(f"a tombstone on {topic.name} needs event_type, which says what has ended")
    if model not in topic.events:
        raise ValueError(f"{model.__name__} is not declared for topic {topic.name}")
    if not item.key:
        raise ValueError(f"an event on {topic.name} needs a key: it is the unit of order")
    if topic.kind == "state" and item.version is None:
        raise ValueError(f"state on {topic.name} needs a version: consumers apply only what is newer")
    if item.event is None and topic.kind != "state":
        raise ValueError(f"{topic.name} is a {topic.kind} topic and has no tombstones")
    return model.event_type


def _cause(item: OutboxItem, event_id: str) -> tuple[str, str | None, str | None]:
    """Correlation, causation and the trace to go on with; an event without a cause begins a correlation of its own."""
    cause = item.causation
    if cause is None:
        return item.correlation_id or event_id, None, item.traceparent
    return item.correlation_id or cause.correlation_id or cause.id, cause.id, cause.traceparent


def _wire_time(moment: datetime) -> str:
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")


def _check_size(row: _Row, topic: Topic) -> None:
    payload = row[5]
    size = (len(payload) if payload else 0) + sum(len(part) for part in row if isinstance(part, str))
    if size + RECORD_OVERHEAD_BYTES > topic.max_message_bytes:
        raise MessageTooLarge(
            f"{row[4]} has {size} bytes, topic {topic.name} takes {topic.max_message_bytes}; split it into parts"
        )


@dataclass(frozen=True, slots=True)
class RawCopy:
    """A record that goes out with exactly these headers and value: the copy of a dead letter."""

    topic: str
    key: str
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]]
    source: str


APPEND_COPIES: Final = """
INSERT INTO outbox (
    shard, key_hash, aggregatetype, aggregateid, type, payload, event_id, source, event_time, raw_headers
)
SELECT copy.shard, copy.key_hash, copy.topic, copy.key, 'copy', copy.payload, copy.event_id, copy.source, copy.at,
copy.headers
FROM unnest(
    $1::smallint[], $2::integer[], $3::text[], $4::text[], $5::bytea[], $6::text[], $7::text[], $8::text[], $9::bytea[]
) WITH ORDINALITY AS copy (shard, key_hash, topic, key, payload, event_id, source, at, headers, place)
ORDER BY copy.place
"""


async def append_copies(conn: Connection, copies: Sequence[RawCopy]) -> None:
    """Append untouched copies of records, in the given order."""
    if not copies:
        return
    at = _wire_time(datetime.now(UTC))
    rows = [
        (
            shard_of(hash_of(copy.key)),
            hash_of(copy.key),
            copy.topic,
            copy.key,
            copy.value,
            new_event_id(),
            copy.source,
            at,
            _raw_headers(copy.headers),
        )
        for copy in copies
    ]
    await conn.execute(APPEND_COPIES, *map(list, zip(*rows, strict=True)))


def _raw_headers(headers: Sequence[tuple[str, bytes | None]]) -> bytes:
    pairs = [(name, None if value is None else b64encode(value).decode()) for name, value in headers]
    return json.dumps(pairs).encode()
