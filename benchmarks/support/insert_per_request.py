"""What the edge is measured with: itself, with the same server and frame, but each delivery is inserted at once.

The pool has as many connections as `WEBHOOK_RECEIVER_POOL_MAX_SIZE` says; a delivery waits for a free one.
"""

import services.webhook_receiver as card
from libs.platforms.registry import PlatformSettings, build_platforms
from libs.postgres import Database
from libs.runtime.health import Health
from libs.runtime.http import create_app
from libs.runtime.service import Part, ServiceApp, main
from libs.security.sealing import KeyRing
from services.webhook_receiver.api.edge import Edge
from services.webhook_receiver.models import Arrival
from services.webhook_receiver.settings import WebhookReceiverSettings
from services.webhook_receiver.usecases.arriving import Refusals
from services.webhook_receiver.usecases.directory import AppDirectory

ADD_ARRIVAL = """
INSERT INTO webhook_events (
    id, received_at, platform, app, shard, signature, headers, raw, body_bytes, body_hash, source_ip, user_agent,
    traceparent
) VALUES ($1, $2, $3, $4, $5, $6, $7, $8::bytea, octet_length($8::bytea), sha256($8::bytea), $9, $10, $11)
"""


class InsertPerRequest:
    """Stores a delivery in a transaction of its own."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, item: Arrival, size_bytes: int) -> None:
        """Return when it is committed."""
        async with self._database.acquire() as conn:
            await conn.execute(
                ADD_ARRIVAL,
                item.id,
                item.received_at,
                item.platform,
                item.app,
                item.shard,
                item.signature,
                item.headers,
                item.raw,
                item.source_ip,
                item.user_agent,
                item.traceparent,
            )


async def build() -> ServiceApp:
    """Build no more than the edge needs."""
    settings, platform_settings = WebhookReceiverSettings(), PlatformSettings()
    size = settings.pool_max_size
    dsn = settings.api_dsn.get_secret_value()
    database = await Database.connect(dsn, role="api", min_size=size, max_size=size, application_name="benchmark")
    ring, platforms = KeyRing.from_file(settings.kek_file), build_platforms(None, platform_settings)
    directory = AppDirectory(ring, platforms, secrets=platform_settings.app_secrets, verify_tokens={})
    refusals, health = Refusals(database), Health()
    edge = Edge(
        create_app("webhook_receiver", routers=[], health=health),
        directory=directory,
        commit=InsertPerRequest(database),
        refusals=refusals,
    )
    return ServiceApp(
        name="webhook_receiver",
        settings=settings,
        health=health,
        app=edge,
        parts=[Part("http", refusals.run)],
        close=database.close,
    )


if __name__ == "__main__":
    main(card, build)
