"""Rows of webhooks: written once, never changed."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from libs.postgres import Connection, Record
from libs.vocabulary import OrgId
from services.ingest.models import NewWebhook, WebhookFilter

INSERT_WEBHOOKS: Final = """
INSERT INTO webhooks (
    event_id, org_id, connection_id, platform, app, object, field, change_type, account_type, account_id,
    external_event_id, webhook_id, position, occurred_at, received_at, value
)
SELECT
    event_id, org_id, connection_id, platform, app, object, field, change_type, account_type, account_id,
    external_event_id, webhook_id, place, occurred_at, received_at, value
FROM unnest(
    $1::text[], $2::uuid[], $3::uuid[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[],
    $10::text[], $11::text[], $12::uuid[], $13::integer[], $14::timestamptz[], $15::timestamptz[], $16::jsonb[]
) AS told (
    event_id, org_id, connection_id, platform, app, object, field, change_type, account_type, account_id,
    external_event_id, webhook_id, place, occurred_at, received_at, value
)
ORDER BY event_id
ON CONFLICT DO NOTHING
RETURNING event_id
"""


async def insert_webhooks(conn: Connection, webhooks: Sequence[NewWebhook]) -> set[str]:
    """Write those whose event was not kept before, and give their events' ids."""
    if not webhooks:
        return set()
    rows = [_columns(webhook) for webhook in webhooks]
    written = await conn.fetch(INSERT_WEBHOOKS, *map(list, zip(*rows, strict=True)))
    return {row["event_id"] for row in written}


def _columns(webhook: NewWebhook) -> tuple[Any, ...]:
    event = webhook.event
    return (
        webhook.event_id,
        event.org_id,
        event.connection_id,
        event.platform.value,
        event.app,
        event.object,
        event.field,
        event.change_type,
        event.account.type,
        event.account.id,
        event.external_event_id,
        event.webhook_id,
        event.position,
        event.occurred_at,
        event.received_at,
        webhook.value,
    )


GET_WEBHOOK: Final = """
SELECT event_id, org_id, connection_id, platform, app, object, field, change_type, account_type, account_id,
    external_event_id, webhook_id, position, occurred_at, received_at, value
FROM webhooks
WHERE event_id = $1 AND org_id = $2
"""


async def get_webhook(conn: Connection, org_id: OrgId, event_id: str) -> Record | None:
    """Give all of one webhook."""
    return await conn.fetchrow(GET_WEBHOOK, event_id, org_id)


LIST_WEBHOOKS: Final = """
SELECT event_id, org_id, connection_id, platform, app, object, field, change_type, account_type, account_id,
    external_event_id, webhook_id, position, occurred_at, received_at
FROM webhooks
WHERE org_id = $1
    AND ($2::text IS NULL OR platform = $2)
    AND ($3::uuid IS NULL OR connection_id = $3)
    AND ($4::text IS NULL OR change_type = $4)
    AND ($5::text IS NULL OR (account_type = $5 AND account_id = $6))
    AND ($7::uuid IS NULL OR webhook_id = $7)
    AND ($8::text IS NULL OR event_id < $8)
ORDER BY event_id DESC
LIMIT $9
"""


async def list_webhooks(conn: Connection, org_id: OrgId, wanted: WebhookFilter, limit: int) -> list[Record]:
    """Give webhooks newest first, without their values."""
    return await conn.fetch(
        LIST_WEBHOOKS,
        org_id,
        wanted.platform.value if wanted.platform else None,
        wanted.connection_id,
        wanted.change_type,
        wanted.account.type if wanted.account else None,
        wanted.account.id if wanted.account else None,
        wanted.webhook_id,
        wanted.before,
        limit,
    )


DELETE_OLD_WEBHOOKS: Final = """
DELETE FROM webhooks
WHERE event_id = ANY(ARRAY(SELECT event_id FROM webhooks WHERE event_id < $1 ORDER BY event_id LIMIT $2))
"""


async def delete_old_webhooks(conn: Connection, before: datetime, limit: int) -> int:
    """Delete at most `limit` webhooks that were published before then; give how many.

    When is in the event's id, a version 7. The platform may have delivered it long before: a replay publishes late.
    """
    milliseconds = f"{int(before.timestamp() * 1_000):012x}"
    bound = f"{milliseconds[:8]}-{milliseconds[8:]}"
    return int((await conn.execute(DELETE_OLD_WEBHOOKS, bound, limit)).rpartition(" ")[2])
