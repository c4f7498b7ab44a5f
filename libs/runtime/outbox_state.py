"""What waits in the outbox, for people; the relay's own metrics are for machines."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from libs.postgres import Connection

COUNT_LIMIT: Final = 100_000
"""Counting stops here: a broker that is away for hours must not make the question expensive."""
MAX_BLOCKED: Final = 100


@dataclass(frozen=True, slots=True)
class WaitingTopic:
    """Events of one topic that Kafka has not acknowledged yet."""

    topic: str
    rows: int
    oldest_at: datetime


@dataclass(frozen=True, slots=True)
class BlockedKey:
    """A key whose next event the broker refuses."""

    topic: str
    key: str
    reason: str
    attempts: int
    blocked_at: datetime
    next_try_at: datetime


WAITING: Final = """
SELECT head.topic, count(*) AS rows, min(head.created_at) AS oldest_at
FROM (SELECT aggregatetype AS topic, created_at FROM outbox ORDER BY shard, id LIMIT $1) AS head
GROUP BY head.topic
ORDER BY head.topic
"""


async def waiting_topics(conn: Connection) -> list[WaitingTopic]:
    """Give what waits per topic, counted over the first 100,000 rows."""
    return [WaitingTopic(row["topic"], row["rows"], row["oldest_at"]) for row in await conn.fetch(WAITING, COUNT_LIMIT)]


BLOCKED: Final = """
SELECT topic, key, reason, attempts, blocked_at, next_try_at
FROM outbox_blocked_keys
ORDER BY blocked_at
LIMIT $1
"""


async def blocked_keys(conn: Connection) -> list[BlockedKey]:
    """Give the keys that the broker refuses, longest blocked first, at most 100."""
    return [BlockedKey(*row.values()) for row in await conn.fetch(BLOCKED, MAX_BLOCKED)]
