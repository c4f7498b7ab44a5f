"""Taking asks in: joining, duplicates, what can never be answered, connections."""

from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import pytest

from libs.vocabulary import ConnectionStatus
from tests.support.batcher import Bench, open_bench
from tests.support.databases import ServiceDatabase

pytestmark = pytest.mark.db


@pytest.fixture
async def bench(batcher_database: ServiceDatabase, valkey_url: str, tmp_path: Path) -> AsyncIterator[Bench]:
    async with open_bench(batcher_database, valkey_url, tmp_path) as opened:
        yield opened


async def test_the_same_request_is_queued_once(bench: Bench) -> None:
    await bench.connect()
    message = bench.accepted("7", max_wait_seconds=0)
    await bench.handle([message, message])
    await bench.handle([message])
    await bench.work()
    await bench.handle([message])
    assert await bench.work() == 0
    assert len(await bench.results()) == 1


async def test_more_urgent_company_makes_a_waiting_read_more_urgent(bench: Bench) -> None:
    await bench.connect()
    await bench.ask("7", priority=9)
    await bench.ask("7", priority=2, max_wait_seconds=0)
    (call,) = await bench.fetch("SELECT priority, due_at <= now() AS due FROM calls")
    assert tuple(call.values()) == (2, True)


async def test_a_connection_may_become_known_after_the_ask(bench: Bench) -> None:
    await bench.ask("1", max_wait_seconds=0)
    await bench.work()
    assert await bench.statuses() == {"pending": 1}
    await bench.connect()
    await bench.work()
    assert await bench.statuses() == {"completed": 1}


@pytest.mark.parametrize("status", [ConnectionStatus.REVOKED, ConnectionStatus.DISCONNECTED])
async def test_a_connection_that_ended_fails_reads_at_once(bench: Bench, status: ConnectionStatus) -> None:
    await bench.connect()
    await bench.ask("1")
    await bench.connect(version=2, status=status)
    await bench.ask("2")
    await bench.flush()
    await bench.work()
    codes = [result["error"]["code"] for result in await bench.results()]
    assert codes == [{"revoked": "auth_revoked", "disconnected": "disconnected"}[status]] * 2
    assert bench.graph.batches == []


async def test_a_tombstone_takes_the_token_away(bench: Bench) -> None:
    await bench.connect()
    await bench.disconnect(version=2)
    (known,) = await bench.fetch("SELECT status, sealed_access_token FROM connections")
    assert tuple(known.values()) == ("disconnected", None)
    await bench.connect(version=1)
    (known,) = await bench.fetch("SELECT status FROM connections")
    assert known["status"] == "disconnected", "a late state does not bring it back"


async def test_no_organization_reads_with_anothers_connection(bench: Bench) -> None:
    stranger = uuid4()
    await bench.ask("1", max_wait_seconds=0)
    await bench.ask("1", max_wait_seconds=0, org_id=stranger)
    await bench.connect()
    await bench.ask("1", max_wait_seconds=0, org_id=stranger)
    await bench.work()
    results = await bench.results()
    theirs = [result for result in results if result["org_id"] == str(stranger)]
    assert [result["error"]["code"] for result in theirs] == ["unknown_connection"] * 2
    (ours,) = [result for result in results if result["org_id"] == str(bench.org_id)]
    assert ours["result"]["id"] == "1"
    assert ours["shared_by"] == 1


async def test_a_read_that_ingest_should_have_refused_fails_clearly(bench: Bench) -> None:
    await bench.connect()
    await bench.ask("1", request_type="get_everything", params={"a": "\x00"})
    (result,) = await bench.results()
    assert result["error"]["code"] == "rejected"
    assert "get_object" in result["error"]["message"]


async def test_a_full_batch_goes_at_once_and_the_rest_waits(bench: Bench) -> None:
    await bench.connect()
    await bench.ask(*map(str, range(60)))
    assert await bench.work() == 1
    assert len(bench.graph.batches[0]) == 50
    assert await bench.statuses() == {"completed": 50, "pending": 10}
