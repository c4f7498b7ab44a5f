"""What the routes work on, and the transactions that they open."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated, Final

from fastapi import Query

from libs.events.problem import ProblemError, problem
from libs.postgres import Connection, Database
from libs.runtime.auth import Authenticator
from libs.vocabulary import OrgId
from services.ingest.usecases.admission import Platforms

_LOCK_NOT_AVAILABLE: Final = "55P03"

DryRun = Annotated[bool, Query(description="Do nothing, and say what would be done")]


@dataclass(frozen=True, slots=True)
class ApiDeps:
    """Built by `app`."""

    api: Database
    """As api: sees one organization's rows."""
    worker: Database
    """As worker: for what belongs to no single organization, after the key was found to be an operator's."""
    authenticator: Authenticator
    platforms: Platforms


class _RolledBack(Exception):  # noqa: N818  a way out of the transaction, not an error
    pass


@asynccontextmanager
async def changing(deps: ApiDeps, org_id: OrgId | None, *, dry_run: bool = False) -> AsyncIterator[Connection]:
    """Open a transaction for one organization as api, or with None for all of them as worker; a dry run rolls it back.

    Raises ProblemError 409 when somebody else holds what is to be changed for longer than a caller should wait.
    """
    transaction = deps.worker.transaction() if org_id is None else deps.api.tenant_transaction(org_id)
    try:
        async with transaction as connection:
            yield connection
            if dry_run:
                raise _RolledBack
    except _RolledBack:
        return
    except Exception as error:
        if getattr(error, "sqlstate", None) == _LOCK_NOT_AVAILABLE:
            detail = "The same thing is being worked on at this moment, and has not ended in time; nothing was done."
            raise ProblemError(
                problem("in_progress", 409, "In progress", detail), headers={"Retry-After": "1"}
            ) from error
        raise
