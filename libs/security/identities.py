"""This service's copy of the identities, and the two questions asked of it: who is this, and may they?

Authentication reads as worker: the organization is not known before. The copy is written by the consumer of
`ingest.identities` (ingest writes its own in the transaction that makes the change).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from libs.events.ingest_identities import ApiKey, Organization, Producer
from libs.events.model import Event
from libs.events.problem import ProblemError, ProblemItem, problem
from libs.postgres import Connection, Record
from libs.security.api_keys import hash_key, looks_like_key, same_hash
from libs.vocabulary import KeyId, OrgId, Role

CHALLENGE: Final = {"WWW-Authenticate": 'Bearer realm="platformbus"'}
STRONGEST_FIRST: Final[Sequence[Role]] = tuple(Role)


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks. `org_id` is None for a key of the bus's own operators, who see all organizations."""

    key_id: KeyId
    org_id: OrgId | None
    role: Role


# A late or repeated record changes nothing: the version only grows.
PUT_ORGANIZATION: Final = """
INSERT INTO identity_organizations AS known (org_id, name, active, created_at, version)
VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (org_id) DO UPDATE
SET name = excluded.name, active = excluded.active, version = excluded.version, applied_at = now()
WHERE known.version < excluded.version
"""
PUT_KEY: Final = """
INSERT INTO identity_api_keys AS known
    (key_id, org_id, name, role, key_hash, hint, expires_at, revoked_at, created_at, version)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
ON CONFLICT (key_id) DO UPDATE
SET org_id = excluded.org_id, name = excluded.name, role = excluded.role, key_hash = excluded.key_hash,
    hint = excluded.hint, expires_at = excluded.expires_at, revoked_at = excluded.revoked_at,
    version = excluded.version, applied_at = now()
WHERE known.version < excluded.version
"""
PUT_PRODUCER: Final = """
INSERT INTO identity_producers AS known (source, org_ids, kinds, active, version)
VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (source) DO UPDATE
SET org_ids = excluded.org_ids, kinds = excluded.kinds, active = excluded.active, version = excluded.version,
    applied_at = now()
WHERE known.version < excluded.version
"""


async def apply_identity(conn: Connection, event: Event, version: int) -> None:
    """Keep the state that an event of `ingest.identities` tells, unless a newer one is known.

    Raises TypeError for an event of another topic.
    """
    if isinstance(event, Organization):
        await conn.execute(PUT_ORGANIZATION, event.org_id, event.name, event.active, event.created_at, version)
    elif isinstance(event, ApiKey):
        values = (event.name, event.role.value, event.key_hash, event.hint, event.expires_at, event.revoked_at)
        await conn.execute(PUT_KEY, event.key_id, event.org_id, *values, event.created_at, version)
    elif isinstance(event, Producer):
        org_ids, kinds = list(event.org_ids), list(event.kinds)
        await conn.execute(PUT_PRODUCER, event.source, org_ids, kinds, event.active, version)
    else:
        raise TypeError(f"{type(event).__name__} is no identity")


DROP_ORGANIZATION: Final = "DELETE FROM identity_organizations WHERE org_id = $1 AND version < $2"
DROP_KEY: Final = "DELETE FROM identity_api_keys WHERE key_id = $1 AND version < $2"
DROP_PRODUCER: Final = "DELETE FROM identity_producers WHERE source = $1 AND version < $2"


async def remove_identity(conn: Connection, event_type: type[Event], key: str, version: int) -> None:
    """Forget the identity that a tombstone ends; `key` is the record's key.

    Raises ValueError for a key that is not of its type's form, TypeError for an event type of another topic.
    """
    if event_type is Organization:
        await conn.execute(DROP_ORGANIZATION, UUID(key), version)
    elif event_type is ApiKey:
        await conn.execute(DROP_KEY, UUID(key.rpartition("/")[2]), version)
    elif event_type is Producer:
        await conn.execute(DROP_PRODUCER, key.removeprefix("producer/"), version)
    else:
        raise TypeError(f"{event_type.__name__} is no identity")


