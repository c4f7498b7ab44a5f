"""What was written and when, so that reads can lag behind writes."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from services.sandbox.meta.node import Node

MAX_ENTRIES = 50_000
"""The oldest are forgotten: a read that lags by longer than these shows them as done."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One write. `before`: the object as it was, None where it did not exist."""

    kind: str
    """create, change, remove; enlist and delist for lists that the object came into or left by itself."""
    at: datetime
    node_id: str
    before: Node | None
    places: tuple[tuple[str, str, str | None], ...] = ()
    """Where the object is or was listed: id of the object above, edge, id of the row behind it (None: it is last)."""


class Journal:
    """Entries in the order of the writes."""

    def __init__(self) -> None:
        self._entries: deque[Entry] = deque(maxlen=MAX_ENTRIES)
        self.writes = 0
        """With those that are forgotten."""

    def append(self, entry: Entry) -> None:
        self.writes += 1
        self._entries.append(entry)

    def since(self, moment: datetime) -> Iterator[Entry]:
        """Writes after a moment, the last one first."""
        for entry in reversed(self._entries):
            if entry.at <= moment:
                return
            yield entry
