"""Appending current state again, because the record that compaction keeps may be a late one of an older version.

A relay that lost its lease can still deliver what it had sent; such a record comes after newer ones of its key.
Consumers drop it by its version, but compaction keeps the last record of a key. A service that writes a state topic
gives one function per topic.
"""

from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Final

from libs.postgres import Connection, Database

Reannounce = Callable[[Connection, datetime | None], Awaitable[int]]
"""Locks the rows of things that changed since then (None: of all, also of those that ended), appends their state or
tombstone under the version they have, and returns how many. The lock keeps a change of the same key from coming
before."""

RECENT: Final = timedelta(days=2)
"""The job runs once a day; twice that, so that a missed run costs nothing."""


def reannounce_recent(topics: Mapping[str, Reannounce]) -> Callable[[Database], Awaitable[dict[str, int]]]:
    """Give the daily job's function; its counts are events per topic."""

    async def run(database: Database) -> dict[str, int]:
        since = datetime.now(UTC) - RECENT
        counts = {}
        for topic, again in topics.items():
            async with database.transaction() as connection:
                counts[topic] = await again(connection, since)
        return counts

    return run
