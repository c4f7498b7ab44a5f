"""What a service's own records say of an id: the steps that `platformbus trace show` puts together from all services.

Here are the tables that every service has: what it has read (inbox), what waits for Kafka (outbox), and what stopped
(dead letters, parked records). A service adds the steps of its own tables.

A step names itself as `kind:id`, and the steps that it follows from in the same way, so that a chain needs no clock.
"""

import json
from base64 import b64decode
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final
from uuid import UUID

from libs.postgres import Connection, Record

MOST_STEPS: Final = 200
"""Rows that one table gives for one question: a correlation may span any number of requests."""
MOST_PENDING: Final = 10_000
"""Oldest rows of the outbox that are looked through: it has no index for this, because each insert would pay for it."""
MOST_LETTERS: Final = 1_000
"""Oldest open dead letters whose headers are looked through."""

Detail = str | int | bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One thing that happened, by the records of one service."""

    at: datetime
    what: str
    """In words, e.g. `request accepted`."""
    kind: str
    id: str
    caused_by: tuple[str, ...] = ()
    """`kind:id` of the steps that it follows from, whichever service knows those; `:id` where the kind is not known."""
    follow: tuple[str, ...] = ()
    """Ids of which others may know more. Never one that leads to what merely happened beside it."""
    detail: Mapping[str, Detail] = field(default_factory=dict)


FindSteps = Callable[[Connection, Sequence[str]], Awaitable[list[Step]]]
"""Gives a service's steps that carry any of the ids; bounded, and by indexes only."""


def uuids_of(ids: Collection[str]) -> list[UUID]:
    """Give those of the ids that are UUIDs."""
    return [found for text in ids if (found := uuid_of(text)) is not None]


def uuid_of(text: str) -> UUID | None:
    """Read a UUID in its usual form; None for any other text."""
    try:
        return UUID(text) if len(text) == 36 else None
    except ValueError:
        return None


async def find_steps(conn: Connection, service: str, ids: Sequence[str]) -> list[Step]:
    """Give what the tables of this library say of the ids in one service."""
    return [
        *await _read(conn, service, ids),
        *await _waiting(conn, ids),
        *await _parked(conn, ids),
        *await _dead(conn, ids),
    ]


# One descent of the primary key per source that was ever heard: Postgres 18 skips over the column that is not given.
READ: Final = """
SELECT source, event_id, received_at FROM inbox WHERE consumer = $1 AND event_id = ANY($2::text[]) LIMIT $3
"""


async def _read(conn: Connection, service: str, ids: Sequence[str]) -> list[Step]:
    return [
        Step(
            at=row["received_at"],
            what=f"event read by {service}",
            kind="event",
            id=row["event_id"],
            detail={"source": row["source"]},
        )
        for row in await conn.fetch(READ, service, list(ids), MOST_STEPS)
    ]


WAITING: Final = """
SELECT head.id, head.topic, head.key, head.type, head.event_id, head.subject, head.org_id, head.correlation_id,
    head.causation_id, head.created_at
FROM (
    SELECT id, aggregatetype AS topic, aggregateid AS key, type, event_id, subject, org_id, correlation_id,
        causation_id, idempotency_key, created_at
    FROM outbox
    ORDER BY shard, id
    LIMIT $2
) AS head
WHERE head.event_id = ANY($1::text[]) OR head.causation_id = ANY($1::text[]) OR head.correlation_id = ANY($1::text[])
    OR head.subject = ANY($1::text[]) OR head.idempotency_key = ANY($1::text[])
ORDER BY head.created_at
LIMIT $3
"""


async def _waiting(conn: Connection, ids: Sequence[str]) -> list[Step]:
    return [_waiting_step(row) for row in await conn.fetch(WAITING, list(ids), MOST_PENDING, MOST_STEPS)]


def _waiting_step(row: Record) -> Step:
    causation, subject = row["causation_id"], row["subject"]
    return Step(
        at=row["created_at"],
        what=f"{row['type']} waits for Kafka",
        kind="event",
        id=row["event_id"],
        caused_by=(*([f"event:{causation}"] if causation else []), *([f":{subject}"] if subject else [])),
        follow=tuple(found for found in (row["event_id"], causation, subject) if found),
        detail={
            "topic": row["topic"],
            "key": row["key"],
            "organization": None if row["org_id"] is None else str(row["org_id"]),
            "correlation": row["correlation_id"],
        },
    )


PARKED: Final = """
SELECT id, topic, key, type, event_id, status, attempts, error, created_at, ended_at, note
FROM parked
WHERE id = ANY($1::uuid[]) OR event_id = ANY($2::text[])
ORDER BY seq
LIMIT $3
"""


async def _parked(conn: Connection, ids: Sequence[str]) -> list[Step]:
    return [_parked_step(row) for row in await conn.fetch(PARKED, uuids_of(ids), list(ids), MOST_STEPS)]


def _parked_step(row: Record) -> Step:
    event_id = row["event_id"]
    return Step(
        at=row["created_at"],
        what=f"record parked, {row['status']}",
        kind="parked",
        id=str(row["id"]),
        caused_by=(f"event:{event_id}",) if event_id else (),
        follow=(event_id,) if event_id else (),
        detail={
            "topic": row["topic"],
            "key": row["key"],
            "type": row["type"],
            "tries": row["attempts"],
            "error": row["error"],
            "ended": None if row["ended_at"] is None else row["ended_at"].isoformat(),
            "note": row["note"],
        },
    )


DEAD: Final = """
SELECT id, topic, partition, record_offset, reason, status, headers, created_at, ended_at, note
FROM dead_letters
WHERE id = ANY($1::uuid[])
UNION ALL (
    SELECT id, topic, partition, record_offset, reason, status, headers, created_at, ended_at, note
    FROM dead_letters
    WHERE status = 'open' AND id <> ALL($1::uuid[])
    ORDER BY created_at, id
    LIMIT $2
)
"""
_NAMED_IN: Final = ("ce_id", "ce_correlationid", "ce_causationid", "ce_idempotencykey", "ce_subject")


async def _dead(conn: Connection, ids: Sequence[str]) -> list[Step]:
    wanted = set(ids)
    rows = await conn.fetch(DEAD, uuids_of(ids), MOST_LETTERS)
    found = [(row, _names_in(row["headers"])) for row in rows]
    return [
        _dead_step(row, names)
        for row, names in found
        if str(row["id"]) in wanted or not wanted.isdisjoint(names.values())
    ][:MOST_STEPS]


def _names_in(headers: str) -> dict[str, str]:
    """The ids in a record's headers, as far as they can be read: it is a dead letter because something cannot be."""
    pairs: list[tuple[str, str | None]] = json.loads(headers)
    return {
        name: b64decode(value).decode("utf-8", "replace")
        for name, value in pairs
        if name in _NAMED_IN and value is not None
    }


def _dead_step(row: Record, names: Mapping[str, str]) -> Step:
    event_id = names.get("ce_id")
    return Step(
        at=row["created_at"],
        what=f"dead letter, {row['status']}",
        kind="dead_letter",
        id=str(row["id"]),
        caused_by=(f"event:{event_id}",) if event_id else (),
        follow=(event_id,) if event_id else (),
        detail={
            "topic": row["topic"],
            "place": f"{row['partition']}/{row['record_offset']}",
            "reason": row["reason"],
            "note": row["note"],
        },
    )
