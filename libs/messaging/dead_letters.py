"""What an operator does with dead letters: look, redrive with our own handler, or drop with a reason."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from libs.events.topics import topic as declared_topic
from libs.messaging import dead_letter_store as store
from libs.messaging.dead_letter_store import DeadLetter, get, list_open
from libs.messaging.messages import Route
from libs.messaging.processing import DUPLICATE, Processor, count
from libs.messaging.records import Declarations, Routing
from libs.postgres import Connection
from libs.telemetry.redaction import safe_error

__all__ = ["CannotRedrive", "DeadLetter", "drop", "get", "list_open", "redrive"]

MAX_NOTE_CHARS = 1_000


class CannotRedrive(Exception):  # noqa: N818
    """The dead letter cannot be ended so; the text says why. It is as it was."""


@dataclass(frozen=True, slots=True)
class _Kept:
    """A dead letter in a record's clothes."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]]


async def redrive(
    conn: Connection, letter_id: UUID, routes: Sequence[Route], declarations: Declarations = declared_topic
) -> None:
    """Read the record again and run our handler on it, with its own event id, in the open transaction.

    It comes later than the records that followed it: that is the operator's decision. What was handled meanwhile
    under the same id, or overtaken by a newer state, is ended without running the handler.
    Raises: CannotRedrive when it is not open, still does not fit, or the handler fails.
    """
    letter = await _open_letter(conn, letter_id)
    try:
        routing = Routing([route for route in routes if route.topic == letter.topic], declarations)
    except KeyError:
        raise CannotRedrive(f"topic {letter.topic} is not declared any more") from None
    if letter.topic not in routing.topics:
        raise CannotRedrive(f"nothing here reads topic {letter.topic}")
    incoming = routing.read(
        _Kept(letter.topic, letter.partition, letter.offset, letter.key, letter.value, letter.headers)
    )
    if incoming.reason is not None:
        raise CannotRedrive(f"it still does not fit its contract: {incoming.reason}")
    if incoming.message is None:
        raise CannotRedrive("nothing here wants events of its type")
    try:
        async with conn.transaction():
            outcomes = await Processor(letter.consumer, routing).apply(conn, [incoming])
    except Exception as error:
        raise CannotRedrive(f"the handler failed: {safe_error(error)}") from error
    duplicate = any(outcome == DUPLICATE for _, outcome, _ in outcomes)
    await store.end(conn, letter_id, "redriven", "was handled before" if duplicate else None)
    count(outcomes)


async def drop(conn: Connection, letter_id: UUID, reason: str) -> None:
    """Give a dead letter up; it is kept with the reason. Raises: CannotRedrive when it is not open."""
    await _open_letter(conn, letter_id)
    await store.end(conn, letter_id, "dropped", reason[:MAX_NOTE_CHARS])


async def _open_letter(conn: Connection, letter_id: UUID) -> DeadLetter:
    letter = await store.lock(conn, letter_id)
    if letter is None:
        raise CannotRedrive(f"there is no dead letter {letter_id}")
    if letter.status != "open":
        raise CannotRedrive(f"it was {letter.status} at {letter.ended_at:%Y-%m-%d %H:%M:%S} UTC")
    return letter
