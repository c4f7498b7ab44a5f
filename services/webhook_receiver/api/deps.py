"""What the operators' routes work on, and the transactions that they open."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict

from libs.postgres import Connection, Database
from libs.security.identities import Principal
from libs.security.sealing import KeyRing
from services.webhook_receiver.models import Actor


@dataclass(frozen=True, slots=True)
class ApiDeps:
    """Built by `app`."""

    database: Database
    """As worker: apps and deliveries belong to no single organization."""
    ring: KeyRing
    apps_changed: Callable[[], Awaitable[None]]
    """Called after a change of apps was committed, so that this process knows of it at once."""
    in_settings: Callable[[str, str], bool]
    """Whether the settings name this platform's app."""
    wake: Callable[[], None]
    """Called when deliveries wait to be processed."""


class Body(BaseModel):
    """A request's body; unknown fields are refused, so that a misspelt one is not taken for none."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class _RolledBack(Exception):  # noqa: N818  a way out of the transaction, not an error
    pass


@asynccontextmanager
async def changing(deps: ApiDeps, dry_run: bool) -> AsyncIterator[Connection]:
    """Open a transaction as worker; a dry run does everything and rolls it back."""
    with suppress(_RolledBack):
        async with deps.database.transaction() as conn:
            yield conn
            if dry_run:
                raise _RolledBack


@asynccontextmanager
async def changing_apps(deps: ApiDeps, dry_run: bool) -> AsyncIterator[Connection]:
    """As `changing`; this process knows of the change when the block has ended."""
    async with changing(deps, dry_run) as conn:
        yield conn
    if not dry_run:
        await deps.apps_changed()


def actor_of(who: Principal) -> Actor:
    """Name who asks, for the audit log."""
    return Actor(who.key_id, who.role)
