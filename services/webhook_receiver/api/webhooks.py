"""Operators' routes for deliveries: look at them, count them, have them processed again."""

import json
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter, Path, Query
from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, model_validator

from libs.runtime.admin import OperatorDep
from libs.telemetry.redaction import redact_text
from libs.vocabulary import PlatformName, WebhookStatus
from services.webhook_receiver.api.apps import AppWord
from services.webhook_receiver.api.deps import ApiDeps, Body, actor_of, changing
from services.webhook_receiver.models import Filter, ReplayPage, WholeDelivery
from services.webhook_receiver.usecases import looking, replaying

REPLAY_SECONDS: Final = 15.0
"""How long one request may replay; the caller asks again while something remains."""
MOST_NAMED: Final = 1_000
MOST_REFUSED: Final = 100
REASONS: Final[Mapping[str, str]] = {
    "signature_invalid": "its signature was wrong: it is kept as evidence, and is never published",
    "in_progress": "it is being processed now",
    "raw_gone": "its body was deleted after it was processed (WEBHOOK_STORE_RAW=false)",
    "unknown": "there is no such delivery, or it is not kept any more",
}


def _within_time(value: datetime) -> datetime:
    if not _EARLIEST <= value <= _LATEST:
        raise ValueError(f"must lie between {_EARLIEST:%Y} and {_LATEST:%Y}")
    return value


_EARLIEST, _LATEST = datetime(1970, 1, 2, tzinfo=UTC), datetime(9000, 1, 1, tzinfo=UTC)
Moment = Annotated[AwareDatetime, AfterValidator(_within_time)]
DeliveryPath = Annotated[UUID, Path(alias="webhook_id")]


class Answer(BaseModel):
    """What every answer is: made of our own rows."""

    model_config = ConfigDict(from_attributes=True)


class WebhookOut(Answer):
    """A delivery, without its body."""

    id: UUID
    received_at: datetime
    platform: PlatformName
    app: str
    status: WebhookStatus
    reason: str | None
    """Why it is ignored or failed."""
    error: str | None
    signature_valid: bool
    body_bytes: int
    has_body: bool
    """False: it was deleted, so that it cannot be replayed."""
    attempts: int
    max_attempts: int
    next_attempt_at: datetime | None
    """When a failed one is tried again by itself; null: not before it is replayed."""
    processed_at: datetime | None
    replays: int
    source_ip: str | None
    user_agent: str | None


class ChangeOut(Answer):
    """One thing that the delivery tells of."""

    position: int
    external_event_id: str
    object: str
    field: str
    change_type: str
    account_type: str
    account_id: str
    occurred_at: datetime | None
    status: WebhookStatus
    reason: str | None


class PublicationOut(Answer):
    """A change that an organization got."""

    org_id: UUID
    connection_id: UUID
    position: int
    external_event_id: str
    event_id: str
    """`ce_id` of its webhook.received."""
    published_at: datetime


class DeedOut(Answer):
    """What somebody did with the delivery."""

    at: datetime
    actor_key_id: UUID | None
    actor_role: str | None
    action: str
    details: Any


class WebhookWholeOut(WebhookOut):
    """A delivery with everything that is kept of it."""

    signature: str | None
    headers: dict[str, Any]
    payload: Any
    """The body as JSON, or as text where it is none; null: it was deleted."""
    body_sha256: str
    """Of the whole body, also where only its beginning is kept."""
    traceparent: str | None
    changes: list[ChangeOut]
    publications: list[PublicationOut]
    deeds: list[DeedOut]


class WebhooksOut(Answer):
    """A part of the list, newest first."""

    webhooks: list[WebhookOut]
    next_cursor: UUID | None
    """Give it as `cursor` to get the next part; null: this was the last."""


class StatOut(Answer):
    """How many deliveries of one app ended in one way."""

    platform: PlatformName
    app: str
    status: WebhookStatus
    signature_valid: bool
    rows: int
    oldest_at: datetime


class StatsOut(Answer):
    """What came within the window."""

    window_hours: float
    stats: list[StatOut]


class ReplayIn(Body):
    """Which deliveries to process again: by their ids, or all of a window that ended somehow."""

    ids: Annotated[list[UUID], Field(min_length=1, max_length=MOST_NAMED)] | None = None
    platform: PlatformName | None = None
    app: AppWord | None = None
    status: WebhookStatus | None = None
    since: Moment | None = None
    until: Moment | None = None
    cursor: UUID | None = None
    """Where a former answer said that something remains."""
    dry_run: bool = False
    """True: nothing is done; the answer says what would be."""

    @property
    def window(self) -> Filter:
        """What narrows the window."""
        return Filter(platform=self.platform, app=self.app, status=self.status, since=self.since, until=self.until)

    @model_validator(mode="after")
    def _says_which(self) -> "ReplayIn":
        if self.ids is None and self.window.is_empty:
            raise ValueError("name ids, or narrow the window by at least one of platform, app, status, since, until")
        if self.ids is not None and not self.window.is_empty:
            raise ValueError("name either ids or a window")
        return self


