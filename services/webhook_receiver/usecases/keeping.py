"""How long things are kept, and how many wait: months made ahead, what is old deleted, what is late counted."""

from typing import Final

from libs.postgres import Connection
from services.webhook_receiver.models import State
from services.webhook_receiver.store import retention

MONTHS_AHEAD: Final = 2
AT_ONCE: Final = retention.AT_ONCE
KEYS_LONGER_DAYS: Final = 8
"""Longer than any platform delivers again, and than a delivery that is just being deleted can be replayed."""
LEFT_AFTER_SECONDS: Final = 60.0
MOST_COUNTED: Final = 100_000
DAY_SECONDS: Final = 86_400.0
KINDS: Final = ("deliveries", "changes", "keys")
STATUSES: Final = ("received", "processing", "retrying", "failed")


async def make_partitions(conn: Connection) -> int:
    """Make the coming months; deliveries that came before their month existed move into it. Gives how many."""
    return await retention.make_partitions(conn, MONTHS_AHEAD)


async def drop_partitions(conn: Connection, *, retention_days: float) -> int:
    """Drop months of which every delivery is older than it is kept; give how many partitions went."""
    return await retention.drop_partitions(conn, max(retention_days, 2.0) * DAY_SECONDS)


async def forget(conn: Connection, kind: str, *, retention_days: float) -> int:
    """Delete a portion of what is older than it is kept; fewer than `AT_ONCE` means that it was the last."""
    seconds = retention_days * DAY_SECONDS
    if kind == "deliveries":
        return await retention.forget_events(conn, seconds)
    if kind == "changes":
        return await retention.forget_changes(conn, seconds)
    return await retention.forget_keys(conn, seconds + KEYS_LONGER_DAYS * DAY_SECONDS)


async def count_left(conn: Connection) -> int:
    """Count what came more than a minute ago and is not processed."""
    return await retention.count_left(conn, LEFT_AFTER_SECONDS, MOST_COUNTED)


async def measure(conn: Connection) -> State:
    """Give what waits, counted up to a bound."""
    counted = await retention.count_by_status(conn, MOST_COUNTED)
    return State(
        rows_by_status={status: counted.get(status, 0) for status in STATUSES},
        oldest_age_seconds=await retention.find_oldest_age(conn),
        default_partition_rows=await retention.count_strays(conn, MOST_COUNTED),
    )
