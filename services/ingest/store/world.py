"""What admission asks of the tables, and the copy of `assets.connections` among them."""

from collections.abc import Collection, Sequence
from typing import Final
from uuid import UUID

from libs.events.assets_connections import Connection as ConnectionState
from libs.postgres import Connection
from libs.vocabulary import ConnectionStatus
from services.ingest.models import KnownConnection, KnownProducer

ACTIVE_ORGANIZATIONS: Final = "SELECT org_id FROM organizations WHERE org_id = ANY($1::uuid[]) AND active"


async def active_organizations(conn: Connection, org_ids: Collection[UUID]) -> frozenset[UUID]:
    """Give those of the organizations that exist and are active."""
    return frozenset(row["org_id"] for row in await conn.fetch(ACTIVE_ORGANIZATIONS, list(org_ids)))


KNOWN_PRODUCERS: Final = "SELECT source, org_ids, kinds, active FROM producers WHERE source = ANY($1::text[])"


async def known_producers(conn: Connection, sources: Collection[str]) -> dict[str, KnownProducer]:
    """Give what the sources may ask for; unknown ones are left out."""
    rows = await conn.fetch(KNOWN_PRODUCERS, list(sources))
    return {
        row["source"]: KnownProducer(frozenset(row["org_ids"]), frozenset(row["kinds"]), row["active"]) for row in rows
    }


KNOWN_CONNECTIONS: Final = """
SELECT org_id, connection_id, platform, status FROM connections WHERE connection_id = ANY($1::uuid[])
"""


async def known_connections(
    conn: Connection, connection_ids: Collection[UUID]
) -> dict[tuple[UUID, UUID], KnownConnection]:
    """Give the connections, by organization and connection; unknown ones are left out."""
    rows = await conn.fetch(KNOWN_CONNECTIONS, list(connection_ids))
    return {
        (row["org_id"], row["connection_id"]): KnownConnection(row["platform"], ConnectionStatus(row["status"]))
        for row in rows
    }


PUT_CONNECTIONS: Final = """
INSERT INTO connections AS known (connection_id, org_id, platform, name, status, expires_at, version)
SELECT connection_id, org_id, platform, name, status, expires_at, version
FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::timestamptz[], $7::bigint[])
    AS state (connection_id, org_id, platform, name, status, expires_at, version)
ORDER BY connection_id
ON CONFLICT (connection_id) DO UPDATE
SET name = excluded.name, status = excluded.status, expires_at = excluded.expires_at, version = excluded.version,
    applied_at = now()
WHERE known.version < excluded.version AND known.org_id = excluded.org_id
"""


async def put_connections(conn: Connection, states: Sequence[tuple[ConnectionState, int]]) -> None:
    """Keep the states with their versions, without their tokens; one state per connection."""
    rows = [
        (s.connection_id, s.org_id, s.platform.value, s.name, s.status.value, s.expires_at, version)
        for s, version in states
    ]
    if rows:
        await conn.execute(PUT_CONNECTIONS, *map(list, zip(*rows, strict=True)))


DELETE_CONNECTIONS: Final = "DELETE FROM connections WHERE connection_id = ANY($1::uuid[])"


async def delete_connections(conn: Connection, connection_ids: Sequence[UUID]) -> None:
    """Forget connections that ended."""
    if connection_ids:
        await conn.execute(DELETE_CONNECTIONS, sorted(connection_ids))
