from typing import cast

import pytest

from libs.messaging.consumer import Consumer
from libs.messaging.relay import Relay
from libs.postgres import Database
from libs.postgres.migrations import migrate_down, migration_files
from libs.runtime.checks import RELAY_AGE_LIMIT_SECONDS, database_answers, schema_migrated, service_health
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


class Loop:
    """Stands for a consumer or a relay whose loop turned some time ago."""

    def __init__(self, age_seconds: float) -> None:
        self.age_seconds = age_seconds

    def last_poll_age_seconds(self) -> float:
        return self.age_seconds

    def last_turn_age_seconds(self) -> float:
        return self.age_seconds


async def test_a_service_whose_relay_stands_still_is_neither_live_nor_ready(ingest_database: ServiceDatabase) -> None:
    worker = await Database.connect(ingest_database.worker_dsn, role="worker", application_name="test")
    api = await Database.connect(ingest_database.api_dsn, role="api", application_name="test")
    consumer, relay = Loop(1), Loop(1)
    try:
        health = service_health("ingest", worker, api, cast(Consumer, consumer), cast(Relay, relay))
        assert await health.ready() == {}
        relay.age_seconds = RELAY_AGE_LIMIT_SECONDS + 1
        assert set(await health.live()) == set(await health.ready()) == {"relay"}
        await api.close()
        assert set(await health.ready()) == {"relay", "api database"}
        health.parts = frozenset({"consumers"})
        assert await health.ready() == {}
    finally:
        await worker.close()
