"""What platforms told of an organization's accounts: kept for a while, for its own systems to look at."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from pydantic_core import to_json

from libs.events.webhooks_events import WebhookReceived
from libs.postgres import Connection, Database
from libs.telemetry.metrics import counter
from services.ingest.models import NewWebhook
from services.ingest.store import webhooks as store

PRUNE_ROWS: Final = 2_000
WEBHOOKS: Final = counter(
    "ingest_webhooks_total", "Webhooks of connected accounts by what became of them", ("platform", "outcome")
)


async def keep_webhooks(conn: Connection, events: Sequence[tuple[str, WebhookReceived]]) -> None:
    """Keep each event under its id; one that was kept before changes nothing and is counted."""
    webhooks = [
        NewWebhook(event_id, event, to_json(event.value, inf_nan_mode="null").decode()) for event_id, event in events
    ]
    kept = await store.insert_webhooks(conn, webhooks)
    for event_id, event in events:
        WEBHOOKS.labels(event.platform.value, "kept" if event_id in kept else "repeated").inc()


async def prune_webhooks(database: Database, keep_days: int, *, now: datetime | None = None) -> dict[str, int]:
    """Delete webhooks that were published longer ago than is kept; give how many. Safe to cut off and run again."""
    before = (now or datetime.now(UTC)) - timedelta(days=keep_days)
    total = 0
    while True:
        async with database.transaction() as conn:
            deleted = await store.delete_old_webhooks(conn, before, PRUNE_ROWS)
        total += deleted
        if deleted < PRUNE_ROWS:
            return {"webhooks_deleted": total}
