"""Learning which connections there are, and which accounts they stand for."""

from collections.abc import Sequence
from uuid import UUID

from libs.postgres import Connection
from services.webhook_receiver.models import ConnectionRow
from services.webhook_receiver.store import connections


async def learn_connections(
    conn: Connection, states: Sequence[ConnectionRow], ended: Sequence[tuple[UUID, int]]
) -> None:
    """Take over states that are newer than what is known; `ended` are pairs of connection and version."""
    newer = await connections.apply(conn, states) if states else set()
    over = await connections.end(conn, ended) if ended else set()
    if newer or over:
        kept = [state for state in states if state.connection_id in newer]
        await connections.replace_accounts(conn, [*newer, *over], kept)
