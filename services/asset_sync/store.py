"""SQL of asset_sync. The api role writes sealed tokens and cannot read them: what gives a SealedRow is the worker's."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from libs.events.assets_connections import SealedSecret
from libs.postgres import Connection, Record
from libs.vocabulary import AccountRef, ConnectionId, ConnectionStatus, OrgId, PlatformName
from services.asset_sync.models import Actor, ConnectionRow, EndedRow, KnownToken, ListFilter, Replay, SealedRow

_COLUMNS: Final = (
    "id, org_id, platform, name, app_id, owner_user_id, token_kind, token_hint, token_expires_at, scopes, status,"
    " kek_id, version, created_at, updated_at, disconnected_at, accounts"
)

INSERT_CONNECTION: Final = f"""
INSERT INTO connections (
    id, org_id, platform, name, app_id, owner_user_id, token_kind, token_hint, token_expires_at, scopes, status,
    sealed_access_token, accounts
)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
RETURNING {_COLUMNS}
"""  # noqa: S608  a constant list of columns


async def insert_connection(
    conn: Connection,
    *,
    connection_id: UUID,
    org_id: UUID,
    platform: PlatformName,
    name: str,
    token: KnownToken,
    status: ConnectionStatus,
    sealed: SealedSecret,
    accounts: Sequence[AccountRef] = (),
) -> ConnectionRow:
    """Add a connection, version 1."""
    row = await conn.fetchrow(
        INSERT_CONNECTION,
        connection_id,
        org_id,
        platform.value,
        name,
        *_token_values(token),
        status.value,
        sealed.model_dump_json(),
        [str(account) for account in accounts],
    )
    assert row is not None
    return _connection(row)


FIND_CONNECTION: Final = f"SELECT {_COLUMNS} FROM connections WHERE org_id = $1 AND id = $2"  # noqa: S608


async def find_connection(conn: Connection, org_id: UUID, connection_id: UUID) -> ConnectionRow | None:
    """Give a connection of the organization."""
    row = await conn.fetchrow(FIND_CONNECTION, org_id, connection_id)
    return _connection(row) if row is not None else None


LIST_CONNECTIONS: Final = f"""
SELECT {_COLUMNS}
FROM connections
WHERE org_id = $1
    AND ($2::text IS NULL OR platform = $2)
    AND ($3::text IS NULL OR status = $3)
    AND ($4::timestamptz IS NULL OR (token_expires_at < $4 AND status <> 'disconnected'))
    AND ($5::uuid IS NULL OR id > $5)
ORDER BY id
LIMIT $6
"""  # noqa: S608  a constant list of columns


async def list_connections(conn: Connection, org_id: UUID, wanted: ListFilter) -> list[ConnectionRow]:
    """Give connections of the organization, oldest first."""
    rows = await conn.fetch(
        LIST_CONNECTIONS,
        org_id,
        wanted.platform.value if wanted.platform else None,
        wanted.status.value if wanted.status else None,
        wanted.expires_before,
        wanted.after,
        wanted.limit,
    )
    return [_connection(row) for row in rows]


REPLACE_TOKEN: Final = f"""
UPDATE connections
SET app_id = $3, owner_user_id = $4, token_kind = $5, token_hint = $6, token_expires_at = $7, scopes = $8, status = $9,
    sealed_access_token = $10, version = version + 1, updated_at = now()
WHERE org_id = $1 AND id = $2 AND disconnected_at IS NULL
RETURNING {_COLUMNS}
"""  # noqa: S608  a constant list of columns


async def replace_token(
    conn: Connection,
    org_id: UUID,
    connection_id: UUID,
    *,
    token: KnownToken,
    status: ConnectionStatus,
    sealed: SealedSecret,
) -> ConnectionRow | None:
    """Give a connection another token; None when it is gone or disconnected."""
    values = (*_token_values(token), status.value, sealed.model_dump_json())
    row = await conn.fetchrow(REPLACE_TOKEN, org_id, connection_id, *values)
    return _connection(row) if row is not None else None


DISCONNECT: Final = f"""
UPDATE connections
SET status = 'disconnected', disconnected_at = now(), sealed_access_token = $3, token_hint = '', version = version + 1,
    updated_at = now()
WHERE org_id = $1 AND id = $2 AND disconnected_at IS NULL
RETURNING {_COLUMNS}
"""  # noqa: S608  a constant list of columns


async def disconnect(
    conn: Connection, org_id: UUID, connection_id: UUID, *, sealed: SealedSecret
) -> ConnectionRow | None:
    """Put `sealed` in the token's place and mark the connection; None when it is gone or disconnected before."""
    row = await conn.fetchrow(DISCONNECT, org_id, connection_id, sealed.model_dump_json())
    return _connection(row) if row is not None else None


REPLACE_ACCOUNTS: Final = f"""
UPDATE connections
SET accounts = $3, version = version + 1, updated_at = now()
WHERE org_id = $1 AND id = $2 AND disconnected_at IS NULL AND accounts <> $3
RETURNING {_COLUMNS}, sealed_access_token
"""  # noqa: S608  a constant list of columns


