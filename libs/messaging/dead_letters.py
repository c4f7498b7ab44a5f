"""What an operator does with dead letters: look, edit, redrive with our own handler, or drop with a reason."""

from collections.abc import Sequence
from typing import Final
from uuid import UUID

from libs.events.topics import topic as declared_topic
from libs.messaging import dead_letter_store as store
from libs.messaging import operator_actions
from libs.messaging.dead_letter_store import DeadLetter, get, list_open
from libs.messaging.kept import KeptRecord
from libs.messaging.messages import Route
from libs.messaging.operator_actions import MAX_NOTE_CHARS, CannotChange, check_edit, read_kept
from libs.messaging.processing import DUPLICATE, Outcomes, Processor
from libs.messaging.records import Declarations
from libs.postgres import Connection
from libs.telemetry.redaction import safe_error

__all__ = ["CannotChange", "DeadLetter", "drop", "edit", "get", "list_open", "redrive"]


async def edit(
    conn: Connection,
    letter_id: UUID,
    value: bytes | None,
    routes: Sequence[Route],
    actor: str,
    declarations: Declarations = declared_topic,
) -> None:
    """Give an open dead letter another body, which must fit its contract; the first one is kept.

    Raises: CannotChange.
    """
    letter = await _open_letter(conn, letter_id)
    check_edit(letter.value, value)
    read_kept(_record(letter, value), routes, declarations)
    await store.edit(conn, letter_id, value)
    await operator_actions.note(conn, actor, "edit", "dead_letter", letter_id, replaced_value=letter.value)


# By the place: what came before it in the same partition, of the same key.
PARKED_BEFORE: Final = """
SELECT EXISTS (
    SELECT FROM parked
    WHERE consumer = $1 AND topic = $2 AND key = $3 AND status = 'open' AND partition = $4 AND record_offset < $5
)
"""


async def redrive(
    conn: Connection,
    letter_id: UUID,
    routes: Sequence[Route],
    declarations: Declarations = declared_topic,
    *,
    actor: str,
) -> Outcomes:
    """Read the record again and run our handler on it, with its own event id, in the open transaction.

    It comes later than the records that followed it: that is the operator's decision. What was handled meanwhile
    under the same id, or overtaken by a newer state, is ended without running the handler. Gives what is to be counted
    once the transaction has committed.
    Raises: CannotChange when it is not open, still does not fit, the handler fails, or records of its key that came
    before it are parked.
    """
    letter = await _open_letter(conn, letter_id)
    routing, item = read_kept(_record(letter, letter.value), routes, declarations)
    place = (letter.partition, letter.offset)
    if await conn.fetchval(PARKED_BEFORE, letter.consumer, letter.topic, routing.blocking_key(item), *place):
        raise CannotChange("records of its key that came before it are parked: see to them first")
    try:
        async with conn.transaction():
            outcomes = await Processor(letter.consumer, routing).apply(conn, [item])
    except Exception as error:
        raise CannotChange(f"the handler failed: {safe_error(error)}") from error
    duplicate = any(outcome == DUPLICATE for _, outcome, _ in outcomes)
    await store.end(conn, letter_id, "redriven", "was handled before" if duplicate else None)
    await operator_actions.note(conn, actor, "redrive", "dead_letter", letter_id)
    return outcomes


async def drop(conn: Connection, letter_id: UUID, reason: str, *, actor: str) -> None:
    """Give a dead letter up; it is kept with the reason. Raises: CannotChange when it is not open."""
    await _open_letter(conn, letter_id)
    await store.end(conn, letter_id, "dropped", reason[:MAX_NOTE_CHARS])
    await operator_actions.note(conn, actor, "drop", "dead_letter", letter_id, words=reason)


async def _open_letter(conn: Connection, letter_id: UUID) -> DeadLetter:
    letter = await store.lock(conn, letter_id)
    if letter is None:
        raise CannotChange(f"there is no dead letter {letter_id}")
    if letter.status != "open":
        raise CannotChange(f"it was {letter.status} at {letter.ended_at:%Y-%m-%d %H:%M:%S} UTC")
    return letter


def _record(letter: DeadLetter, value: bytes | None) -> KeptRecord:
    return KeptRecord(letter.topic, letter.partition, letter.offset, letter.key, value, letter.headers)
