"""Leases: which of several replicas may do a named thing for a while. All times are the database's clock.

A lease bounds waiting; it does not stop a holder that was paused. So every write made under a lease must carry its
epoch, and `lock_held` inside the same transaction is how it is checked.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from libs.postgres.connection import Connection

TAKE: Final = """
INSERT INTO leases AS held (name, owner, epoch, until)
SELECT wanted.name, $2, 1, clock_timestamp() + make_interval(secs => $3)
FROM unnest($1::text[]) AS wanted (name)
ORDER BY wanted.name
ON CONFLICT (name) DO UPDATE
SET owner = excluded.owner,
    epoch = held.epoch + CASE WHEN held.owner IS DISTINCT FROM excluded.owner THEN 1 ELSE 0 END,
    until = excluded.until
WHERE held.owner = excluded.owner OR held.owner IS NULL OR held.until <= clock_timestamp()
RETURNING name, epoch
"""


async def take(conn: Connection, names: Sequence[str], owner: str, ttl_seconds: float) -> dict[str, int]:
    """Take or renew leases and return name -> epoch of those that are now ours, in any order.

    A free or expired lease is taken, one that is ours is renewed, another's is left out of the answer. `owner` must be
    unique to this start of this process (a restarted process that reused it would pass for the one before). The epoch
    grows when the owner changes and never shrinks. Count the term on your own monotonic clock from *before* this call,
    less a margin.
    """
    rows = await conn.fetch(TAKE, list(names), owner, ttl_seconds)
    return {row["name"]: row["epoch"] for row in rows}


RELEASE: Final = "UPDATE leases SET owner = NULL, until = clock_timestamp() WHERE name = ANY($1::text[]) AND owner = $2"


async def release(conn: Connection, names: Sequence[str], owner: str) -> None:
    """Give leases back, so that another replica need not wait for their end; another's are left alone."""
    await conn.execute(RELEASE, list(names), owner)


# FOR SHARE conflicts with the UPDATE of a taker: a takeover waits until this transaction has ended.
LOCK_HELD: Final = """
SELECT held.name
FROM leases AS held
JOIN unnest($1::text[], $2::bigint[]) AS mine (name, epoch) ON mine.name = held.name AND mine.epoch = held.epoch
WHERE held.owner = $3
ORDER BY held.name
FOR SHARE OF held
"""


async def lock_held(conn: Connection, epochs: Mapping[str, int], owner: str) -> set[str]:
    """Return the names whose epoch is still ours, and keep them ours until this transaction ends.

    The fence: a holder that was paused past its lease gets an empty answer and must write nothing. A lease that ran out
    but that nobody took is still ours.
    """
    rows = await conn.fetch(LOCK_HELD, list(epochs), list(epochs.values()), owner)
    return {row["name"] for row in rows}
