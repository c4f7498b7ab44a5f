"""How much is parked and dead, as metrics. Every replica measures the same tables: take the largest, not the sum."""

from typing import Final

from libs.messaging import metrics
from libs.postgres import Connection

MEASURE: Final = """
SELECT
    (SELECT count(*) FROM parked_keys WHERE consumer = $1 AND status = 'waiting') AS waiting,
    (SELECT count(*) FROM parked_keys WHERE consumer = $1 AND status = 'gave_up') AS gave_up,
    (SELECT extract(epoch FROM now() - min(since)) FROM parked_keys WHERE consumer = $1) AS oldest_age_seconds,
    (SELECT count(*) FROM (SELECT FROM parked WHERE consumer = $1 AND status = 'open' LIMIT 20000) AS head) AS records,
    (SELECT count(*) FROM (SELECT FROM dead_letters WHERE status = 'open' LIMIT 20000) AS head) AS dead_letters
"""


async def measure(conn: Connection, consumer: str) -> None:
    """Set the metrics."""
    row = await conn.fetchrow(MEASURE, consumer)
    assert row is not None, "a query of counts gives one row"
    metrics.PARKED_KEYS.labels("waiting").set(row["waiting"])
    metrics.PARKED_KEYS.labels("gave_up").set(row["gave_up"])
    metrics.PARKED_RECORDS.set(row["records"])
    metrics.PARKED_OLDEST_AGE_SECONDS.set(max(0.0, float(row["oldest_age_seconds"] or 0.0)))
    metrics.DEAD_LETTERS_OPEN.set(row["dead_letters"])
