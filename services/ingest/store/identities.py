"""Rows of organizations, API keys and producers, and the audit log. Every change raises the row's version."""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from libs.events.ingest_identities import ApiKey, Organization, Producer
from libs.postgres import Connection, Record
from libs.vocabulary import OrgId, Role
from services.ingest.models import Actor

INSERT_ORGANIZATION: Final = """
INSERT INTO organizations (org_id, name, active, created_at, updated_at)
VALUES ($1, $2, $3, $4, $4)
ON CONFLICT (org_id) DO NOTHING
RETURNING version
"""


async def insert_organization(conn: Connection, organization: Organization) -> int | None:
    """Write a new organization and give its version, or None when the id is taken."""
    version: int | None = await conn.fetchval(
        INSERT_ORGANIZATION, organization.org_id, organization.name, organization.active, organization.created_at
    )
    return version


UPDATE_ORGANIZATION: Final = """
UPDATE organizations
SET name = coalesce($2, name), active = coalesce($3, active), version = version + 1, updated_at = $4
WHERE org_id = $1
RETURNING org_id, name, active, version, created_at
"""


async def update_organization(
    conn: Connection, org_id: UUID, *, name: str | None, active: bool | None, now: datetime
) -> tuple[Organization, int] | None:
    """Change what is given, and give the new state with its version; None when there is no such organization."""
    row = await conn.fetchrow(UPDATE_ORGANIZATION, org_id, name, active, now)
    return None if row is None else (_organization(row), row["version"])


LIST_ORGANIZATIONS: Final = """
SELECT org_id, name, active, version, created_at FROM organizations
WHERE $1::timestamptz IS NULL OR updated_at >= $1
ORDER BY org_id
"""
LOCK_ORGANIZATIONS: Final = f"{LIST_ORGANIZATIONS} FOR UPDATE"


async def list_organizations(
    conn: Connection, since: datetime | None = None, *, lock: bool = False
) -> list[tuple[Organization, int]]:
    """Give organizations that changed since then (None: all) with their versions."""
    rows = await conn.fetch(LOCK_ORGANIZATIONS if lock else LIST_ORGANIZATIONS, since)
    return [(_organization(row), row["version"]) for row in rows]


INSERT_KEY: Final = """
INSERT INTO api_keys (key_id, org_id, name, role, key_hash, hint, expires_at, created_at, updated_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8)
"""


async def insert_key(conn: Connection, key: ApiKey) -> None:
    """Write a new key; its version is 1."""
    values = (key.name, key.role.value, key.key_hash, key.hint, key.expires_at, key.created_at)
    await conn.execute(INSERT_KEY, key.key_id, key.org_id, *values)


REVOKE_KEY: Final = """
UPDATE api_keys
SET revoked_at = $3, version = version + 1, updated_at = $3
WHERE key_id = $1 AND ($2::uuid IS NULL OR org_id = $2) AND revoked_at IS NULL
RETURNING key_id, org_id, name, role, key_hash, hint, expires_at, revoked_at, version, created_at
"""


async def revoke_key(conn: Connection, key_id: UUID, org_id: OrgId | None, now: datetime) -> tuple[ApiKey, int] | None:
    """Revoke a key of an organization (None: any) and give its new state with its version; None when there is nothing
    to revoke."""
    row = await conn.fetchrow(REVOKE_KEY, key_id, org_id, now)
    return None if row is None else (_key(row), row["version"])


LIST_KEYS: Final = """
SELECT key_id, org_id, name, role, key_hash, hint, expires_at, revoked_at, version, created_at FROM api_keys
WHERE $1::uuid IS NULL OR org_id = $1
ORDER BY created_at DESC, key_id
LIMIT 1000
"""


async def list_keys(conn: Connection, org_id: OrgId | None) -> list[ApiKey]:
    """Give an organization's keys (None: all), newest first, also revoked ones; at most 1,000."""
    return [_key(row) for row in await conn.fetch(LIST_KEYS, org_id)]


FIND_KEY: Final = """
SELECT key_id, org_id, name, role, key_hash, hint, expires_at, revoked_at, version, created_at FROM api_keys
WHERE key_id = $1 AND ($2::uuid IS NULL OR org_id = $2)
"""


