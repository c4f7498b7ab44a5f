"""What is left when a scheduler is killed, frozen or cut off: every run's row gets its end."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from libs.postgres import Database
from tests.support.databases import ServiceDatabase
from tests.support.jobs import ENDED, Work, make_due, runs, scheduled, until

pytestmark = pytest.mark.db

ROOT = Path(__file__).parents[3]


@pytest.fixture
async def database(ingest_database: ServiceDatabase) -> AsyncIterator[Database]:
    made = await Database.connect(ingest_database.worker_dsn, role="worker", application_name="test")
    yield made
    await made.close()


KILLED = """
import asyncio, sys
from libs.jobs import Job, Scheduler
from libs.postgres import Database

async def sweep(database):
    await asyncio.Event().wait()

async def main():
    database = await Database.connect(sys.argv[1], role="worker", application_name="killed")
    job = Job("sweep", sweep, interval_seconds=3600)
    scheduler = Scheduler(database, [job], "killed", lease_seconds=float(sys.argv[2]), poll_seconds=0.02)
    await scheduler.run(asyncio.Event())

asyncio.run(main())
"""


@contextlib.asynccontextmanager
async def other_process(dsn: str, lease_seconds: float) -> AsyncIterator[asyncio.subprocess.Process]:
    """Another replica, as a process that can be stopped and killed."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", KILLED, dsn, str(lease_seconds), cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def start_in(database: Database, process: asyncio.subprocess.Process) -> None:
    assert process.returncode is None
    await until(database, "SELECT count(*) = 1 FROM jobs")
    await make_due(database)
    await until(database, "SELECT count(*) = 1 FROM job_runs WHERE started_at IS NOT NULL")


async def test_a_killed_replicas_run_is_ended_by_another_and_the_job_runs_again(
    database: Database, ingest_database: ServiceDatabase
) -> None:
    work = Work()
    async with other_process(ingest_database.worker_dsn, 2.0) as process:
        await start_in(database, process)
        process.kill()
        await process.wait()
    async with scheduled(database, work, owner="survivor", lease_seconds=5):
        await until(database, ENDED, 1)
        await make_due(database)
        await work.has_begun()
        work.may_end.release()
        await until(database, ENDED, 2)
    dead, alive = await runs(database)
    assert (dead["outcome"], dead["worker"]) == ("abandoned", "killed")
    assert (alive["outcome"], alive["worker"]) == ("succeeded", "survivor")


async def test_a_frozen_replica_finds_its_lease_gone_and_cannot_end_the_run(
    database: Database, ingest_database: ServiceDatabase
) -> None:
    work = Work()
    async with other_process(ingest_database.worker_dsn, 2.0) as process:
        await start_in(database, process)
        process.send_signal(signal.SIGSTOP)
        async with scheduled(database, work, owner="survivor", lease_seconds=5):
            await until(database, ENDED, 1)
            await make_due(database)
            await work.has_begun()
            process.send_signal(signal.SIGCONT)
            # The frozen one wakes up while the other runs the job; it must neither end that run nor take the job back.
            await until(
                database,
                "SELECT count(*) > 0 FROM pg_stat_activity WHERE application_name = 'killed'"
                " AND state_change > (SELECT max(started_at) FROM job_runs)",
            )
            work.may_end.release()
            await until(database, ENDED, 2)
    outcomes = [(run["outcome"], run["worker"]) for run in await runs(database)]
    assert outcomes == [("abandoned", "killed"), ("succeeded", "survivor")]


async def test_a_run_that_lost_its_lease_is_cancelled_here(database: Database) -> None:
    work = Work()
    async with scheduled(database, work, lease_seconds=0.3):
        await make_due(database)
        await work.has_begun()
        async with database.acquire() as conn:  # as if another replica had taken the job
            await conn.execute("UPDATE jobs SET lease_epoch = lease_epoch + 1, next_run_at = 'infinity'")
        await asyncio.wait_for(work.left.acquire(), 60)
    assert work.runs == 1


async def test_a_long_run_keeps_its_lease(database: Database) -> None:
    work, other = Work(), Work()
    async with scheduled(database, work, lease_seconds=5), scheduled(database, other, owner="two", lease_seconds=5):
        await make_due(database)
        first = asyncio.create_task(work.has_begun())
        second = asyncio.create_task(other.has_begun())
        await asyncio.wait((first, second), return_when=asyncio.FIRST_COMPLETED)
        runner = work if first.done() else other
        async with database.acquire() as conn:
            taken_until = await conn.fetchval("SELECT locked_until FROM jobs")
        await make_due(database)
        await until(database, "SELECT clock_timestamp() > $1::timestamptz + interval '0.5 s'", taken_until)
        assert work.runs + other.runs == 1
        runner.may_end.release()
        for waiting in (first, second):
            waiting.cancel()
        await asyncio.gather(first, second, return_exceptions=True)
        work.may_end.release()
        other.may_end.release()
        await until(database, ENDED, 2)


async def test_the_jobs_go_on_after_the_servers_connections_were_cut(
    database: Database, ingest_database: ServiceDatabase, caplog: pytest.LogCaptureFixture
) -> None:
    work = Work()
    async with scheduled(database, work):
        admin = await asyncpg.connect(ingest_database.admin_dsn)
        await admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        await admin.execute("UPDATE ingest.jobs SET next_run_at = clock_timestamp()")
        await admin.close()
        await work.has_begun()
        work.may_end.release()
        await until(database, ENDED, 1)
    assert "ERROR" not in {record.levelname for record in caplog.records}
