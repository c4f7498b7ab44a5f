"""Shows what several tests of messaging are given."""

from collections.abc import AsyncIterator

import asyncpg
import pytest

from libs.postgres import Database
from tests.support.databases import ServiceDatabase
from tests.support.parking import CREATE, Bench


@pytest.fixture
async def bench(ingest_database: ServiceDatabase) -> AsyncIterator[Bench]:
    """The parts of a consumer over a database of the test's own; a file may have a bench of another kind."""
    owner = await asyncpg.connect(ingest_database.owner_dsn)
    await owner.execute(CREATE)
    database = await Database.connect(ingest_database.worker_dsn, role="worker", application_name="test")
    try:
        yield Bench(database, owner)
    finally:
        await database.close()
        await owner.close()
