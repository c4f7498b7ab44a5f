"""Months of deliveries made ahead and dropped, and what is forgotten in between."""

from datetime import datetime
from typing import Final

from libs.postgres import Connection

MAKE_PARTITIONS: Final = "SELECT make_webhook_partitions($1)"


async def make_partitions(conn: Connection, months_ahead: int) -> int:
    """Make the partitions of this month and of those ahead that are missing; give how many."""
    return int(await conn.fetchval(MAKE_PARTITIONS, months_ahead))


DROP_PARTITIONS: Final = "SELECT drop_webhook_partitions($1)"


async def drop_partitions(conn: Connection, ended_before: datetime) -> int:
    """Drop the months that ended before then; give how many partitions went."""
    return int(await conn.fetchval(DROP_PARTITIONS, ended_before))
