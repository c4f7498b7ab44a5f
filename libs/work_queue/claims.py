"""Claim rows under a lease, keep them, and end them: done, tried again later, or failed for good.

Claim and record in two transactions with the outside call between them; no transaction stays open while the call runs:

    async with database.transaction() as conn:
        rows = await claim(conn, QUEUE, worker, limit=10, lease_seconds=60)
    outcome = await call(...)                     # must time out before the lease does
    async with database.transaction() as conn:
        if await lock_held(conn, QUEUE, held):    # or use what finish() returns
            ...own rows, outbox...
            await finish(conn, QUEUE, held)

The fence is `lease_epoch`: it grows with every claim, and every write below names the epoch of its claim. A worker that
was paused past its lease, and whose row somebody else claimed meanwhile, changes nothing and is told so. All times are
the database's clock.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from libs.postgres import Connection, Record
from libs.work_queue.table import QueueTable, claim_statement

MAX_ERROR_CHARS: Final = 2_000


@dataclass(frozen=True, slots=True)
class Held:
    """A row that this worker holds: its id and the epoch of the claim."""

    id: UUID | int
    epoch: int


@dataclass(frozen=True, slots=True)
class Claimed:
    """A claimed row with its counts; `row` has the id, the lease columns and what the claim was asked to return."""

    held: Held
    attempts: int
    """Tries begun, this one included."""
    max_attempts: int
    row: Record

    @property
    def exhausted(self) -> bool:
        """Whether this try is one too many: earlier ones ended without a word (crashes). Fail it, do not run it."""
        return self.attempts > self.max_attempts

    @property
    def last_try(self) -> bool:
        """Whether a failure of this try is final."""
        return self.attempts >= self.max_attempts


async def claim(
    conn: Connection,
    queue: QueueTable,
    worker: str,
    *,
    limit: int,
    lease_seconds: float,
    statement: str | None = None,
    args: Sequence[Any] = (),
) -> list[Claimed]:
    """Claim up to `limit` rows for `worker` and return them, in no order; commit before working on them.

    `statement` is a service's own claim, made once by `claim_statement`, and `args` its parameters from `$4` on.
    """
    rows = await conn.fetch(statement or claim_statement(queue), worker, limit, lease_seconds, *args)
    return [
        Claimed(Held(row[queue.id_column], row["lease_epoch"]), row["attempts"], row["max_attempts"], row)
        for row in rows
    ]


async def lock_held(conn: Connection, queue: QueueTable, held: Sequence[Held]) -> set[UUID | int]:
    """Lock the rows that are still ours and return their ids: the fence before writing anything else about them."""
    # In the order of the ids, so that two callers cannot wait for each other.
    return await _ids(
        conn,
        queue,
        f"SELECT q.{queue.id_column} AS id FROM {queue.table} AS q JOIN {queue.held} ON {queue.still_ours}"  # noqa: S608
        f" ORDER BY q.{queue.id_column} FOR UPDATE OF q",
        held,
    )


async def keep(conn: Connection, queue: QueueTable, held: Sequence[Held], *, lease_seconds: float) -> set[UUID | int]:
    """Renew leases from now and return the ids still ours; give up the work of every other."""
    return await _update(
        conn, queue, "locked_until = clock_timestamp() + make_interval(secs => $3)", held, lease_seconds
    )


async def finish(conn: Connection, queue: QueueTable, held: Sequence[Held]) -> set[UUID | int]:
    """End rows as done and return the ids that were still ours."""
    changes = f"status = '{queue.done}', last_error = NULL, {queue.drop_lease}"
    return await _update(conn, queue, changes, held)


async def fail(conn: Connection, queue: QueueTable, held: Sequence[Held], *, error: str) -> set[UUID | int]:
    """End rows as failed for good and return the ids that were still ours; `error` must be redacted already."""
    changes = f"status = '{queue.failed}', last_error = $3, {queue.drop_lease}"
    return await _update(conn, queue, changes, held, error[:MAX_ERROR_CHARS])


async def retry(
    conn: Connection, queue: QueueTable, held: Sequence[Held], *, error: str, delay_seconds: float
) -> set[UUID | int]:
    """Let rows be tried again after the delay; return the ids still ours. `error` must be redacted already."""
    changes = (
        f"status = '{queue.waiting}', last_error = $3, due_at = clock_timestamp() + make_interval(secs => $4),"
        f" {queue.drop_lease}"
    )
    return await _update(conn, queue, changes, held, error[:MAX_ERROR_CHARS], delay_seconds)


async def give_back(
    conn: Connection, queue: QueueTable, held: Sequence[Held], *, delay_seconds: float = 0
) -> set[UUID | int]:
    """Let rows wait again as if they had not been claimed: the try does not count. Returns the ids that were still
    ours.

    For what was never begun: the process is stopping, the quota is spent, a token is being renewed.
    """
    changes = (
        f"status = '{queue.waiting}', attempts = q.attempts - 1,"
        " due_at = greatest(q.due_at, clock_timestamp() + make_interval(secs => $3)),"
        f" {queue.drop_lease}"
    )
    return await _update(conn, queue, changes, held, delay_seconds)


async def redrive(conn: Connection, queue: QueueTable, ids: Sequence[UUID] | Sequence[int]) -> set[UUID | int]:
    """Let failed rows wait again with all their tries, due now; return the ids that were failed."""
    rows = await conn.fetch(
        f"UPDATE {queue.table} SET status = '{queue.waiting}', attempts = 0, due_at = clock_timestamp()"  # noqa: S608
        f" WHERE {queue.id_column} = ANY($1::{queue.id_type}[]) AND status = '{queue.failed}'"
        f" RETURNING {queue.id_column} AS id",
        list(ids),
    )
    return {row["id"] for row in rows}


def backoff_seconds(
    attempts: int, *, base_seconds: float = 1.0, cap_seconds: float = 300.0, rng: random.Random | None = None
) -> float:
    """How long to wait after the n-th try: base * 2^(n-1), at most the cap, then a random point of its upper half.

    The randomness keeps rows that failed together from coming back together.
    """
    # 2^30 times any base is beyond every cap; without a bound a large count overflows.
    whole = min(cap_seconds, base_seconds * 2.0 ** min(max(attempts, 1) - 1, 30))
    return whole / 2 + whole / 2 * (rng or _RNG).random()


_RNG: Final = random.Random()  # noqa: S311  spreads load, guards nothing


async def _update(
    conn: Connection, queue: QueueTable, changes: str, held: Sequence[Held], *args: Any
) -> set[UUID | int]:
    statement = (
        f"UPDATE {queue.table} AS q SET {changes} FROM {queue.held}"  # noqa: S608  names only; values are parameters
        f" WHERE {queue.still_ours} RETURNING q.{queue.id_column} AS id"
    )
    return await _ids(conn, queue, statement, held, *args)


async def _ids(
    conn: Connection, queue: QueueTable, statement: str, held: Sequence[Held], *args: Any
) -> set[UUID | int]:
    ordered = sorted(held, key=lambda one: str(one.id) if queue.id_type == "uuid" else one.id)
    rows = await conn.fetch(statement, [one.id for one in ordered], [one.epoch for one in ordered], *args)
    return {row["id"] for row in rows}
