"""Ways in by HTTP: connections of one organization. No answer ever holds a token."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Header, Path, Query, Response
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr

from libs.events.problem import ProblemError
from libs.platforms.base import Platform
from libs.postgres import Connection, Database
from libs.runtime.admin import DryRun, OperatorDep
from libs.runtime.auth import Caller, CallerDep
from libs.security.identities import require
from libs.security.sealing import KeyRing
from libs.vocabulary import AccountRef, ConnectionStatus, PlatformName, Role
from services.asset_sync import metrics, store
from services.asset_sync.models import Actor, ConnectionRow, KnownToken, ListFilter, NewConnection
from services.asset_sync.usecases import accounts, connecting
from services.asset_sync.usecases.inspecting import inspect_token
from services.asset_sync.usecases.upkeep import note_reseal, reseal_pages

RESEAL_SECONDS = 15.0
"""How long one request may reseal; the caller asks again while something remains."""
LONGEST_TOKEN = 8_192
NOTHING_NEW: dict[str, Any] = {"description": "The same was added before, or with `dry_run` it would be added"}


@dataclass(frozen=True, slots=True)
class ApiDeps:
    """What the routes work on."""

    database: Database
    """As api: an organization's own."""
    worker_database: Database
    """As worker: resealing, which concerns all organizations."""
    platforms: Mapping[PlatformName, Platform]
    ring: KeyRing
    inspect_timeout_seconds: float
    expiring: timedelta


def _plain_secret(value: SecretStr) -> SecretStr:
    text = value.get_secret_value()
    if not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError("must be printable ASCII without spaces, as the platform gave it")
    return value


def _plain_text(value: str) -> str:
    if not value.isprintable() or not value.strip():
        raise ValueError("must be printable text")
    return value.strip()


Token = Annotated[SecretStr, Field(min_length=8, max_length=LONGEST_TOKEN), AfterValidator(_plain_secret)]
AppId = Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,100}$")]
IdempotencyKey = Annotated[
    str | None, Header(alias="Idempotency-Key", min_length=1, max_length=200, pattern=r"^[\x21-\x7e]+$")
]
ConnectionPath = Annotated[UUID, Path(alias="connection_id")]


class Body(BaseModel):
    """A request's body; unknown fields are refused, so that a misspelt one is not taken for none."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class AccountIn(Body):
    """An account on the platform."""

    type: Annotated[str, Field(min_length=1, max_length=50)]
    """Our word: page, instagram, ad_account ..."""
    id: Annotated[str, Field(min_length=1, max_length=100)]
    """The platform's id; of an ad account with its `act_`."""


Accounts = Annotated[tuple[AccountIn, ...], Field(max_length=accounts.MAX_ACCOUNTS)]


class ConnectionIn(Body):
    """A connection to add."""

    platform: PlatformName
    name: Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_plain_text)]
    access_token: Token
    app_id: AppId | None = None
    """The platform's app that the token was given to."""
    accounts: Accounts = ()
    """Accounts whose webhooks belong to the connection; only the bus's own operators may name any."""


class TokenIn(Body):
    """A newer token of the same user."""

    access_token: Token
    app_id: AppId | None = None
    """None: the connection's app."""


class AccountsIn(Body):
    """All accounts whose webhooks shall belong to the connection; the others no longer do."""

    accounts: Accounts


class AccountOut(BaseModel):
    """An account on the platform."""

    model_config = ConfigDict(from_attributes=True)

    type: str
    id: str


class ConnectionOut(BaseModel):
    """A connection, without its token."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    org_id: UUID
    platform: PlatformName
    name: str
    app_id: str | None
    owner_user_id: str | None
    token_kind: str
    token_hint: str
    token_expires_at: datetime | None
    scopes: tuple[str, ...]
    status: ConnectionStatus
    kek_id: str
    version: int
    created_at: datetime
    updated_at: datetime
    disconnected_at: datetime | None
    accounts: tuple[AccountOut, ...]
    """Accounts whose webhooks belong to the connection."""
    duplicate: bool = False
    """True: an earlier request with the same idempotency key made it."""
    dry_run: bool = False
    """True: this is what would be; nothing was kept."""


class ConnectionsOut(BaseModel):
    """A part of the list, oldest first."""

    connections: list[ConnectionOut]
    next_after: UUID | None
    """Give it as `after` to get the next part; None: this was the last."""


class EndedOut(BaseModel):
    """A connection that was deleted."""

    id: UUID
    org_id: UUID
    version: int
    deleted: bool = True
    dry_run: bool = False


class ResealOut(BaseModel):
    """What resealing did; ask again while something remains."""

    kek_id: str
    resealed: int
    failed: int
    remaining: int
    dry_run: bool


def build_routers(deps: ApiDeps) -> Sequence[APIRouter]:
    """Build asset_sync's routes."""
    router = APIRouter(prefix="/v1", tags=["connections"])
    _add_reading(router, deps)
    _add_adding(router, deps)
    _add_changing(router, deps)
    _add_resealing(router, deps)
    return (router,)


