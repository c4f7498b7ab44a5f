"""Taking calls off the queue: a batch of one connection, with what cannot or need not be sent sorted out first."""

from collections.abc import Mapping, Sequence
from typing import Final
from uuid import UUID

from libs.platforms.base import Platform
from libs.postgres import Connection
from libs.vocabulary import ConnectionStatus, PlatformName
from services.batcher.models import Batch, ConnectionRow, Failed, Hold, QueuedCall, Verdict
from services.batcher.store import asks as ask_store
from services.batcher.store import calls as call_store
from services.batcher.store import connections as connection_store
from services.batcher.usecases.settling import SKIPPED, Limits, fail_asks, settle

GIVE_UP: Final = Failed("gave_up", "no answer could be had before its time was over")
NO_SUCH_CONNECTION: Final = Failed("unknown_connection", "the organization has no such connection")
NEVER_SEEN: Final = -1
"""As a connection's version: any state that arrives is newer."""
ENDED: Final = {
    ConnectionStatus.REVOKED: Failed("auth_revoked", "the connection's access was revoked; connect it again"),
    ConnectionStatus.DISCONNECTED: Failed("disconnected", "the connection was disconnected; connect it again"),
}


async def claim_batch(
    conn: Connection,
    platforms: Mapping[PlatformName, Platform],
    enabled: Sequence[PlatformName],
    worker: str,
    *,
    lease_seconds: float,
    limits: Limits,
) -> Batch | None:
    """Claim the calls of one bulk call, or give None when nothing is due.

    Calls that nobody waits for any more, whose connection is gone or whose token is known to be refused end or are put
    back here, without a call. Commit before the platform is called.
    """
    found = await call_store.find_due_connection(conn, enabled)
    if found is None:
        return None
    platform, connection_id = found
    await connection_store.lock(conn, [connection_id])
    batching = platforms[platform].batching
    calls = await call_store.claim_batch(
        conn,
        platform,
        connection_id,
        worker,
        limit=batching.max_items if batching is not None else 1,
        lease_seconds=lease_seconds,
    )
    claimed = len(calls)
    if not claimed:  # another worker was faster; its batch took what was due
        return Batch(platform, None, (), claimed=0, asks=0)
    calls = await _without_twins(conn, calls)
    connection = (await connection_store.find(conn, [connection_id])).get(connection_id)
    await _fail_hopeless_asks(conn, calls, connection)
    waiting = await ask_store.count_open(conn, [call.call_id for call in calls])
    known = batching.request_types if batching is not None else ()
    screened = {call.call_id: _verdict(call, platform, known, waiting, connection, limits) for call in calls}
    verdicts = {call_id: verdict for call_id, verdict in screened.items() if verdict is not None}
    await settle(conn, calls, verdicts, limits)
    left = tuple(call for call in calls if call.call_id not in verdicts)
    asks = await ask_store.start(conn, [call.call_id for call in left])
    traceparents = tuple(traceparent for _, traceparent in asks if traceparent is not None)
    return Batch(platform, connection, left, claimed=claimed, asks=len(asks), traceparents=traceparents)


def why_unusable(connection: ConnectionRow | None, platform: PlatformName, org_id: UUID) -> Failed | None:
    """Say why this organization's ask on the connection can never be answered, as far as is known now."""
    if connection is None:
        return None  # its state may still be on its way
    if connection.org_id != org_id or connection.platform is not platform:
        return NO_SUCH_CONNECTION  # the same words as for one that does not exist: nothing is told about others
    return ENDED.get(connection.status)


async def _without_twins(conn: Connection, calls: Sequence[QueuedCall]) -> list[QueuedCall]:
    """Let calls of the same read become one: a dead worker's call can be claimed together with its successor."""
    kept: dict[str, QueuedCall] = {}
    twins = [call for call in calls if kept.setdefault(call.request_key, call) is not call]
    if twins:
        await ask_store.move(conn, {twin.call_id: kept[twin.request_key].call_id for twin in twins})
        await call_store.end(conn, [call_store.CallEnd(twin.held, "skipped", error=SKIPPED) for twin in twins])
    return list(kept.values())


async def _fail_hopeless_asks(conn: Connection, calls: Sequence[QueuedCall], connection: ConnectionRow | None) -> None:
    owner = connection.org_id if connection is not None else None
    foreign, late = await ask_store.find_hopeless(conn, [call.call_id for call in calls], owner)
    if foreign:
        await fail_asks(conn, foreign, NO_SUCH_CONNECTION)
    if late:
        await fail_asks(conn, late, GIVE_UP)


def _verdict(
    call: QueuedCall,
    platform: PlatformName,
    known: Sequence[str],
    waiting: Mapping[UUID, int],
    connection: ConnectionRow | None,
    limits: Limits,
) -> Verdict | None:
    """Decide about a claimed call before it is sent; None: send it."""
    if call.call_id not in waiting:
        return Failed("skipped", SKIPPED)
    if call.attempts > call.max_attempts:
        return Failed("gave_up", f"given up after {call.max_attempts} tries that ended without a word")
    if call.request_type not in known:
        # Queued by a newer version that runs beside this one; in a call it would fail all that it shares the call with.
        return Hold("retry", limits.connection_wait_seconds, "a newer version of the batcher is needed")
    if connection is None:
        return _wait_for_connection(
            call, NEVER_SEEN, limits.connection_wait_seconds, NO_SUCH_CONNECTION, "the connection is not known yet"
        )
    if (never := why_unusable(connection, platform, connection.org_id)) is not None:
        return never
    refused = connection.refused_version is not None and connection.version <= connection.refused_version
    if refused or connection.status is ConnectionStatus.EXPIRED or connection.sealed_access_token is None:
        failed = Failed("auth_expired", "the connection's token is not valid any more, and no newer one came in time")
        return _wait_for_connection(
            call, connection.version, limits.token_wait_seconds, failed, "a newer token is needed"
        )
    return None


def _wait_for_connection(call: QueuedCall, version: int, wait_seconds: float, failed: Failed, reason: str) -> Verdict:
    """Wait once for a newer state than `version`; a call that comes back without one has waited its time."""
    if call.waits_for_connection_version is not None:
        return failed
    return Hold("connection", wait_seconds, reason, newer_than_version=version)
