"""The checks that every service has."""

from libs.messaging.consumer import Consumer
from libs.messaging.relay import Relay
from libs.postgres.migrations import migration_files
from libs.postgres.pool import Database
from libs.runtime.health import Check, Health

CONSUMER_AGE_LIMIT_SECONDS = 240.0
"""Longer than a poll, or a part of one, can last: the server ends a transaction after 2 min (roles.sql), the pool gives
up on a silent one after 150 s, and on a connection after 30 s. Waiting for a database or a broker that is away is not
standing still.
"""
RELAY_AGE_LIMIT_SECONDS = 90.0
"""Longer than the slowest turn."""
WORKER_AGE_LIMIT_SECONDS = 300.0
"""A worker's round may hold a call to a platform and a wait for a lock; the leases of what it works on are shorter."""
APPLIED = "SELECT version FROM schema_migrations"


def service_health(
    service: str, worker_database: Database, api_database: Database, consumer: Consumer, relay: Relay
) -> Health:
    """Give a service's checks: its database answers and is migrated, its consumer and relay loops turn.

    Neither asks the broker: while it is away, requests are still accepted, and their events wait in the outbox.
    """
    health = Health()
    health.add_ready("database", database_answers(worker_database))
    health.add_ready("api database", database_answers(api_database), part="http")
    health.add_ready("schema", schema_migrated(worker_database, service))
    limit = CONSUMER_AGE_LIMIT_SECONDS
    health.add_tick("consumer", consumer.last_poll_age_seconds, limit_seconds=limit, part="consumers")
    limit = RELAY_AGE_LIMIT_SECONDS
    health.add_tick("relay", relay.last_turn_age_seconds, limit_seconds=limit, part="relay")
    return health


def database_answers(database: Database) -> Check:
    """Demand that the pool gives a connection and the database answers on it."""

    async def check() -> str | None:
        async with database.acquire() as connection:
            await connection.fetchval("SELECT 1")
        return None

    return check


def schema_migrated(database: Database, service: str) -> Check:
    """Demand that every migration which this code knows is applied; a newer schema is fine, old code runs on it."""
    wanted = {path.name[:4]: path.name for path in migration_files(service)}

    async def check() -> str | None:
        async with database.acquire() as connection:
            applied = {row["version"] for row in await connection.fetch(APPLIED)}
        missing = [name for version, name in wanted.items() if version not in applied]
        return f"not migrated: {', '.join(missing)}; run `platformbus migrate up`" if missing else None

    return check