def _add_reading(router: APIRouter, deps: ApiDeps) -> None:
    @router.get("/connections")
    async def get_connections(
        caller: CallerDep,
        platform: PlatformName | None = None,
        status: ConnectionStatus | None = None,
        expiring_within_days: Annotated[float | None, Query(ge=0, le=3_650)] = None,
        after: UUID | None = None,
        limit: Annotated[int, Query(ge=1, le=200)] = 50,
    ) -> ConnectionsOut:
        """The organization's connections, oldest first; with `expiring_within_days` those whose token runs out."""
        expires_before = (
            datetime.now(UTC) + timedelta(days=expiring_within_days) if expiring_within_days is not None else None
        )
        wanted = ListFilter(platform, status, expires_before, after, limit)
        async with deps.database.tenant_transaction(caller.org_id) as conn:
            rows = await store.list_connections(conn, caller.org_id, wanted)
        next_after = rows[-1].id if len(rows) == limit else None
        return ConnectionsOut(connections=[_shown(row) for row in rows], next_after=next_after)

    @router.get("/connections/{connection_id}")
    async def get_connection(caller: CallerDep, connection_id: ConnectionPath) -> ConnectionOut:
        """One connection."""
        async with deps.database.tenant_transaction(caller.org_id) as conn:
            return _shown(await connecting.show(conn, caller.org_id, connection_id))


def _add_adding(router: APIRouter, deps: ApiDeps) -> None:
    @router.post("/connections", status_code=201, responses={200: NOTHING_NEW | {"model": ConnectionOut}})
    async def post_connection(
        caller: CallerDep,
        body: ConnectionIn,
        response: Response,
        idempotency_key: IdempotencyKey = None,
        dry_run: DryRun = False,
    ) -> ConnectionOut:
        """Ask the platform about the token, seal it, keep it and publish the connection."""
        require(caller.principal, Role.ADMIN)
        if body.accounts:
            accounts.require_operator(caller.principal)
        named = accounts.known_accounts(deps.platforms[body.platform], _refs(body.accounts))
        wanted = NewConnection(body.platform, body.name, body.app_id, body.access_token.get_secret_value(), named)
        if idempotency_key is not None:
            async with deps.database.tenant_transaction(caller.org_id) as conn:
                former = await connecting.find_former(conn, caller.org_id, idempotency_key, wanted)
            if former is not None:
                response.status_code = 200
                return _shown(former, duplicate=True)
        token = await _inspect(deps, wanted.platform, wanted.access_token, wanted.app_id)
        async with _changing(deps, caller, dry_run) as conn:
            made = await connecting.connect(
                conn,
                deps.ring,
                caller.org_id,
                wanted,
                token,
                idempotency_key=idempotency_key,
                actor=_actor(caller),
                now=datetime.now(UTC),
                expiring=deps.expiring,
            )
        if made.duplicate or dry_run:
            response.status_code = 200
        else:
            response.headers["Location"] = f"/v1/connections/{made.row.id}"
        return _shown(made.row, duplicate=made.duplicate, dry_run=dry_run)

    @router.post("/connections/{connection_id}/token")
    async def post_token(
        caller: CallerDep, connection_id: ConnectionPath, body: TokenIn, dry_run: DryRun = False
    ) -> ConnectionOut:
        """Replace the token by a newer one of the same user."""
        require(caller.principal, Role.ADMIN)
        async with deps.database.tenant_transaction(caller.org_id) as conn:
            known = await connecting.find_replaceable(conn, caller.org_id, connection_id)
        text = body.access_token.get_secret_value()
        token = await _inspect(deps, known.platform, text, body.app_id or known.app_id)
        async with _changing(deps, caller, dry_run) as conn:
            row = await connecting.replace_token(
                conn,
                deps.ring,
                known,
                token,
                actor=_actor(caller),
                now=datetime.now(UTC),
                expiring=deps.expiring,
            )
        return _shown(row, dry_run=dry_run)


