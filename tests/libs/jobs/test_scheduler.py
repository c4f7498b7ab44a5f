"""Jobs: one replica at a time, a row per run, and an end to every row."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from libs.jobs import Job, Scheduler, UnknownJob, list_jobs, list_runs, request_run, set_paused
from libs.postgres import Database
from tests.support.databases import ServiceDatabase

pytestmark = pytest.mark.db

ROOT = Path(__file__).parents[3]
FAR = 3600.0


@pytest.fixture
async def database(ingest_database: ServiceDatabase) -> AsyncIterator[Database]:
    made = await Database.connect(ingest_database.worker_dsn, role="worker", application_name="test")
    yield made
    await made.close()


class Work:
    """A job whose runs begin and end when the test says so."""

    def __init__(self, name: str = "sweep", **options: Any) -> None:
        self.begun = asyncio.Semaphore(0)
        self.may_end = asyncio.Semaphore(0)
        self.left = asyncio.Semaphore(0)
        self.at_once = 0
        self.most_at_once = 0
        self.runs = 0
        self.error: Exception | None = None
        self.job = Job(name, self.run, **({"interval_seconds": FAR} | options))

    async def run(self, _: Database) -> Mapping[str, int]:
        self.runs += 1
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        self.begun.release()
        try:
            await self.may_end.acquire()
        finally:
            self.at_once -= 1
            self.left.release()
        if self.error is not None:
            raise self.error
        return {"swept": self.runs}

    async def has_begun(self) -> None:
        await asyncio.wait_for(self.begun.acquire(), 10)


@contextlib.asynccontextmanager
async def scheduled(
    database: Database, *works: Work, owner: str = "one", lease_seconds: float = 30, drain_seconds: float = 10
) -> AsyncIterator[Scheduler]:
    """A scheduler at work for the length of the block."""
    scheduler = Scheduler(
        database,
        [work.job for work in works],
        owner,
        lease_seconds=lease_seconds,
        poll_seconds=0.02,
        drain_seconds=drain_seconds,
    )
    stop = asyncio.Event()
    running = asyncio.create_task(scheduler.run(stop))
    try:
        await until(database, "SELECT count(*) = $1 FROM jobs", len(works))
        yield scheduler
    finally:
        stop.set()
        await asyncio.wait_for(running, 20)


async def until(database: Database, question: str, *args: object) -> None:
    """Wait until the database answers yes."""
    async with asyncio.timeout(15), database.acquire() as conn:
        while not await conn.fetchval(question, *args):
            pass


async def make_due(database: Database, name: str = "sweep") -> None:
    async with database.acquire() as conn:
        await conn.execute("UPDATE jobs SET next_run_at = clock_timestamp() - interval '1 s' WHERE name = $1", name)


async def runs(database: Database) -> list[dict[str, Any]]:
    """All runs, oldest first."""
    async with database.acquire() as conn:
        return list(reversed(await list_runs(conn)))


ENDED = "SELECT count(*) = $1 FROM job_runs WHERE ended_at IS NOT NULL"


async def test_a_due_job_runs_once_and_leaves_a_row_with_its_counts(database: Database) -> None:
    work = Work()
    work.may_end.release()
    async with scheduled(database, work):
        await make_due(database)
        await until(database, ENDED, 1)
    (run,) = await runs(database)
    assert (run["trigger"], run["outcome"], run["counts"], run["worker"]) == (
        "schedule",
        "succeeded",
        {"swept": 1},
        "one",
    )
    async with database.acquire() as conn:
        (job,) = await list_jobs(conn)
        assert await conn.fetchval("SELECT next_run_at > clock_timestamp() FROM jobs")
    assert (job["locked_by"], job["last_outcome"], job["last_counts"]) == (None, "succeeded", {"swept": 1})


async def test_a_new_job_waits_for_its_first_planned_time_and_a_known_one_keeps_its(database: Database) -> None:
    work = Work()
    async with scheduled(database, work):
        await until(database, "SELECT next_run_at > clock_timestamp() + interval '50 min' FROM jobs")
    async with database.acquire() as conn:
        before = await conn.fetchval("SELECT next_run_at FROM jobs")
    async with scheduled(database, work, owner="restarted"), database.acquire() as conn:
        assert await conn.fetchval("SELECT next_run_at FROM jobs") == before
    assert work.runs == 0


async def test_of_several_replicas_one_runs_the_job(database: Database) -> None:
    work = Work()
    async with contextlib.AsyncExitStack() as stack:
        for n in range(4):
            await stack.enter_async_context(scheduled(database, work, owner=f"replica {n}"))
        for n in range(1, 6):
            await make_due(database)
            await work.has_begun()
            await make_due(database)  # due again while it runs: no second one beside it
            work.may_end.release()
            await work.has_begun()
            work.may_end.release()
            await until(database, ENDED, 2 * n)
    assert work.most_at_once == 1
    assert [run["outcome"] for run in await runs(database)] == ["succeeded"] * 10


async def test_different_jobs_run_beside_each_other(database: Database) -> None:
    slow, quick = Work("slow"), Work("quick")
    async with scheduled(database, slow, quick):
        await make_due(database, "slow")
        await slow.has_begun()
        await make_due(database, "quick")
        await quick.has_begun()
        quick.may_end.release()
        slow.may_end.release()
        await until(database, ENDED, 2)


async def test_a_failing_run_keeps_its_error_without_secrets_and_the_next_one_comes(database: Database) -> None:
    work = Work()
    work.error = ValueError("refused: access_token=EAAplantedsecret1234567890")
    async with scheduled(database, work):
        for n in (1, 2):
            work.may_end.release()
            await make_due(database)
            await until(database, ENDED, n)
            work.error = None
    first, second = await runs(database)
    assert (first["outcome"], second["outcome"]) == ("failed", "succeeded")
    assert "refused" in first["error"]
    assert "plantedsecret" not in first["error"]


async def test_a_run_over_its_time_limit_is_cut_off(database: Database) -> None:
    work = Work(time_limit_seconds=0.05)
    async with scheduled(database, work):
        await make_due(database)
        await until(database, ENDED, 1)
        assert work.at_once == 0
    (run,) = await runs(database)
    assert (run["outcome"], run["error"]) == ("timed_out", "ran longer than 0.05 s")


async def test_a_time_out_of_the_jobs_own_is_a_failure_not_its_limit(database: Database) -> None:
    work = Work()
    work.error = TimeoutError("the pool is busy")
    work.may_end.release()
    async with scheduled(database, work):
        await make_due(database)
        await until(database, ENDED, 1)
    assert [run["outcome"] for run in await runs(database)] == ["failed"]


async def test_a_run_asked_for_by_hand_waits_for_the_one_at_work(database: Database) -> None:
    work = Work()
    async with scheduled(database, work) as scheduler:
        await make_due(database)
        await work.has_begun()
        asked = await scheduler.run_now("sweep", requested_by="ops@example")
        assert await scheduler.run_now("sweep") == asked, "a second request shares the open one"
        assert work.runs == 1
        work.may_end.release()
        await work.has_begun()
        work.may_end.release()
        await until(database, ENDED, 2)
    first, second = await runs(database)
    assert (first["trigger"], second["trigger"], second["id"]) == ("schedule", "manual", asked)
    assert second["requested_by"] == "ops@example"
    assert work.most_at_once == 1


async def test_a_run_asked_for_by_hand_does_not_move_the_plan(database: Database) -> None:
    work = Work()
    work.may_end.release()
    async with scheduled(database, work) as scheduler, database.acquire() as conn:
        planned = await conn.fetchval("SELECT next_run_at FROM jobs")
        await scheduler.run_now("sweep")
        await until(database, ENDED, 1)
        assert await conn.fetchval("SELECT next_run_at FROM jobs") == planned


async def test_a_request_from_elsewhere_is_taken_by_whoever_runs_the_jobs(database: Database) -> None:
    work = Work()
    work.may_end.release()
    async with scheduled(database, work), database.transaction() as conn:
        await request_run(conn, "sweep", requested_by="api")
    async with scheduled(database, work, owner="two"):
        await until(database, ENDED, 1)


async def test_a_paused_job_runs_only_when_asked_for(database: Database) -> None:
    work = Work()
    async with scheduled(database, work) as scheduler:
        async with database.transaction() as conn:
            await set_paused(conn, "sweep", True)
        await make_due(database)
        await scheduler.run_now("sweep")
        await work.has_begun()
        work.may_end.release()
        await until(database, ENDED, 1)
        assert [run["trigger"] for run in await runs(database)] == ["manual"]
        await make_due(database)
        async with database.transaction() as conn:
            await set_paused(conn, "sweep", False)
        await work.has_begun()
        work.may_end.release()
        await until(database, ENDED, 2)


async def test_an_unknown_job_cannot_be_asked_for_or_paused(database: Database) -> None:
    async with database.transaction() as conn:
        with pytest.raises(UnknownJob, match="nothing"):
            await request_run(conn, "nothing", requested_by="api")
        with pytest.raises(UnknownJob, match="nothing"):
            await set_paused(conn, "nothing", True)


async def test_a_request_that_nobody_takes_gets_its_end_too(database: Database) -> None:
    work = Work()
    async with database.acquire() as conn:
        await conn.execute(
            "INSERT INTO jobs (name, next_run_at) VALUES ('removed', clock_timestamp());"
            " INSERT INTO job_runs (job_name, trigger, requested_at)"
            " VALUES ('removed', 'manual', clock_timestamp() - interval '2 days')"
        )
    scheduler = Scheduler(database, [work.job], "one", poll_seconds=0.02)
    stop = asyncio.Event()
    running = asyncio.create_task(scheduler.run(stop))
    await until(database, ENDED, 1)
    stop.set()
    await running
    (run,) = await runs(database)
    assert (run["outcome"], run["error"]) == ("abandoned", "no replica took it in time")


async def test_stopping_waits_for_a_run_and_then_cancels_it(database: Database) -> None:
    quick, stuck = Work("quick"), Work("stuck")
    async with scheduled(database, quick, stuck, drain_seconds=0.3):
        await make_due(database, "quick")
        await make_due(database, "stuck")
        await quick.has_begun()
        await stuck.has_begun()
        quick.may_end.release()
    assert {run["job_name"]: run["outcome"] for run in await runs(database)} == {
        "quick": "succeeded",
        "stuck": "cancelled",
    }
    async with database.acquire() as conn:
        assert await conn.fetchval("SELECT count(*) FROM jobs WHERE locked_by IS NOT NULL") == 0


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
    async with other_process(ingest_database.worker_dsn, 1.0) as process:
        await start_in(database, process)
        process.kill()
        await process.wait()
    async with scheduled(database, work, owner="survivor", lease_seconds=1):
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
    async with other_process(ingest_database.worker_dsn, 1.0) as process:
        await start_in(database, process)
        process.send_signal(signal.SIGSTOP)
        async with scheduled(database, work, owner="survivor", lease_seconds=1):
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
        await asyncio.wait_for(work.left.acquire(), 10)
    assert work.runs == 1


async def test_a_long_run_keeps_its_lease(database: Database) -> None:
    work, other = Work(), Work()
    async with scheduled(database, work, lease_seconds=0.3), scheduled(database, other, owner="two", lease_seconds=0.3):
        await make_due(database)
        first = asyncio.create_task(work.has_begun())
        second = asyncio.create_task(other.has_begun())
        await asyncio.wait((first, second), return_when=asyncio.FIRST_COMPLETED)
        runner = work if first.done() else other
        async with database.acquire() as conn:
            taken_until = await conn.fetchval("SELECT locked_until FROM jobs")
        await make_due(database)
        await until(database, "SELECT clock_timestamp() > $1::timestamptz + interval '1 s'", taken_until)
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


def test_two_jobs_of_one_name_are_refused(database: Database) -> None:
    with pytest.raises(ValueError, match="same name"):
        Scheduler(database, [Work().job, Work().job], "one")
