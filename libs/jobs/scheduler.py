"""Runs declared jobs: one replica at a time each, a row per run, and every row with an end.

Every replica of a service runs a scheduler. A job starts where the lease in its row is taken first. The lease is short
and renewed while the run goes on, so a killed replica's job is free again soon; whichever scheduler looks next ends the
dead run's row as `abandoned`. A run that outlives its lease (a paused process) finds its epoch gone and is cancelled;
its row has its end by then.
"""

import asyncio
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from libs.jobs import store
from libs.jobs.job import LEASE_SECONDS, Counts, Job
from libs.postgres import Database, is_available_error
from libs.telemetry.metrics import counter, histogram
from libs.telemetry.redaction import safe_error

_log = logging.getLogger(__name__)

_RUNS: Final = counter("job_runs_total", "Runs of periodic jobs by how they ended", ("job_name", "outcome"))
_RUN_SECONDS: Final = histogram(
    "job_run_seconds",
    "Length of runs of periodic jobs",
    ("job_name",),
    (0.01, 0.1, 0.5, 1.0, 5.0, 30.0, 120.0, 600.0, 3600.0),
)

_POLL_SECONDS: Final = 1.0
_POLL_FAILED_SECONDS: Final = 5.0
_CLEAN_UP_SECONDS: Final = 10.0
_UNTAKEN_AFTER_SECONDS: Final = 86_400.0
_KEEP_RUNS_SECONDS: Final = 7 * 86_400.0
_STUCK_GRACE_SECONDS: Final = 30.0
"""A run that does not yield to its cancellation keeps the lease this long past its time limit, and no longer."""


@dataclass(frozen=True, slots=True)
class _End:
    outcome: str
    counts: Counts
    error: str | None = None


_CANCELLED: Final = _End("cancelled", {}, "cancelled: the process was stopping or had lost the lease")


