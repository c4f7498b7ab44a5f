"""Taking calls off the queue: whole batches, filled up, and what is sorted out before a call."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from services.batcher.handlers import on_due_calls
from tests.support.batcher import Bench, open_bench
from tests.support.databases import ServiceDatabase

pytestmark = pytest.mark.db


@pytest.fixture
async def bench(batcher_database: ServiceDatabase, valkey_url: str, tmp_path: Path) -> AsyncIterator[Bench]:
    async with open_bench(batcher_database, valkey_url, tmp_path) as opened:
        yield opened


def refuse_old_tokens(ids: list[str], token: str) -> httpx.Response | None:
    error = {"message": "expired", "type": "OAuthException", "code": 190, "error_subcode": 463}
    return httpx.Response(400, json={"error": error}) if token == "token-1" else None


async def test_200_asks_for_120_objects_cost_3_calls_and_120_units(bench: Bench) -> None:
    await bench.connect()
    await bench.run("INSERT INTO paused_platforms (platform, paused_by) VALUES ('meta', 'test')")
    objects = [str(1000 + number) for number in range(120)]
    asked = await bench.ask(*objects) + await bench.ask(*objects[:80])
    assert await bench.work() == 0
    await bench.run("DELETE FROM paused_platforms")
    await bench.flush()
    assert await bench.work() == 3
    assert sorted(len(batch) for batch in bench.graph.batches) == [20, 50, 50]
    assert bench.graph.units == 120
    results = await bench.results()
    assert Counter(result["request_id"] for result in results) == Counter(map(str, asked))
    assert {result["type"] for result in results} == {"api_request.completed.v1"}
    assert Counter(result["shared_by"] for result in results) == {2: 160, 1: 40}
    (totals,) = await bench.fetch(
        "SELECT sum(http_calls) AS http, sum(quota_units) AS units, sum(asks) AS asks FROM batch_execution_log"
    )
    assert tuple(totals.values()) == (3, 120, 200)
    (ledger,) = await bench.fetch("SELECT sum(units) AS units FROM quota_ledger")
    assert ledger["units"] == 120


async def test_room_in_a_batch_is_filled_with_what_may_still_wait(bench: Bench) -> None:
    await bench.connect()
    await bench.ask("1", "2", "3")
    assert await bench.work() == 0
    await bench.ask("9", max_wait_seconds=0)
    assert await bench.work() == 1
    assert sorted(bench.graph.batches[0]) == ["1", "2", "3", "9"]


async def test_a_read_of_a_newer_version_waits_for_it_and_spoils_nobodys_call(bench: Bench) -> None:
    await bench.connect()
    await bench.ask("1", "2", max_wait_seconds=0)
    await bench.run("UPDATE calls SET request_type = 'get_the_future' WHERE params->>'object_id' = '2'")
    assert await bench.work() == 1
    assert bench.graph.batches == [["1"]]
    (waiting,) = await bench.fetch(
        "SELECT attempts, held_for, due_at > now() AS later FROM calls WHERE status = 'pending'"
    )
    assert tuple(waiting.values()) == (0, "retry", True)
    await bench.run("UPDATE calls SET request_type = 'get_object', due_at = now() WHERE status = 'pending'")
    assert await bench.work() == 1
    assert await bench.statuses() == {"completed": 2}


async def test_two_workers_at_once_claim_whole_batches_and_answer_once(bench: Bench) -> None:
    await bench.connect()
    asked = await bench.ask(*map(str, range(120)), max_wait_seconds=0)
    arrived, both = asyncio.Semaphore(0), asyncio.Event()

    async def wait_for_the_other() -> None:
        arrived.release()
        if len(bench.graph.batches) >= 3:
            both.set()
        await both.wait()

    bench.graph.before = wait_for_the_other
    handled = await asyncio.gather(
        *(on_due_calls(replace(bench.deps, worker=f"worker-{n}", claiming=asyncio.Lock())) for n in range(4))
    )
    assert sorted(handled)[1:] == [20, 50, 50]
    assert sorted(len(batch) for batch in bench.graph.batches) == [20, 50, 50]
    results = await bench.results()
    assert Counter(result["request_id"] for result in results) == Counter(map(str, asked))


async def test_calls_that_kill_every_worker_are_given_up(bench: Bench) -> None:
    await bench.connect()
    await bench.ask("1", max_wait_seconds=0)
    await bench.run("UPDATE calls SET status = 'processing', attempts = 3, locked_by = 'x', locked_until = now()")
    await bench.work()
    (result,) = await bench.results()
    assert result["error"]["code"] == "gave_up"
    assert bench.graph.batches == []


async def test_a_connection_that_stays_unknown_fails_the_read(bench: Bench) -> None:
    await bench.ask("1", max_wait_seconds=0)
    await bench.work()
    await bench.run("UPDATE calls SET due_at = now()")
    await bench.work()
    (result,) = await bench.results()
    assert result["error"]["code"] == "unknown_connection"
    assert bench.graph.batches == []


async def test_without_a_newer_token_the_read_fails_in_the_end(bench: Bench) -> None:
    await bench.connect()
    bench.graph.whole = refuse_old_tokens
    await bench.ask("1", max_wait_seconds=0)
    await bench.work()
    await bench.run("UPDATE calls SET due_at = now()")
    await bench.work()
    (result,) = await bench.results()
    assert result["error"]["code"] == "auth_expired"
    assert len(bench.graph.batches) == 1


async def test_a_dead_workers_call_and_its_successor_become_one(bench: Bench) -> None:
    await bench.connect()
    asked = await bench.ask("1", max_wait_seconds=0)
    await bench.run("UPDATE calls SET status = 'processing', locked_by = 'dead', locked_until = now()")
    asked += await bench.ask("1", max_wait_seconds=0)
    await bench.work()
    assert bench.graph.batches == [["1"]]
    assert Counter(result["request_id"] for result in await bench.results()) == Counter(map(str, asked))
    assert await bench.statuses("calls") == {"completed": 1, "skipped": 1}


async def test_a_throttle_that_does_not_end_is_given_up_in_the_end(bench: Bench) -> None:
    await bench.connect()
    throttled = {"error": {"message": "slow down", "type": "OAuthException", "code": 17}}
    bench.graph.whole = lambda ids, token: httpx.Response(400, json=throttled)
    await bench.ask("1", max_wait_seconds=0)
    await bench.work()
    await bench.run("UPDATE calls SET due_at = now()")
    await bench.run("UPDATE batch_request_queue SET give_up_at = now()")
    await bench.work()
    (result,) = await bench.results()
    assert result["error"]["code"] == "gave_up"
    assert await bench.statuses("calls") == {"skipped": 1}
