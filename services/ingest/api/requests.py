"""Requests over HTTP: submit one or many, look at one, list."""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Final, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Header, Path, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from libs.events.problem import Problem, ProblemError, ProblemItem, problem
from libs.postgres import Record
from libs.runtime.auth import Caller, CallerDep, role_required
from libs.vocabulary import PlatformName, Role
from services.ingest.api.deps import ApiDeps, DryRun, changing
from services.ingest.models import Accepted, Ask, Decision, Duplicate, Places, RequestFilter, RequestStatus
from services.ingest.store import requests as store
from services.ingest.usecases.admission import MAX_IDEMPOTENCY_KEY_CHARS
from services.ingest.usecases.identities import KEY_SOURCE_PREFIX
from services.ingest.usecases.requests import admit_requests, check_requests

MAY_ASK: Final = (Role.ADMIN, Role.EDITOR, Role.API_USER)
MAY_LOOK: Final = (*MAY_ASK, Role.ANALYST)
MAX_BULK: Final = 500
IDEMPOTENCY_HEADER: Final = "Idempotency-Key"
TRIED: Final[dict[str, Any]] = {"description": "With `dry_run`: what would be answered; nothing was recorded"}

IdempotencyKey = Annotated[
    str | None,
    Header(
        alias=IDEMPOTENCY_HEADER,
        description="The same key and body again, with the same API key, is not done again: the answer says what the "
        "first was. With another body it is refused. Kept 30 days; a refused request leaves its key free.",
    ),
]


class RequestIn(BaseModel):
    """What is asked for; of `payload` and `object_key` the kind decides what is valid."""

    model_config = ConfigDict(extra="forbid")

    kind: str = Field(max_length=64, examples=["api_request"])
    org_id: UUID | None = None
    """Only needed to be sure: the key, or X-Organization-Id, says for whom."""
    object_key: str
    """Your own id of the object; what is asked of one object is announced in order."""
    payload: dict[str, Any] = Field(
        examples=[
            {
                "platform": "meta",
                "connection_id": "018f5b0e-7c1a-7c3e-9f5b-3f2a1b0c9d8e",
                "request_type": "get_object",
                "params": {"object_id": "120330000000001", "fields": ["id", "name"]},
                "priority": 5,
                "max_wait_seconds": None,
            }
        ]
    )


class BulkItemIn(RequestIn):
    """One of many."""

    idempotency_key: str | None = None
    """Without it: the header's key and the place in the list, if there is a header."""


class BulkIn(BaseModel):
    """Many requests, decided one by one."""

    model_config = ConfigDict(extra="forbid")

    requests: list[BulkItemIn] = Field(min_length=1, max_length=MAX_BULK)


class SubmittedOut(BaseModel):
    """What became of a request."""

    request_id: UUID | None
    """None: a dry run that found nothing against it."""
    status: Literal["accepted", "completed", "failed", "valid"]
    """Of a duplicate: where the first one stands. `valid`: a dry run that found nothing against it."""
    duplicate: bool
    dry_run: bool


class BulkItemOut(BaseModel):
    """What became of one of many."""

    index: int
    request_id: UUID | None = None
    status: Literal["accepted", "completed", "failed", "rejected", "valid"]
    duplicate: bool = False
    problem: Problem | None = None


class BulkOut(BaseModel):
    """What became of each, in the order asked."""

    accepted: int
    duplicates: int
    rejected: int
    dry_run: bool
    items: list[BulkItemOut]


class RequestOut(BaseModel):
    """A request, in short."""

    request_id: UUID
    source: str
    idempotency_key: str
    kind: str
    object_key: str
    via: Literal["http", "kafka"]
    status: RequestStatus
    platform: PlatformName | None
    connection_id: UUID | None
    request_type: str | None
    priority: int | None
    received_at: datetime
    ended_at: datetime | None


class RequestWholeOut(RequestOut):
    """A request with everything that is kept of it."""

    org_id: UUID
    event_id: str | None
    key_id: UUID | None
    correlation_id: str
    params: dict[str, Any] | None
    max_wait_seconds: float | None
    problem: Problem | None
    call_id: UUID | None
    http_status: int | None
    result: Any
    """The platform's JSON; null when there is none yet, or when it is larger than what is kept."""
    result_bytes: int | None
    error: dict[str, Any] | None


