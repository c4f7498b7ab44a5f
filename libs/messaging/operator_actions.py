"""Who did what to parked records and dead letters: rows that are added in the transaction of the deed."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal
from uuid import UUID

from libs.messaging.kept import KeptRecord
from libs.messaging.messages import Route
from libs.messaging.records import Declarations, Incoming, Routing
from libs.postgres import Connection
from libs.telemetry.redaction import MARK

MAX_NOTE_CHARS: Final = 1_000

Subject = Literal["parked", "dead_letter"]
Verb = Literal["edit", "redrive", "drop"]


class CannotChange(Exception):  # noqa: N818
    """A record cannot be changed or ended so; the text says why. It is as it was."""


@dataclass(frozen=True, slots=True)
class Action:
    """What an operator did."""

    done_at: datetime
    actor: str
    action: str
    note: str | None


NOTE: Final = """
INSERT INTO operator_actions (actor, action, subject, subject_id, note, replaced_value) VALUES ($1, $2, $3, $4, $5, $6)
"""
OF: Final = "SELECT done_at, actor, action, note FROM operator_actions WHERE subject_id = $1 ORDER BY id"


async def note(
    conn: Connection,
    actor: str,
    verb: Verb,
    subject: Subject,
    subject_id: UUID,
    *,
    words: str | None = None,
    replaced_value: bytes | None = None,
) -> None:
    """Write down what is done in the open transaction."""
    await conn.execute(NOTE, actor, verb, subject, subject_id, words and words[:MAX_NOTE_CHARS], replaced_value)


async def of(conn: Connection, subject_id: UUID) -> list[Action]:
    """Give what was done to a record, oldest first."""
    return [Action(*row.values()) for row in await conn.fetch(OF, subject_id)]


def read_kept(record: KeptRecord, routes: Sequence[Route], declarations: Declarations) -> tuple[Routing, Incoming]:
    """Read a kept record by the routes of its topic.

    Raises: CannotChange when nothing here takes it, or it does not fit its contract.
    """
    try:
        routing = Routing([route for route in routes if route.topic == record.topic], declarations)
    except KeyError:
        raise CannotChange(f"topic {record.topic} is not declared any more") from None
    if record.topic not in routing.topics:
        raise CannotChange(f"nothing here reads topic {record.topic}")
    item = routing.read(record)
    if item.reason is not None:
        raise CannotChange(f"it does not fit its contract: {item.reason}")
    if item.message is None:
        raise CannotChange("nothing here wants events of its type")
    return routing, item


def check_edit(old: bytes | None, new: bytes | None) -> None:
    """Refuse a body that was copied from one shown to a person. Raises: CannotChange."""
    mark = MARK.encode()
    if mark in (new or b"") and mark not in (old or b""):
        raise CannotChange(f"the new body says {MARK}, where a secret was left out of what was shown: put it in again")
