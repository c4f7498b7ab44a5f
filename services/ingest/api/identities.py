"""Who exists and who may ask, over HTTP: organizations, keys, producers, and the log of who changed them."""

import json
from datetime import datetime
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from libs.events.ingest_identities import ApiKey, Organization, Producer
from libs.events.problem import ProblemError, ProblemItem, problem
from libs.runtime.admin import OperatorDep
from libs.runtime.auth import ORGANIZATION_HEADER, PrincipalDep, organization_caller, role_required
from libs.security.identities import Principal
from libs.vocabulary import OrgId, Role
from services.ingest.api.deps import ApiDeps, DryRun, changing
from services.ingest.models import Actor
from services.ingest.store import identities as store
from services.ingest.usecases import identities as usecases

_NOT_CACHED: Final = {"Cache-Control": "no-store"}
Name = Annotated[str, Field(min_length=1, max_length=200)]


class Strict(BaseModel):
    """A body: unknown fields are refused, so that a mistyped one does not pass unseen."""

    model_config = ConfigDict(extra="forbid")


class OrganizationIn(Strict):
    """A new organization."""

    name: Name
    org_id: UUID | None = None
    """Your own id for it; without one it gets a new one."""


class OrganizationPatch(Strict):
    """What to change of an organization."""

    name: Name | None = None
    active: bool | None = None


class OrganizationsOut(BaseModel):
    """All organizations."""

    items: list[Organization]


class KeyIn(Strict):
    """A new key."""

    name: Name
    role: Role
    org_id: UUID | None = None
    """Whose key; left out: of the organization that is acted for. Operators may name any, or null for their own."""
    expires_at: AwareDatetime | None = None


class KeyOut(BaseModel):
    """A key without its text and hash."""

    model_config = ConfigDict(from_attributes=True)

    key_id: UUID
    org_id: UUID | None
    name: str
    role: Role
    hint: str
    expires_at: datetime | None
    revoked_at: datetime | None
    created_at: datetime


class CreatedKeyOut(KeyOut):
    """A new key."""

    key: str | None
    """The key itself: shown here once, kept nowhere. Null in a dry run."""


class KeysOut(BaseModel):
    """Keys, newest first."""

    items: list[KeyOut]


class ProducerIn(Strict):
    """What a source on Kafka may ask for; it replaces what it might before."""

    org_ids: list[UUID] = Field(max_length=1_000)
    """Empty: all organizations."""
    kinds: list[str] = Field(min_length=1, max_length=50)
    active: bool = True


class NamedProducerIn(ProducerIn):
    """The same with the source itself."""

    source: str = Field(min_length=1, max_length=200)
    """The `ce_source` of its events."""


class ProducersOut(BaseModel):
    """All producers."""

    items: list[Producer]


class AuditOut(BaseModel):
    """One line of the audit log."""

    id: int
    at: datetime
    org_id: UUID | None
    actor_key_id: UUID | None
    actor_role: str | None
    action: str
    subject: str
    details: dict[str, Any]


class AuditsOut(BaseModel):
    """A page of the audit log, newest first."""

    items: list[AuditOut]
    next_cursor: int | None


def identities_router(deps: ApiDeps) -> APIRouter:
    """Build the routes of organizations, keys, producers and the audit log."""
    router = APIRouter(prefix="/v1", tags=["identities"])
    _add_organizations(router, deps)
    _add_keys(router, deps)
    _add_producers(router, deps)
    _add_audit_log(router, deps)
    return router


async def scope(request: Request, who: PrincipalDep) -> OrgId | None:
    """Dependency: the organization that is acted for; None for an operator who names none."""
    if who.org_id is None and ORGANIZATION_HEADER not in request.headers:
        return None
    return (await organization_caller(request, who)).org_id


ScopeDep = Annotated[OrgId | None, Depends(scope)]
AdministratorDep = Annotated[Principal, Depends(role_required(Role.ADMIN))]


def _add_organizations(router: APIRouter, deps: ApiDeps) -> None:
    @router.get("/organizations")
    async def get_organizations(_: OperatorDep) -> OrganizationsOut:
        """List all organizations."""
        async with changing(deps, None) as connection:
            return OrganizationsOut(items=[state for state, _ in await store.list_organizations(connection)])

    @router.post("/organizations", status_code=201)
    async def post_organization(body: OrganizationIn, who: OperatorDep, dry_run: DryRun = False) -> Organization:
        """Create an organization."""
        async with changing(deps, None, dry_run=dry_run) as connection:
            return await usecases.create_organization(connection, _actor(who), body.name, body.org_id)

    @router.patch("/organizations/{org_id}")
    async def patch_organization(
        org_id: UUID, body: OrganizationPatch, who: OperatorDep, dry_run: DryRun = False
    ) -> Organization:
        """Rename an organization, close it or open it; the keys of a closed one do not work."""
        async with changing(deps, None, dry_run=dry_run) as connection:
            changed = await usecases.update_organization(
                connection, _actor(who), org_id, name=body.name, active=body.active
            )
        deps.authenticator.forget()
        return changed


