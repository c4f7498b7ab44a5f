"""The ways in: what is read, what the clock starts, what is measured, and a database that goes away meanwhile."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
from prometheus_client import REGISTRY

from libs.postgres import Connection, Database
from services.batcher.handlers import jobs, on_due_calls, on_measure, routes
from tests.support.batcher import Bench, open_bench
from tests.support.databases import ServiceDatabase

pytestmark = pytest.mark.db


@pytest.fixture
async def bench(batcher_database: ServiceDatabase, valkey_url: str, tmp_path: Path) -> AsyncIterator[Bench]:
    async with open_bench(batcher_database, valkey_url, tmp_path) as opened:
        yield opened


def value_of(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, {"platform": "meta", **labels}) or 0.0


async def test_the_card_names_what_is_read(bench: Bench) -> None:
    assert {route.topic for route in routes(bench.deps)} == {
        "ingest.accepted",
        "assets.connections",
        "ingest.identities",
    }


async def test_every_platform_is_flushed_on_its_own_schedule(bench: Bench) -> None:
    found = {job.name: (job.interval_seconds, job.cron) for job in jobs(bench.deps)}
    assert found == {
        "flush_meta": (300, None),
        "prune": (None, "40 2 * * *"),
        "prune_inbox": (None, "50 2 * * *"),
        "prune_parked": (None, "0 3 * * *"),
    }
    assert [job.name for job in jobs(replace(bench.deps, enabled=()))] == ["prune", "prune_inbox", "prune_parked"]


async def test_the_scheduled_flush_leaves_alone_what_is_held(bench: Bench) -> None:
    await bench.connect()
    await bench.ask("1", "2")
    await bench.run(
        "UPDATE calls SET held_for = 'quota', due_at = now() + interval '1 hour' WHERE params->>'object_id' = '2'"
    )
    (flush,) = [job for job in jobs(bench.deps) if job.name == "flush_meta"]
    assert await flush.run(bench.database) == {"connections": 1, "calls_made_due": 1}
    await bench.work()
    assert bench.graph.batches == [["1"]]


async def test_a_platform_that_is_switched_off_sends_nothing(bench: Bench) -> None:
    await bench.connect()
    await bench.ask("1", max_wait_seconds=0)
    assert await on_due_calls(replace(bench.deps, enabled=())) == 0
    assert await bench.statuses() == {"pending": 1}


async def test_what_was_saved_is_counted(bench: Bench) -> None:
    names = ("http_calls_asked", "quota_units", "quota_units_asked")
    before = {name: value_of(f"batcher_{name}_total") for name in names}
    ended = value_of("batcher_asks_ended_total", outcome="completed")
    await bench.connect()
    await bench.ask("1", "1", "1", "2", max_wait_seconds=0)
    await bench.work()
    after = {name: value_of(f"batcher_{name}_total") - before[name] for name in names}
    assert after == {"http_calls_asked": 4, "quota_units": 2, "quota_units_asked": 4}
    assert value_of("batcher_asks_ended_total", outcome="completed") - ended == 4


async def test_the_queue_is_measured(bench: Bench) -> None:
    await bench.ask("1", "2", "3")
    await bench.ask("4", max_wait_seconds=0)
    await bench.run("INSERT INTO paused_platforms (platform, paused_by) VALUES ('meta', 'test')")
    assert await on_measure(bench.deps) == 0
    assert value_of("batcher_calls_waiting", state="waiting") == 4
    assert value_of("batcher_calls_waiting", state="held_for_quota") == 0
    assert value_of("batcher_oldest_due_call_seconds") > 0
    assert value_of("batcher_platform_paused") == 1
    await bench.run("DELETE FROM paused_platforms")
    await on_measure(bench.deps)
    assert value_of("batcher_platform_paused") == 0


async def test_reads_are_logged_on_request_without_their_parameters(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    await bench.connect()
    await bench.ask("4711", max_wait_seconds=0)
    with caplog.at_level(logging.INFO, "services.batcher.handlers"):
        await on_due_calls(replace(bench.deps, log_requests=True))
    (record,) = [record for record in caplog.records if record.message == "read"]
    assert (vars(record)["request_type"], vars(record)["verdict"]) == ("get_object", "Completed")
    assert "4711" not in str(vars(record))


class AwayAfterTheCall:
    """A database whose first transaction after the call finds the server gone."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.opened = 0

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        self.opened += 1
        if self.opened == 2:
            raise ConnectionRefusedError("the server is away")
        async with self._database.transaction() as conn:
            yield conn


async def test_an_outcome_outlives_a_database_that_is_away_for_a_moment(bench: Bench) -> None:
    await bench.connect()
    await bench.ask("1", max_wait_seconds=0)
    away: Any = AwayAfterTheCall(bench.database)
    await on_due_calls(replace(bench.deps, database=cast("Database", away)))
    assert away.opened == 3
    assert len(bench.graph.batches) == 1, "the call was not made again"
    assert await bench.statuses() == {"completed": 1}


async def test_an_outcome_does_not_wait_for_the_database_past_its_lease(bench: Bench) -> None:
    await bench.connect()
    await bench.ask("1", max_wait_seconds=0)
    away: Any = AwayAfterTheCall(bench.database)
    with pytest.raises(ConnectionRefusedError):
        await on_due_calls(replace(bench.deps, database=cast("Database", away), lease_seconds=0.4))
    assert await bench.statuses() == {"processing": 1}
