"""Ways in by HTTP: what waits and what was saved; flush, pause, resume."""

import logging
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict

from libs.events.problem import ProblemError, ProblemItem, problem
from libs.platforms.base import Platform
from libs.postgres import Connection, Database
from libs.runtime.admin import OperatorDep
from libs.runtime.auth import ORGANIZATION_HEADER, PrincipalDep, organization_caller
from libs.security.identities import Principal, require
from libs.vocabulary import OrgId, PlatformName, Role
from services.batcher.usecases.operating import (
    add_totals,
    find_flushable,
    find_own_flushable,
    flush_connection,
    is_own_connection,
    pause,
    read_stats,
    resume,
)

HOUR_SECONDS = 3_600.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ApiDeps:
    """What the routes work on."""

    database: Database
    """As api: an organization's own."""
    worker_database: Database
    """As worker: what an operator of the bus asks for all organizations."""
    platforms: Mapping[PlatformName, Platform]
    enabled: Sequence[PlatformName]


class Body(BaseModel):
    """A request's body; unknown fields are refused, so that a misspelt one is not taken for none."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class FlushIn(Body):
    """What to send now."""

    platform: PlatformName
    connection_id: UUID | None = None
    """None: all connections that the key may act for."""
    dry_run: bool = False


class PlatformIn(Body):
    """Which platform."""

    platform: PlatformName


class FlushOut(BaseModel):
    """What a flush made due."""

    platform: PlatformName
    connections: int
    calls_made_due: int
    dry_run: bool


class PauseOut(BaseModel):
    """State of a platform afterwards."""

    platform: PlatformName
    paused: bool
    changed: bool


class CallsOut(BaseModel):
    """Calls in the queue, by what they wait for."""

    waiting: int
    held_for_retry: int
    held_for_quota: int
    held_for_connection: int
    processing: int


class TotalsOut(BaseModel):
    """Bulk calls of the window: `asks` is what one call per ask would have cost in HTTP calls and in units."""

    asks: int
    calls: int
    http_calls: int
    quota_units: int
    rate_limited: int


class PlatformStatsOut(BaseModel):
    """One platform. Asks that ended are the window's; `calls` and `window_totals` are for operators of the bus."""

    platform: PlatformName
    enabled: bool
    paused: bool
    paused_at: datetime | None
    pending: int
    processing: int
    completed: int
    failed: int
    skipped: int
    oldest_open_ask_seconds: float
    calls: CallsOut | None = None
    window_totals: TotalsOut | None = None


class StatsOut(BaseModel):
    """All platforms."""

    window_hours: float
    platforms: list[PlatformStatsOut]


def build_routers(deps: ApiDeps) -> Sequence[APIRouter]:
    """Build the batcher's routes."""
    router = APIRouter(prefix="/v1", tags=["batches"])

    @router.get("/batches/stats")
    async def get_stats(
        request: Request,
        who: PrincipalDep,
        platform: PlatformName | None = None,
        hours: Annotated[float, Query(gt=0, le=24 * 31)] = 24.0,
    ) -> StatsOut:
        """What waits, what ended lately, and what sharing calls saved."""
        require(who, Role.ADMIN, Role.EDITOR, Role.ANALYST, Role.API_USER)
        org_id = await _organization(request, who)
        wanted = {name: each for name, each in deps.platforms.items() if platform in (None, name)}
        window = hours * HOUR_SECONDS
        if org_id is not None:
            async with deps.database.tenant_transaction(org_id) as conn:
                stats = await read_stats(conn, wanted, deps.enabled, window)
        else:
            async with deps.worker_database.transaction() as conn:
                stats = await read_stats(conn, wanted, deps.enabled, window)
                await add_totals(conn, stats, window)
        return StatsOut(window_hours=hours, platforms=[PlatformStatsOut.model_validate(entry) for entry in stats])

    @router.post("/batches:flush")
    async def post_flush(request: Request, who: PrincipalDep, body: FlushIn) -> FlushOut:
        """Send what only waits for company. What waits for a retry, a quota or a token goes on waiting."""
        require(who, Role.ADMIN, Role.EDITOR)
        flushed = await _flush(deps, await _organization(request, who), body)
        return FlushOut(
            platform=body.platform, connections=len(flushed), calls_made_due=sum(flushed), dry_run=body.dry_run
        )

    @router.post("/batches:pause")
    async def post_pause(who: OperatorDep, body: PlatformIn) -> PauseOut:
        """Stop sending for a platform, for all organizations; asks are queued on."""
        async with deps.worker_database.transaction() as conn:
            changed = await pause(conn, body.platform, str(who.key_id))
        _log.info("platform paused", extra={"platform": body.platform.value, "by": str(who.key_id)})
        return PauseOut(platform=body.platform, paused=True, changed=changed)

    @router.post("/batches:resume")
    async def post_resume(who: OperatorDep, body: PlatformIn) -> PauseOut:
        """Send for a platform again."""
        async with deps.worker_database.transaction() as conn:
            changed = await resume(conn, body.platform)
        _log.info("platform resumed", extra={"platform": body.platform.value, "by": str(who.key_id)})
        return PauseOut(platform=body.platform, paused=False, changed=changed)

    return (router,)


async def _flush(deps: ApiDeps, org_id: OrgId | None, body: FlushIn) -> list[int]:
    """Flush connection by connection; give how many calls each had."""

    def opened() -> AbstractAsyncContextManager[Connection]:
        return deps.database.tenant_transaction(org_id) if org_id is not None else deps.worker_database.transaction()

    async with opened() as conn:
        if body.connection_id is not None:
            if not await is_own_connection(conn, body.connection_id):
                raise _no_such_connection(body.connection_id)
            connection_ids = [body.connection_id]
        elif org_id is not None:
            connection_ids = await find_own_flushable(conn, body.platform)
        else:
            connection_ids = await find_flushable(conn, body.platform)
    flushed = []
    for connection_id in connection_ids:
        async with opened() as conn:
            flushed.append(await flush_connection(conn, body.platform, connection_id, dry_run=body.dry_run))
    return flushed


async def _organization(request: Request, who: Principal) -> OrgId | None:
    """Give whose matters are meant: the key's organization or the named one; None: an operator means all."""
    if who.org_id is None and ORGANIZATION_HEADER not in request.headers:
        return None
    return (await organization_caller(request, who)).org_id


def _no_such_connection(connection_id: UUID) -> ProblemError:
    item = ProblemItem(
        where="/connection_id",
        what="names no connection that is known here",
        how="use an id that `GET /v1/connections` of asset_sync lists; a new one is known here within moments",
    )
    detail = f"No connection {connection_id} is known here."
    return ProblemError(problem("connection_unknown", 404, "Connection unknown", detail, item))