class RefusedOut(Answer):
    """A delivery that cannot be replayed."""

    id: UUID
    reason: str
    words: str


class ReplayOut(Answer):
    """What a replay did, or with `dry_run` would have done."""

    matched: int
    """What came with a wrong signature is in no window; named by its id it is refused."""
    replayed: int
    """So many are processed again now; their records say what came of them."""
    refused: list[RefusedOut]
    """The first hundred that were not."""
    next_cursor: UUID | None
    """Not null: something remains; ask again with it as `cursor`."""
    dry_run: bool


def webhooks_router(deps: ApiDeps) -> APIRouter:
    """Build the routes of deliveries."""
    router = APIRouter(prefix="/v1", tags=["webhooks"])
    _add_reading(router, deps)
    _add_replaying(router, deps)
    return router


def _add_reading(router: APIRouter, deps: ApiDeps) -> None:
    @router.get("/webhooks")
    async def get_webhooks(
        who: OperatorDep,
        status: WebhookStatus | None = None,
        platform: PlatformName | None = None,
        app: Annotated[str | None, Query(pattern=r"^[A-Za-z0-9._-]{1,100}$")] = None,
        signature_valid: bool | None = None,
        retryable: Annotated[bool | None, Query(description="Failed, and tried again by itself")] = None,
        since: Moment | None = None,
        until: Moment | None = None,
        cursor: UUID | None = None,
        limit: Annotated[int, Query(ge=1, le=500)] = 50,
    ) -> WebhooksOut:
        """Deliveries of all organizations, newest first."""
        wanted = Filter(platform, app, status, signature_valid, retryable, since, until)
        async with deps.database.transaction() as conn:
            rows, following = await looking.list_deliveries(conn, wanted, after=cursor, limit=limit)
        return WebhooksOut(webhooks=[WebhookOut.model_validate(row) for row in rows], next_cursor=following)

    @router.get("/webhooks/stats")
    async def get_stats(
        who: OperatorDep,
        window_hours: Annotated[float, Query(gt=0, le=24 * 31)] = 24.0,
    ) -> StatsOut:
        """How many deliveries came within the window, by app and outcome."""
        async with deps.database.transaction() as conn:
            rows = await looking.count_deliveries(conn, timedelta(hours=window_hours))
        return StatsOut(window_hours=window_hours, stats=[StatOut.model_validate(row) for row in rows])

    @router.get("/webhooks/{webhook_id}")
    async def get_webhook(who: OperatorDep, webhook_id: DeliveryPath) -> WebhookWholeOut:
        """One delivery: what came, what it tells of, who got it, and who did what with it."""
        async with deps.database.transaction() as conn:
            return _whole(await looking.show_delivery(conn, webhook_id))


def _add_replaying(router: APIRouter, deps: ApiDeps) -> None:
    @router.post("/webhooks:replay")
    async def post_replay(who: OperatorDep, body: ReplayIn) -> ReplayOut:
        """Process deliveries again: what was published before is not published again, what found nobody may now."""
        pages: list[ReplayPage] = []
        after, until = body.cursor, time.monotonic() + REPLAY_SECONDS
        while not pages or (after is not None and time.monotonic() < until):
            async with changing(deps, body.dry_run) as conn:
                if body.ids is not None:
                    page = await replaying.replay_named(conn, body.ids, actor_of(who))
                else:
                    page = await replaying.replay_window(conn, body.window, actor_of(who), after=after)
            pages.append(page)
            after = page.last_id
        if not body.dry_run:
            deps.wake()
        refused = [pair for page in pages for pair in page.refused]
        return ReplayOut(
            matched=sum(page.matched for page in pages),
            replayed=sum(page.replayed for page in pages),
            refused=[RefusedOut(id=each, reason=why, words=REASONS[why]) for each, why in refused[:MOST_REFUSED]],
            next_cursor=after,
            dry_run=body.dry_run,
        )


def _whole(found: WholeDelivery) -> WebhookWholeOut:
    return WebhookWholeOut(
        **WebhookOut.model_validate(found.row).model_dump(),
        signature=found.signature,
        headers=found.headers,
        payload=_payload(found.raw),
        body_sha256=found.body_hash.hex(),
        traceparent=found.traceparent,
        changes=[ChangeOut.model_validate(change) for change in found.changes],
        publications=[
            PublicationOut(
                org_id=each.org_id,
                connection_id=each.connection_id,
                position=each.position,
                external_event_id=each.external_event_id,
                event_id=each.outbox_event_id,
                published_at=each.published_at,
            )
            for each in found.publications
        ],
        deeds=[DeedOut.model_validate(deed) for deed in found.deeds],
    )


def _payload(raw: bytes | None) -> Any:
    if raw is None:
        return None
    try:
        return json.loads(raw)
    except (ValueError, RecursionError):
        return redact_text(raw.decode("utf-8", "replace"))
