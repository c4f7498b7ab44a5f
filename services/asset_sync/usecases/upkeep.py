"""Looking after all connections, as worker: reseal, let tokens age, announce again, forget."""

import logging
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from libs.events.assets_connections import SealedSecret
from libs.postgres import Connection
from libs.security.sealing import KeyRing, SealError, connection_aad
from libs.vocabulary import ConnectionId
from services.asset_sync import metrics, store
from services.asset_sync.models import TOKEN_FIELD, Actor, ResealCount
from services.asset_sync.usecases.connecting import publish, publish_ended

PAGE: Final = 200
IDEMPOTENCY_DAYS: Final = 30
ENDED_DAYS: Final = 30
"""Tombstones are on the topic for 7 days; whoever was away longer reads it from the start."""

_log = logging.getLogger(__name__)


async def reseal_page(conn: Connection, ring: KeyRing, *, after: UUID | None = None, limit: int = PAGE) -> ResealCount:
    """Put the next tokens under the active key, raise their versions and publish them; one transaction a page.

    What is done shows in the rows themselves, so a pass that was cut off anywhere is simply started again. A token that
    does not open is left as it is, counted and logged.
    """
    active = ring.active_id
    rows = await store.lock_sealed_under_other_keys(conn, active, after=after, limit=limit)
    moved: dict[ConnectionId, SealedSecret] = {}
    failed = 0
    for each in rows:
        aad = connection_aad(each.row.org_id, each.row.id, TOKEN_FIELD)
        try:
            sealed = ring.rewrap(each.sealed, aad=aad)
        except SealError as error:
            failed += 1
            _log.error("a token cannot be resealed: %s", error, extra={"connection_id": str(each.row.id)})
            continue
        if sealed is not None:
            moved[each.row.id] = sealed
    if moved:
        await publish(conn, await store.reseal(conn, moved))
    return ResealCount(len(moved), failed, rows[-1].row.id if len(rows) == limit else None)


async def reseal_pages(
    open_transaction: Callable[[], AbstractAsyncContextManager[Connection]],
    ring: KeyRing,
    *,
    seconds: float | None = None,
) -> tuple[int, int]:
    """Reseal page by page, each in a transaction of its own, until nothing remains or the time is up.

    Gives how many were resealed and how many do not open.
    """
    until = None if seconds is None else time.monotonic() + seconds
    resealed = failed = 0
    after: UUID | None = None
    while True:
        async with open_transaction() as conn:
            page = await reseal_page(conn, ring, after=after)
        metrics.RESEALED.labels("resealed").inc(page.resealed)
        metrics.RESEALED.labels("failed").inc(page.failed)
        resealed, failed, after = resealed + page.resealed, failed + page.failed, page.last_id
        if after is None or (until is not None and time.monotonic() >= until):
            return resealed, failed


async def note_reseal(conn: Connection, actor: Actor, ring: KeyRing, *, resealed: int, failed: int) -> None:
    """Record in the audit log that tokens were put under another key."""
    details = {"kek_id": ring.active_id, "resealed": resealed, "failed": failed}
    await store.insert_audit(conn, None, actor, "connections.resealed", "connections", details)


async def age_tokens(conn: Connection, *, expiring: timedelta, limit: int = PAGE) -> int:
    """Mark and publish connections whose token expires soon or has expired; give how many."""
    aged = await store.age_tokens(conn, expiring_seconds=expiring.total_seconds(), limit=limit)
    await publish(conn, aged)
    for each in aged:
        expires_at = each.row.token_expires_at
        words = {"status": each.row.status.value, "expires_at": expires_at.isoformat() if expires_at else None}
        await store.insert_audit(conn, each.row.org_id, Actor(None, None), "connection.aged", str(each.row.id), words)
    return len(aged)


async def announce_again(conn: Connection, since: datetime | None) -> int:
    """Append again the state or tombstone of each connection that changed since then (None: of all); give how many."""
    count, after = 0, None
    while rows := await store.lock_changed(conn, since=since, after=after, limit=PAGE):
        await publish(conn, rows)
        count, after = count + len(rows), rows[-1].row.id
    ended = await store.list_ended(conn, since=since)
    await publish_ended(conn, ended)
    return count + len(ended)


async def forget_old(conn: Connection) -> Mapping[str, int]:
    """Delete what is no longer needed."""
    keys, ended = await store.forget_old(conn, idempotency_days=IDEMPOTENCY_DAYS, ended_days=ENDED_DAYS)
    return {"idempotency_keys": keys, "ended_connections": ended}
