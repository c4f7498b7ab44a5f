"""What was done and what it cost; what waits; which platforms are paused."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from libs.postgres import Connection, Record
from libs.vocabulary import QuotaUse, UsageReading


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One bulk call."""

    platform: str
    started_at: datetime
    duration_ms: int
    outcome: str
    calls: int
    asks: int
    completed: int
    failed: int
    put_back: int
    http_calls: int
    quota_units: int
    rate_limited: bool
    highest_used_fraction: float | None


LOG: Final = """
INSERT INTO batch_execution_log (
    platform, started_at, duration_ms, outcome, calls, asks, completed, failed, put_back, http_calls, quota_units,
    rate_limited, highest_used_fraction
) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
"""


async def log(conn: Connection, entry: LogEntry) -> None:
    """Write one bulk call down."""
    await conn.execute(
        LOG,
        entry.platform,
        entry.started_at,
        entry.duration_ms,
        entry.outcome,
        entry.calls,
        entry.asks,
        entry.completed,
        entry.failed,
        entry.put_back,
        entry.http_calls,
        entry.quota_units,
        entry.rate_limited,
        entry.highest_used_fraction,
    )


ADD_TO_LEDGER: Final = """
INSERT INTO quota_ledger (platform, scope, subject, units, used_fraction, regain_after_seconds)
SELECT platform, scope, subject, units, used_fraction, regain_after_seconds
FROM unnest($1::text[], $2::text[], $3::text[], $4::integer[], $5::real[], $6::real[])
    AS entry (platform, scope, subject, units, used_fraction, regain_after_seconds)
"""


async def add_to_ledger(conn: Connection, uses: Sequence[QuotaUse], usage: Sequence[UsageReading]) -> None:
    """Write down what a bulk call cost per budget, and what the platform said of each."""
    units = {use.scope: use.units for use in uses}
    said = {reading.scope: reading for reading in usage}
    scopes = list(dict.fromkeys([*units, *said]))
    await conn.execute(
        ADD_TO_LEDGER,
        [scope.platform.value for scope in scopes],
        [scope.name for scope in scopes],
        [scope.subject for scope in scopes],
        [units.get(scope, 0) for scope in scopes],
        [said[scope].used_fraction if scope in said else None for scope in scopes],
        [said[scope].regain_after_seconds if scope in said else None for scope in scopes],
    )


COUNT_ASKS: Final = """
SELECT platform, status, count(*) AS asks,
    extract(epoch FROM statement_timestamp() - min(queued_at))::float8 AS oldest_seconds
FROM batch_request_queue
WHERE ended_at IS NULL OR ended_at > statement_timestamp() - make_interval(secs => $1)
GROUP BY platform, status
"""


async def count_asks(conn: Connection, window_seconds: float) -> list[Record]:
    """Count asks by platform and status, ended ones of the last `window_seconds` only; the api role sees its own."""
    return await conn.fetch(COUNT_ASKS, window_seconds)


SUM_LOG: Final = """
SELECT platform, sum(http_calls)::bigint AS http_calls, sum(quota_units)::bigint AS quota_units,
    sum(calls)::bigint AS calls, sum(asks)::bigint AS asks, count(*) FILTER (WHERE rate_limited) AS rate_limited
FROM batch_execution_log
WHERE started_at > statement_timestamp() - make_interval(secs => $1)
GROUP BY platform
"""


async def sum_log(conn: Connection, window_seconds: float) -> list[Record]:
    """Add up the bulk calls of the last `window_seconds` by platform."""
    return await conn.fetch(SUM_LOG, window_seconds)


COUNT_CALLS: Final = """
SELECT platform, status, coalesce(held_for, '') AS held_for, count(*) AS calls,
    greatest(extract(epoch FROM statement_timestamp() - min(due_at)), 0)::float8 AS overdue_seconds
FROM calls
WHERE status IN ('pending', 'processing')
GROUP BY platform, status, coalesce(held_for, '')
"""


async def count_calls(conn: Connection) -> list[Record]:
    """Count the calls that wait or are on their way, by platform, status and what they are held for."""
    return await conn.fetch(COUNT_CALLS)


PAUSE: Final = """
INSERT INTO paused_platforms (platform, paused_by) VALUES ($1, $2) ON CONFLICT (platform) DO NOTHING RETURNING platform
"""


async def pause(conn: Connection, platform: str, by: str) -> bool:
    """Stop sending for a platform; whether it was running."""
    return await conn.fetchval(PAUSE, platform, by) is not None


RESUME: Final = "DELETE FROM paused_platforms WHERE platform = $1 RETURNING platform"


async def resume(conn: Connection, platform: str) -> bool:
    """Send again for a platform; whether it was paused."""
    return await conn.fetchval(RESUME, platform) is not None


LIST_PAUSED: Final = "SELECT platform, paused_at, paused_by FROM paused_platforms ORDER BY platform"


async def list_paused(conn: Connection) -> dict[str, Record]:
    """Give the paused platforms, since when and by whom."""
    return {row["platform"]: row for row in await conn.fetch(LIST_PAUSED)}


# Bounded, so that a long absence of the job does not end in one huge transaction.
PRUNE_ASKS: Final = """
DELETE FROM batch_request_queue WHERE id IN (
    SELECT id FROM batch_request_queue
    WHERE ended_at < statement_timestamp() - make_interval(secs => $1) ORDER BY ended_at LIMIT $2)
"""
PRUNE_CALLS: Final = """
DELETE FROM calls WHERE id IN (
    SELECT q.id FROM calls AS q
    WHERE q.ended_at < statement_timestamp() - make_interval(secs => $1)
        AND NOT EXISTS (SELECT FROM batch_request_queue AS ask WHERE ask.call_id = q.id)
    ORDER BY q.ended_at LIMIT $2)
"""
# Asks first: a call goes when no ask names it any more.
PRUNES: Final = (("asks", PRUNE_ASKS), ("calls", PRUNE_CALLS))


async def prune(conn: Connection, statement: str, older_than_seconds: float, limit: int) -> int:
    """Delete up to `limit` rows that ended longer ago, by one of `PRUNES`; give how many."""
    tag = await conn.execute(statement, older_than_seconds, limit)
    return int(tag.rpartition(" ")[2])


MAKE_PARTITIONS: Final = "SELECT make_history_partitions(2)"


async def make_partitions(conn: Connection) -> int:
    """Make the partitions of the log and the ledger for this month and the two that follow; give how many."""
    return int(await conn.fetchval(MAKE_PARTITIONS))


DROP_PARTITIONS: Final = "SELECT drop_history_partitions(statement_timestamp() - make_interval(secs => $1))"


async def drop_partitions(conn: Connection, older_than_seconds: float) -> int:
    """Drop the months of the log and the ledger that lie wholly further back; give how many."""
    return int(await conn.fetchval(DROP_PARTITIONS, older_than_seconds))
