"""How long things are kept: months made ahead, what is old deleted."""

from typing import Final

from libs.postgres import Connection
from services.webhook_receiver.store import retention

MONTHS_AHEAD: Final = 2


async def make_partitions(conn: Connection) -> int:
    """Make the coming months; deliveries that came before their month existed move into it. Gives how many."""
    return await retention.make_partitions(conn, MONTHS_AHEAD)
