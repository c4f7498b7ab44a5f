"""What operators and the clock do: flush, pause, resume, look, prune."""

from collections.abc import Mapping, Sequence
from typing import Any, Final
from uuid import UUID

from libs.platforms.base import Platform
from libs.postgres import Connection
from libs.vocabulary import PlatformName
from services.batcher import metrics
from services.batcher.store import calls as call_store
from services.batcher.store import connections as connection_store
from services.batcher.store import history

PRUNE_AT_ONCE: Final = 5_000
PRUNE_NAMES: Final = tuple(name for name, _ in history.PRUNES)
"""Kinds of old rows, in the order in which they can go."""
HELD_NAMES: Final = {
    "": "waiting",
    "retry": "held_for_retry",
    "quota": "held_for_quota",
    "connection": "held_for_connection",
}


async def find_flushable(conn: Connection, platform: PlatformName) -> list[UUID]:
    """Give the connections whose calls only wait for company; each is flushed in a transaction of its own."""
    return await call_store.list_connections_to_flush(conn, platform.value)


async def find_own_flushable(conn: Connection, platform: PlatformName) -> list[UUID]:
    """As `find_flushable`, only the organization's own connections (under the api role)."""
    return await call_store.list_own_connections_to_flush(conn, platform.value)


async def is_own_connection(conn: Connection, connection_id: UUID) -> bool:
    """Tell whether the connection is known and, under the api role, the organization's own."""
    return await connection_store.is_visible(conn, connection_id)


async def flush_connection(
    conn: Connection, platform: PlatformName, connection_id: UUID, *, dry_run: bool = False
) -> int:
    """Make the connection's calls due that only wait for company; give how many (a dry run: would become due)."""
    if dry_run:
        return await call_store.count_flushable(conn, connection_id, platform.value)
    await connection_store.lock(conn, [connection_id])
    return await call_store.flush(conn, connection_id, platform.value)


async def pause(conn: Connection, platform: PlatformName, by: str) -> bool:
    """Stop sending for the platform; asks are queued on. Gives whether it was running."""
    return await history.pause(conn, platform.value, by)


async def resume(conn: Connection, platform: PlatformName) -> bool:
    """Send for the platform again. Gives whether it was paused."""
    return await history.resume(conn, platform.value)


async def read_stats(
    conn: Connection, platforms: Mapping[PlatformName, Platform], enabled: Sequence[PlatformName], window_seconds: float
) -> list[dict[str, Any]]:
    """Give, per platform, what waits, what ended within the window, and what sharing calls saved.

    Under the api role the asks are the organization's own; `add_totals` adds what all organizations share.
    """
    paused = await history.list_paused(conn)
    stats = {name: _empty_stats(name, name in enabled, paused.get(name.value)) for name in platforms}
    for row in await history.count_asks(conn, window_seconds):
        entry = stats.get(PlatformName(row["platform"]))
        if entry is None:
            continue
        entry[row["status"]] = row["asks"]
        if row["status"] in ("pending", "processing"):
            entry["oldest_open_ask_seconds"] = max(entry["oldest_open_ask_seconds"], row["oldest_seconds"])
    return list(stats.values())


async def add_totals(conn: Connection, stats: Sequence[dict[str, Any]], window_seconds: float) -> None:
    """Add to `read_stats` what all organizations share: calls in the queue, HTTP calls made, units spent."""
    by_name = {entry["platform"]: entry for entry in stats}
    for entry in stats:
        entry["calls"] = dict.fromkeys((*HELD_NAMES.values(), "processing"), 0)
        entry["window_totals"] = dict.fromkeys(("asks", "calls", "http_calls", "quota_units", "rate_limited"), 0)
    for row in await history.count_calls(conn):
        word = "processing" if row["status"] == "processing" else HELD_NAMES[row["held_for"]]
        if row["platform"] in by_name:
            by_name[row["platform"]]["calls"][word] += row["calls"]
    for row in await history.sum_log(conn, window_seconds):
        if row["platform"] in by_name:
            totals = by_name[row["platform"]]["window_totals"]
            totals.update({word: row[word] for word in totals})


async def measure(conn: Connection, platforms: Mapping[PlatformName, Platform]) -> None:
    """Set the gauges of the queue."""
    paused = await history.list_paused(conn)
    waiting = {(name.value, word): 0 for name in platforms for word in (*HELD_NAMES.values(), "processing")}
    overdue = {name.value: 0.0 for name in platforms}
    for row in await history.count_calls(conn):
        word = "processing" if row["status"] == "processing" else HELD_NAMES[row["held_for"]]
        waiting[row["platform"], word] = row["calls"]
        if row["status"] == "pending":
            overdue[row["platform"]] = max(overdue.get(row["platform"], 0.0), row["overdue_seconds"])
    for (platform, word), calls in waiting.items():
        metrics.WAITING.labels(platform, word).set(calls)
    for platform, seconds in overdue.items():
        metrics.OVERDUE_SECONDS.labels(platform).set(seconds)
        metrics.PAUSED.labels(platform).set(platform in paused)


async def make_partitions(conn: Connection) -> int:
    """Make the history's coming months; rows that came before their month existed move into it. Gives how many."""
    return await history.make_partitions(conn)


async def drop_partitions(conn: Connection, older_than_seconds: float) -> int:
    """Drop the history's months that are older than they are kept; give how many."""
    return await history.drop_partitions(conn, older_than_seconds)


async def prune(conn: Connection, name: str, older_than_seconds: float) -> int:
    """Delete one portion of old rows of one kind; fewer than `PRUNE_AT_ONCE` means that it was the last."""
    statement = dict(history.PRUNES)[name]
    return await history.prune(conn, statement, older_than_seconds, PRUNE_AT_ONCE)


def _empty_stats(name: PlatformName, enabled: bool, paused: Any) -> dict[str, Any]:
    return {
        "platform": name.value,
        "enabled": enabled,
        "paused": paused is not None,
        "paused_at": paused["paused_at"] if paused is not None else None,
        "pending": 0,
        "processing": 0,
        "completed": 0,
        "failed": 0,
        "skipped": 0,
        "oldest_open_ask_seconds": 0.0,
    }