async def replace_accounts(
    conn: Connection, org_id: UUID, connection_id: UUID, accounts: Sequence[AccountRef]
) -> SealedRow | None:
    """Give a connection these accounts; None when it has them already, is gone or disconnected."""
    row = await conn.fetchrow(REPLACE_ACCOUNTS, org_id, connection_id, [str(account) for account in accounts])
    return _sealed(row) if row is not None else None


DELETE_CONNECTION: Final = "DELETE FROM connections WHERE org_id = $1 AND id = $2 RETURNING version"
INSERT_ENDED: Final = "INSERT INTO ended_connections (id, org_id, version) VALUES ($1, $2, $3)"


async def delete_connection(conn: Connection, org_id: UUID, connection_id: UUID) -> EndedRow | None:
    """Delete a connection and keep what its tombstone says; None when it is gone."""
    version = await conn.fetchval(DELETE_CONNECTION, org_id, connection_id)
    if version is None:
        return None
    await conn.execute(INSERT_ENDED, connection_id, org_id, version + 1)
    return EndedRow(ConnectionId(connection_id), OrgId(org_id), version + 1)


CLAIM_KEY: Final = """
INSERT INTO idempotency_keys (org_id, key, content_hash, connection_id)
VALUES ($1, $2, $3, $4)
ON CONFLICT DO NOTHING
RETURNING true
"""


async def claim_idempotency_key(
    conn: Connection, org_id: UUID, key: str, *, content_hash: bytes, connection_id: UUID
) -> bool:
    """Use an idempotency key; False when it was used before. Waits for a twin that is about to commit."""
    return bool(await conn.fetchval(CLAIM_KEY, org_id, key, content_hash, connection_id))


FIND_KEY: Final = "SELECT content_hash, connection_id FROM idempotency_keys WHERE org_id = $1 AND key = $2"


async def find_idempotency_key(conn: Connection, org_id: UUID, key: str) -> Replay | None:
    """Give what an idempotency key was used for."""
    row = await conn.fetchrow(FIND_KEY, org_id, key)
    return Replay(row["content_hash"], ConnectionId(row["connection_id"])) if row is not None else None


INSERT_AUDIT: Final = """
INSERT INTO audit_log (org_id, actor_key_id, actor_role, action, subject, details) VALUES ($1, $2, $3, $4, $5, $6)
"""


async def insert_audit(
    conn: Connection, org_id: UUID | None, actor: Actor, action: str, subject: str, details: Mapping[str, Any]
) -> None:
    """Record who did what. Details never hold a credential."""
    role = actor.role.value if actor.role else None
    await conn.execute(INSERT_AUDIT, org_id, actor.key_id, role, action, subject, json.dumps(details))


LOCK_OTHER_KEYS: Final = f"""
SELECT {_COLUMNS}, sealed_access_token
FROM connections
WHERE kek_id <> $1 AND ($2::uuid IS NULL OR id > $2)
ORDER BY id
LIMIT $3
FOR UPDATE
"""  # noqa: S608  a constant list of columns


async def lock_sealed_under_other_keys(
    conn: Connection, kek_id: str, *, after: UUID | None, limit: int
) -> list[SealedRow]:
    """Lock connections whose token is not sealed under this key, in the order of their ids."""
    return [_sealed(row) for row in await conn.fetch(LOCK_OTHER_KEYS, kek_id, after, limit)]


COUNT_OTHER_KEYS: Final = "SELECT count(*) FROM connections WHERE kek_id <> $1"


async def count_sealed_under_other_keys(conn: Connection, kek_id: str) -> int:
    """Count what is still to be resealed."""
    return int(await conn.fetchval(COUNT_OTHER_KEYS, kek_id))


RESEAL: Final = f"""
UPDATE connections
SET sealed_access_token = moved.sealed, version = version + 1, updated_at = now()
FROM unnest($1::uuid[], $2::jsonb[]) AS moved (moved_id, sealed)
WHERE connections.id = moved.moved_id
RETURNING {_COLUMNS}, sealed_access_token
"""  # noqa: S608  a constant list of columns


async def reseal(conn: Connection, moved: Mapping[ConnectionId, SealedSecret]) -> list[SealedRow]:
    """Store resealed tokens of locked rows and raise their versions."""
    texts = [sealed.model_dump_json() for sealed in moved.values()]
    return [_sealed(row) for row in await conn.fetch(RESEAL, list(moved), texts)]


AGE: Final = f"""
UPDATE connections
SET status = CASE WHEN token_expires_at <= now() THEN 'expired' ELSE 'expiring' END,
    version = version + 1, updated_at = now()
WHERE id IN (
    SELECT id
    FROM connections
    WHERE status IN ('healthy', 'expiring') AND token_expires_at IS NOT NULL
        AND (token_expires_at <= now()
            OR (status = 'healthy' AND token_expires_at <= now() + make_interval(secs => $1)))
    ORDER BY id
    LIMIT $2
    FOR UPDATE SKIP LOCKED
)
RETURNING {_COLUMNS}, sealed_access_token
"""  # noqa: S608  a constant list of columns


