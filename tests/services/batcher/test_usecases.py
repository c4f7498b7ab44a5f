"""The batcher's verbs against a real database and limiter."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from libs.platforms.meta.settings import MetaSettings
from libs.postgres import Database
from libs.quota.limiter import Limiter
from libs.security.key_file import new_key
from libs.security.sealing import KeyRing
from libs.vocabulary import ConnectionStatus
from services.batcher.handlers import on_due_calls
from services.batcher.usecases.calling import Sending, call_platform
from services.batcher.usecases.claiming import claim_batch
from services.batcher.usecases.settling import record
from tests.support.batcher import LIMITS, Bench, build_bench, error_item, good
from tests.support.databases import ServiceDatabase

pytestmark = pytest.mark.db


@pytest.fixture
async def bench(batcher_database: ServiceDatabase, valkey_url: str, tmp_path: Path) -> AsyncIterator[Bench]:
    new_key(tmp_path / "keys.json")
    database = await Database.connect(batcher_database.worker_dsn, role="worker", application_name="test")
    limiter = Limiter(valkey_url)
    yield build_bench(database, limiter, KeyRing.from_file(tmp_path / "keys.json"))
    await limiter.close()
    await database.close()


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


async def test_a_full_batch_goes_at_once_and_the_rest_waits(bench: Bench) -> None:
    await bench.connect()
    await bench.ask(*map(str, range(60)))
    assert await bench.work() == 1
    assert len(bench.graph.batches[0]) == 50
    assert await bench.statuses() == {"completed": 50, "pending": 10}


async def test_room_in_a_batch_is_filled_with_what_may_still_wait(bench: Bench) -> None:
    await bench.connect()
    await bench.ask("1", "2", "3")
    assert await bench.work() == 0
    await bench.ask("9", max_wait_seconds=0)
    assert await bench.work() == 1
    assert sorted(bench.graph.batches[0]) == ["1", "2", "3", "9"]


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


async def test_a_throttled_scope_is_blocked_and_burns_no_try(bench: Bench) -> None:
    await bench.connect()
    throttled = {"error": {"message": "slow down", "type": "OAuthException", "code": 17}}
    bench.graph.whole = lambda ids, token: httpx.Response(400, json=throttled)
    await bench.ask("1", max_wait_seconds=0)
    assert await bench.work() == 1
    (call,) = await bench.fetch(
        "SELECT attempts, held_for, extract(epoch FROM due_at - now())::int BETWEEN 100 AND 120 AS later FROM calls"
    )
    assert tuple(call.values()) == (0, "quota", True)
    bench.graph.whole = None
    await bench.ask("2", max_wait_seconds=0)
    await bench.work()
    assert len(bench.graph.batches) == 1, "the limiter lets nothing through while the scope is blocked"
    assert await bench.statuses() == {"pending": 2}
    (log,) = await bench.fetch("SELECT outcome, rate_limited FROM batch_execution_log")
    assert tuple(log.values()) == ("rate_limited", True)


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


async def test_what_fits_a_small_budget_goes_most_urgent_first(bench: Bench) -> None:
    await bench.connect()
    small = build_bench(bench.database, bench.deps.limiter, bench.ring, meta=MetaSettings(platform_units_per_hour=10))
    small = replace(small, org_id=bench.org_id, connection_id=bench.connection_id)
    await small.ask(*map(str, range(100, 110)), priority=5, max_wait_seconds=0)
    await small.ask("1", "2", "3", priority=1, max_wait_seconds=0)
    await small.work()
    sent = [each for batch in small.graph.batches for each in batch]
    assert set(sent) >= {"1", "2", "3"}
    assert 5 <= len(sent) <= 10
    statuses = await small.statuses()
    assert statuses == {"completed": len(sent), "pending": 13 - len(sent)}
    held = await small.fetch("SELECT DISTINCT held_for, attempts FROM calls WHERE status = 'pending'")
    assert [tuple(row.values()) for row in held] == [("quota", 0)]


def refuse_old_tokens(ids: list[str], token: str) -> httpx.Response | None:
    error = {"message": "expired", "type": "OAuthException", "code": 190, "error_subcode": 463}
    return httpx.Response(400, json={"error": error}) if token == "token-1" else None


async def test_a_refused_token_waits_for_a_newer_one(bench: Bench) -> None:
    await bench.connect()
    bench.graph.whole = refuse_old_tokens
    await bench.ask("1", max_wait_seconds=0)
    await bench.work()
    await bench.ask("2", max_wait_seconds=0)
    await bench.work()
    assert bench.graph.tokens == ["token-1"], "nothing is sent again with a token that was refused"
    assert await bench.statuses() == {"pending": 2}
    await bench.flush()
    assert await bench.work() == 0
    await bench.connect(version=2, token="token-2")
    assert await bench.work() == 1
    assert bench.graph.tokens == ["token-1", "token-2"]
    assert await bench.statuses() == {"completed": 2}
    assert len(await bench.results()) == 2


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


async def test_a_connection_may_become_known_after_the_ask(bench: Bench) -> None:
    await bench.ask("1", max_wait_seconds=0)
    await bench.work()
    assert await bench.statuses() == {"pending": 1}
    await bench.connect()
    await bench.work()
    assert await bench.statuses() == {"completed": 1}


async def test_a_connection_that_stays_unknown_fails_the_read(bench: Bench) -> None:
    await bench.ask("1", max_wait_seconds=0)
    await bench.work()
    await bench.run("UPDATE calls SET due_at = now()")
    await bench.work()
    (result,) = await bench.results()
    assert result["error"]["code"] == "unknown_connection"
    assert bench.graph.batches == []


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


async def test_a_result_too_large_for_a_message_comes_in_parts(bench: Bench) -> None:
    import json

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
    handled = await asyncio.gather(*(on_due_calls(replace(bench.deps, worker=f"worker-{n}")) for n in range(4)))
    assert sorted(handled)[1:] == [20, 50, 50]
    assert sorted(len(batch) for batch in bench.graph.batches) == [20, 50, 50]
    results = await bench.results()
    assert Counter(result["request_id"] for result in results) == Counter(map(str, asked))


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


async def test_calls_that_kill_every_worker_are_given_up(bench: Bench) -> None:
    await bench.connect()
    await bench.ask("1", max_wait_seconds=0)
    await bench.run("UPDATE calls SET status = 'processing', attempts = 3, locked_by = 'x', locked_until = now()")
    await bench.work()
    (result,) = await bench.results()
    assert result["error"]["code"] == "gave_up"
    assert bench.graph.batches == []


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


async def test_a_token_sealed_under_a_missing_key_waits_and_is_never_sent(bench: Bench, tmp_path: Path) -> None:
    new_key(tmp_path / "other.json")
    other = KeyRing.from_file(tmp_path / "other.json")
    await replace(bench, ring=other).connect()
    await bench.ask("1", max_wait_seconds=0)
    await bench.work()
    assert bench.graph.batches == []
    assert await bench.statuses() == {"pending": 1}
    await bench.connect(version=2)
    await bench.work()
    assert await bench.statuses() == {"completed": 1}


async def test_secrets_are_in_no_row_and_no_event(bench: Bench) -> None:
    await bench.connect(token="very-secret-token")
    error = {"message": "bad very-secret-token", "type": "OAuthException", "code": 100}
    bench.graph.whole = lambda ids, token: httpx.Response(400, json={"error": error})
    await bench.ask("1", max_wait_seconds=0)
    await bench.work()
    for table in ("connections", "calls", "batch_request_queue", "batch_execution_log", "quota_ledger", "outbox"):
        rows = await bench.fetch(f"SELECT row.*::text AS text FROM {table} AS row")
        assert rows
        assert all("very-secret-token" not in row["text"] for row in rows)
    assert all("very-secret-token" not in str(result) for result in await bench.results())


async def test_a_dead_workers_call_and_its_successor_become_one(bench: Bench) -> None:
    await bench.connect()
    asked = await bench.ask("1", max_wait_seconds=0)
    await bench.run("UPDATE calls SET status = 'processing', locked_by = 'dead', locked_until = now()")
    asked += await bench.ask("1", max_wait_seconds=0)
    await bench.work()
    assert bench.graph.batches == [["1"]]
    assert Counter(result["request_id"] for result in await bench.results()) == Counter(map(str, asked))
    assert await bench.statuses("calls") == {"completed": 1, "skipped": 1}
