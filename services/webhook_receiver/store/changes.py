"""Single changes, and the keys that let each of them go to an organization once."""

from collections.abc import Sequence
from typing import Final
from uuid import UUID

from libs.postgres import Connection
from services.webhook_receiver.models import Delivery, Key, Outcome

# In one order for everybody: two apps may bring the same changes at the same time.
INSERT_KEYS: Final = """
INSERT INTO webhook_keys (org_id, platform, external_event_id, connection_id, event_id, position, outbox_event_id)
SELECT org_id, platform, external_event_id, connection_id, event_id, position, outbox_event_id
FROM unnest($1::uuid[], $2::text[], $3::text[], $4::uuid[], $5::uuid[], $6::integer[], $7::text[])
    AS key (org_id, platform, external_event_id, connection_id, event_id, position, outbox_event_id)
ORDER BY org_id, platform, external_event_id
ON CONFLICT DO NOTHING
RETURNING org_id, platform, external_event_id
"""


async def insert_keys(conn: Connection, keys: Sequence[Key]) -> set[tuple[UUID, str, str]]:
    """Claim changes for organizations; give those that nobody had claimed: (organization, platform, natural key).

    Waits for a twin that is about to commit. No two of `keys` may be equal in these three.
    """
    rows = await conn.fetch(
        INSERT_KEYS,
        [key.org_id for key in keys],
        [key.platform for key in keys],
        [key.external_event_id for key in keys],
        [key.connection_id for key in keys],
        [key.event_id for key in keys],
        [key.position for key in keys],
        [key.outbox_event_id for key in keys],
    )
    return {(row["org_id"], row["platform"], row["external_event_id"]) for row in rows}


# A plan made while the table is empty would read it whole, and go on so when it is not; a limit keeps it to the index.
FIND_DELIVERIES: Final = """
SELECT wanted.org_id, wanted.platform, wanted.external_event_id, found.event_id, found.position
FROM unnest($1::uuid[], $2::text[], $3::text[]) AS wanted (org_id, platform, external_event_id)
CROSS JOIN LATERAL (
    SELECT key.event_id, key.position
    FROM webhook_keys AS key
    WHERE key.org_id = wanted.org_id AND key.platform = wanted.platform
        AND key.external_event_id = wanted.external_event_id
    LIMIT 1
) AS found
"""


async def find_deliveries(
    conn: Connection, keys: Sequence[tuple[UUID, str, str]]
) -> dict[tuple[UUID, str, str], tuple[UUID, int]]:
    """Give which delivery published each of these, and the change's place in it."""
    rows = await conn.fetch(FIND_DELIVERIES, *map(list, zip(*keys, strict=True)))
    return {
        (row["org_id"], row["platform"], row["external_event_id"]): (row["event_id"], row["position"]) for row in rows
    }


CLEAR: Final = "DELETE FROM webhook_changes WHERE event_id = ANY($1::uuid[]) AND received_at BETWEEN $2 AND $3"
INSERT_CHANGES: Final = """
INSERT INTO webhook_changes (
    event_id, position, received_at, external_event_id, object, field, change_type, account_type, account_id,
    occurred_at, status, reason
)
SELECT event_id, position, received_at, external_event_id, object, field, change_type, account_type, account_id,
    occurred_at, status, reason
FROM unnest(
    $1::uuid[], $2::integer[], $3::timestamptz[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[],
    $9::text[], $10::timestamptz[], $11::text[], $12::text[]
) AS change (
    event_id, position, received_at, external_event_id, object, field, change_type, account_type, account_id,
    occurred_at, status, reason
)
"""


async def write(conn: Connection, replayed: Sequence[Delivery], outcomes: Sequence[Outcome]) -> None:
    """Write down what the changes of deliveries came to; what is known of replayed ones is written anew."""
    if replayed:
        times = [delivery.received_at for delivery in replayed]
        await conn.execute(CLEAR, [delivery.id for delivery in replayed], min(times), max(times))
    if not outcomes:
        return
    rows = [
        (
            outcome.delivery.id,
            outcome.position,
            outcome.delivery.received_at,
            outcome.change.external_event_id,
            outcome.change.object,
            outcome.change.field,
            outcome.change.change_type,
            outcome.change.account_type,
            outcome.change.account_id,
            outcome.change.occurred_at,
            outcome.status.value,
            outcome.reason,
        )
        for outcome in outcomes
    ]
    await conn.execute(INSERT_CHANGES, *map(list, zip(*rows, strict=True)))
