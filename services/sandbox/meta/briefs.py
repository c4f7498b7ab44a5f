"""Members of a family told in brief, without being made: what filters, counts and true lists of a million rows ask.

A brief is read as the object itself would be: what it does not know by arithmetic it asks the object. Of an object
that somebody has written to there is none.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from services.sandbox.meta.families import Family
from services.sandbox.meta.node import Node

Give = Callable[[int], Any]
"""A value of the member with that index."""


@dataclass(frozen=True, slots=True)
class Outline:
    """What is known of a family's members by their index alone."""

    status: Callable[[int], str]
    parent: Callable[[int], tuple[str, str]]
    values: Mapping[str, Give | None]
    """By field; None: members have no such field."""


@dataclass(frozen=True, slots=True)
class Brief:
    """One member that nobody has written to. Has what a Node has, as far as rows are chosen and listed by it."""

    family: Family
    outline: Outline
    index: int
    find: Callable[[str], Node]

    @property
    def id(self) -> str:
        return self.family.node_id(self.index)

    @property
    def kind(self) -> str:
        return self.family.kind

    @property
    def hidden(self) -> bool:
        return self.family.is_gone(self.index)

    @property
    def account(self) -> str:
        return self.family.owner

    @property
    def status(self) -> str:
        return self.outline.status(self.index)

    @property
    def parent(self) -> tuple[str, str]:
        return self.outline.parent(self.index)

    @property
    def created_at(self) -> datetime:
        return self.family.created_at(self.index)

    @property
    def updated_at(self) -> datetime:
        return self.family.updated_at(self.index)

    @property
    def title(self) -> str:
        return str(self.get("name", "")) if "name" in self.outline.values else self.node().title

    @property
    def totals(self) -> None:
        """Posts have counters, and no outline."""
        return None

    @property
    def values(self) -> "Brief":
        """Fields by name, for `values.get`."""
        return self

    def get(self, name: str, default: Any = None) -> Any:
        if name not in self.outline.values:
            return self.node().values.get(name, default)
        give = self.outline.values[name]
        return default if give is None else give(self.index)

    def node(self) -> Node:
        """The object itself."""
        return self.find(self.id)


Row = Node | Brief
"""A row of a list as one looks at it in order to choose."""


def node_of(row: Row) -> Node:
    return row.node() if isinstance(row, Brief) else row
