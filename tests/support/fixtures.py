"""The fixtures of real servers; `tests/conftest.py` shows them to every test."""

import os
from collections.abc import AsyncIterator, Iterator
from typing import Protocol

import pytest
from hypothesis import settings
from valkey.asyncio import Valkey

from tests.support.databases import Databases, ServiceDatabase, TestDatabase
from tests.support.servers import Servers
from tests.support.topics import Topics


class Say(Protocol):
    """Shows a line among pytest's own, whether the test passes or not."""

    def __call__(self, line: str) -> None: ...


@pytest.fixture
def say(request: pytest.FixtureRequest) -> Say:
    """For what a reader needs even of a test that passed, such as the seed that replays it."""
    reporter = request.config.pluginmanager.get_plugin("terminalreporter")
    capture = request.config.pluginmanager.get_plugin("capturemanager")

    def write(line: str) -> None:
        if reporter is not None and capture is not None:
            with capture.global_and_fixture_disabled():
                reporter.ensure_newline()
                reporter.write_line(f"  {line}")

    return write


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    """The session's servers, each started by the first test that asks for its address."""
    made = Servers()
    yield made
    made.stop()


@pytest.fixture(scope="session")
def postgres_admin_dsn(servers: Servers) -> str:
    """A superuser's address."""
    return servers.postgres_admin_dsn


@pytest.fixture(scope="session")
def kafka_bootstrap(servers: Servers) -> str:
    return servers.kafka_bootstrap


@pytest.fixture
async def valkey_url(servers: Servers) -> str:
    """Valkey, empty."""
    async with Valkey.from_url(servers.valkey_url) as client:
        await client.flushdb()
    return servers.valkey_url


@pytest.fixture(scope="session")
async def databases(postgres_admin_dsn: str) -> AsyncIterator[Databases]:
    """Makes databases from templates migrated once per session: `await databases.create("ingest", "batcher")`."""
    made = Databases(postgres_admin_dsn)
    yield made
    await made.close()


@pytest.fixture
async def empty_database(databases: Databases) -> AsyncIterator[TestDatabase]:
    """Roles and empty schemas; nothing is migrated."""
    database = await databases.create()
    yield database
    await databases.drop(database)


@pytest.fixture
async def ingest_database(databases: Databases) -> AsyncIterator[ServiceDatabase]:
    """A database of this test's own, ingest migrated: `.owner_dsn`, `.worker_dsn`, `.api_dsn`, `.admin_dsn`."""
    database = await databases.create("ingest")
    yield ServiceDatabase("ingest", database)
    await databases.drop(database)


@pytest.fixture
async def asset_sync_database(databases: Databases) -> AsyncIterator[ServiceDatabase]:
    """The same for asset_sync."""
    database = await databases.create("asset_sync")
    yield ServiceDatabase("asset_sync", database)
    await databases.drop(database)


@pytest.fixture
async def batcher_database(databases: Databases) -> AsyncIterator[ServiceDatabase]:
    """The same for batcher."""
    database = await databases.create("batcher")
    yield ServiceDatabase("batcher", database)
    await databases.drop(database)


@pytest.fixture
async def webhook_receiver_database(databases: Databases) -> AsyncIterator[ServiceDatabase]:
    """The same for webhook_receiver."""
    database = await databases.create("webhook_receiver")
    yield ServiceDatabase("webhook_receiver", database)
    await databases.drop(database)


@pytest.fixture
async def topics(kafka_bootstrap: str) -> AsyncIterator[Topics]:
    """Makes topics of this test's own: `name = await topics.create("requests", partitions=3)`."""
    made = Topics(kafka_bootstrap)
    yield made
    await made.close()


def load_hypothesis_profile() -> None:
    """No deadline per example: a busy machine is not a bug. In CI the examples are the same each time."""
    settings.register_profile("platformbus", deadline=None, derandomize="CI" in os.environ)
    settings.load_profile("platformbus")
