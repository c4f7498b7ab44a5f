"""What a handler gets, and how a service says what it wants to get."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from libs.events.envelope import Envelope
from libs.events.model import Event
from libs.postgres import Connection


@dataclass(frozen=True, slots=True)
class Message:
    """One record that fits its contract and, unless its route says otherwise, was not handled before."""

    envelope: Envelope
    data: Event | None
    """None is the tombstone of a state topic: the thing of this key has ended."""
    key: str
    """Empty when the producer gave none, which only topics of commands and facts allow."""
    topic: str
    partition: int
    offset: int


Handler = Callable[[Connection, Sequence[Message]], Awaitable[None]]
"""Handles messages inside the poll's transaction: no network call, no commit, no swallowed database error.

A key's messages come in order. Of a state topic only the newest record of a key in the poll comes. A handler may be
called more than once per poll, and again for single messages in savepoints when a batch failed.
"""


@dataclass(frozen=True, slots=True)
class Route:
    """Which events of a topic go to which handler; events that no route names are read and passed over."""

    topic: str
    events: tuple[type[Event], ...]
    handle: Handler
    once: bool = True
    """False: of facts and commands every delivery comes, repeats too, and the handler itself tells what is new.

    For what must be answered even under an id that was seen before.
    """
    blocking_key: Callable[[Message], str] | None = None
    """What is blocked when one of its records must be parked; None: the record's own key. Never raises.

    Finer than the key where several parties share it. All routes of a topic name the same.
    """
