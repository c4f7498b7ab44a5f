"""Deliveries as they arrive: rows are added, as the api role, which can read none of them."""

from collections.abc import Sequence
from typing import Final

from libs.postgres import Connection
from services.webhook_receiver.models import Arrival, Refusal

ADD_ARRIVALS: Final = """
INSERT INTO webhook_events (
    id, received_at, platform, app, shard, signature, headers, raw, body_bytes, body_hash, source_ip, user_agent,
    traceparent
)
SELECT id, received_at, platform, app, shard, signature, headers::jsonb, raw, octet_length(raw), sha256(raw), source_ip,
    user_agent, traceparent
FROM unnest(
    $1::uuid[], $2::timestamptz[], $3::text[], $4::text[], $5::smallint[], $6::text[], $7::text[], $8::bytea[],
    $9::text[], $10::text[], $11::text[]
) AS arrived (
    id, received_at, platform, app, shard, signature, headers, raw, source_ip, user_agent, traceparent
)
"""


async def add_arrivals(conn: Connection, arrivals: Sequence[Arrival]) -> None:
    """Keep deliveries with a true signature, all or none; their `seq` has the order given here."""
    await conn.execute(
        ADD_ARRIVALS,
        [each.id for each in arrivals],
        [each.received_at for each in arrivals],
        [each.platform for each in arrivals],
        [each.app for each in arrivals],
        [each.shard for each in arrivals],
        [each.signature for each in arrivals],
        [each.headers for each in arrivals],
        [each.raw for each in arrivals],
        [each.source_ip for each in arrivals],
        [each.user_agent for each in arrivals],
        [each.traceparent for each in arrivals],
    )


ADD_REFUSAL: Final = """
INSERT INTO webhook_events (
    id, received_at, platform, app, shard, signature, signature_valid, headers, raw, body_bytes, body_hash, source_ip,
    user_agent, traceparent, status, reason
) VALUES ($1, $2, $3, $4, $5, $6, false, $7, $8, $9, $10, $11, $12, $13, 'ignored', $14)
"""


async def add_refusal(conn: Connection, refusal: Refusal) -> None:
    """Keep what came with a wrong signature or none, so that somebody can find out why."""
    arrival = refusal.arrival
    await conn.execute(
        ADD_REFUSAL,
        arrival.id,
        arrival.received_at,
        arrival.platform,
        arrival.app,
        arrival.shard,
        arrival.signature,
        arrival.headers,
        arrival.raw,
        refusal.body_bytes,
        refusal.body_hash,
        arrival.source_ip,
        arrival.user_agent,
        arrival.traceparent,
        refusal.reason,
    )
