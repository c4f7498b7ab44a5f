"""What becomes of calls: answered, refused, repeated, held; and what a crash or a lost lease leaves."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from services.batcher.handlers import on_due_calls
from services.batcher.usecases.calling import Sending, call_platform
from services.batcher.usecases.claiming import claim_batch
from services.batcher.usecases.settling import Delays, record
from tests.support.batcher import LIMITS, Bench, error_item, good, open_bench
from tests.support.databases import ServiceDatabase

pytestmark = pytest.mark.db


@pytest.fixture
async def bench(batcher_database: ServiceDatabase, valkey_url: str, tmp_path: Path) -> AsyncIterator[Bench]:
    async with open_bench(batcher_database, valkey_url, tmp_path) as opened:
        yield opened


async def test_a_read_is_answered_with_its_own_result(bench: Bench) -> None:
    await bench.connect()
    (request_id,) = await bench.ask("7", max_wait_seconds=0)
    assert await bench.work() == 1
    (result,) = await bench.results()
    assert result["type"] == "api_request.completed.v1"
    assert result["key"] == f"{bench.org_id}/{request_id}"
    assert result["request_id"] == str(request_id)
    assert result["result"] == {"id": "7", "name": "Name of 7"}
    assert (result["part"], result["parts"], result["shared_by"], result["http_status"]) == (1, 1, 1, 200)
    assert result["correlation_id"] == "correlation-7"
    assert result["causation_id"]
    assert bench.graph.tokens == ["token-1"]
    assert await bench.statuses() == await bench.statuses("calls") == {"completed": 1}


async def test_null_and_aborted_items_are_read_again_and_the_others_are_done(bench: Bench) -> None:
    await bench.connect()
    bench.graph.item = lambda each: {"1": None, "2": error_item(500, 960)}.get(each, good(each))
    await bench.ask("1", "2", "3", max_wait_seconds=0)
    assert await bench.work() == 1
    assert await bench.statuses() == {"completed": 1, "pending": 2}
    waiting = await bench.fetch(
        "SELECT attempts, held_for, due_at > now() AS later FROM calls WHERE status = 'pending'"
    )
    assert [tuple(row.values()) for row in waiting] == [(1, "retry", True)] * 2
    bench.graph.item = good
    await bench.run("UPDATE calls SET due_at = now() WHERE status = 'pending'")
    assert await bench.work() == 1
    assert sorted(bench.graph.batches[1]) == ["1", "2"]
    assert await bench.statuses() == {"completed": 3}
    assert len(await bench.results()) == 3


async def test_a_read_that_always_fails_is_given_up_after_its_tries(bench: Bench) -> None:
    await bench.connect()
    bench.graph.item = lambda _: None
    await bench.ask("1", max_wait_seconds=0)
    for _ in range(LIMITS.max_attempts):
        assert await bench.work() == 1
        await bench.run("UPDATE calls SET due_at = now() WHERE status = 'pending'")
    assert await bench.work() == 0
    (result,) = await bench.results()
    assert result["type"] == "api_request.failed.v1"
    assert (result["error"]["code"], result["error"]["attempts"]) == ("gave_up", 3)


async def test_a_refused_item_fails_with_the_platforms_code(bench: Bench) -> None:
    await bench.connect()
    bench.graph.item = lambda each: error_item(400, 100, 33) if each == "1" else good(each)
    await bench.ask("1", "1", "2", max_wait_seconds=0)
    await bench.work()
    failed = [result for result in await bench.results() if result["type"] == "api_request.failed.v1"]
    assert [result["error"]["platform_code"] for result in failed] == ["100/33"] * 2
    assert failed[0]["error"]["code"] == "rejected"


async def test_a_character_that_no_table_or_event_holds_spoils_no_answer(bench: Bench) -> None:
    await bench.connect()
    refused = {"code": 400, "headers": [], "body": json.dumps({"error": {"message": "no\x00", "code": 100}})}
    odd = {"code": 200, "headers": [], "body": json.dumps({"id": "2", "name\x00": "a\x00b \\u0000"})}
    bench.graph.item = lambda each: {"1": refused, "2": odd}.get(each, good(each))
    await bench.ask("1", "2", "3", max_wait_seconds=0)
    assert await bench.work() == 1
    assert await bench.statuses() == {"completed": 2, "failed": 1}
    results = await bench.results()
    assert {"id": "2", "name\ufffd": "a\ufffdb \\u0000"} in [result.get("result") for result in results]
    assert [result["error"]["message"] for result in results if "error" in result] == ["no\ufffd"]


async def test_a_whole_call_that_is_cut_off_is_read_again(bench: Bench) -> None:
    await bench.connect()

    def cut(ids: list[str], token: str) -> httpx.Response | None:
        raise httpx.RemoteProtocolError("gone")

    bench.graph.whole = cut
    await bench.ask("1", "2", max_wait_seconds=0)
    assert await bench.work() == 1
    bench.graph.whole = None
    await bench.run("UPDATE calls SET due_at = now()")
    await bench.work()
    assert await bench.statuses() == {"completed": 2}
    assert len(await bench.results()) == 2


async def test_a_result_too_large_for_a_message_comes_in_parts(bench: Bench) -> None:
    await bench.connect()
    body = {"id": "1", "text": 'ä"\\' * 500_000}
    bench.graph.item = lambda each: {"code": 200, "headers": [], "body": json.dumps(body)}
    await bench.ask("1", "1", max_wait_seconds=0)
    await bench.work()
    results = await bench.results()
    by_request: dict[str, list[dict[str, Any]]] = {}
    for result in results:
        by_request.setdefault(result["request_id"], []).append(result)
    assert len(by_request) == 2
    for parts in by_request.values():
        assert [part["part"] for part in parts] == list(range(1, len(parts) + 1))
        assert {part["parts"] for part in parts} == {len(parts)}
        assert all(part["result"] is None for part in parts)
        assert json.loads("".join(part["chunk"] for part in parts)) == body


async def test_a_worker_that_lost_its_lease_writes_nothing(bench: Bench) -> None:
    await bench.connect()
    await bench.ask("1", max_wait_seconds=0)

    async def lose_the_lease() -> None:
        bench.graph.before = None
        await bench.run("UPDATE calls SET locked_until = now()")
        assert await bench.work() == 1

    bench.graph.before = lose_the_lease
    await on_due_calls(bench.deps)
    assert len(bench.graph.batches) == 2
    assert len(await bench.results()) == 1
    assert await bench.statuses("calls") == {"completed": 1}
    (logged,) = await bench.fetch(
        "SELECT sum(completed) AS completed, sum(http_calls) AS http FROM batch_execution_log"
    )
    assert tuple(logged.values()) == (1, 2), "both calls cost, one counted"


async def test_a_worker_killed_in_any_gap_leaves_calls_that_another_finishes(bench: Bench) -> None:
    await bench.connect()
    deps = bench.deps
    batching = next(iter(deps.platforms.values())).batching
    assert batching is not None
    await bench.ask("1", "2", max_wait_seconds=0)

    async def claim() -> Any:
        async with bench.database.transaction() as conn:
            return await claim_batch(conn, deps.platforms, deps.enabled, "killed", lease_seconds=60, limits=deps.limits)

    async def next_lease() -> None:
        assert await bench.work() == 0, "nobody takes a call whose lease lasts"
        await bench.run("UPDATE calls SET locked_until = now() WHERE status = 'processing'")

    await claim()  # killed after the claim, before the call
    assert await bench.statuses() == {"processing": 2}
    await next_lease()
    batch = await claim()
    sending = Sending(batching, deps.ring, deps.limiter, deps.limits, 5)
    report = await call_platform(batch, sending)  # killed after the call, before the record
    await next_lease()
    batch = await claim()
    report = await call_platform(batch, sending)

    class Killed(Exception):  # noqa: N818
        pass

    with pytest.raises(Killed):
        async with bench.database.transaction() as conn:
            await record(conn, batch, report, deps.limits)
            raise Killed  # killed before the commit
    assert await bench.results() == []
    async with bench.database.transaction() as conn:
        await record(conn, batch, report, deps.limits)
    # killed after the commit, before anything else: a second record finds nothing that is still its own
    async with bench.database.transaction() as conn:
        settled = await record(conn, batch, report, deps.limits)
    assert (settled.completed, settled.failed, settled.put_back) == (0, 0, 0)
    assert len(await bench.results()) == 2
    assert await bench.statuses() == {"completed": 2}


async def test_a_worker_that_is_stopped_during_a_call_gives_its_calls_back(bench: Bench) -> None:
    await bench.connect()
    await bench.ask("1", max_wait_seconds=0)
    sent, never = asyncio.Event(), asyncio.Event()

    async def hang() -> None:
        sent.set()
        await never.wait()

    bench.graph.before = hang
    task = asyncio.create_task(on_due_calls(bench.deps))
    await sent.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    (call,) = await bench.fetch("SELECT status, attempts, due_at <= now() AS due FROM calls")
    assert tuple(call.values()) == ("pending", 0, True)
    bench.graph.before = None
    assert await bench.work() == 1
    assert await bench.statuses() == {"completed": 1}


async def test_asks_during_a_call_get_a_call_of_their_own_and_merge_when_it_must_be_repeated(bench: Bench) -> None:
    await bench.connect()
    bench.graph.item = lambda _: None
    first = await bench.ask("1", max_wait_seconds=0)
    second: list[Any] = []

    async def ask_again() -> None:
        bench.graph.before = None
        second.extend(await bench.ask("1"))

    bench.graph.before = ask_again
    await on_due_calls(bench.deps)
    assert await bench.statuses("calls") == {"skipped": 1, "pending": 1}
    (waiting,) = await bench.fetch(
        "SELECT attempts, held_for, due_at < now() + interval '10 s' AS soon FROM calls WHERE status = 'pending'"
    )
    assert tuple(waiting.values()) == (1, "retry", True), "it waits as the repeated call would have"
    bench.graph.item = good
    await bench.run("UPDATE calls SET due_at = now() WHERE status = 'pending'")
    await bench.work()
    results = await bench.results()
    assert Counter(result["request_id"] for result in results) == Counter(map(str, first + second))
    assert {result["shared_by"] for result in results} == {2}


def test_calls_of_one_batch_first_wait_alike_and_later_each_on_its_own() -> None:
    delays = Delays(LIMITS)
    assert len({delays.before_next(1) for _ in range(20)}) == 1
    assert len({delays.before_next(3) for _ in range(20)}) > 10
    assert 1.0 <= delays.before_next(1) <= 2.0


async def test_a_token_renewed_while_its_call_is_under_way_does_not_leave_the_read_waiting(bench: Bench) -> None:
    await bench.connect()
    await bench.ask("1", max_wait_seconds=0)

    async def renew() -> None:
        bench.graph.before = None
        await bench.connect(version=2, token="token-2")

    def refuse_the_old(_: list[str], token: str) -> httpx.Response | None:
        error = {"message": "expired", "type": "OAuthException", "code": 190, "error_subcode": 463}
        return httpx.Response(400, json={"error": error}) if token == "token-1" else None

    bench.graph.before, bench.graph.whole = renew, refuse_the_old
    await bench.work()
    assert bench.graph.tokens == ["token-1", "token-2"]
    assert await bench.statuses() == {"completed": 1}
