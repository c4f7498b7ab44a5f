"""The projection of connections, and the lock of a connection's calls."""

from collections.abc import Iterable, Sequence
from typing import Final
from uuid import UUID

from libs.postgres import Connection, Record
from libs.vocabulary import ConnectionStatus, PlatformName
from services.batcher.models import ConnectionRow

# In the order of the ids, so that two transactions that need several never wait for each other.
LOCK: Final = """
SELECT pg_advisory_xact_lock(hashtext('batching.calls'), hashtext(wanted.id))
FROM (SELECT DISTINCT id::text AS id FROM unnest($1::uuid[]) AS given (id) ORDER BY id) AS wanted
"""


async def lock(conn: Connection, connection_ids: Iterable[UUID]) -> None:
    """Hold the calls of these connections until the transaction ends; waits for whoever holds one."""
    await conn.fetch(LOCK, list(connection_ids))


APPLY: Final = """
INSERT INTO connections AS known (connection_id, org_id, platform, app_id, status, sealed_access_token, version)
SELECT connection_id, org_id, platform, app_id, status, sealed_access_token, version
FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::jsonb[], $7::bigint[])
    AS state (connection_id, org_id, platform, app_id, status, sealed_access_token, version)
ORDER BY connection_id
ON CONFLICT (connection_id) DO UPDATE
SET org_id = excluded.org_id, platform = excluded.platform, app_id = excluded.app_id, status = excluded.status,
    sealed_access_token = excluded.sealed_access_token, version = excluded.version, updated_at = now()
WHERE known.version < excluded.version
"""


async def apply(conn: Connection, states: Sequence[ConnectionRow]) -> None:
    """Take over newer states; one per connection."""
    await conn.execute(
        APPLY,
        [state.connection_id for state in states],
        [state.org_id for state in states],
        [state.platform.value for state in states],
        [state.app_id for state in states],
        [state.status.value for state in states],
        [state.sealed_access_token for state in states],
        [state.version for state in states],
    )


END: Final = """
UPDATE connections AS known
SET status = 'disconnected', sealed_access_token = NULL, version = ended.version, updated_at = now()
FROM unnest($1::uuid[], $2::bigint[]) AS ended (connection_id, version)
WHERE known.connection_id = ended.connection_id AND known.version < ended.version
"""


async def end(conn: Connection, ended: Sequence[tuple[UUID, int]]) -> None:
    """Forget the tokens of connections that ended: pairs of connection and version of its tombstone."""
    await conn.execute(END, [connection_id for connection_id, _ in ended], [version for _, version in ended])


WAKE: Final = """
UPDATE calls
SET due_at = statement_timestamp(), held_for = NULL, waits_for_connection_version = NULL
FROM connections AS known
WHERE known.connection_id = ANY($1::uuid[])
    AND calls.connection_id = known.connection_id
    AND calls.status = 'pending'
    AND calls.held_for = 'connection'
    AND calls.waits_for_connection_version < known.version
"""


async def wake(conn: Connection, connection_ids: Sequence[UUID]) -> None:
    """Make the calls due that waited for a newer state of these connections."""
    await conn.execute(WAKE, list(connection_ids))


FIND: Final = """
SELECT connection_id, org_id, platform, app_id, status, sealed_access_token, version, refused_version
FROM connections
WHERE connection_id = ANY($1::uuid[])
"""


async def find(conn: Connection, connection_ids: Iterable[UUID]) -> dict[UUID, ConnectionRow]:
    """Give what is known of these connections."""
    rows = await conn.fetch(FIND, list(connection_ids))
    return {row["connection_id"]: _connection(row) for row in rows}


IS_VISIBLE: Final = "SELECT EXISTS (SELECT FROM connections WHERE connection_id = $1)"


async def is_visible(conn: Connection, connection_id: UUID) -> bool:
    """Tell whether the connection is known and this role may see it."""
    return bool(await conn.fetchval(IS_VISIBLE, connection_id))


MARK_REFUSED: Final = """
UPDATE connections SET refused_version = greatest($2, refused_version) WHERE connection_id = $1
"""


async def mark_refused(conn: Connection, connection_id: UUID, version: int) -> None:
    """Remember that the platform refused the token of this version."""
    await conn.execute(MARK_REFUSED, connection_id, version)


def _connection(row: Record) -> ConnectionRow:
    return ConnectionRow(
        connection_id=row["connection_id"],
        org_id=row["org_id"],
        platform=PlatformName(row["platform"]),
        app_id=row["app_id"],
        status=ConnectionStatus(row["status"]),
        sealed_access_token=row["sealed_access_token"],
        version=row["version"],
        refused_version=row["refused_version"],
    )
