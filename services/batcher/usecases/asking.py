"""Taking asks in, and what is learned of connections."""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Final
from uuid import UUID

from libs.events.assets_connections import Connection as ConnectionState
from libs.events.envelope import Envelope
from libs.events.ingest_accepted import ApiRequestAccepted
from libs.platforms.base import InvalidParams, Platform
from libs.postgres import Connection
from libs.telemetry.redaction import redact_text
from libs.vocabulary import PlatformName
from services.batcher.models import Ask, ConnectionRow, Failed
from services.batcher.store import asks as ask_store
from services.batcher.store import calls as call_store
from services.batcher.store import connections as connection_store
from services.batcher.usecases.claiming import why_unusable
from services.batcher.usecases.settling import Limits, fail_asks

LONGEST_WAIT_SECONDS: Final = 604_800.0

Asked = tuple[Ask, Failed | None]
"""An ask, and why it cannot be answered if that is known already."""


def plan_ask(platforms: Mapping[PlatformName, Platform], accepted: ApiRequestAccepted, envelope: Envelope) -> Asked:
    """Make the ask of an accepted request; no I/O.

    ingest has checked it with the same rules, so what does not fit here was accepted by other code than this.
    """
    batching = platforms[accepted.platform].batching
    why: Failed | None = None
    key, params, wait = "", "{}", 0.0
    if batching is None:
        why = Failed("rejected", f"{accepted.platform} answers no reads here")
    else:
        wait = float(batching.flush_interval_seconds)
        try:
            planned = batching.plan(accepted.request_type, accepted.params)
            key, params = planned.request_key, json.dumps(dict(planned.params), separators=(",", ":"))
        except InvalidParams as error:
            words = "; ".join(f"{where}: {what}; {how}" for where, what, how in error.errors)
            why = Failed("rejected", redact_text(words, max_chars=1_000))
    longest = accepted.max_wait_seconds
    if longest is not None:
        wait = longest = min(longest, LONGEST_WAIT_SECONDS)
    ask = Ask(
        request_id=accepted.request_id,
        org_id=accepted.org_id,
        platform=accepted.platform,
        connection_id=accepted.connection_id,
        request_type=accepted.request_type,
        request_key=key,
        params=params,
        priority=accepted.priority,
        max_wait_seconds=longest,
        wait_seconds=wait,
        object_key=accepted.object_key,
        event_id=envelope.id,
        event_source=envelope.source,
        correlation_id=envelope.correlation_id,
        traceparent=envelope.traceparent,
        asked_at=accepted.accepted_at,
    )
    return ask, why


async def queue_asks(
    conn: Connection, platforms: Mapping[PlatformName, Platform], asked: Sequence[Asked], limits: Limits
) -> int:
    """Queue asks that are not queued yet, each with the call that will answer it; give how many were new.

    Equal reads of one connection share a call. A connection that has enough waiting calls for whole batches gets them
    due at once. What can never be answered fails in the same transaction.
    """
    known = await ask_store.find_known(conn, [ask.request_id for ask, _ in asked])
    new = list({ask.request_id: (ask, why) for ask, why in asked if ask.request_id not in known}.values())
    if not new:
        return 0
    connection_ids = {ask.connection_id for ask, _ in new}
    await connection_store.lock(conn, connection_ids)
    connections = await connection_store.find(conn, connection_ids)
    hopeless: dict[Failed, list[Ask]] = defaultdict(list)
    good: list[Ask] = []
    for ask, known_why in new:
        why = known_why or why_unusable(connections.get(ask.connection_id), ask.platform, ask.org_id)
        if why is None:
            good.append(ask)
        else:
            hopeless[why].append(ask)
    calls = await call_store.join(conn, good, max_attempts=limits.max_attempts)
    rows = [(ask, calls[ask.connection_id, ask.request_key]) for ask in good]
    bad = [(ask, None) for asks in hopeless.values() for ask in asks]
    await ask_store.add(conn, [*rows, *bad], give_up_seconds=limits.give_up_seconds)
    for why, asks in hopeless.items():
        await fail_asks(conn, [ask.request_id for ask in asks], why)
    await call_store.make_full_batches_due(conn, _batch_sizes(platforms, good))
    return len(new)


async def learn_connections(
    conn: Connection, states: Sequence[tuple[ConnectionState, int]], ended: Sequence[tuple[UUID, int]]
) -> None:
    """Take over what asset_sync says: states with their versions, and connections that ended with theirs.

    Calls that waited for a newer state become due.
    """
    rows = [
        ConnectionRow(
            connection_id=state.connection_id,
            org_id=state.org_id,
            platform=state.platform,
            app_id=state.app_id,
            status=state.status,
            sealed_access_token=state.sealed_access_token.model_dump_json(),
            version=version,
            refused_version=None,
        )
        for state, version in states
    ]
    touched = [row.connection_id for row in rows] + [connection_id for connection_id, _ in ended]
    await connection_store.lock(conn, touched)
    await connection_store.apply(conn, rows)
    await connection_store.end(conn, ended)
    await connection_store.wake(conn, touched)


def _batch_sizes(platforms: Mapping[PlatformName, Platform], asks: Sequence[Ask]) -> dict[UUID, int]:
    sizes: dict[UUID, int] = {}
    for ask in asks:
        batching = platforms[ask.platform].batching
        if batching is not None:
            sizes[ask.connection_id] = batching.max_items
    return sizes
