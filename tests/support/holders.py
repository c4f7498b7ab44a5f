"""Who holds a lease now, as the database knows it: which of several processes a freeze must hit to mean anything."""

import contextlib
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from libs.postgres import is_available_error

Rows = Callable[..., Awaitable[Sequence[Mapping[str, Any]]]]
"""Asks the database: a query and its arguments."""

_PID = re.compile(r"-(\d+)-[0-9a-f]{8}$")
"""In an owner's name, as `libs.runtime.opening.name_process` makes it."""
_SLOW_SECONDS = 1.5


@dataclass(frozen=True, slots=True)
class Lease:
    """Something that one of several processes holds until a moment, and another takes when that has passed."""

    processes: tuple[str, ...]
    seconds: float
    places: str
    """A query that gives id, owner, epoch and until."""
    during_calls: bool = False
    """It is held only while the platform is asked."""


@dataclass(frozen=True, slots=True)
class Holding:
    """What one process holds: id -> epoch."""

    process: str
    epochs: Mapping[str, int]


CALLS = "SELECT id::text AS id, locked_by AS owner, lease_epoch AS epoch, locked_until AS until FROM batching.calls"
"""The batcher's places."""


def leases_of(schema: str, prefix: str) -> str:
    """The places that `libs.postgres.leases` keeps under names that begin so."""
    return f"SELECT name AS id, owner, epoch, until FROM {schema}.leases WHERE name LIKE '{prefix}/%'"


async def find_holding(rows: Rows, lease: Lease, pids: Callable[[], Mapping[str, int | None]]) -> Holding | None:
    """What the process has that holds most; None if none of those that run now holds any, or nobody can be asked.

    `pids` is asked after the database: a process that was started meanwhile holds nothing.
    """
    held: dict[str, dict[str, int]] = {}
    found = await _ask(rows, f"SELECT id, owner, epoch FROM ({lease.places}) AS p WHERE until > clock_timestamp()")
    names: dict[int | None, str] = {pid: name for name, pid in pids().items() if pid is not None}
    for row in found:
        name = names.get(_pid_of(row["owner"]))
        if name is not None:
            held.setdefault(name, {})[row["id"]] = row["epoch"]
    if not held:
        return None
    process = max(held, key=lambda name: len(held[name]))
    return Holding(process, held[process])


async def is_taken(rows: Rows, lease: Lease, holding: Holding) -> bool:
    """Whether another has taken any of it since: epochs grow with every new owner."""
    query = f"SELECT id, epoch FROM ({lease.places}) AS p WHERE id = ANY($1::text[])"
    return any(row["epoch"] > holding.epochs[row["id"]] for row in await _ask(rows, query, list(holding.epochs)))


@contextlib.asynccontextmanager
async def slow_calls(sandbox_url: str) -> AsyncIterator[None]:
    """Let the platform take its time for bulk calls: what is held during one is held for longer than a moment."""
    fault = {"platform": "meta", "kind": "slow", "match": {"method": "POST"}, "args": {"seconds": _SLOW_SECONDS}}
    faults = f"{sandbox_url}/_sandbox/faults"
    async with httpx.AsyncClient(trust_env=False, timeout=30) as client:
        made = (await client.post(faults, json=fault)).raise_for_status().json()["id"]
        try:
            yield
        finally:
            (await client.delete(f"{faults}/{made}")).raise_for_status()


async def _ask(rows: Rows, query: str, *arguments: object) -> Sequence[Mapping[str, Any]]:
    try:
        return await rows(query, *arguments)
    except Exception as error:
        if not is_available_error(error):
            raise
        return []  # the database is struck too


def _pid_of(owner: str | None) -> int | None:
    found = _PID.search(owner or "")
    return int(found[1]) if found else None
