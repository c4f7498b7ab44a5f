"""The relay's SQL."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, cast

import asyncpg

from libs.postgres import Connection, Record

LEASE_PREFIX: Final = "relay/"

# The outbox is empty when a statement is planned: without these the plan for an empty table stays, and halves the
# relay.
_SESSION: Final = {
    "enable_seqscan": "off",
    "enable_bitmapscan": "off",
    "enable_sort": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "jit": "off",
}
_CONNECT_TIMEOUT_SECONDS: Final = 10
_COMMAND_TIMEOUT_SECONDS: Final = 60

LARGE_BYTES: Final = 16_384
"""Larger values are left out of the first read and fetched within the byte budget, so that memory stays bounded."""

HEADER_NAMES: Final = (
    "ce_id",
    "ce_type",
    "ce_source",
    "ce_time",
    "ce_subject",
    "ce_orgid",
    "ce_correlationid",
    "ce_causationid",
    "ce_version",
    "ce_idempotencykey",
    "traceparent",
)
"""In the order of the columns from FIRST_HEADER on."""
ID, SHARD, KEY_HASH, TOPIC, KEY, SIZE, PAYLOAD, RAW_HEADERS, FIRST_HEADER = range(9)
TRACEPARENT: Final = FIRST_HEADER + HEADER_NAMES.index("traceparent")

_READ: Final = """
SELECT pending.*
FROM unnest($1::smallint[]) AS mine (shard)
CROSS JOIN LATERAL (
    SELECT
        waiting.id, waiting.shard, waiting.key_hash, waiting.aggregatetype, waiting.aggregateid,
        octet_length(waiting.payload) AS size,
        CASE WHEN octet_length(waiting.payload) <= {large} THEN waiting.payload END AS payload,
        waiting.raw_headers, waiting.event_id, waiting.type, waiting.source, waiting.event_time, waiting.subject,
        waiting.org_id::text AS org_id, waiting.correlation_id, waiting.causation_id, waiting.version::text AS version,
        waiting.idempotency_key, waiting.traceparent
    FROM outbox AS waiting
    WHERE waiting.shard = mine.shard {but}
    ORDER BY waiting.id
    LIMIT $2
) AS pending
"""

READ: Final = _READ.format(large=LARGE_BYTES, but="")
READ_AROUND_BLOCKS: Final = _READ.format(
    large=LARGE_BYTES,
    but="""
      AND waiting.aggregatetype <> ALL ($3::text[])
      AND NOT EXISTS (
          SELECT FROM outbox_blocked_keys AS blocked
          WHERE blocked.topic = waiting.aggregatetype AND blocked.key = waiting.aggregateid
            AND blocked.next_try_at > clock_timestamp()
      )""",
)

PAYLOADS: Final = "SELECT id, payload FROM outbox WHERE shard = ANY ($1::smallint[]) AND id = ANY ($2::bigint[])"

# A relay that lost a shard deletes nothing of it. Deleting what was acknowledged would do no harm; not knowing would.
DELETE: Final = """
WITH mine AS MATERIALIZED (
    SELECT held.shard
    FROM unnest($1::smallint[], $2::bigint[]) AS held (shard, epoch)
    JOIN leases ON leases.name = 'relay/' || held.shard AND leases.epoch = held.epoch AND leases.owner = $3
)
DELETE FROM outbox
WHERE shard = ANY (ARRAY(SELECT mine.shard FROM mine)) AND id = ANY ($4::bigint[])
"""

BLOCK_KEY: Final = """
INSERT INTO outbox_blocked_keys AS blocked (topic, key, shard, outbox_id, reason, next_try_at)
VALUES ($1, $2, $3, $4, $5, clock_timestamp() + make_interval(secs => $6))
ON CONFLICT (topic, key) DO UPDATE
SET outbox_id = excluded.outbox_id, reason = excluded.reason, attempts = blocked.attempts + 1,
    next_try_at = clock_timestamp() + make_interval(secs => least($6 * 2 ^ least(blocked.attempts, 10), 3600))
