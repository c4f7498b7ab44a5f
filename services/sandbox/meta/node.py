"""One object of the graph, and the kinds of values that it may hold."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from services.sandbox.meta.families import Stretch


class Ref(str):
    """The id of another object: shown as that object, expandable by braces."""

    __slots__ = ()


class Moment(datetime):
    """A time that Meta writes like `2026-11-21T10:00:00+0000`."""

    @classmethod
    def at(cls, moment: datetime) -> "Moment":
        return cls.fromtimestamp(moment.timestamp(), moment.tzinfo)


class Late:
    """A value that is worked out when it is read: counters, and what follows from other objects.

    `was`: gives what it was at a moment, for the object as it was then; None: only what is now is known.
    """

    __slots__ = ("give", "was")

    def __init__(self, give: Callable[[], Any], was: "Callable[[Node, datetime], Any] | None" = None) -> None:
        self.give = give
        self.was = was


class Values(dict[str, Any]):
    """Fields by name. Who reads one never meets a `Late`."""

    def __getitem__(self, name: str) -> Any:
        return _now(super().__getitem__(name))

    def get(self, name: str, default: Any = None) -> Any:
        return _now(super().get(name, default))

    def __iter__(self) -> Iterator[str]:
        # Also keeps `{**values}` and `dict(values)` from taking the short way past `__getitem__`.
        return iter(super().keys())

    def items(self) -> Any:
        return [(name, _now(value)) for name, value in super().items()]

    def values(self) -> Any:
        return [_now(value) for value in super().values()]

    def copy(self) -> "Values":
        """A copy that still works out late values when they are read."""
        copy = Values()
        dict.update(copy, ((name, value) for name, value in super().items()))
        return copy


def _now(value: Any) -> Any:
    return value.give() if isinstance(value, Late) else value


@dataclass(slots=True)
class Node:
    """One object of the graph."""

    id: str
    kind: str
    account: str
    """Id of the account that decides who may see it and whose quota pays: itself, or what it hangs below."""
    values: dict[str, Any]
    created_at: datetime
    updated_at: datetime
    parent: tuple[str, str] | None = None
    """Kind and id of the object directly above."""
    status: str = "ACTIVE"
    edges: dict[str, list[str]] = field(default_factory=dict)
    """Ids that are written down, in the order of the list; `runs` come behind them."""
    hidden: bool = False
    """Left out of lists by default: deleted and archived ad objects."""
    runs: dict[str, Stretch] = field(default_factory=dict)
    """What an edge lists by arithmetic."""
    counters: Callable[[], dict[str, int]] | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.values, Values):
            self.values = Values(self.values)

    @property
    def title(self) -> str:
        """The name or text that the API gives."""
        for name in ("name", "message", "caption", "text", "username", "display_phone_number"):
            if self.values.get(name):
                return str(self.values[name])
        return ""

    @property
    def totals(self) -> dict[str, int] | None:
        """Lifetime counters of a post, as the API shows them now."""
        return self.counters() if self.counters else None

    def at(self, moment: datetime) -> "Node":
        """With those late values that know it as they were at a moment; itself where there are none."""
        late = {name: value.was for name, value in dict.items(self.values) if isinstance(value, Late) and value.was}
        if not late:
            return self
        node = self.copy()
        node.values.update({name: was(self, moment) for name, was in late.items()})
        return node

    def copy(self) -> "Node":
        """As it is now: the values are the copy's own."""
        return Node(
            self.id,
            self.kind,
            self.account,
            self.values.copy(),
            self.created_at,
            self.updated_at,
            self.parent,
            self.status,
            self.edges,
            self.hidden,
            self.runs,
            self.counters,
        )