class RequestsOut(BaseModel):
    """A page of requests, newest first."""

    items: list[RequestOut]
    next_cursor: str | None
    """Give it as `cursor` to get the next page; null on the last one."""


def requests_router(deps: ApiDeps) -> APIRouter:
    """Build the routes of requests."""
    router = APIRouter(prefix="/v1", tags=["requests"])
    _add_submit(router, deps)
    _add_look(router, deps)
    return router


def _add_submit(router: APIRouter, deps: ApiDeps) -> None:
    may_ask = [Depends(role_required(*MAY_ASK))]

    @router.post("/requests", status_code=202, dependencies=may_ask, responses={200: TRIED | {"model": SubmittedOut}})
    async def post_request(
        body: RequestIn, caller: CallerDep, response: Response, key: IdempotencyKey = None, dry_run: DryRun = False
    ) -> SubmittedOut:
        """Ask for something. It is recorded when this is answered, and its result follows."""
        ask = _ask(caller, body, _checked_key(key, f"header:{IDEMPOTENCY_HEADER}"), _places(""))
        decision = (await _decide(deps, caller, [ask], dry_run=dry_run))[0]
        if not isinstance(decision, Accepted | Duplicate):
            raise ProblemError(decision.problem)
        out = _submitted(decision, dry_run)
        if dry_run:
            response.status_code = 200
        elif out.request_id is not None:
            response.headers["Location"] = f"/v1/requests/{out.request_id}"
        return out

    @router.post("/requests:bulk", status_code=202, dependencies=may_ask, responses={200: TRIED | {"model": BulkOut}})
    async def post_bulk(
        body: BulkIn, caller: CallerDep, response: Response, key: IdempotencyKey = None, dry_run: DryRun = False
    ) -> BulkOut:
        """Ask for up to 500 things. Each is decided by itself; refused ones say why and do not hinder the others."""
        common = _checked_key(key, f"header:{IDEMPOTENCY_HEADER}")
        asks = [_bulk_ask(caller, item, index, common) for index, item in enumerate(body.requests)]
        decisions = await _decide(deps, caller, asks, dry_run=dry_run)
        response.status_code = 200 if dry_run else 202
        items = [_bulk_item(index, decision, dry_run) for index, decision in enumerate(decisions)]
        return BulkOut(
            accepted=sum(isinstance(decision, Accepted) for decision in decisions),
            duplicates=sum(isinstance(decision, Duplicate) for decision in decisions),
            rejected=sum(not isinstance(decision, Accepted | Duplicate) for decision in decisions),
            dry_run=dry_run,
            items=items,
        )


def _add_look(router: APIRouter, deps: ApiDeps) -> None:
    may_look = [Depends(role_required(*MAY_LOOK))]

    @router.get("/requests", dependencies=may_look)
    async def get_requests(
        caller: CallerDep,
        status: RequestStatus | None = None,
        object_key: Annotated[str | None, Query(max_length=512, pattern=r"^[^\x00]*$")] = None,
        connection_id: UUID | None = None,
        cursor: Annotated[UUID | None, Query(description="`next_cursor` of the page before")] = None,
        limit: Annotated[int, Query(ge=1, le=200)] = 50,
    ) -> RequestsOut:
        """List requests, newest first; with what is refused over Kafka, which HTTP refuses at once."""
        wanted = RequestFilter(status, object_key, connection_id, before=cursor)
        async with changing(deps, caller.org_id) as connection:
            rows = await store.list_requests(connection, caller.org_id, wanted, limit + 1)
        items = [RequestOut.model_validate(dict(row.items())) for row in rows[:limit]]
        return RequestsOut(items=items, next_cursor=str(items[-1].request_id) if len(rows) > limit else None)

    @router.get("/requests/{request_id}", dependencies=may_look)
    async def get_request(
        caller: CallerDep, request_id: Annotated[UUID, Path(description="As it was given when asked")]
    ) -> RequestWholeOut:
        """Show one request: where it stands, and its result, error or reason of refusal."""
        async with changing(deps, caller.org_id) as connection:
            row = await store.get_request(connection, caller.org_id, request_id)
        if row is None:
            item = ProblemItem(
                where="path:request_id",
                what="names no request of this organization",
                how="use an id that `GET /v1/requests` lists; ended requests are kept 30 days",
            )
            detail = f"There is no request {request_id}."
            raise ProblemError(problem("not_found", 404, "Request unknown", detail, item))
        return _whole(row)


