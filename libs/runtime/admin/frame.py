"""What the operators' routes share: what they work on, who may, dry runs, answers, and what is unknown."""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from fastapi import Depends, Query
from pydantic import BaseModel, ConfigDict, Field

from libs.events.problem import ProblemError, ProblemItem, problem
from libs.jobs.scheduler import Scheduler
from libs.messaging.messages import Route
from libs.postgres import Connection, Database
from libs.runtime.auth import PrincipalDep
from libs.security.identities import Principal
from libs.telemetry.redaction import MARK, is_secret_name, redact_text
from libs.vocabulary import Role

Reannounce = Callable[[Connection, datetime | None], Awaitable[int]]
"""Appends again the current state, or tombstone, of each key that changed since then (None: of all); gives how many."""

STORABLE = r"^[^\x00]*$"
"""What text of a caller must match that goes into a query: Postgres knows no U+0000."""

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
    parked_max_attempts: int
    """As the consumer has it: a redrive that fails is an attempt like any other."""


class Answer(BaseModel):
    """What every answer is: immutable, documented."""

    model_config = ConfigDict(frozen=True, from_attributes=True)


class ReasonIn(BaseModel):
    """Why a record is given up."""

    reason: str = Field(min_length=3, max_length=500, pattern=STORABLE)


class ValueIn(BaseModel):
    """A record's new body."""

    value: str | None
    """The body's text, whole; null is the tombstone of a state topic."""


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


class _RolledBack(Exception):  # noqa: N818  a way out of the transaction, not an error
    pass


@asynccontextmanager
async def changing(database: Database, dry_run: bool) -> AsyncIterator[Connection]:
    """Open a transaction, which a dry run rolls back at its end."""
    with suppress(_RolledBack):
        async with database.transaction() as connection:
            yield connection
            if dry_run:
                raise _RolledBack


def done_by(who: Principal, dry_run: bool, what: str, count: int = 1) -> Done:
    """Log what was done, and answer with it."""
    if not dry_run:
        _log.info("an operator %s", what, extra={"key_id": str(who.key_id), "count": count})
    return Done(dry_run=dry_run, done=what, count=count)


def actor(who: Principal) -> str:
    """Name who asks, for what is written down."""
    return f"key {who.key_id}"


def shown(data: bytes | None) -> str | None:
    """Bytes as text without secrets."""
    return None if data is None else redact_text(data.decode("utf-8", "replace"))


def shown_headers(headers: Sequence[tuple[str, bytes | None]]) -> list[tuple[str, str | None]]:
    """A record's headers as text without secrets: by their look, and by the name of the header."""
    return [
        (redact_text(name), MARK if value is not None and is_secret_name(name) else shown(value))
        for name, value in headers
    ]


def unknown(what: str, name: str, how: str, where: str = "path:name") -> ProblemError:
    """Give the 404 for a name that nothing has."""
    item = ProblemItem(where=where, what=f"names no {what}", how=how)
    return ProblemError(problem("not_found", 404, f"{what.capitalize()} unknown", f"There is no {what} {name}.", item))
