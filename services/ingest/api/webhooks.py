"""Webhooks over HTTP: what platforms told of the organization's accounts."""

import json
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Path, Query
from pydantic import BaseModel

from libs.events.problem import ProblemError, ProblemItem, problem
from libs.postgres import Record
from libs.runtime.auth import CallerDep, role_required
from libs.vocabulary import AccountRef, PlatformName
from services.ingest.api.deps import ApiDeps, changing
from services.ingest.api.requests import MAY_LOOK
from services.ingest.models import WebhookFilter
from services.ingest.store import webhooks as store

EVENT_ID = r"^[\x21-\x7e]{1,200}$"


class AccountOut(BaseModel):
    """An account on the platform."""

    type: str
    id: str


class WebhookOut(BaseModel):
    """One change that a platform told of, in short."""

    event_id: str
    org_id: UUID
    connection_id: UUID
    platform: PlatformName
    app: str
    object: str
    """The platform's word for what it watches."""
    field: str
    """The platform's word for what changed."""
    change_type: str
    """Our word."""
    account: AccountOut
    external_event_id: str
    webhook_id: UUID
    """The delivery that it came in."""
    position: int
    """Which change of the delivery, from 0."""
    occurred_at: datetime | None
    received_at: datetime


class WebhookWholeOut(WebhookOut):
    """A change with everything that the platform told."""

    value: Any
    """The platform's own JSON."""


class WebhooksOut(BaseModel):
    """A page of webhooks, newest first."""

    items: list[WebhookOut]
    next_cursor: str | None
    """Give it as `cursor` to get the next page; null on the last one."""


def webhooks_router(deps: ApiDeps) -> APIRouter:
    """Build the routes of webhooks."""
    router = APIRouter(prefix="/v1", tags=["webhooks"], dependencies=[Depends(role_required(*MAY_LOOK))])

    @router.get("/webhooks")
    async def get_webhooks(
        caller: CallerDep,
        platform: PlatformName | None = None,
        connection_id: UUID | None = None,
        change_type: Annotated[str | None, Query(max_length=100, pattern=r"^[\x21-\x7e]+$")] = None,
        account: Annotated[
            str | None,
            Query(max_length=200, pattern=r"^[a-z_]+:[\x21-\x7e]+$", description="As type:id, e.g. page:123"),
        ] = None,
        webhook_id: Annotated[UUID | None, Query(description="Only changes of this delivery")] = None,
        cursor: Annotated[str | None, Query(pattern=EVENT_ID, description="`next_cursor` of the page before")] = None,
        limit: Annotated[int, Query(ge=1, le=200)] = 50,
    ) -> WebhooksOut:
        """List what platforms told of the organization's accounts, newest first."""
        of = AccountRef(*account.split(":", 1)) if account is not None else None
        wanted = WebhookFilter(platform, connection_id, change_type, of, webhook_id, before=cursor)
        async with changing(deps, caller.org_id) as connection:
            rows = await store.list_webhooks(connection, caller.org_id, wanted, limit + 1)
        items = [WebhookOut.model_validate(_values(row)) for row in rows[:limit]]
        return WebhooksOut(items=items, next_cursor=items[-1].event_id if len(rows) > limit else None)

    @router.get("/webhooks/{event_id}")
    async def get_webhook(
        caller: CallerDep,
        event_id: Annotated[str, Path(pattern=EVENT_ID, description="`ce_id` of the event that brought it")],
    ) -> WebhookWholeOut:
        """Show one change with all that the platform told."""
        async with changing(deps, caller.org_id) as connection:
            row = await store.get_webhook(connection, caller.org_id, event_id)
        if row is None:
            item = ProblemItem(
                where="path:event_id",
                what="names no webhook of this organization",
                how="use an id that `GET /v1/webhooks` lists; they are kept for a while only",
            )
            detail = f"There is no webhook {event_id}."
            raise ProblemError(problem("not_found", 404, "Webhook unknown", detail, item))
        return WebhookWholeOut.model_validate(_values(row) | {"value": json.loads(row["value"])})

    return router


def _values(row: Record) -> dict[str, Any]:
    return dict(row.items()) | {"account": {"type": row["account_type"], "id": row["account_id"]}}