def _add_changing(router: APIRouter, deps: ApiDeps) -> None:
    @router.put("/connections/{connection_id}/accounts")
    async def put_accounts(
        caller: CallerDep, connection_id: ConnectionPath, body: AccountsIn, dry_run: DryRun = False
    ) -> ConnectionOut:
        """Say which accounts' webhooks belong to the connection, in the place of those before. Operators only."""
        accounts.require_operator(caller.principal)
        # As worker: the state that is published carries the sealed token, which the api role cannot read.
        async with _undone_if(dry_run, deps.worker_database.transaction()) as conn:
            row = await connecting.show(conn, caller.org_id, connection_id)
            named = accounts.known_accounts(deps.platforms[row.platform], _refs(body.accounts))
            row = await accounts.replace_accounts(conn, caller.org_id, connection_id, named, actor=_actor(caller))
        return _shown(row, dry_run=dry_run)

    @router.delete("/connections/{connection_id}")
    async def delete_connection(
        caller: CallerDep,
        connection_id: ConnectionPath,
        forget: Annotated[bool, Query(description="Delete the connection itself too, and publish its end")] = False,
        dry_run: DryRun = False,
    ) -> ConnectionOut | EndedOut:
        """Disconnect: the token is gone, the connection stays as disconnected, unless it shall be forgotten."""
        require(caller.principal, Role.ADMIN)
        async with _changing(deps, caller, dry_run) as conn:
            if forget:
                ended = await connecting.delete(conn, caller.org_id, connection_id, actor=_actor(caller))
            else:
                row = await connecting.disconnect(conn, deps.ring, caller.org_id, connection_id, actor=_actor(caller))
        if forget:
            return EndedOut(id=ended.id, org_id=ended.org_id, version=ended.version, dry_run=dry_run)
        return _shown(row, dry_run=dry_run)


def _add_resealing(router: APIRouter, deps: ApiDeps) -> None:
    @router.post("/connections:reseal")
    async def post_reseal(who: OperatorDep, dry_run: DryRun = False) -> ResealOut:
        """Put tokens of all organizations under the active key-encryption key, for some seconds."""
        resealed = failed = 0
        if not dry_run:
            resealed, failed = await reseal_pages(deps.worker_database.transaction, deps.ring, seconds=RESEAL_SECONDS)
        async with deps.worker_database.transaction() as conn:
            remaining = await store.count_sealed_under_other_keys(conn, deps.ring.active_id)
            if resealed or failed:
                actor = Actor(who.key_id, who.role)
                await note_reseal(conn, actor, deps.ring, resealed=resealed, failed=failed)
        return ResealOut(
            kek_id=deps.ring.active_id, resealed=resealed, failed=failed, remaining=remaining, dry_run=dry_run
        )


async def _inspect(deps: ApiDeps, platform: PlatformName, access_token: str, app_id: str | None) -> KnownToken:
    try:
        token = await inspect_token(
            deps.platforms[platform],
            access_token,
            app_id,
            timeout_seconds=deps.inspect_timeout_seconds,
            now=datetime.now(UTC),
        )
    except ProblemError as error:
        metrics.INSPECTED.labels(error.problem.type.rpartition(":")[2]).inc()
        raise
    metrics.INSPECTED.labels("good").inc()
    return token


class _RolledBack(Exception):  # noqa: N818  a way out of the transaction, not an error
    pass


def _changing(deps: ApiDeps, caller: Caller, dry_run: bool) -> AbstractAsyncContextManager[Connection]:
    """The organization's transaction; a dry run does everything and rolls it back."""
    return _undone_if(dry_run, deps.database.tenant_transaction(caller.org_id))


@asynccontextmanager
async def _undone_if(dry_run: bool, transaction: AbstractAsyncContextManager[Connection]) -> AsyncIterator[Connection]:
    with suppress(_RolledBack):
        async with transaction as conn:
            yield conn
            if dry_run:
                raise _RolledBack


def _refs(named: Sequence[AccountIn]) -> list[AccountRef]:
    return [AccountRef(each.type, each.id) for each in named]


def _actor(caller: Caller) -> Actor:
    return Actor(caller.principal.key_id, caller.principal.role)


def _shown(row: ConnectionRow, *, duplicate: bool = False, dry_run: bool = False) -> ConnectionOut:
    shown = ConnectionOut.model_validate(row)
    return shown.model_copy(update={"duplicate": duplicate, "dry_run": dry_run})