class Scheduler:
    """Starts the jobs of one service in this process. `owner` names this start of this process, uniquely."""

    def __init__(
        self,
        database: Database,
        jobs: Sequence[Job],
        owner: str,
        *,
        lease_seconds: float = LEASE_SECONDS,
        poll_seconds: float = _POLL_SECONDS,
        drain_seconds: float = 10.0,
    ) -> None:
        self._database = database
        self._jobs = {job.name: job for job in jobs}
        if len(self._jobs) != len(jobs):
            raise ValueError("two jobs have the same name")
        self._owner = owner
        self._lease_seconds = lease_seconds
        self._poll_seconds = poll_seconds
        self._drain_seconds = drain_seconds
        self._woken = asyncio.Event()
        self._running: set[asyncio.Task[None]] = set()
        self._cleaned_at: float | None = None

    @property
    def job_names(self) -> tuple[str, ...]:
        """The declared jobs."""
        return tuple(self._jobs)

    async def run_now(self, name: str, *, requested_by: str = "operator") -> int:
        """Ask for a run as soon as the job is free, by whichever replica is first; return the run's id.

        Raises: UnknownJob.
        """
        async with self._database.transaction() as conn:
            run_id = await store.request_run(conn, name, requested_by=requested_by)
        self._woken.set()
        return run_id

    async def run(self, stop: asyncio.Event) -> None:
        """Start what is due until `stop` is set, then give running jobs `drain_seconds` before cancelling them."""
        declared = False
        try:
            while not stop.is_set():
                self._woken.clear()
                wait_seconds = self._poll_seconds
                try:
                    if not declared:
                        await self._declare()
                        declared = True
                    await self._clean_up()
                    while not stop.is_set() and await self._start_one():
                        pass
                except Exception as error:  # noqa: BLE001  reported; the jobs of this service must go on being started
                    wait_seconds = max(self._poll_seconds, _POLL_FAILED_SECONDS)
                    self._report(error)
                await self._wait(stop, wait_seconds)
        finally:
            await self._drain()

    async def _declare(self) -> None:
        async with self._database.transaction() as conn:
            now = await store.database_now(conn)
            await store.declare(conn, {job.name: job.next_after(now) for job in self._jobs.values()})

    async def _clean_up(self) -> None:
        if self._cleaned_at is not None and time.monotonic() - self._cleaned_at < min(
            _CLEAN_UP_SECONDS, self._lease_seconds / 3
        ):
            return
        self._cleaned_at = time.monotonic()
        async with self._database.transaction() as conn:
            abandoned = await store.abandon_dead_runs(conn, untaken_after_seconds=_UNTAKEN_AFTER_SECONDS)
            await store.forget_runs(conn, older_than_seconds=_KEEP_RUNS_SECONDS)
        for name in abandoned:
            _RUNS.labels(name, "abandoned").inc()
            _log.warning("job %s: a run was abandoned by its worker", name)

    async def _start_one(self) -> bool:
        """Start one job that may start; False when there is none."""
        async with self._database.transaction() as conn:
            due = await store.lock_due_job(conn, list(self._jobs))
            if due is None:
                return False
            job = self._jobs[due.name]
            # An asked-for run does not move the plan, unless the plan's time has come as well.
            planned = due.next_run_at if due.next_run_at > due.now else job.next_after(due.now, due.next_run_at)
            held_from = time.monotonic()
            run = await store.start_run(conn, due, self._owner, lease_seconds=self._lease_seconds, next_run_at=planned)
        if run is not None:
            task = asyncio.create_task(self._hold_and_run(job, run, held_from), name=f"job {job.name}")
            self._running.add(task)
            task.add_done_callback(self._ended)
        return True

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self._woken.set()  # a run that was asked for meanwhile can start

    async def _hold_and_run(self, job: Job, run: store.StartedRun, held_from: float) -> None:
        started = time.monotonic()
        work = asyncio.create_task(self._run_job(job), name=f"work of job {job.name}")
        keeper = asyncio.create_task(self._keep_lease(job, run, held_from), name=f"lease of job {job.name}")
        try:
            await asyncio.wait((work, keeper), return_when=asyncio.FIRST_COMPLETED)
            if not work.done():  # the lease is gone: another replica may run the job now
                work.cancel()
                await asyncio.wait((work,))
        except asyncio.CancelledError:  # the process stops
            work.cancel()
            await asyncio.wait((work,))
        finally:
            keeper.cancel()
        end = _CANCELLED if work.cancelled() else work.result()  # cancelled: before it had begun
        _RUN_SECONDS.labels(job.name).observe(time.monotonic() - started)
        await self._record(job, run, end)

    async def _run_job(self, job: Job) -> _End:
        try:
            async with asyncio.timeout(job.time_limit_seconds) as limit:
                return _End("succeeded", dict(await job.run(self._database)))
        except asyncio.CancelledError:
            return _CANCELLED
        except TimeoutError as error:
            if not limit.expired():  # a time-out of the job's own calls
                return _End("failed", {}, safe_error(error))
            return _End("timed_out", {}, f"ran longer than {job.time_limit_seconds:g} s")
        except Exception as error:  # noqa: BLE001  a run's failure is its row's outcome
            _log.error("job %s failed", job.name, exc_info=error)
            return _End("failed", {}, safe_error(error))

    async def _keep_lease(self, job: Job, run: store.StartedRun, held_from: float) -> None:
        """Renew the lease; return once it is lost, was not renewed in time, or the run is stuck past its limit."""
        give_up = held_from + job.time_limit_seconds + _STUCK_GRACE_SECONDS
        while True:
            await asyncio.sleep(self._lease_seconds / 3)
            asked = time.monotonic()
            if asked >= give_up:
                return
            try:
                # A margin before the lease's end, counted from before the request: the database sees it end later than
                # we do.
                async with asyncio.timeout(max(held_from + self._lease_seconds * 0.9 - asked, 0)):
                    async with self._database.transaction() as conn:
                        if not await store.renew(conn, run, lease_seconds=self._lease_seconds):
                            return
                held_from = asked
            except Exception as error:  # noqa: BLE001  tried again until the lease would be over
                self._report(error)
                if time.monotonic() >= held_from + self._lease_seconds * 0.9:
                    return

    async def _record(self, job: Job, run: store.StartedRun, end: _End) -> None:
        try:
            async with self._database.transaction() as conn:
                ours = await store.end_run(conn, run, end.outcome, counts=end.counts, error=end.error)
        except Exception as error:  # noqa: BLE001  the row gets its end as abandoned once the lease is over
            self._report(error)
            return
        if not ours:
            _log.warning("job %s: run %d ended as %s after it had been given up", job.name, run.run_id, end.outcome)
            return
        _RUNS.labels(job.name, end.outcome).inc()
        if end.outcome not in ("succeeded", "failed"):
            _log.warning("job %s: run %d %s: %s", job.name, run.run_id, end.outcome, end.error)

    async def _drain(self) -> None:
        if not self._running:
            return
        _, late = await asyncio.wait(tuple(self._running), timeout=self._drain_seconds)
        for task in late:
            task.cancel()
        if late:
            await asyncio.wait(late)

    def _report(self, error: Exception) -> None:
        if is_available_error(error):
            _log.warning("jobs: the database is away, waiting: %s", safe_error(error))
        else:
            _log.error("jobs: could not start or hold jobs", exc_info=error)

    async def _wait(self, stop: asyncio.Event, seconds: float) -> None:
        waits = [asyncio.ensure_future(event.wait()) for event in (stop, self._woken)]
        try:
            await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in waits:
                one.cancel()
            await asyncio.gather(*waits, return_exceptions=True)