async def find_key(conn: Connection, key_id: UUID, org_id: OrgId | None) -> ApiKey | None:
    """Give a key of an organization (None: of any, or of the operators)."""
    row = await conn.fetchrow(FIND_KEY, key_id, org_id)
    return None if row is None else _key(row)


LOCK_KEYS: Final = """
SELECT key_id, org_id, name, role, key_hash, hint, expires_at, revoked_at, version, created_at FROM api_keys
WHERE $1::timestamptz IS NULL OR updated_at >= $1
ORDER BY key_id
FOR UPDATE
"""


async def lock_keys(conn: Connection, since: datetime | None) -> list[tuple[ApiKey, int]]:
    """Lock and give all keys that changed since then (None: all) with their versions."""
    return [(_key(row), row["version"]) for row in await conn.fetch(LOCK_KEYS, since)]


PUT_PRODUCER: Final = """
INSERT INTO producers AS known (source, org_ids, kinds, active, created_at, updated_at)
VALUES ($1, $2, $3, $4, $5, $5)
ON CONFLICT (source) DO UPDATE
SET org_ids = excluded.org_ids, kinds = excluded.kinds, active = excluded.active, version = known.version + 1,
    updated_at = excluded.updated_at
RETURNING version
"""


async def put_producer(conn: Connection, producer: Producer, now: datetime) -> int:
    """Write a producer, new or changed, and give its version."""
    org_ids, kinds = list(producer.org_ids), list(producer.kinds)
    version: int = await conn.fetchval(PUT_PRODUCER, producer.source, org_ids, kinds, producer.active, now)
    return version


LIST_PRODUCERS: Final = """
SELECT source, org_ids, kinds, active, version FROM producers
WHERE $1::timestamptz IS NULL OR updated_at >= $1
ORDER BY source
"""
LOCK_PRODUCERS: Final = f"{LIST_PRODUCERS} FOR UPDATE"


async def list_producers(
    conn: Connection, since: datetime | None = None, *, lock: bool = False
) -> list[tuple[Producer, int]]:
    """Give producers that changed since then (None: all) with their versions."""
    rows = await conn.fetch(LOCK_PRODUCERS if lock else LIST_PRODUCERS, since)
    return [(_producer(row), row["version"]) for row in rows]


INSERT_AUDIT: Final = """
INSERT INTO audit_log (org_id, actor_key_id, actor_role, action, subject, details) VALUES ($1, $2, $3, $4, $5, $6)
"""


async def insert_audit(
    conn: Connection, actor: Actor, action: str, subject: str, *, org_id: UUID | None, details: Mapping[str, Any]
) -> None:
    """Keep who did what to what."""
    await conn.execute(
        INSERT_AUDIT, org_id, actor.key_id, actor.role.value, action, subject, json.dumps(details, default=str)
    )


LIST_AUDIT: Final = """
SELECT id, at, org_id, actor_key_id, actor_role, action, subject, details FROM audit_log
WHERE ($1::uuid IS NULL OR org_id = $1) AND ($2::bigint IS NULL OR id < $2)
ORDER BY id DESC
LIMIT $3
"""


async def list_audit(conn: Connection, org_id: OrgId | None, before: int | None, limit: int) -> list[Record]:
    """Give the audit log newest first: an organization's, or with None all of it."""
    return await conn.fetch(LIST_AUDIT, org_id, before, limit)


def _organization(row: Record) -> Organization:
    return Organization(org_id=row["org_id"], name=row["name"], active=row["active"], created_at=row["created_at"])


def _key(row: Record) -> ApiKey:
    return ApiKey(
        key_id=row["key_id"],
        org_id=row["org_id"],
        name=row["name"],
        role=Role(row["role"]),
        key_hash=row["key_hash"],
        hint=row["hint"],
        expires_at=row["expires_at"],
        revoked_at=row["revoked_at"],
        created_at=row["created_at"],
    )


def _producer(row: Record) -> Producer:
    return Producer(
        source=row["source"], org_ids=tuple(row["org_ids"]), kinds=tuple(row["kinds"]), active=row["active"]
    )
