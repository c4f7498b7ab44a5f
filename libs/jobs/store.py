"""SQL of jobs and their runs; also what an admin route needs: list, ask for a run, pause, resume."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from libs.postgres import Connection, Record


class UnknownJob(LookupError):  # noqa: N818  reads as the fact it reports
    """No job of that name has been declared in this schema."""


@dataclass(frozen=True, slots=True)
class DueJob:
    """A job that may start now, its row locked: by plan, or because somebody asked for run `requested_run_id`."""

    name: str
    next_run_at: datetime
    now: datetime
    requested_run_id: int | None


@dataclass(frozen=True, slots=True)
class StartedRun:
    """A run that this process holds: every later write names its epoch."""

    run_id: int
    job_name: str
    epoch: int


DECLARE: Final = """
INSERT INTO jobs (name, next_run_at)
SELECT * FROM unnest($1::text[], $2::timestamptz[]) AS declared (name, next_run_at)
ORDER BY name
ON CONFLICT (name) DO NOTHING
"""


async def declare(conn: Connection, first_runs: Mapping[str, datetime]) -> None:
    """Make rows for jobs that have none; known ones keep their times."""
    await conn.execute(DECLARE, list(first_runs), list(first_runs.values()))


NOW: Final = "SELECT clock_timestamp()"


async def database_now(conn: Connection) -> datetime:
    """The database's clock."""
    now: datetime = await conn.fetchval(NOW)
    return now


LOCK_DUE: Final = """
SELECT job.name, job.next_run_at, clock_timestamp() AS now, asked.id AS requested_run_id
FROM jobs AS job
LEFT JOIN job_runs AS asked ON asked.job_name = job.name AND asked.started_at IS NULL AND asked.ended_at IS NULL
WHERE job.name = ANY($1::text[])
    AND (asked.id IS NOT NULL OR (job.next_run_at <= clock_timestamp() AND NOT job.paused))
    AND (job.locked_until IS NULL OR job.locked_until <= clock_timestamp())
ORDER BY asked.id IS NULL, job.next_run_at
LIMIT 1
FOR UPDATE OF job SKIP LOCKED
"""


async def lock_due_job(conn: Connection, names: Sequence[str]) -> DueJob | None:
    """Lock one job that may start: asked-for ones first (also when paused), then the longest due. Else None."""
    row = await conn.fetchrow(LOCK_DUE, list(names))
    return None if row is None else DueJob(row["name"], row["next_run_at"], row["now"], row["requested_run_id"])


TAKE: Final = """
UPDATE jobs
SET locked_by = $2, locked_until = clock_timestamp() + make_interval(secs => $3), lease_epoch = lease_epoch + 1,
    next_run_at = $4
WHERE name = $1
RETURNING lease_epoch
"""

# A row locked by LOCK_DUE whose lease ran out belongs to a run that nobody will end.
ABANDON_BEFORE: Final = """
UPDATE job_runs
SET ended_at = clock_timestamp(), outcome = 'abandoned', error = 'its worker died or lost its lease'
WHERE job_name = $1 AND started_at IS NOT NULL AND ended_at IS NULL
"""

START_PLANNED: Final = """
INSERT INTO job_runs (job_name, trigger, started_at, worker, lease_epoch)
VALUES ($1, 'schedule', clock_timestamp(), $2, $3)
RETURNING id
"""

START_ASKED: Final = """
UPDATE job_runs SET started_at = clock_timestamp(), worker = $2, lease_epoch = $3
WHERE id = $1 AND started_at IS NULL AND ended_at IS NULL
RETURNING id
"""


async def start_run(
    conn: Connection, due: DueJob, worker: str, *, lease_seconds: float, next_run_at: datetime
) -> StartedRun | None:
    """Take the locked job's lease and begin its run; None when the asked-for run was ended meanwhile."""
    epoch = await conn.fetchval(TAKE, due.name, worker, lease_seconds, next_run_at)
    await conn.execute(ABANDON_BEFORE, due.name)
    if due.requested_run_id is None:
        run_id = await conn.fetchval(START_PLANNED, due.name, worker, epoch)
    else:
        run_id = await conn.fetchval(START_ASKED, due.requested_run_id, worker, epoch)
    if run_id is None:
        await conn.execute(RELEASE, due.name, epoch)
        return None
    return StartedRun(run_id, due.name, epoch)


RENEW: Final = """
UPDATE jobs SET locked_until = clock_timestamp() + make_interval(secs => $3)
WHERE name = $1 AND lease_epoch = $2 AND locked_by IS NOT NULL
RETURNING name
"""


async def renew(conn: Connection, run: StartedRun, *, lease_seconds: float) -> bool:
    """Hold the job on; False when it is another's by now."""
    return await conn.fetchval(RENEW, run.job_name, run.epoch, lease_seconds) is not None


RELEASE: Final = "UPDATE jobs SET locked_by = NULL, locked_until = NULL WHERE name = $1 AND lease_epoch = $2"

END_RUN: Final = """
UPDATE job_runs SET ended_at = clock_timestamp(), outcome = $3, counts = $4::jsonb, error = $5
WHERE id = $1 AND lease_epoch = $2 AND ended_at IS NULL
RETURNING id
"""


async def end_run(
    conn: Connection, run: StartedRun, outcome: str, *, counts: Mapping[str, int], error: str | None
) -> bool:
    """Write the run's end and free the job; False when it was given up as abandoned before."""
    await conn.execute(RELEASE, run.job_name, run.epoch)
    ended = await conn.fetchval(END_RUN, run.run_id, run.epoch, outcome, json.dumps(dict(counts)), error)
    return ended is not None