def _add_keys(router: APIRouter, deps: ApiDeps) -> None:
    @router.get("/keys")
    async def get_keys(_: AdministratorDep, org_id: ScopeDep) -> KeysOut:
        """List the organization's keys; for an operator who names no organization: all keys."""
        async with changing(deps, org_id) as connection:
            keys = await store.list_keys(connection, org_id)
        return KeysOut(items=[KeyOut.model_validate(key) for key in keys])

    @router.post("/keys", status_code=201)
    async def post_key(
        body: KeyIn, who: AdministratorDep, acting_for: ScopeDep, response: Response, dry_run: DryRun = False
    ) -> CreatedKeyOut:
        """Create a key and show it, once. It works here at once, in other services a moment later."""
        org_id = await _whose_key(deps, body, who, acting_for)
        async with changing(deps, org_id, dry_run=dry_run) as connection:
            created = await usecases.create_key(connection, _actor(who), org_id, body.name, body.role, body.expires_at)
        response.headers.update(_NOT_CACHED)
        values = KeyOut.model_validate(created.key).model_dump()
        return CreatedKeyOut(**values, key=None if dry_run else created.text)

    @router.post("/keys/{key_id}/revoke")
    async def post_revoke(key_id: UUID, who: AdministratorDep, org_id: ScopeDep, dry_run: DryRun = False) -> KeyOut:
        """Revoke a key for ever; again it changes nothing. The key is still listed."""
        async with changing(deps, org_id, dry_run=dry_run) as connection:
            revoked: ApiKey = await usecases.revoke_key(connection, _actor(who), org_id, key_id)
        deps.authenticator.forget(revoked.key_hash)
        return KeyOut.model_validate(revoked)


def _add_producers(router: APIRouter, deps: ApiDeps) -> None:
    @router.get("/producers")
    async def get_producers(_: OperatorDep) -> ProducersOut:
        """List the sources that may ask over Kafka."""
        async with changing(deps, None) as connection:
            return ProducersOut(items=[state for state, _ in await store.list_producers(connection)])

    @router.put("/producers/{source:path}")
    async def put_producer(
        source: Annotated[str, Path(min_length=1, max_length=200, description="The `ce_source` of its events")],
        body: ProducerIn,
        who: OperatorDep,
        dry_run: DryRun = False,
    ) -> Producer:
        """Register a source, or change what it may ask for."""
        async with changing(deps, None, dry_run=dry_run) as connection:
            return await usecases.put_producer(connection, _actor(who), _producer(source, body))

    @router.post("/producers", status_code=201)
    async def post_producer(body: NamedProducerIn, who: OperatorDep, dry_run: DryRun = False) -> Producer:
        """The same, with the source in the body."""
        async with changing(deps, None, dry_run=dry_run) as connection:
            return await usecases.put_producer(connection, _actor(who), _producer(body.source, body))


def _add_audit_log(router: APIRouter, deps: ApiDeps) -> None:
    @router.get("/audit-log")
    async def get_audit_log(
        _: AdministratorDep,
        org_id: ScopeDep,
        cursor: Annotated[int | None, Query(ge=1, lt=2**63, description="`next_cursor` of the page before")] = None,
        limit: Annotated[int, Query(ge=1, le=500)] = 100,
    ) -> AuditsOut:
        """Who changed what: of the organization; for an operator who names none, of all."""
        async with changing(deps, org_id) as connection:
            rows = await store.list_audit(connection, org_id, cursor, limit + 1)
        items = [
            AuditOut.model_validate(dict(row.items()) | {"details": json.loads(row["details"])}) for row in rows[:limit]
        ]
        return AuditsOut(items=items, next_cursor=items[-1].id if len(rows) > limit else None)


async def _whose_key(deps: ApiDeps, body: KeyIn, who: Principal, acting_for: OrgId | None) -> OrgId | None:
    """Whose key is asked for. Raises ProblemError 403 for an organization that is not the caller's, 404 unknown."""
    if "org_id" not in body.model_fields_set or body.org_id == acting_for:
        return acting_for
    if who.org_id is not None:
        item = ProblemItem(where="/org_id", what="is not the key's organization", how="leave it out")
        detail = "The key acts for one organization, and can make keys of that one only."
        raise ProblemError(problem("organization_not_allowed", 403, "Organization not allowed", detail, item))
    if body.org_id is not None and not await deps.authenticator.organization_exists(body.org_id):
        item = ProblemItem(where="/org_id", what="names no active organization", how="use an id of `/v1/organizations`")
        detail = f"No active organization has the id {body.org_id}."
        raise ProblemError(problem("organization_unknown", 404, "Organization unknown", detail, item))
    return None if body.org_id is None else OrgId(body.org_id)


def _producer(source: str, body: ProducerIn) -> Producer:
    org_ids, kinds = sorted(set(body.org_ids)), sorted(set(body.kinds))
    return Producer(source=source, org_ids=tuple(org_ids), kinds=tuple(kinds), active=body.active)


def _actor(who: Principal) -> Actor:
    return Actor(who.key_id, who.role)
