"""SQL of parking: which keys are blocked, records put behind them, claims, and how a record or a key ends.

Whoever adds, replays or ends records of a key holds the key's row locked until its transaction ends. A consumer that
meets a key under replay so waits for it, and then finds it blocked or free, never in between.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from libs.events.envelope import new_event_id
from libs.messaging.kept import KeptRecord, headers_json, headers_of, record_hash, storable
from libs.messaging.records import Incoming
from libs.postgres import Connection, Record

Key = tuple[str, str]
"""A topic and what is blocked on it."""


@dataclass(frozen=True, slots=True)
class ToPark:
    """A record on its way into the table."""

    item: Incoming
    key: Key
    error: str | None
    """Why it failed; None: it only waits behind another."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """An open record, read for its replay."""

    id: UUID
    record: KeptRecord


@dataclass(frozen=True, slots=True)
class Due:
    """A key whose time has come, as it was seen."""

    key: Key
    attempts: int
    epoch: int


ANY_BLOCKED: Final = "SELECT EXISTS (SELECT FROM parked_keys WHERE consumer = $1)"
LOCK_BLOCKED: Final = """
SELECT blocked.topic, blocked.key
FROM parked_keys AS blocked
JOIN unnest($2::text[], $3::text[]) AS wanted (topic, key) USING (topic, key)
WHERE blocked.consumer = $1
ORDER BY blocked.topic, blocked.key
FOR NO KEY UPDATE OF blocked
"""


async def any_blocked(conn: Connection, consumer: str) -> bool:
    """Tell whether the consumer has any blocked key. One page is read when it has none."""
    return bool(await conn.fetchval(ANY_BLOCKED, consumer))


async def lock_blocked(conn: Connection, consumer: str, keys: Collection[Key]) -> set[Key]:
    """Return those of the keys that are blocked, and keep them so until the transaction ends."""
    rows = await conn.fetch(LOCK_BLOCKED, consumer, [topic for topic, _ in keys], [key for _, key in keys])
    return {(row["topic"], row["key"]) for row in rows}


# The update of a key that is blocked already changes nothing: it locks the row.
BLOCK: Final = """
INSERT INTO parked_keys AS known (consumer, topic, key, last_error, next_attempt_at)
SELECT $1, head.topic, head.key, head.error, clock_timestamp() + make_interval(secs => $5 * (0.75 + random() / 4))
FROM unnest($2::text[], $3::text[], $4::text[]) AS head (topic, key, error)
ORDER BY head.topic, head.key
ON CONFLICT (consumer, topic, key) DO UPDATE SET consumer = excluded.consumer
"""


async def block(conn: Connection, consumer: str, errors: dict[Key, str], first_wait_seconds: float) -> None:
    """Block keys, with the reason, until a replay that is due after the first wait; keep them locked."""
    keys = sorted(errors)
    topics = [topic for topic, _ in keys]
    await conn.execute(
        BLOCK, consumer, topics, [key for _, key in keys], [errors[key] for key in keys], first_wait_seconds
    )


PARK: Final = """
INSERT INTO parked (
    id, consumer, topic, key, partition, record_offset, record_key, value, headers, record_hash, event_id, type,
    version, attempts, error
)
SELECT
    item.id, $1, item.topic, item.key, item.partition, item.record_offset, item.record_key, item.value, item.headers,
    item.record_hash, item.event_id, item.type, item.version, CASE WHEN item.error IS NULL THEN 0 ELSE 1 END, item.error
