"""A queue table, described: its names, and the statements that every queue shares.

What the table must have (types and defaults; add what the work itself needs):

    id            uuid or bigint, primary key
    status        text
    priority      smallint               lower goes first
    due_at        timestamptz NOT NULL
    locked_by     text                   null unless running
    locked_until  timestamptz            null unless running
    lease_epoch   bigint NOT NULL DEFAULT 0
    attempts      integer NOT NULL DEFAULT 0
    max_attempts  integer NOT NULL
    last_error    text

Indexes: two partial ones are all that a claim needs, and no other index should hold a column that a claim changes.

    CREATE INDEX ... ON t (priority, due_at, id) WHERE status = '<waiting>';
    CREATE INDEX ... ON t (locked_until) WHERE status = '<running>';

Where claims are made per group (a connection, say), put the group's column first in the waiting index.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

_NAME: Final = re.compile(r"[a-z_][a-z0-9_]*")
_ORDER: Final = re.compile(r"[a-z_][a-z0-9_]*(?: ASC| DESC)?(?:, [a-z_][a-z0-9_]*(?: ASC| DESC)?)*")


@dataclass(frozen=True, slots=True)
class QueueTable:
    """Names of one queue table. They become part of SQL, so only plain identifiers are let in."""

    table: str
    id_column: str = "id"
    id_type: Literal["uuid", "bigint"] = "uuid"
    waiting: str = "queued"
    running: str = "running"
    done: str = "completed"
    failed: str = "failed"
    order_by: str = "priority, due_at, id"

    def __post_init__(self) -> None:
        names = (self.table, self.id_column, self.id_type, self.waiting, self.running, self.done, self.failed)
        for name in names:
            if not _NAME.fullmatch(name):
                raise ValueError(f"{name!r} is not a plain name of a table, column or status")
        if not _ORDER.fullmatch(self.order_by):
            raise ValueError(f"{self.order_by!r} is not a plain list of columns")

    @property
    def take_lease(self) -> str:
        """The SET list of a claim: `$1` is the worker's name, `$3` the lease in seconds.

        For a service that writes a claim of its own: whatever rows it chooses, this is what makes the lease and its
        fence.
        """
        return (
            f"status = '{self.running}', locked_by = $1, locked_until = clock_timestamp() + make_interval(secs => $3),"
            " lease_epoch = q.lease_epoch + 1, attempts = q.attempts + 1"
        )

    @property
    def drop_lease(self) -> str:
        """The SET list that ends a lease; the epoch stays, so that it only ever grows."""
        return "locked_by = NULL, locked_until = NULL"

    @property
    def still_ours(self) -> str:
        """The fence of every later write: `$1` are ids, `$2` the epochs under which they were claimed."""
        return (
            f"q.status = '{self.running}' AND q.lease_epoch = held.epoch AND q.{self.id_column} = held.id"
            # the epochs are compared, not the end of the lease: a row that nobody took meanwhile is still ours
        )

    @property
    def held(self) -> str:
        """`$1` and `$2` as rows."""
        return f"unnest($1::{self.id_type}[], $2::bigint[]) AS held (id, epoch)"


DUE: Final = "q.due_at <= statement_timestamp()"


def claim_statement(
    queue: QueueTable,
    *,
    where: str = "true",
    due: str = DUE,
    order_by: str | None = None,
    returning: Sequence[str] = (),
) -> str:
    """Write the claim of a queue: `$1` worker, `$2` limit, `$3` lease seconds; a service's own values start at `$4`.

    Rows whose lease ran out come first (their worker is gone), then what waits and is `due`, both only as `where`
    allows, skipping rows that another transaction has locked. `where` and `due` are constants of the service's code
    that speak of the table as `q`; values go in as parameters. Give `due="true"` to fill a batch up with rows that may
    still wait.

    MATERIALIZED keeps the planner from running the choice again per row, which would lock more than the limit.
    statement_timestamp() is the database's clock like clock_timestamp(), and unlike it can be looked up in an index.
    """
    key = f"q.{queue.id_column}"
    columns = ", ".join(f"q.{name}" for name in dict.fromkeys((queue.id_column, *_LEASE_COLUMNS, *returning)))
    return f"""
WITH expired AS MATERIALIZED (
    SELECT {key} AS id FROM {queue.table} AS q
    WHERE q.status = '{queue.running}' AND q.locked_until <= statement_timestamp() AND ({where})
    ORDER BY q.locked_until
    LIMIT $2::integer
    FOR UPDATE SKIP LOCKED
), waiting AS MATERIALIZED (
    SELECT {key} AS id FROM {queue.table} AS q
    WHERE q.status = '{queue.waiting}' AND ({due}) AND ({where})
    ORDER BY {order_by or queue.order_by}
    LIMIT greatest($2::integer - (SELECT count(*) FROM expired), 0)
    FOR UPDATE SKIP LOCKED
), chosen AS MATERIALIZED (
    SELECT id FROM expired UNION ALL SELECT id FROM waiting
)
UPDATE {queue.table} AS q
SET {queue.take_lease}
FROM chosen
WHERE {key} = chosen.id
RETURNING {columns}
"""  # noqa: S608  names only, checked by QueueTable; values are parameters


_LEASE_COLUMNS: Final = ("lease_epoch", "attempts", "max_attempts")
