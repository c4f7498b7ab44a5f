"""Operators' routes, the same in every service: outbox, dead letters, jobs, topics. `platformbus` calls them.

They show and change what belongs to all organizations, so they need a key of the bus's own operators. Whatever changes
something takes `dry_run=true`: it is done in a transaction that is rolled back, and the answer says what it would be.
"""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Path, Query
from pydantic import BaseModel, ConfigDict, Field

from libs.events.problem import ProblemError, ProblemItem, problem
from libs.jobs import store as job_store
from libs.jobs.scheduler import Scheduler
from libs.messaging import dead_letters
from libs.messaging.messages import Route
from libs.postgres import Connection, Database
from libs.runtime.auth import PrincipalDep
from libs.runtime.outbox_state import blocked_keys, waiting_topics
from libs.security.identities import Principal
from libs.telemetry.redaction import redact_text
from libs.vocabulary import Role

RECENT_DAYS = 2
"""A reannouncement takes what changed in this time, unless all is asked for."""

Reannounce = Callable[[Connection, datetime | None], Awaitable[int]]
"""Appends again the current state, or tombstone, of each key that changed since then (None: of all); gives how many."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class AdminDeps:
    """What the routes work on."""

    service: str
    database: Database
    """As worker: dead letters and jobs belong to no organization."""
    scheduler: Scheduler
    routes: Sequence[Route]
    """The service's own, for redriving."""
    reannounce: Mapping[str, Reannounce]
    """By the name of the state topic that the service writes; empty when it writes none."""


class Answer(BaseModel):
    """What every answer is: immutable, documented."""

    model_config = ConfigDict(frozen=True, from_attributes=True)


class WaitingOut(Answer):
    """Events of one topic that wait for Kafka."""

    topic: str
    rows: int
    oldest_at: datetime


class BlockedOut(Answer):
    """A key whose next event the broker refuses."""

    topic: str
    key: str
    reason: str
    attempts: int
    blocked_at: datetime
    next_try_at: datetime


class OutboxOut(Answer):
    """State of a service's outbox."""

    service: str
    pending_rows: int
    oldest_age_seconds: float
    topics: list[WaitingOut]
    blocked_keys: list[BlockedOut]


class DeadLetterOut(Answer):
    """A record that did not fit its contract, without its body."""

    id: UUID
    topic: str
    partition: int
    offset: int
    key: str | None
    reason: str
    status: Literal["open", "redriven", "dropped"]
    created_at: datetime
    ended_at: datetime | None
    note: str | None


class DeadLetterWholeOut(DeadLetterOut):
    """The same with headers and body as text, secrets taken out."""

    headers: list[tuple[str, str | None]]
    value: str | None
    value_bytes: int


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


class DropIn(BaseModel):
    """Why a dead letter is given up."""

    reason: str = Field(min_length=3, max_length=500)


class ReannounceIn(BaseModel):
    """Which state to append again."""

    topic: str | None = None
    """None: every state topic that this service writes."""
    everything: bool = False
    """False: only keys that changed in the last two days."""


class Done(Answer):
    """What a change did, or with `dry_run` would have done."""

    dry_run: bool
    done: str
    count: int = 1


DryRun = Annotated[bool, Query(description="Do nothing, and say what would be done")]
Limit = Annotated[int, Query(ge=1, le=500)]


def operator(who: PrincipalDep) -> Principal:
    """Dependency: a key of the bus's own operators. Raises ProblemError 401 or 403."""
    if who.org_id is not None or who.role is not Role.SUPER_ADMIN:
        item = ProblemItem(
            where="header:Authorization", what="is a key of one organization", how="use a key of the bus's operators"
        )
        raise ProblemError(problem("operators_only", 403, "Operators only", "This concerns all organizations.", item))
    return who


OperatorDep = Annotated[Principal, Depends(operator)]


def admin_router(deps: AdminDeps) -> APIRouter:
    """Build the operators' routes of one service."""
    router = APIRouter(prefix="/admin", tags=["admin"], dependencies=[Depends(operator)])
    _add_outbox(router, deps)
    _add_dead_letters(router, deps)
    _add_jobs(router, deps)
    _add_topics(router, deps)
    return router


def _add_outbox(router: APIRouter, deps: AdminDeps) -> None:
    @router.get("/outbox")
    async def get_outbox() -> OutboxOut:
        """What waits for Kafka, per topic, and which keys the broker refuses."""
        async with deps.database.acquire() as connection:
            topics = await waiting_topics(connection)
            blocked = await blocked_keys(connection)
        oldest = min((topic.oldest_at for topic in topics), default=None)
        return OutboxOut(
            service=deps.service,
            pending_rows=sum(topic.rows for topic in topics),
            oldest_age_seconds=max(0.0, (datetime.now(UTC) - oldest).total_seconds()) if oldest else 0.0,
            topics=[WaitingOut.model_validate(topic) for topic in topics],
            blocked_keys=[BlockedOut.model_validate(key) for key in blocked],
        )