async def age_tokens(conn: Connection, *, expiring_seconds: float, limit: int) -> list[SealedRow]:
    """Mark connections whose token expires soon or has expired, and give them."""
    return [_sealed(row) for row in await conn.fetch(AGE, expiring_seconds, limit)]


LOCK_CHANGED: Final = f"""
SELECT {_COLUMNS}, sealed_access_token
FROM connections
WHERE ($1::timestamptz IS NULL OR updated_at >= $1) AND ($2::uuid IS NULL OR id > $2)
ORDER BY id
LIMIT $3
FOR UPDATE
"""  # noqa: S608  a constant list of columns


async def lock_changed(conn: Connection, *, since: datetime | None, after: UUID | None, limit: int) -> list[SealedRow]:
    """Lock connections that changed since then (None: all), in the order of their ids."""
    return [_sealed(row) for row in await conn.fetch(LOCK_CHANGED, since, after, limit)]


LIST_ENDED: Final = """
SELECT id, org_id, version FROM ended_connections WHERE $1::timestamptz IS NULL OR ended_at >= $1 ORDER BY id
"""


async def list_ended(conn: Connection, *, since: datetime | None) -> list[EndedRow]:
    """Give connections that were deleted since then (None: all that are remembered)."""
    rows = await conn.fetch(LIST_ENDED, since)
    return [EndedRow(ConnectionId(row["id"]), OrgId(row["org_id"]), row["version"]) for row in rows]


FORGET_KEYS: Final = "DELETE FROM idempotency_keys WHERE created_at < now() - make_interval(days => $1) RETURNING 1"
FORGET_ENDED: Final = "DELETE FROM ended_connections WHERE ended_at < now() - make_interval(days => $1) RETURNING 1"


async def forget_old(conn: Connection, *, idempotency_days: int, ended_days: int) -> tuple[int, int]:
    """Delete idempotency keys and memories of tombstones that are older; give how many of each."""
    keys = await conn.fetch(FORGET_KEYS, idempotency_days)
    return len(keys), len(await conn.fetch(FORGET_ENDED, ended_days))


COUNT_BY_STATUS: Final = "SELECT platform, status, count(*) AS count FROM connections GROUP BY platform, status"


async def count_by_status(conn: Connection) -> Sequence[tuple[str, str, int]]:
    """Count connections by platform and status."""
    return [(row["platform"], row["status"], row["count"]) for row in await conn.fetch(COUNT_BY_STATUS)]


COUNT_EXPIRING: Final = """
SELECT platform, count(*) AS count
FROM connections
WHERE status IN ('healthy', 'expiring') AND token_expires_at <= now() + make_interval(secs => $1)
GROUP BY platform
"""


async def count_expiring(conn: Connection, *, within_seconds: float) -> Mapping[str, int]:
    """Count connections whose token expires within this time, by platform."""
    return {row["platform"]: row["count"] for row in await conn.fetch(COUNT_EXPIRING, within_seconds)}


TRACE_CONNECTIONS: Final = """
SELECT id, org_id, platform, name, status, version, updated_at FROM connections
WHERE id = ANY (ARRAY(
    SELECT unnest($1::uuid[]) UNION (SELECT connection_id FROM idempotency_keys WHERE key = ANY($2::text[]) LIMIT $3)
))
LIMIT $3
"""
TRACE_AUDIT: Final = """
SELECT id, at, org_id, actor_key_id, action, subject FROM audit_log
WHERE subject = ANY($1::text[])
ORDER BY id DESC
LIMIT $2
"""


async def trace(
    conn: Connection, uuids: Sequence[UUID], texts: Sequence[str], limit: int
) -> tuple[list[Record], list[Record]]:
    """Give the connections with these ids or idempotency keys, and newest first what was done to any of them."""
    rows = await conn.fetch(TRACE_CONNECTIONS, list(uuids), list(texts), limit)
    subjects = {*map(str, uuids), *(str(row["id"]) for row in rows)}
    return rows, await conn.fetch(TRACE_AUDIT, list(subjects), limit) if subjects else []


def _token_values(token: KnownToken) -> tuple[Any, ...]:
    return token.app_id, token.owner_user_id, token.kind, token.hint, token.expires_at, list(token.scopes)


def _sealed(row: Record) -> SealedRow:
    return SealedRow(_connection(row), SealedSecret.model_validate_json(row["sealed_access_token"]))


def _connection(row: Record) -> ConnectionRow:
    return ConnectionRow(
        id=ConnectionId(row["id"]),
        org_id=OrgId(row["org_id"]),
        platform=PlatformName(row["platform"]),
        name=row["name"],
        app_id=row["app_id"],
        owner_user_id=row["owner_user_id"],
        token_kind=row["token_kind"],
        token_hint=row["token_hint"],
        token_expires_at=row["token_expires_at"],
        scopes=tuple(row["scopes"]),
        status=ConnectionStatus(row["status"]),
        kek_id=row["kek_id"],
        version=row["version"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        disconnected_at=row["disconnected_at"],
        accounts=tuple(AccountRef(*text.split(":", 1)) for text in row["accounts"]),
    )
