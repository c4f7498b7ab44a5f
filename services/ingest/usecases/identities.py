"""Who exists and who may ask: a change is the row, its event, this service's own copy and a line of the audit log."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from libs.events.envelope import new_event_id
from libs.events.ingest_identities import ApiKey, Organization, Producer
from libs.events.problem import ProblemError, ProblemItem, problem
from libs.messaging.outbox import OutboxItem, append_many
from libs.postgres import Connection
from libs.security.api_keys import new_api_key
from libs.security.identities import apply_identity
from libs.vocabulary import OrgId, RequestKind, Role
from services.ingest.models import Actor
from services.ingest.store import identities as store

SOURCE: Final = "platformbus/ingest"
TOPIC: Final = "ingest.identities"
KEY_SOURCE_PREFIX: Final = "key:"
"""Sources of what comes over HTTP begin so; no producer on Kafka may."""

Identity = Organization | ApiKey | Producer


@dataclass(frozen=True, slots=True)
class CreatedKey:
    """A new key; `text` is shown to its maker once and kept nowhere. The repr does not show it."""

    key: ApiKey
    text: str

    def __repr__(self) -> str:
        return f"CreatedKey(key={self.key!r})"


async def create_organization(conn: Connection, actor: Actor, name: str, org_id: UUID | None = None) -> Organization:
    """Create an active organization, under a given id or a new one. Raises ProblemError 409 when the id is taken."""
    organization = Organization(org_id=org_id or _new_id(), name=name, active=True, created_at=_now())
    version = await store.insert_organization(conn, organization)
    if version is None:
        item = ProblemItem(where="/org_id", what="is taken", how="leave it out to get a new id")
        detail = f"There is an organization {organization.org_id} already."
        raise ProblemError(problem("organization_exists", 409, "Organization exists", detail, item))
    await _announce(conn, organization, version)
    details = {"name": name}
    await store.insert_audit(
        conn,
        actor,
        "organization.created",
        str(organization.org_id),
        org_id=organization.org_id,
        details=details,
    )
    return organization


async def update_organization(
    conn: Connection, actor: Actor, org_id: UUID, *, name: str | None, active: bool | None
) -> Organization:
    """Rename an organization, or close or open it: a closed one's keys stop working, its requests are refused.

    Raises ProblemError 404 when there is none of this id.
    """
    updated = await store.update_organization(conn, org_id, name=name, active=active, now=_now())
    if updated is None:
        raise _not_found("organization", str(org_id), "use an id that `GET /v1/organizations` lists", "path:org_id")
    organization, version = updated
    await _announce(conn, organization, version)
    details = {"name": name, "active": active}
    await store.insert_audit(conn, actor, "organization.changed", str(org_id), org_id=org_id, details=details)
    return organization


async def create_key(
    conn: Connection, actor: Actor, org_id: OrgId | None, name: str, role: Role, expires_at: datetime | None
) -> CreatedKey:
    """Create a key of an organization (None: of the bus's operators); it works in ingest when this commits.

    Raises ProblemError 422: a role that does not fit, an expiry in the past.
    """
    _check_key(org_id, role, expires_at)
    text, key_hash, hint = new_api_key()
    key = ApiKey(
        key_id=_new_id(),
        org_id=org_id,
        name=name,
        role=role,
        key_hash=key_hash,
        hint=hint,
        expires_at=expires_at,
        revoked_at=None,
        created_at=_now(),
    )
    await store.insert_key(conn, key)
    await _announce(conn, key, 1)
    details = {"name": name, "role": role.value, "expires_at": expires_at}
    await store.insert_audit(conn, actor, "key.created", str(key.key_id), org_id=org_id, details=details)
    return CreatedKey(key, text)


async def revoke_key(conn: Connection, actor: Actor, org_id: OrgId | None, key_id: UUID) -> ApiKey:
    """Revoke a key of an organization (None: any key) for ever; doing it again changes nothing.

    Raises ProblemError 404 for a key that is not there.
    """
    revoked = await store.revoke_key(conn, key_id, org_id, _now())
    if revoked is None:
        known = await store.find_key(conn, key_id, org_id)
        if known is None:
            raise _not_found("key", str(key_id), "use an id that `GET /v1/keys` lists", "path:key_id")
        return known
    key, version = revoked
    await _announce(conn, key, version)
    await store.insert_audit(conn, actor, "key.revoked", str(key_id), org_id=key.org_id, details={"name": key.name})
    return key


async def put_producer(conn: Connection, actor: Actor, producer: Producer) -> Producer:
    """Register a producer, or change what it may ask for. Raises ProblemError 422 for what cannot be a producer."""
    _check_producer(producer)
    version = await store.put_producer(conn, producer, _now())
    await _announce(conn, producer, version)
    details = producer.model_dump(mode="json", exclude={"source"})
    await store.insert_audit(conn, actor, "producer.put", producer.source, org_id=None, details=details)
    return producer


async def reannounce_identities(conn: Connection, since: datetime | None) -> int:
    """Append again the state of every identity that changed since then (None: of all); give how many."""
    organizations = await store.list_organizations(conn, since, lock=True)
    keys = await store.lock_keys(conn, since)
    producers = await store.list_producers(conn, since, lock=True)
    states: list[tuple[Identity, int]] = [*organizations, *keys, *producers]
    return len(await append_many(conn, [_item(*state) for state in states]))


async def _announce(conn: Connection, identity: Identity, version: int) -> None:
    await append_many(conn, [_item(identity, version)])
    await apply_identity(conn, identity, version)


def _item(identity: Identity, version: int) -> OutboxItem:
    org_id = None if isinstance(identity, Producer) else identity.org_id
    return OutboxItem(
        topic=TOPIC, key=_topic_key(identity), event=identity, source=SOURCE, org_id=org_id, version=version
    )


def _topic_key(identity: Identity) -> str:
    if isinstance(identity, Organization):
        return str(identity.org_id)
    if isinstance(identity, ApiKey):
        return f"{identity.org_id or 'platform'}/{identity.key_id}"
    return f"producer/{identity.source}"


def _check_key(org_id: OrgId | None, role: Role, expires_at: datetime | None) -> None:
    items: list[ProblemItem] = []
    if (org_id is None) != (role is Role.SUPER_ADMIN):
        what = "is only for operators' keys" if org_id else "is not for operators' keys"
        how = "use another role" if org_id else "name an organization (`org_id`), or use super_admin"
        items.append(ProblemItem(where="/role", what=f"{role.value} {what}", how=how))
    if expires_at is not None and expires_at <= _now():
        items.append(ProblemItem(where="/expires_at", what="lies in the past", how="send a later time, or none"))
    _raise_invalid(items)


def _check_producer(producer: Producer) -> None:
    items: list[ProblemItem] = []
    if producer.source.startswith(KEY_SOURCE_PREFIX) or not producer.source.isprintable():
        what = f"begins with {KEY_SOURCE_PREFIX} or holds a control character"
        items.append(ProblemItem(where="path:source", what=what, how="use the ce_source of the producer's events"))
    kinds = sorted(set(producer.kinds) - set(RequestKind))
    for kind in kinds:
        how = f"use some of: {', '.join(RequestKind)}"
        items.append(ProblemItem(where="/kinds", what=f"'{kind[:64]}' is not known", how=how))
    _raise_invalid(items)


def _raise_invalid(items: Sequence[ProblemItem]) -> None:
    if items:
        detail = f"{len(items)} {'value does' if len(items) == 1 else 'values do'} not keep the rules of this request."
        raise ProblemError(problem("invalid", 422, "Request not valid", detail, *items))


def _not_found(what: str, name: str, how: str, where: str) -> ProblemError:
    item = ProblemItem(where=where, what=f"names no {what}", how=how)
    return ProblemError(problem("not_found", 404, f"{what.capitalize()} unknown", f"There is no {what} {name}.", item))


def _new_id() -> UUID:
    return UUID(new_event_id())


def _now() -> datetime:
    return datetime.now(UTC)
