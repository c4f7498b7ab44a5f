import asyncio
import time
from collections.abc import AsyncIterator

import asyncpg
import pytest
from prometheus_client import REGISTRY

from libs.postgres import Database
from libs.runtime import measuring as tables
from libs.runtime.measuring import measure_tables
from tests.support.databases import ServiceDatabase
from tests.support.until import until

pytestmark = pytest.mark.db


@pytest.fixture
async def worker(ingest_database: ServiceDatabase) -> AsyncIterator[Database]:
    database = await Database.connect(ingest_database.worker_dsn, role="worker", application_name="test measuring")
    yield database
    await database.close()


def value(name: str, **labels: str) -> float | None:
    return REGISTRY.get_sample_value(name, labels)


async def test_what_waits_who_carries_it_and_how_jobs_did_become_metrics(
    ingest_database: ServiceDatabase, worker: Database
) -> None:
    witness = await asyncpg.connect(ingest_database.worker_dsn)
    await witness.execute(
        """
        INSERT INTO outbox (shard, key_hash, aggregatetype, aggregateid, type, event_id, source, event_time, created_at)
        SELECT 3, 1, 'requests', 'k', 't', n::text, 's', 'now', now() - interval '90 seconds'
        FROM generate_series(1, 2) AS n;
        INSERT INTO leases (name, owner, epoch, until) VALUES
            ('relay/0', 'somebody', 1, now() + interval '1 hour'), ('relay/1', 'somebody', 1, now());
        INSERT INTO jobs (name, next_run_at) VALUES
            ('measured', now() - interval '40 seconds'), ('undeclared', now());
        INSERT INTO job_runs (job_name, trigger, started_at, ended_at, outcome, lease_epoch) VALUES
            ('measured', 'schedule', to_timestamp(990), to_timestamp(1000), 'succeeded', 1),
            ('measured', 'schedule', to_timestamp(1100), to_timestamp(1103), 'failed', 2),
            ('measured', 'schedule', to_timestamp(1200), to_timestamp(1207), 'timed_out', 3),
            ('measured', 'schedule', to_timestamp(1300), to_timestamp(1301), 'cancelled', 4);
        """
    )
    stop = asyncio.Event()
    measuring = asyncio.create_task(measure_tables(worker, ["measured"], stop))

    async def measured() -> bool:
        return value("job_failures_in_a_row", job_name="measured") is not None

    await until(measured, "the first measurement", 10)
    stop.set()
    await measuring
    await witness.close()
    assert value("outbox_pending_rows", shard="3") == 2
    assert 90 <= (value("outbox_oldest_pending_age_seconds") or 0) < 150
    assert value("relay_unowned_shards") == 7
    assert value("job_last_success_timestamp_seconds", job_name="measured") == 1000
    assert value("job_last_duration_seconds", job_name="measured") == 1
    assert value("job_failures_in_a_row", job_name="measured") == 2
    assert 40 <= (value("job_overdue_seconds", job_name="measured") or 0) < 100
    assert value("job_overdue_seconds", job_name="undeclared") is None


async def test_a_measurement_says_when_it_was_made_and_one_that_fails_does_not(
    worker: Database, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(tables, "MEASURE_SECONDS", 0.05)
    stop = asyncio.Event()
    tables.MEASURED.set(0)
    measuring = asyncio.create_task(measure_tables(worker, [], stop))

    async def is_new() -> bool:
        return (value("tables_measured_timestamp_seconds") or 0) > time.time() - 60

    async def has_failed() -> bool:
        return "could not be measured" in caplog.text

    await until(is_new, "a measurement", 10)
    await worker.close()
    await until(has_failed, "a measurement without a database", 10)
    tables.MEASURED.set(0)
    caplog.clear()
    await until(has_failed, "another one", 10)
    stop.set()
    await measuring
    assert value("tables_measured_timestamp_seconds") == 0


async def test_a_lent_connection_shows_in_the_pool_and_in_its_waits(worker: Database) -> None:
    before = value("database_pool_acquire_seconds_count", role="worker") or 0
    async with worker.acquire():
        assert value("database_pool_connections", role="worker", state="used") == 1
    assert value("database_pool_connections", role="worker", state="used") == 0
    assert value("database_pool_acquire_seconds_count", role="worker") == before + 1