FROM unnest(
    $2::uuid[], $3::text[], $4::text[], $5::integer[], $6::bigint[], $7::bytea[], $8::bytea[], $9::jsonb[],
    $10::bytea[], $11::text[], $12::text[], $13::bigint[], $14::text[]
) WITH ORDINALITY AS item (
    id, topic, key, partition, record_offset, record_key, value, headers, record_hash, event_id, type, version, error,
    place
)
ORDER BY item.place
ON CONFLICT (consumer, topic, partition, record_offset, record_hash) DO NOTHING
RETURNING topic, key
"""


async def park(conn: Connection, consumer: str, records: Sequence[ToPark]) -> list[Key]:
    """Put records behind what their keys have already, in the given order; return the key of each that is new here.

    The same bytes at the same place were parked before, and are left as they are, or as they ended. The keys must be
    locked.
    """
    rows = await conn.fetch(PARK, consumer, *map(list, zip(*map(_row, records), strict=True)))
    return [(row["topic"], row["key"]) for row in rows]


def _row(record: ToPark) -> tuple[object, ...]:
    raw, message = record.item.record, record.item.message
    return (
        UUID(new_event_id()),
        *record.key,
        raw.partition,
        raw.offset,
        raw.key,
        raw.value,
        headers_json(raw.headers),
        record_hash(raw),
        message.envelope.id if message else None,
        message.envelope.type if message else None,
        message.envelope.version if message else None,
        record.error,
    )


UNBLOCK_EMPTY: Final = """
DELETE FROM parked_keys AS known
USING unnest($2::text[], $3::text[]) AS wanted (topic, key)
WHERE known.consumer = $1 AND known.topic = wanted.topic AND known.key = wanted.key AND NOT EXISTS (
    SELECT FROM parked
    WHERE parked.consumer = $1 AND parked.topic = wanted.topic AND parked.key = wanted.key AND parked.status = 'open'
)
RETURNING known.topic, known.key
"""


async def unblock_empty(conn: Connection, consumer: str, keys: Collection[Key]) -> bool:
    """End the blocking of those keys behind which nothing waits; tell whether there were any."""
    rows = await conn.fetch(UNBLOCK_EMPTY, consumer, [topic for topic, _ in keys], [key for _, key in keys])
    return bool(rows)


DUE: Final = """
SELECT topic, key, attempts, lease_epoch
FROM parked_keys
WHERE consumer = $1 AND status = 'waiting' AND next_attempt_at <= now() AND topic = ANY($2::text[])
  AND (locked_until IS NULL OR locked_until <= now())
ORDER BY next_attempt_at
LIMIT $3
"""


async def due(conn: Connection, consumer: str, topics: Sequence[str], limit: int) -> list[Due]:
    """Give keys to replay now, the longest due first."""
    rows = await conn.fetch(DUE, consumer, topics, limit)
    return [Due((row["topic"], row["key"]), row["attempts"], row["lease_epoch"]) for row in rows]


SEEN: Final = "SELECT attempts, lease_epoch FROM parked_keys WHERE consumer = $1 AND topic = $2 AND key = $3"


async def seen(conn: Connection, consumer: str, key: Key) -> Due:
    """Give a key that the open transaction has locked as it is, due or not."""
    row = await conn.fetchrow(SEEN, consumer, *key)
    assert row is not None, "a locked key has its row"
    return Due(key, row["attempts"], row["lease_epoch"])


# The next attempt is planned before this one begins: one that kills the process counts too, and waits longer each time.
# An owner is one start of a process. One that finds its own claim lives: the database was away, nothing was killed.
CLAIM: Final = """
UPDATE parked_keys
SET attempts = attempts + (locked_by IS DISTINCT FROM $5)::integer, lease_epoch = nextval('parked_claims'),
    locked_by = $5, locked_until = clock_timestamp() + make_interval(secs => $6),
    next_attempt_at = clock_timestamp()
        + make_interval(secs => least($8, $7 * 2.0 ^ least(attempts + 1, 30)) * (0.75 + random() / 4))
WHERE consumer = $1 AND topic = $2 AND key = $3 AND lease_epoch = $4
RETURNING lease_epoch
"""


async def claim(
    conn: Connection,
    consumer: str,
    seen: Due,
    owner: str,
    *,
    lease_seconds: float,
    first_wait_seconds: float,
    longest_wait_seconds: float,
) -> int | None:
    """Take a key that is due; return the claim's epoch, or None when another was faster or the key is gone."""
    epoch: int | None = await conn.fetchval(
        CLAIM, consumer, *seen.key, seen.epoch, owner, lease_seconds, first_wait_seconds, longest_wait_seconds
    )
    return epoch


LOCK_CLAIMED: Final = """
SELECT attempts FROM parked_keys WHERE consumer = $1 AND topic = $2 AND key = $3 AND lease_epoch = $4
FOR NO KEY UPDATE
"""


async def lock_claimed(conn: Connection, consumer: str, key: Key, epoch: int) -> int | None:
    """Lock the key if the claim is still the last one, and return the attempts made so far, this one among them.

    The fence: a replay that was paused past its lease gets None, and must write nothing.
    """
    attempts: int | None = await conn.fetchval(LOCK_CLAIMED, consumer, *key, epoch)
    return attempts


OPEN: Final = """
SELECT id, topic, partition, record_offset, record_key, value, headers
FROM parked
WHERE consumer = $1 AND topic = $2 AND key = $3 AND status = 'open'
ORDER BY seq
LIMIT $4
"""
NEWEST: Final = """
SELECT id, topic, partition, record_offset, record_key, value, headers
FROM parked
WHERE consumer = $1 AND topic = $2 AND key = $3 AND status = 'open'
ORDER BY version DESC NULLS LAST, seq DESC
LIMIT 1
"""


