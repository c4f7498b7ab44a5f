"""Declared jobs: when they run, how they ended, by hand, paused."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Path

from libs.jobs import store as job_store
from libs.runtime.admin.frame import AdminDeps, Answer, Done, DryRun, Limit, OperatorDep, changing, done_by, unknown
from libs.security.identities import Principal


class JobOut(Answer):
    """A declared job and its last run."""

    name: str
    next_run_at: datetime
    paused: bool
    running: bool
    last_outcome: str | None
    last_started_at: datetime | None
    last_ended_at: datetime | None
    last_counts: dict[str, int] | None
    last_error: str | None


class RunOut(Answer):
    """One run of a job."""

    id: int
    job_name: str
    trigger: str
    requested_by: str | None
    started_at: datetime | None
    ended_at: datetime | None
    outcome: str | None
    counts: dict[str, int] | None
    error: str | None


def add_jobs(router: APIRouter, deps: AdminDeps) -> None:
    """Add the routes."""

    @router.get("/jobs")
    async def get_jobs() -> list[JobOut]:
        """Every declared job, when it runs next and how it ended last."""
        async with deps.database.acquire() as connection:
            jobs = await job_store.list_jobs(connection)
        return [JobOut.model_validate(job | {"running": job["locked_by"] is not None}) for job in jobs]

    @router.get("/jobs/{name}/runs")
    async def get_runs(name: str, limit: Limit = 50) -> list[RunOut]:
        """The job's runs, newest first."""
        _known_job(deps, name)
        async with deps.database.acquire() as connection:
            return [RunOut.model_validate(run) for run in await job_store.list_runs(connection, name, limit=limit)]

    @router.get("/job-runs/{run_id}")
    async def get_run(run_id: Annotated[int, Path(ge=1, lt=2**63)]) -> RunOut:
        """One run; it has ended when `ended_at` is set."""
        async with deps.database.acquire() as connection:
            run = await job_store.get_run(connection, run_id)
        if run is None:
            raise unknown("run", str(run_id), "list a job's runs")
        return RunOut.model_validate(run)

    @router.post("/jobs/{name}/run", status_code=202)
    async def post_run(name: str, who: OperatorDep, dry_run: DryRun = False) -> Done:
        """Ask for a run as soon as the job is free; `count` is the run's id."""
        _known_job(deps, name)
        run_id = 0 if dry_run else await deps.scheduler.run_now(name, requested_by=f"key {who.key_id}")
        return done_by(who, dry_run, f"asked for a run of {name}", run_id)

    @router.post("/jobs/{name}/pause")
    async def post_pause(name: str, who: OperatorDep, dry_run: DryRun = False) -> Done:
        """Stop starting the job by plan; by hand it can still be run."""
        return await set_paused(name, who, dry_run, paused=True)

    @router.post("/jobs/{name}/resume")
    async def post_resume(name: str, who: OperatorDep, dry_run: DryRun = False) -> Done:
        """Start the job by plan again."""
        return await set_paused(name, who, dry_run, paused=False)

    async def set_paused(name: str, who: Principal, dry_run: bool, *, paused: bool) -> Done:
        _known_job(deps, name)
        async with changing(deps.database, dry_run) as connection:
            await job_store.set_paused(connection, name, paused)
        return done_by(who, dry_run, f"{'paused' if paused else 'resumed'} job {name}")


def _known_job(deps: AdminDeps, name: str) -> None:
    if name not in deps.scheduler.job_names:
        raise unknown("job", name, f"use one of: {', '.join(deps.scheduler.job_names)}")