def _add_dead_letters(router: APIRouter, deps: AdminDeps) -> None:
    @router.get("/dead-letters")
    async def get_dead_letters(limit: Limit = 50) -> list[DeadLetterOut]:
        """Open dead letters, oldest first."""
        async with deps.database.acquire() as connection:
            letters = await dead_letters.list_open(connection, limit=limit)
        return [DeadLetterOut(**_letter(letter)) for letter in letters]

    @router.get("/dead-letters/{letter_id}")
    async def get_dead_letter(letter_id: UUID) -> DeadLetterWholeOut:
        """One dead letter with its headers and body as text; secrets are taken out of what is shown."""
        async with deps.database.acquire() as connection:
            letter = await _known_letter(connection, letter_id)
        return DeadLetterWholeOut(
            **_letter(letter),
            headers=[(name, _shown(value)) for name, value in letter.headers],
            value=_shown(letter.value),
            value_bytes=len(letter.value or b""),
        )

    @router.post("/dead-letters/{letter_id}/redrive")
    async def post_redrive(letter_id: UUID, who: OperatorDep, dry_run: DryRun = False) -> Done:
        """Run our own handler on the record now, with its own event id; it stays open when that fails."""
        async with _changing(deps.database, dry_run) as connection:
            await _known_letter(connection, letter_id)
            try:
                await dead_letters.redrive(connection, letter_id, deps.routes)
            except dead_letters.CannotRedrive as error:
                detail = redact_text(str(error), max_chars=500)
                raise ProblemError(problem("cannot_redrive", 409, "Cannot be redriven", detail)) from None
        return _done(who, dry_run, f"redrove dead letter {letter_id}")

    @router.post("/dead-letters/{letter_id}/drop")
    async def post_drop(letter_id: UUID, body: DropIn, who: OperatorDep, dry_run: DryRun = False) -> Done:
        """Give a dead letter up; it is kept, with the reason."""
        async with _changing(deps.database, dry_run) as connection:
            await _known_letter(connection, letter_id)
            try:
                await dead_letters.drop(connection, letter_id, body.reason)
            except dead_letters.CannotRedrive as error:
                raise ProblemError(problem("already_ended", 409, "Ended before", str(error))) from None
        return _done(who, dry_run, f"dropped dead letter {letter_id}")


def _add_jobs(router: APIRouter, deps: AdminDeps) -> None:
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
            raise _unknown("run", str(run_id), "list a job's runs")
        return RunOut.model_validate(run)

    @router.post("/jobs/{name}/run", status_code=202)
    async def post_run(name: str, who: OperatorDep, dry_run: DryRun = False) -> Done:
        """Ask for a run as soon as the job is free; `count` is the run's id."""
        _known_job(deps, name)
        run_id = 0 if dry_run else await deps.scheduler.run_now(name, requested_by=f"key {who.key_id}")
        return _done(who, dry_run, f"asked for a run of {name}", run_id)

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
        async with _changing(deps.database, dry_run) as connection:
            await job_store.set_paused(connection, name, paused)
        return _done(who, dry_run, f"{'paused' if paused else 'resumed'} job {name}")


def _add_topics(router: APIRouter, deps: AdminDeps) -> None:
    @router.post("/topics/reannounce")
    async def post_reannounce(body: ReannounceIn, who: OperatorDep, dry_run: DryRun = False) -> Done:
        """Append again the current state of the keys that changed lately, or of all."""
        if body.topic is not None and body.topic not in deps.reannounce:
            known = ", ".join(deps.reannounce) or "none"
            raise _unknown("state topic", body.topic, f"use one that {deps.service} writes: {known}", "/topic")
        since = None if body.everything else datetime.now(UTC) - timedelta(days=RECENT_DAYS)
        chosen = [body.topic] if body.topic is not None else list(deps.reannounce)
        count = 0
        async with _changing(deps.database, dry_run) as connection:
            for topic in chosen:
                count += await deps.reannounce[topic](connection, since)
        return _done(who, dry_run, f"announced again: {', '.join(chosen) or 'nothing'}", count)


class _RolledBack(Exception):  # noqa: N818  a way out of the transaction, not an error
    pass


@asynccontextmanager
async def _changing(database: Database, dry_run: bool) -> AsyncIterator[Connection]:
    with suppress(_RolledBack):
        async with database.transaction() as connection:
            yield connection
            if dry_run:
                raise _RolledBack


def _done(who: Principal, dry_run: bool, done: str, count: int = 1) -> Done:
    if not dry_run:
        _log.info("an operator %s", done, extra={"key_id": str(who.key_id), "count": count})
    return Done(dry_run=dry_run, done=done, count=count)


def _known_job(deps: AdminDeps, name: str) -> None:
    if name not in deps.scheduler.job_names:
        raise _unknown("job", name, f"use one of: {', '.join(deps.scheduler.job_names)}")


async def _known_letter(connection: Connection, letter_id: UUID) -> dead_letters.DeadLetter:
    letter = await dead_letters.get(connection, letter_id)
    if letter is None:
        raise _unknown("dead letter", str(letter_id), "use an id that the list of dead letters shows", "path:letter_id")
    return letter


def _letter(letter: dead_letters.DeadLetter) -> dict[str, Any]:
    return {
        "id": letter.id,
        "topic": letter.topic,
        "partition": letter.partition,
        "offset": letter.offset,
        "key": _shown(letter.key),
        "reason": redact_text(letter.reason),
        "status": letter.status,
        "created_at": letter.created_at,
        "ended_at": letter.ended_at,
        "note": letter.note,
    }


def _shown(data: bytes | None) -> str | None:
    return None if data is None else redact_text(data.decode("utf-8", "replace"))


def _unknown(what: str, name: str, how: str, where: str = "path:name") -> ProblemError:
    item = ProblemItem(where=where, what=f"names no {what}", how=how)
    return ProblemError(problem("not_found", 404, f"{what.capitalize()} unknown", f"There is no {what} {name}.", item))
