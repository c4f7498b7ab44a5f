"""Jobs: one replica at a time, a row per run, each by plan and by hand."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from libs.jobs import Scheduler, UnknownJob, list_jobs, request_run, set_paused
from libs.postgres import Database
from tests.support.databases import ServiceDatabase
from tests.support.jobs import ENDED, Work, make_due, runs, scheduled, until

pytestmark = pytest.mark.db


@pytest.fixture
async def database(ingest_database: ServiceDatabase) -> AsyncIterator[Database]:
    made = await Database.connect(ingest_database.worker_dsn, role="worker", application_name="test")
    yield made
    await made.close()


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
    async with scheduled(database, quick, stuck, drain_seconds=2):
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


def test_two_jobs_of_one_name_are_refused(database: Database) -> None:
    with pytest.raises(ValueError, match="same name"):
        Scheduler(database, [Work().job, Work().job], "one")
