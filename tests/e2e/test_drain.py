"""A service that is asked to stop ends what it has begun, leaves nothing behind, and says so by its exit code."""

import asyncio
from pathlib import Path

import pytest

from libs.postgres.schemas import SCHEMAS
from tests.support.databases import Databases
from tests.support.servers import Servers
from tests.support.system import System
from tests.support.traffic import Ask, Client, make_operator, make_organization, send_by_http

pytestmark = pytest.mark.e2e

REQUESTS = 40


async def test_stopping_in_the_middle_of_a_flow_leaves_no_event_unsent_and_no_lease_held(
    servers: Servers, databases: Databases, tmp_path: Path
) -> None:
    database = await databases.create(*SCHEMAS)
    system = await System.start(tmp_path, servers, database)
    try:
        operator = await make_operator(system)
        organization = await make_organization(system, operator, "drain")
        client = Client(system.urls, organization.key)
        asks = [
            Ask(f"drain-{n}", f"object-{n}", organization.objects[n], "http", max_wait_seconds=0)
            for n in range(REQUESTS)
        ]
        await asyncio.gather(*(send_by_http(client, organization, ask) for ask in asks))
        await client.close()
        await operator.close()

        codes = await system.fleet.stop(*SCHEMAS)
        assert codes == dict.fromkeys(codes, 0)
        assert set(codes) == set(SCHEMAS)
        for schema in SCHEMAS.values():
            assert await system.rows(f"SELECT aggregatetype FROM {schema}.outbox") == []
            assert await system.rows(f"SELECT name, owner FROM {schema}.leases WHERE owner IS NOT NULL") == []
            assert await system.rows(f"SELECT name FROM {schema}.jobs WHERE locked_by IS NOT NULL") == []
        assert await system.rows("SELECT id FROM batching.calls WHERE status = 'processing'") == []
        recorded = await system.rows("SELECT status FROM ingest.requests")
        assert len(recorded) == REQUESTS
    finally:
        await system.close()
        await databases.drop(database)