async def _decide(deps: ApiDeps, caller: Caller, asks: Sequence[Ask], *, dry_run: bool) -> list[Decision]:
    decide = check_requests if dry_run else admit_requests
    async with changing(deps, caller.org_id) as connection:
        return await decide(connection, asks, deps.platforms)


def _ask(caller: Caller, body: RequestIn, idempotency_key: str | None, places: Places) -> Ask:
    if body.org_id not in (None, caller.org_id):
        item = ProblemItem(
            where=f"{places.body}/org_id",
            what="names another organization than the key",
            how="leave it out, or use that organization's key",
        )
        detail = "The key acts for another organization than the one that the body names."
        raise ProblemError(problem("organization_not_allowed", 403, "Organization not allowed", detail, item))
    return Ask(
        org_id=caller.org_id,
        source=f"{KEY_SOURCE_PREFIX}{caller.principal.key_id}",
        kind=body.kind,
        object_key=body.object_key,
        payload=body.payload,
        idempotency_key=idempotency_key,
        via="http",
        places=places,
        key_id=caller.principal.key_id,
    )


def _bulk_ask(caller: Caller, item: BulkItemIn, index: int, common: str | None) -> Ask:
    where = f"/requests/{index}"
    key = _checked_key(item.idempotency_key, f"{where}/idempotency_key")
    if key is None and common is not None:
        key = f"{common}/{index}"
    places = _places(where) if item.idempotency_key is None else _places(where, f"{where}/idempotency_key")
    return _ask(caller, item, key, places)


def _places(body: str, idempotency_key: str = f"header:{IDEMPOTENCY_HEADER}") -> Places:
    return Places(body=body, object_key=f"{body}/object_key", idempotency_key=idempotency_key)


def _checked_key(key: str | None, where: str) -> str | None:
    if key is None or (1 <= len(key) <= MAX_IDEMPOTENCY_KEY_CHARS and key.isprintable()):
        return key
    what = f"is not 1 to {MAX_IDEMPOTENCY_KEY_CHARS} printable characters"
    item = ProblemItem(where=where, what=what, how="send a shorter key, e.g. a UUID")
    detail = "The idempotency key cannot be kept."
    raise ProblemError(problem("idempotency_key_malformed", 422, "Idempotency key malformed", detail, item))


def _submitted(decision: Accepted | Duplicate, dry_run: bool) -> SubmittedOut:
    if isinstance(decision, Duplicate):
        status = decision.status.value
        return SubmittedOut.model_validate(
            {"request_id": decision.request_id, "status": status, "duplicate": True, "dry_run": dry_run}
        )
    if dry_run:
        return SubmittedOut(request_id=None, status="valid", duplicate=False, dry_run=True)
    return SubmittedOut(request_id=decision.request_id, status="accepted", duplicate=False, dry_run=False)


def _bulk_item(index: int, decision: Decision, dry_run: bool) -> BulkItemOut:
    if not isinstance(decision, Accepted | Duplicate):
        return BulkItemOut(index=index, status="rejected", problem=decision.problem)
    out = _submitted(decision, dry_run)
    return BulkItemOut(index=index, request_id=out.request_id, status=out.status, duplicate=out.duplicate)


def _whole(row: Record) -> RequestWholeOut:
    values: dict[str, Any] = dict(row.items())
    for name in ("params", "problem", "result", "error"):
        if values[name] is not None:
            values[name] = json.loads(values[name])
    return RequestWholeOut.model_validate(values)
