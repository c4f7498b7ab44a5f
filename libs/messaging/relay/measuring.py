"""What waits in the outbox and who carries it, as metrics: measured beside the relay, so that its death is seen.

Every replica measures the same tables: take the largest, not the sum.
"""

from typing import Final

from libs.messaging import metrics
from libs.messaging.outbox import SHARDS
from libs.messaging.relay import store
from libs.postgres import Connection

COUNT_OWNED: Final = """
SELECT count(*) FROM leases WHERE name = ANY($1::text[]) AND owner IS NOT NULL AND until > clock_timestamp()
"""
_NAMES: Final = [f"{store.LEASE_PREFIX}{shard}" for shard in range(SHARDS)]


async def measure(conn: Connection) -> None:
    """Set the metrics of all shards."""
    measures = await store.measure(conn, range(SHARDS))
    for item in measures:
        metrics.PENDING_ROWS.labels(str(item.shard)).set(item.pending_rows)
    metrics.OLDEST_PENDING_AGE_SECONDS.set(max(item.oldest_age_seconds for item in measures))
    metrics.UNOWNED_SHARDS.set(SHARDS - await conn.fetchval(COUNT_OWNED, _NAMES))
