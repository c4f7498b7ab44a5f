import pytest

from libs.postgres import Database
from libs.postgres.migrations import migrate_down, migration_files
from libs.runtime.checks import database_answers, schema_migrated
from tests.support.databases import ServiceDatabase

pytestmark = pytest.mark.db


async def test_a_migrated_database_that_answers_is_ready(ingest_database: ServiceDatabase) -> None:
    database = await Database.connect(ingest_database.worker_dsn, role="worker", application_name="test")
    try:
        assert await database_answers(database)() is None
        assert await schema_migrated(database, "ingest")() is None
    finally:
        await database.close()


async def test_a_missing_migration_is_named(ingest_database: ServiceDatabase) -> None:
    newest = migration_files("ingest")[-1].name
    await migrate_down("ingest", ingest_database.owner_dsn, 1)
    database = await Database.connect(ingest_database.worker_dsn, role="worker", application_name="test")
    try:
        assert await schema_migrated(database, "ingest")() == f"not migrated: {newest}; run `platformbus migrate up`"
    finally:
        await database.close()
