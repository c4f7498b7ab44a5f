"""The readiness checks that every service has."""

from libs.postgres.migrations import migration_files
from libs.postgres.pool import Database
from libs.runtime.health import Check

APPLIED = "SELECT version FROM schema_migrations"


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
