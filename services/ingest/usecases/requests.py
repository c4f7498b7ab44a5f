"""Requests from ask to record: admit, look whether they would be admitted, prune."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Any, Final
from uuid import UUID

from libs.events.envelope import new_event_id
from libs.events.ingest_accepted import ApiRequestAccepted, RequestRejected
from libs.messaging.outbox import OutboxItem, append_many
from libs.postgres import Connection, Database
from libs.telemetry.metrics import counter
from libs.vocabulary import RequestId
from services.ingest.models import Accepted, Ask, Decision, Duplicate, Former, NewRequest, PlannedRead, Refused, World
from services.ingest.store import requests as store
from services.ingest.store import world as world_store
from services.ingest.usecases import refusals
from services.ingest.usecases.admission import Platforms, content_hash, judge, storable_key

SOURCE: Final = "platformbus/ingest"
PRUNE_ROWS: Final = 5_000
"""Deleted by one statement: short enough to hold nobody up."""

REQUESTS: Final = counter("ingest_requests_total", "Requests by way in and what became of them", ("via", "outcome"))
_OUTCOMES: Final = {Accepted: "accepted", Duplicate: "duplicate", Refused: "rejected"}


async def admit_requests(
    conn: Connection, asks: Sequence[Ask], platforms: Platforms, *, now: datetime | None = None
) -> list[Decision]:
    """Decide on every ask, in order; record and announce what is accepted, and what came by Kafka and is refused.

    The number of statements does not grow with the number of asks. Equal idempotency keys, here or in another
    transaction, are done once: the later one waits, and learns what the first was. A refusal of the same event with
    the same content is recorded and announced once, however often Kafka delivers it.
    """
    now = now or datetime.now(UTC)
    decided = await _decide(conn, asks, platforms)
    candidates = [new for new in decided if new.read is not None]
    written = await store.insert_requests(conn, candidates, now)
    formers = await _formers(conn, [new for new in decided if new.request_id not in written])
    decisions = [_decision(new, written, formers) for new in decided]
    refused = [
        _refused(new, decision)
        for new, decision in zip(decided, decisions, strict=True)
        if isinstance(decision, Refused) and new.ask.via == "kafka"
    ]
    refused_anew = await store.insert_requests(conn, refused, now)
    announced = {new.request_id: new for new in candidates if new.request_id in written}
    announced |= {new.request_id: new for new in refused if new.request_id in refused_anew}
    # In the order of the asks, which is the order of each key.
    await append_many(conn, [_event(announced[n.request_id], now) for n in decided if n.request_id in announced])
    for new, decision in zip(decided, decisions, strict=True):
        refused_before = isinstance(decision, Refused) and new.ask.via == "kafka" and new.request_id not in announced
        REQUESTS.labels(new.ask.via, "duplicate" if refused_before else _OUTCOMES[type(decision)]).inc()
    return decisions


async def check_requests(conn: Connection, asks: Sequence[Ask], platforms: Platforms) -> list[Decision]:
    """Say what `admit_requests` would, and write nothing; the ids of Accepted are made up."""
    decided = await _decide(conn, asks, platforms)
    formers = await _formers(conn, decided)
    free = {new.request_id for new in decided if new.request_id not in formers}
    return [_decision(new, free, formers) for new in decided]


async def prune_requests(database: Database, keep_days: int, *, now: datetime | None = None) -> dict[str, int]:
    """Delete requests that ended and came longer ago than is kept; give how many. Safe to cut off and run again."""
    before = (now or datetime.now(UTC)) - timedelta(days=keep_days)
    total = 0
    while True:
        async with database.transaction() as conn:
            deleted = await store.delete_old_requests(conn, before, PRUNE_ROWS)
        total += deleted
        if deleted < PRUNE_ROWS:
            return {"requests_deleted": total}


async def _decide(conn: Connection, asks: Sequence[Ask], platforms: Platforms) -> list[NewRequest]:
    world = await _world(conn, asks)
    decided = []
    for ask in asks:
        verdict = judge(ask, world, platforms)
        request_id = RequestId(UUID(new_event_id()))
        read, problem = (verdict, None) if isinstance(verdict, PlannedRead) else (None, verdict)
        kept = replace(
            ask,
            # What is refused is kept and answered too, so its key must be storable whatever somebody sent.
            object_key=storable_key(ask.object_key),
            idempotency_key=ask.idempotency_key or str(request_id),
        )
        decided.append(NewRequest(request_id, kept, content_hash(ask), read, problem))
    return decided


async def _world(conn: Connection, asks: Sequence[Ask]) -> World:
    sources = {ask.source for ask in asks if ask.via == "kafka"}
    named = {found for ask in asks if (found := _uuid(ask.payload.get("connection_id"))) is not None}
    return World(
        organizations=await world_store.active_organizations(conn, {ask.org_id for ask in asks}),
        connections=await world_store.known_connections(conn, named),
        producers=await world_store.known_producers(conn, sources) if sources else {},
    )


def _uuid(value: Any) -> UUID | None:
    try:
        return UUID(value) if isinstance(value, str) else None
    except ValueError:
        return None


async def _formers(conn: Connection, requests: Sequence[NewRequest]) -> dict[RequestId, Former]:
    found = await store.find_formers(conn, [new.ask for new in requests])
    return {new.request_id: former for new, former in zip(requests, found, strict=True) if former is not None}


def _decision(new: NewRequest, written: set[RequestId], formers: dict[RequestId, Former]) -> Decision:
    former = formers.get(new.request_id)
    may_ask = new.problem is None or new.problem.status != HTTPStatus.FORBIDDEN
    if former is not None and former.content_hash == new.content_hash and may_ask:
        # What was accepted once stays so, though the same would be refused now: a connection may have ended meanwhile.
        return Duplicate(former.request_id, former.status)
    if new.problem is not None:
        return Refused(new.problem)
    if new.request_id in written:
        return Accepted(new.request_id)
    if former is None:  # pruned in this very moment; the caller's next try finds its key free
        raise LookupError(f"the holder of idempotency key {new.ask.idempotency_key!r} went while it was looked at")
    return Refused(refusals.idempotency_key_reused(new.ask))


def _refused(new: NewRequest, decision: Refused) -> NewRequest:
    return NewRequest(new.request_id, new.ask, new.content_hash, None, decision.problem)


def _event(new: NewRequest, now: datetime) -> OutboxItem:
    ask, read = new.ask, new.read
    event: ApiRequestAccepted | RequestRejected
    if read is not None:
        event = ApiRequestAccepted(
            request_id=new.request_id,
            org_id=ask.org_id,
            source=ask.source,
            object_key=ask.object_key,
            platform=read.platform,
            connection_id=read.connection_id,
            request_type=read.request_type,
            params=dict(read.params),
            priority=read.priority,
            max_wait_seconds=read.max_wait_seconds,
            accepted_at=now,
        )
    else:
        assert new.problem is not None, "what has no read has a problem"
        event = RequestRejected(
            request_id=new.request_id,
            org_id=ask.org_id,
            source=ask.source,
            object_key=ask.object_key,
            event_id=ask.cause.id if ask.cause else "",
            kind=ask.kind,
            problem=new.problem,
            rejected_at=now,
        )
    return OutboxItem(
        topic=event.topic,
        key=f"{ask.org_id}/{ask.object_key}",
        event=event,
        source=SOURCE,
        org_id=ask.org_id,
        subject=str(new.request_id),
        correlation_id=store.correlation_of(ask, new.request_id),
        causation=ask.cause,
        idempotency_key=ask.idempotency_key,
        lock_key=True,  # the caller's object has no row of its own
    )