FIND_KEY: Final = """
SELECT keys.key_id, keys.org_id, keys.name, keys.role, keys.key_hash, keys.hint, keys.expires_at, keys.revoked_at,
       keys.created_at, organizations.active AS organization_active
FROM identity_api_keys AS keys
LEFT JOIN identity_organizations AS organizations ON organizations.org_id = keys.org_id
WHERE keys.key_hash = $1
"""


async def find_key(conn: Connection, key_hash: str) -> ApiKey | None:
    """Give the key that has this hash, also when it is revoked or expired."""
    row = await conn.fetchrow(FIND_KEY, key_hash)
    return _key(row) if row is not None else None


FIND_ORGANIZATION: Final = "SELECT org_id, name, active, created_at FROM identity_organizations WHERE org_id = $1"


async def find_organization(conn: Connection, org_id: UUID) -> Organization | None:
    """Give an organization, also when it is not active."""
    row = await conn.fetchrow(FIND_ORGANIZATION, org_id)
    if row is None:
        return None
    return Organization(org_id=row["org_id"], name=row["name"], active=row["active"], created_at=row["created_at"])


FIND_PRODUCER: Final = "SELECT source, org_ids, kinds, active FROM identity_producers WHERE source = $1"


async def find_producer(conn: Connection, source: str) -> Producer | None:
    """Give what a `ce_source` may ask for, also when it is not active."""
    row = await conn.fetchrow(FIND_PRODUCER, source)
    if row is None:
        return None
    return Producer(
        source=row["source"], org_ids=tuple(row["org_ids"]), kinds=tuple(row["kinds"]), active=row["active"]
    )


async def authenticate(conn: Connection, key_text: str, *, now: datetime | None = None) -> Principal:
    """Give whose key this is.

    Raises ProblemError 401: malformed, unknown, revoked or expired key, or its organization is not active.
    """
    if not looks_like_key(key_text):
        raise _refused("The key is not of the form of an API key, or a character of it is wrong.", "send the whole key")
    key_hash = hash_key(key_text)
    row = await conn.fetchrow(FIND_KEY, key_hash)
    if row is None or not same_hash(row["key_hash"], key_hash):
        raise _refused("The key is not known here.", "use a key that exists; a new one needs a moment to arrive")
    key = _key(row)
    if key.revoked_at is not None:
        raise _refused("The key was revoked.", "ask an administrator for a new key")
    if key.expires_at is not None and key.expires_at <= (now or datetime.now(UTC)):
        raise _refused("The key has expired.", "ask an administrator for a new key")
    if key.org_id is None and key.role is not Role.SUPER_ADMIN:
        raise _refused("The key belongs to no organization.", "ask an administrator for a new key")
    if key.org_id is not None and not row["organization_active"]:
        raise _refused("The key's organization is not active.", "ask the bus's operators")
    return Principal(KeyId(key.key_id), OrgId(key.org_id) if key.org_id is not None else None, key.role)


def require(who: Principal, *roles: Role) -> None:
    """Let only these roles pass; a super_admin always does. Raises ProblemError 403."""
    if who.role in roles or who.role is Role.SUPER_ADMIN:
        return
    wanted = sorted(roles or (Role.SUPER_ADMIN,), key=STRONGEST_FIRST.index)
    names = " or ".join(role.value for role in wanted)
    item = ProblemItem(
        where="header:Authorization",
        what=f"is a key of role {who.role.value}",
        how=f"use a key of role {names}",
    )
    raise ProblemError(problem("role_missing", 403, "Role missing", f"This needs the role {names}.", item))


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


def _refused(detail: str, how: str) -> ProblemError:
    item = ProblemItem(where="header:Authorization", what=detail, how=how)
    return ProblemError(problem("unauthenticated", 401, "Not authenticated", detail, item), headers=dict(CHALLENGE))
