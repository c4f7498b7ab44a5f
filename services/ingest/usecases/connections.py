"""The copy of `assets.connections`: what admission asks, and no secret."""

from collections.abc import Sequence
from uuid import UUID

from libs.events.assets_connections import Connection as ConnectionState
from libs.postgres import Connection
from services.ingest.store import world as store


async def apply_connections(
    conn: Connection, states: Sequence[tuple[ConnectionState, int]], ended: Sequence[UUID]
) -> None:
    """Keep the newest states with their versions, and forget the connections that ended."""
    await store.put_connections(conn, states)
    await store.delete_connections(conn, ended)