"""

# A key is free again once the row that blocked it is gone.
UNBLOCK_KEYS: Final = """
DELETE FROM outbox_blocked_keys AS blocked
WHERE NOT EXISTS (SELECT FROM outbox WHERE outbox.shard = blocked.shard AND outbox.id = blocked.outbox_id)
"""

COUNT_BLOCKED_KEYS: Final = "SELECT count(*) FROM outbox_blocked_keys"

MEASURE: Final = """
SELECT mine.shard,
    (SELECT count(*) FROM (SELECT FROM outbox WHERE shard = mine.shard LIMIT 20000) AS head) AS pending,
    (SELECT created_at FROM outbox WHERE shard = mine.shard ORDER BY id LIMIT 1) AS oldest_at,
    clock_timestamp() AS now
FROM unnest($1::smallint[]) AS mine (shard)
"""


@dataclass(frozen=True, slots=True)
class ShardMeasure:
    """How much of a shard waits, and since when."""

    shard: int
    pending_rows: int
    oldest_age_seconds: float


async def connect(dsn: str, application_name: str, *, text_as_bytes: bool) -> Any:
    """Open a connection with the relay's session settings; the caller closes it.

    With `text_as_bytes` columns of type text come as bytes: what goes to Kafka is not decoded and encoded again.
    """
    connection = await asyncpg.connect(
        dsn,
        timeout=_CONNECT_TIMEOUT_SECONDS,
        command_timeout=_COMMAND_TIMEOUT_SECONDS,
        server_settings=_SESSION | {"application_name": application_name},
    )
    if text_as_bytes:
        await connection.set_type_codec("text", schema="pg_catalog", encoder=str.encode, decoder=bytes, format="binary")
    return connection


async def read(
    conn: Connection, shards: Sequence[int], limit: int, *, blocks: bool = False, held_topics: Sequence[str] = ()
) -> list[Record]:
    """Return the first `limit` pending rows of each shard, in order of id within a shard.

    `blocks` leaves out blocked keys and the topics named. A row with a value above LARGE_BYTES comes without it.
    """
    if blocks or held_topics:
        return await conn.fetch(READ_AROUND_BLOCKS, shards, limit, held_topics)
    return await conn.fetch(READ, shards, limit)


async def read_payloads(conn: Connection, shards: Sequence[int], ids: Sequence[int]) -> dict[int, bytes]:
    """Return the values of rows by id."""
    return {row["id"]: row["payload"] for row in await conn.fetch(PAYLOADS, shards, ids)}


async def delete(conn: Connection, ids: Sequence[int], epochs: Mapping[int, int], owner: str) -> int:
    """Delete rows of shards (shard -> epoch) whose lease is still ours under that epoch, and return how many went."""
    tag = await conn.execute(DELETE, list(epochs), list(epochs.values()), owner, ids)
    return int(tag.rpartition(" ")[2])


async def block_key(conn: Connection, row: Record, reason: str, retry_seconds: float) -> None:
    """Make the key of this row wait, longer each time, up to an hour."""
    topic, key = cast("bytes", row[TOPIC]).decode(), cast("bytes", row[KEY]).decode()
    await conn.execute(BLOCK_KEY, topic, key, row[SHARD], row[ID], reason, retry_seconds)


async def count_blocked_keys(conn: Connection) -> int:
    """Free the keys whose blocking row is gone, and return how many are blocked still."""
    count = await conn.fetchval(COUNT_BLOCKED_KEYS)
    if count:
        await conn.execute(UNBLOCK_KEYS)
        count = await conn.fetchval(COUNT_BLOCKED_KEYS)
    return cast("int", count)


async def measure(conn: Connection, shards: Sequence[int]) -> list[ShardMeasure]:
    """Return the state of these shards; rows are counted up to 20,000."""
    return [
        ShardMeasure(row["shard"], row["pending"], _age_seconds(row["oldest_at"], row["now"]))
        for row in await conn.fetch(MEASURE, shards)
    ]


def _age_seconds(since: datetime | None, now: datetime) -> float:
    return 0.0 if since is None else max(0.0, (now - since).total_seconds())
