"""The slice, whole: what is asked is packed, paid once, and answered to everybody who asked."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from libs.postgres.schemas import SCHEMAS
from tests.support.databases import Databases
from tests.support.servers import Servers
from tests.support.system import System
from tests.support.traffic import (
    Ask,
    Client,
    Heard,
    Listener,
    Organization,
    make_operator,
    make_organization,
    request_body,
)
from tests.support.until import until

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
async def system(
    servers: Servers, databases: Databases, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[System]:
    database = await databases.create(*SCHEMAS)
    folder: Path = tmp_path_factory.mktemp("slice")
    made = await System.start(folder, servers, database)
    try:
        yield made
    finally:
        await made.close()
        await databases.drop(database)


async def test_200_queued_requests_for_120_objects_cost_3_calls_and_120_units(system: System) -> None:
    async with await make_operator(system) as operator:
        organization = await make_organization(system, operator, "slice")
        objects = organization.objects[:120]
        asks = [Ask(f"slice-{n}", f"object-{n}", objects[n % 120], "http") for n in range(200)]
        before = (await _calls(system, 0))["next"]
        heard, ids = await _queue_and_flush(system, operator, organization, asks)
    calls = (await _calls(system, before))["calls"]
    assert len([call for call in calls if call["parent"] is None]) == 3
    assert len([call for call in calls if call["parent"] is not None]) == 120
    answers = [record for record in heard if record.body["request_id"] in set(ids)]
    assert [record.type for record in answers] == ["api_request.completed.v1"] * 200
    by_request = {record.body["request_id"]: record.body["result"]["id"] for record in answers}
    assert [by_request[request_id] for request_id in ids] == [ask.object_id for ask in asks]
    spent = await system.rows("SELECT sum(units) AS units FROM batching.quota_ledger")
    assert spent[0]["units"] == 120


async def _queue_and_flush(
    system: System, operator: Client, organization: Organization, asks: list[Ask]
) -> tuple[list[Heard], list[str]]:
    """Queue while the batcher is paused, resume, flush; give what was published and the request ids in order."""
    bodies = [{**request_body(organization, ask), "idempotency_key": ask.idempotency_key} for ask in asks]
    flush = {"platform": "meta", "connection_id": organization.connection_id}
    listener = Listener(system.kafka_bootstrap, "batcher.results")
    await listener.start()
    try:
        async with Client(system.urls, organization.key) as client:
            await operator.ask("batcher", "POST", "/v1/batches:pause", body={"platform": "meta"})
            submitted = await client.ask("ingest", "POST", "/v1/requests:bulk", body={"requests": bodies})
            ids = [item["request_id"] for item in submitted["items"]]
            assert len(set(ids)) == len(asks)
            await _until_queued(system, ids)
            assert (await system.rows("SELECT count(*) AS n FROM batching.batch_execution_log"))[0]["n"] == 0
            await operator.ask("batcher", "POST", "/v1/batches:resume", body={"platform": "meta"})
            await client.ask("batcher", "POST", "/v1/batches:flush", body=flush)
            await listener.until(lambda heard: {r.body["request_id"] for r in heard} >= set(ids), 60)
    finally:
        await listener.close()
    return listener.heard, ids


async def _calls(system: System, since: int) -> Any:
    async with httpx.AsyncClient(trust_env=False, timeout=30) as client:
        parameters: dict[str, str | int] = {"platform": "meta", "since": since, "limit": 10_000}
        return (await client.get(f"{system.sandbox_url}/_sandbox/calls", params=parameters)).json()


async def _until_queued(system: System, ids: list[str]) -> None:
    """Return when the batcher holds these asks: it reads them from Kafka in its own time, after what a test before this
    one left there."""

    async def all_there() -> bool:
        query = "SELECT FROM batching.batch_request_queue WHERE id = ANY($1::text[]::uuid[])"
        return len(await system.rows(query, ids)) == len(ids)

    await until(all_there, f"{len(ids)} asks in the batcher's queue")
