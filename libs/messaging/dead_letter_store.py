"""The table of dead letters, and the copies on `<service>.dead_letters`: records as they came, why, where and when.

A copy that is too large for its topic goes without what makes it so; the table has everything.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

from libs.events.envelope import new_event_id
from libs.events.topics import MAX_DEAD_LETTER_BYTES
from libs.messaging.kept import headers_json, headers_of, record_hash
from libs.messaging.outbox import RECORD_OVERHEAD_BYTES, RawCopy, append_copies
from libs.messaging.records import RawRecord
from libs.postgres import Connection, Record


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A record that did not fit its contract when it came."""

    id: UUID
    consumer: str
    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]
    reason: str
    status: str
    created_at: datetime
    ended_at: datetime | None
    note: str | None
    edited_at: datetime | None
    original_value: bytes | None


KEEP: Final = """
INSERT INTO dead_letters (id, consumer, topic, partition, record_offset, key, value, headers, record_hash, reason)
SELECT letter.id, $1, letter.topic, letter.partition, letter.record_offset, letter.key, letter.value, letter.headers,
letter.record_hash, letter.reason
FROM unnest(
    $2::uuid[], $3::text[], $4::integer[], $5::bigint[], $6::bytea[], $7::bytea[], $8::jsonb[], $9::bytea[], $10::text[]
) AS letter (id, topic, partition, record_offset, key, value, headers, record_hash, reason)
ON CONFLICT (consumer, topic, partition, record_offset, record_hash) DO NOTHING
RETURNING id
"""


async def keep(conn: Connection, consumer: str, letters: Sequence[tuple[RawRecord, str]]) -> int:
    """Store records with their reasons, and a copy of each in the outbox; one that was stored before is left alone.

    Stored before means the same bytes at the same place: a topic that was made anew uses its places again.
    """
    ids = [UUID(new_event_id()) for _ in letters]
    rows = await conn.fetch(
        KEEP,
        consumer,
        ids,
        [record.topic for record, _ in letters],
        [record.partition for record, _ in letters],
        [record.offset for record, _ in letters],
        [record.key for record, _ in letters],
        [record.value for record, _ in letters],
        [headers_json(record.headers) for record, _ in letters],
        [record_hash(record) for record, _ in letters],
        [reason for _, reason in letters],
    )
    new = {row["id"] for row in rows}
    copies = [
        _copy(consumer, letter_id, *letter) for letter_id, letter in zip(ids, letters, strict=True) if letter_id in new
    ]
    await append_copies(conn, copies)
    return len(new)


def _copy(consumer: str, letter_id: UUID, record: RawRecord, reason: str) -> RawCopy:
    ours = [
        ("dl_id", str(letter_id)),
        ("dl_reason", reason),
        ("dl_consumer", consumer),
        ("dl_topic", record.topic),
        ("dl_partition", str(record.partition)),
        ("dl_offset", str(record.offset)),
        ("dl_at", datetime.now(UTC).isoformat()),
    ]
    whole = RawCopy(
        topic=f"{consumer}.dead_letters",
        key=(record.key or b"").decode("utf-8", "replace").replace("\x00", "\ufffd"),
        value=record.value,
        headers=[*record.headers, *((name, text.encode()) for name, text in ours)],
        source=consumer,
    )
    return _fitting(whole, len(ours))


_LARGEST_COPY_BYTES: Final = MAX_DEAD_LETTER_BYTES - 2 * RECORD_OVERHEAD_BYTES
"""Once for the frame, and once for the headers that say what was left out."""
_HEADER_FRAME_BYTES: Final = 10


def _fitting(copy: RawCopy, our_headers: int) -> RawCopy:
    """Leave out of a copy what its topic does not take: the largest of the record's value, headers and key first.

    A broker judges a record as its producer compressed it; we send it unpacked. A copy that is refused would hold back
    those behind it of its key for ever, and all records without key have one.
    """
    theirs = copy.headers[:-our_headers]
    sizes = {"value": len(copy.value or b""), "headers": _headers_size(theirs), "key": len(copy.key.encode())}
    size = sum(sizes.values())
    smaller: dict[str, Any] = {"value": None, "headers": copy.headers[-our_headers:], "key": ""}
    left, left_out = size + _headers_size(smaller["headers"]), []
    for part in sorted(sizes, key=sizes.__getitem__, reverse=True):
        if left <= _LARGEST_COPY_BYTES:
            break
        copy = replace(copy, **{part: smaller[part]})
        left -= sizes[part]
        left_out.append(part)
    if not left_out:
        return copy
    notes = [
        ("dl_left_out", ", ".join(left_out)),
        ("dl_bytes", str(size)),
        ("dl_whole", "too large for this topic; the service's table dead_letters has all of it, by dl_id"),
    ]
    return replace(copy, headers=[*copy.headers, *((name, text.encode()) for name, text in notes)])


def _headers_size(headers: Sequence[tuple[str, bytes | None]]) -> int:
    return sum(len(name.encode()) + len(value or b"") + _HEADER_FRAME_BYTES for name, value in headers)


_COLUMNS: Final = """
    id, consumer, topic, partition, record_offset, key, value, headers, reason, status, created_at, ended_at, note,
    edited_at, original_value
"""
LIST_OPEN: Final = f"SELECT {_COLUMNS} FROM dead_letters WHERE status = 'open' ORDER BY created_at, id LIMIT $1"  # noqa: S608
GET: Final = f"SELECT {_COLUMNS} FROM dead_letters WHERE id = $1"  # noqa: S608
LOCK: Final = f"SELECT {_COLUMNS} FROM dead_letters WHERE id = $1 FOR UPDATE"  # noqa: S608
END: Final = "UPDATE dead_letters SET status = $2, note = $3, ended_at = now() WHERE id = $1 AND status = 'open'"


async def list_open(conn: Connection, *, limit: int = 50) -> list[DeadLetter]:
    """Give open dead letters, oldest first."""
    return [_letter(row) for row in await conn.fetch(LIST_OPEN, limit)]


async def get(conn: Connection, letter_id: UUID) -> DeadLetter | None:
    """Give one dead letter, whatever became of it."""
    row = await conn.fetchrow(GET, letter_id)
    return _letter(row) if row else None


async def lock(conn: Connection, letter_id: UUID) -> DeadLetter | None:
    """Give one dead letter and keep others from ending it until this transaction has."""
    row = await conn.fetchrow(LOCK, letter_id)
    return _letter(row) if row else None


async def end(conn: Connection, letter_id: UUID, status: str, note: str | None) -> None:
    """Close an open dead letter as `redriven` or `dropped`."""
    await conn.execute(END, letter_id, status, note)


EDIT: Final = """
UPDATE dead_letters
SET original_value = CASE WHEN edited_at IS NULL THEN value ELSE original_value END, value = $2, edited_at = now()
WHERE id = $1 AND status = 'open'
"""


async def edit(conn: Connection, letter_id: UUID, value: bytes | None) -> None:
    """Give an open dead letter another body; the first one is kept."""
    await conn.execute(EDIT, letter_id, value)


def _letter(row: Record) -> DeadLetter:
    fields: dict[str, Any] = dict(row.items())
    fields["offset"] = fields.pop("record_offset")
    return DeadLetter(**(fields | {"headers": headers_of(row["headers"])}))
