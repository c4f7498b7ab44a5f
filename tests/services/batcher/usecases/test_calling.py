"""The call itself: token, quota, and what is told to the limiter."""

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from libs.platforms.meta.settings import MetaSettings
from libs.security.key_file import new_key
from libs.security.sealing import KeyRing
from tests.support.batcher import Bench, Item, build_bench, error_item, good, open_bench
from tests.support.databases import ServiceDatabase

pytestmark = pytest.mark.db


@pytest.fixture
async def bench(batcher_database: ServiceDatabase, valkey_url: str, tmp_path: Path) -> AsyncIterator[Bench]:
    async with open_bench(batcher_database, valkey_url, tmp_path) as opened:
        yield opened


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


async def test_one_odd_refusal_of_a_token_that_works_stops_no_connection(bench: Bench) -> None:
    await bench.connect()
    bench.graph.item = lambda each: error_item(400, 190, 463) if each == "2" else good(each)
    await bench.ask("1", "2", max_wait_seconds=0)
    await bench.work()
    assert await bench.fetch("SELECT FROM connections WHERE refused_version IS NOT NULL") == []
    (call,) = await bench.fetch("SELECT held_for, attempts FROM calls WHERE status = 'pending'")
    assert tuple(call.values()) == ("retry", 1)
    await bench.ask("3", max_wait_seconds=0)
    await bench.work()
    assert await bench.statuses() == {"completed": 2, "pending": 1}


async def test_an_apps_throttle_stops_every_connection_of_the_app_and_of_no_other(bench: Bench) -> None:
    await bench.connect()
    throttled = {"error": {"message": "slow down", "type": "OAuthException", "code": 4}}
    bench.graph.whole = lambda ids, token: httpx.Response(403, json=throttled)
    await bench.ask("1", max_wait_seconds=0)
    await bench.work()
    bench.graph.whole = None
    same_app = replace(bench, connection_id=uuid4())
    await same_app.connect(token="token-2")
    await same_app.ask("2", max_wait_seconds=0)
    other_app = replace(bench, connection_id=uuid4(), app_id="815")
    await other_app.connect(token="token-3")
    await other_app.ask("3", max_wait_seconds=0)
    await bench.work()
    assert bench.graph.tokens == ["token-1", "token-3"]
    assert await bench.statuses() == {"pending": 2, "completed": 1}


async def test_an_accounts_throttle_leaves_the_users_other_reads_alone(bench: Bench) -> None:
    await bench.connect()
    bench.graph.item = lambda each: error_item(400, 80004, 2446079) if each == "1" else good(each)
    await bench.ask("1", max_wait_seconds=0)
    await bench.work()
    await bench.ask("2", max_wait_seconds=0)
    await bench.work()
    assert await bench.statuses() == {"pending": 1, "completed": 1}


async def test_wrong_settings_of_ours_end_no_ask(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    await bench.connect()
    error = {"message": "Invalid appsecret_proof provided in the API argument", "code": 100}
    bench.graph.whole = lambda ids, token: httpx.Response(400, json={"error": error})
    await bench.ask("1", "2", max_wait_seconds=0)
    await bench.work()
    calls = await bench.fetch("SELECT held_for, attempts FROM calls")
    assert [tuple(call.values()) for call in calls] == [("retry", 0)] * 2
    assert "our own settings" in caplog.text
    bench.graph.whole = None
    await bench.run("UPDATE calls SET due_at = now()")
    await bench.work()
    assert await bench.statuses() == {"completed": 2}


async def test_a_batch_refused_as_a_whole_is_no_single_reads_fault(bench: Bench) -> None:
    await bench.connect()
    error = {"message": "odd", "type": "OAuthException", "code": 100}
    bench.graph.whole = lambda ids, token: httpx.Response(400, json={"error": error}) if "1" in ids else None
    await bench.ask("1", "2", max_wait_seconds=0)
    await bench.work()
    assert await bench.statuses() == {"pending": 2}
    await bench.run("UPDATE calls SET due_at = now() WHERE params ->> 'object_id' = '2'")
    await bench.work()
    for _ in range(bench.deps.limits.max_attempts - 1):
        await bench.run("UPDATE calls SET due_at = now() WHERE status = 'pending'")
        await bench.work()
    assert bench.graph.batches == [["1", "2"], ["2"], ["1"], ["1"]]
    assert await bench.statuses() == {"completed": 1, "failed": 1}
    (failed,) = (result for result in await bench.results() if result["type"] == "api_request.failed.v1")
    assert (failed["error"]["code"], failed["error"]["platform_code"]) == ("gave_up", "100")


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


@pytest.mark.parametrize(
    ("items", "outcome"),
    [
        ({"1": None, "2": error_item(500, 2)}, "unavailable"),
        ({"1": error_item(400, 80004, 2446079), "2": error_item(400, 80004, 2446079)}, "rate_limited"),
        ({"1": error_item(500, 2), "2": good("2")}, "answered"),
        ({"1": error_item(500, 2), "2": error_item(400, 100, 33)}, "answered"),
        ({"1": error_item(400, 190, 463), "2": error_item(400, 190, 463)}, "answered"),
    ],
    ids=["all unavailable", "all throttled", "one was read", "one is refused for good", "the token is refused"],
)
async def test_a_call_that_is_answered_with_failures_alone_counts_as_a_failure(
    bench: Bench, items: dict[str, Item], outcome: str
) -> None:
    await bench.connect()
    bench.graph.item = lambda each: items[each]
    await bench.ask("1", "2", max_wait_seconds=0)
    await bench.work()
    (log,) = await bench.fetch("SELECT outcome FROM batch_execution_log")
    assert log["outcome"] == outcome


async def test_secrets_are_in_no_row_and_no_event(bench: Bench) -> None:
    await bench.connect(token="very-secret-token")
    error = {"message": "bad very-secret-token", "type": "OAuthException", "code": 100}
    bench.graph.item = lambda _: {"code": 400, "headers": [], "body": json.dumps({"error": error})}
    await bench.ask("1", max_wait_seconds=0)
    await bench.work()
    for table in ("connections", "calls", "batch_request_queue", "batch_execution_log", "quota_ledger", "outbox"):
        rows = await bench.fetch(f"SELECT row.*::text AS text FROM {table} AS row")
        assert rows
        assert all("very-secret-token" not in row["text"] for row in rows)
    assert all("very-secret-token" not in str(result) for result in await bench.results())