async def first_open(conn: Connection, consumer: str, key: Key, limit: int) -> list[Waiting]:
    """Give the records that a key has to replay first, in order."""
    return [_waiting(row) for row in await conn.fetch(OPEN, consumer, *key, limit)]


async def newest_open(conn: Connection, consumer: str, key: Key) -> list[Waiting]:
    """Give the newest record of a state topic's key, or nothing."""
    return [_waiting(row) for row in await conn.fetch(NEWEST, consumer, *key)]


def _waiting(row: Record) -> Waiting:
    place = (row["topic"], row["partition"], row["record_offset"])
    return Waiting(row["id"], KeptRecord(*place, row["record_key"], row["value"], headers_of(row["headers"])))


END: Final = """
UPDATE parked SET status = $2, note = $3, ended_at = now() WHERE id = $1 AND status = 'open'
"""
SUPERSEDE: Final = """
UPDATE parked SET status = 'superseded', ended_at = now(), note = 'a newer state was applied: ' || $4::text
WHERE consumer = $1 AND topic = $2 AND key = $3 AND status = 'open'
"""


async def end(conn: Connection, record_id: UUID, status: str, note: str | None) -> None:
    """Close an open record."""
    await conn.execute(END, record_id, status, note)


async def supersede(conn: Connection, consumer: str, key: Key, by: UUID) -> None:
    """Close what is left of a state topic's key: a newer state was applied."""
    await conn.execute(SUPERSEDE, consumer, *key, str(by))


NOTE_FAILURE: Final = "UPDATE parked SET attempts = attempts + 1, error = $2 WHERE id = $1 AND status = 'open'"
WAIT_AGAIN: Final = """
UPDATE parked_keys
SET locked_by = NULL, locked_until = NULL, last_error = $4, attempts = $5::integer,
    status = CASE WHEN $5::integer >= $6::integer THEN 'gave_up' ELSE 'waiting' END,
    next_attempt_at = CASE WHEN $7::boolean THEN clock_timestamp() + make_interval(secs => $8) ELSE next_attempt_at END
WHERE consumer = $1 AND topic = $2 AND key = $3
"""
# A new epoch: a replay that is under way has a claim no more, and its attempt belongs to a count that has ended.
GO_ON: Final = """
UPDATE parked_keys
SET locked_by = NULL, locked_until = NULL, lease_epoch = nextval('parked_claims'), attempts = 0,
    next_attempt_at = now(), status = 'waiting'
WHERE consumer = $1 AND topic = $2 AND key = $3
"""


async def note_failure(conn: Connection, record_id: UUID, error: str) -> None:
    """Write down that a record failed once more."""
    await conn.execute(NOTE_FAILURE, record_id, storable(error))


async def wait_again(
    conn: Connection,
    consumer: str,
    key: Key,
    error: str,
    *,
    attempts: int,
    most_attempts: int,
    first_wait_seconds: float | None = None,
) -> None:
    """Give the claim back after a failure: the next attempt is as the claim planned it, or after the first wait.

    With the last attempt the key waits for a person.
    """
    anew = first_wait_seconds is not None
    wait = (consumer, *key, storable(error), attempts, most_attempts, anew, first_wait_seconds or 0.0)
    await conn.execute(WAIT_AGAIN, *wait)


async def go_on(conn: Connection, consumer: str, key: Key) -> None:
    """Make the key due at once, as if it had not failed, and free of any claim."""
    await conn.execute(GO_ON, consumer, *key)


RELEASE: Final = """
UPDATE parked_keys SET locked_by = NULL, locked_until = NULL
WHERE consumer = $1 AND topic = $2 AND key = $3 AND lease_epoch = $4
"""
# By its attempts too: a replay that came back late may have got on under the same claim, and counts anew.
GIVE_UP: Final = """
UPDATE parked_keys
SET status = 'gave_up', locked_by = NULL, locked_until = NULL,
    last_error = 'its last attempt did not come to an end; before: ' || coalesce(last_error, 'nothing')
WHERE consumer = $1 AND topic = $2 AND key = $3 AND lease_epoch = $4 AND attempts = $5
RETURNING true
"""


async def release(conn: Connection, consumer: str, key: Key, epoch: int) -> None:
    """Give a claim back without a verdict."""
    await conn.execute(RELEASE, consumer, *key, epoch)


async def give_up(conn: Connection, consumer: str, seen: Due) -> bool:
    """Let a key wait for a person though its last attempt never came back; False when it went on since it was seen."""
    return await conn.fetchval(GIVE_UP, consumer, *seen.key, seen.epoch, seen.attempts) is not None