# Also for jobs that this process does not declare: a removed job's last run must end too. Locked rows are at work just
# now.
ABANDON_DEAD: Final = """
WITH dead AS MATERIALIZED (
    SELECT name FROM jobs WHERE locked_until <= clock_timestamp() ORDER BY name FOR UPDATE SKIP LOCKED
), freed AS (
    UPDATE jobs SET locked_by = NULL, locked_until = NULL FROM dead WHERE jobs.name = dead.name
)
UPDATE job_runs AS run
SET ended_at = clock_timestamp(), outcome = 'abandoned', error = 'its worker died or lost its lease'
FROM dead
WHERE run.job_name = dead.name AND run.started_at IS NOT NULL AND run.ended_at IS NULL
RETURNING run.job_name
"""

ABANDON_UNTAKEN: Final = """
UPDATE job_runs
SET ended_at = clock_timestamp(), outcome = 'abandoned', error = 'no replica took it in time'
WHERE started_at IS NULL AND ended_at IS NULL AND requested_at < clock_timestamp() - make_interval(secs => $1)
RETURNING job_name
"""


async def abandon_dead_runs(conn: Connection, *, untaken_after_seconds: float) -> list[str]:
    """End the runs of dead workers, and requests that nobody took; return their jobs' names."""
    dead = await conn.fetch(ABANDON_DEAD)
    untaken = await conn.fetch(ABANDON_UNTAKEN, untaken_after_seconds)
    return [row["job_name"] for row in (*dead, *untaken)]


JOB_EXISTS: Final = "SELECT true FROM jobs WHERE name = $1"

REQUEST: Final = """
INSERT INTO job_runs (job_name, trigger, requested_by)
VALUES ($1, 'manual', $2)
ON CONFLICT (job_name) WHERE started_at IS NULL AND ended_at IS NULL DO NOTHING
RETURNING id
"""

REQUESTED: Final = "SELECT id FROM job_runs WHERE job_name = $1 AND started_at IS NULL AND ended_at IS NULL"


async def request_run(conn: Connection, name: str, *, requested_by: str) -> int:
    """Ask for a run as soon as the job is free, and return the run's id; an open request is shared, not doubled.

    Raises: UnknownJob.
    """
    if not await conn.fetchval(JOB_EXISTS, name):
        raise UnknownJob(name)
    while True:
        run_id = await conn.fetchval(REQUEST, name, requested_by)
        if run_id is None:
            run_id = await conn.fetchval(REQUESTED, name)
        if run_id is not None:  # else the request that was in the way has just started: ask again
            return int(run_id)


SET_PAUSED: Final = "UPDATE jobs SET paused = $2 WHERE name = $1 RETURNING name"


async def set_paused(conn: Connection, name: str, paused: bool) -> None:
    """Stop or go on starting the job by plan; what runs goes on, and it can still be asked for.

    Raises: UnknownJob.
    """
    if await conn.fetchval(SET_PAUSED, name, paused) is None:
        raise UnknownJob(name)


_RUN_COLUMNS: Final = (
    "run.id, run.job_name, run.trigger, run.requested_by, run.requested_at, run.started_at, run.ended_at, run.outcome,"
    " run.counts, run.error, run.worker"
)

LIST_JOBS: Final = f"""
SELECT job.name, job.next_run_at, job.paused, job.locked_by,
    last.id AS last_run_id, last.started_at AS last_started_at, last.ended_at AS last_ended_at,
    last.outcome AS last_outcome, last.counts AS last_counts, last.error AS last_error
FROM jobs AS job
LEFT JOIN LATERAL (
    SELECT {_RUN_COLUMNS} FROM job_runs AS run
    WHERE run.job_name = job.name AND run.started_at IS NOT NULL ORDER BY run.id DESC LIMIT 1
) AS last ON true
ORDER BY job.name
"""  # noqa: S608  a constant list of columns


async def list_jobs(conn: Connection) -> list[dict[str, Any]]:
    """Every job with its next time and its last run that began."""
    return [_plain(row, "last_counts") for row in await conn.fetch(LIST_JOBS)]


LIST_RUNS: Final = f"""
SELECT {_RUN_COLUMNS} FROM job_runs AS run
WHERE $1::text IS NULL OR run.job_name = $1
ORDER BY run.id DESC
LIMIT $2
"""  # noqa: S608  a constant list of columns


async def list_runs(conn: Connection, name: str | None = None, *, limit: int = 50) -> list[dict[str, Any]]:
    """The latest runs, newest first, of one job or of all."""
    return [_plain(row, "counts") for row in await conn.fetch(LIST_RUNS, name, limit)]


GET_RUN: Final = f"SELECT {_RUN_COLUMNS} FROM job_runs AS run WHERE run.id = $1"  # noqa: S608


async def get_run(conn: Connection, run_id: int) -> dict[str, Any] | None:
    """One run, or None."""
    row = await conn.fetchrow(GET_RUN, run_id)
    return None if row is None else _plain(row, "counts")


FORGET_RUNS: Final = """
DELETE FROM job_runs
WHERE id IN (
    SELECT id FROM job_runs
    WHERE ended_at < clock_timestamp() - make_interval(secs => $1)
    ORDER BY id
    LIMIT $2
)
RETURNING id
"""


async def forget_runs(conn: Connection, *, older_than_seconds: float, limit: int = 10_000) -> int:
    """Delete up to `limit` runs that ended long ago; return how many."""
    return len(await conn.fetch(FORGET_RUNS, older_than_seconds, limit))


def _plain(row: Record, json_column: str) -> dict[str, Any]:
    return {**dict(row.items()), json_column: None if row[json_column] is None else json.loads(row[json_column])}
