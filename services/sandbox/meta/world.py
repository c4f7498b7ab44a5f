"""Meta's part of the world: people, businesses, pages, posts and ad accounts, made from a seed.

Ids, names and numbers depend on the seed and the size only; moments lie relative to the start of the world.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from services.sandbox.settings import Size


class Ref(str):
    """The id of another object: shown as that object, expandable by braces."""

    __slots__ = ()


class Moment(datetime):
    """A time that Meta writes like `2026-11-21T10:00:00+0000`."""


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
    hidden: bool = False
    """Left out of lists by default: deleted and archived ad objects."""
    totals: dict[str, int] | None = None

    @property
    def title(self) -> str:
        return str(self.values.get("name") or self.values.get("message") or self.values.get("caption") or "")


class World:
    """All objects by id, and what the core wants to know of them."""

    def __init__(self, seed: int, size: Size, now: datetime) -> None:
        self.random = random.Random(f"{seed}/meta")  # noqa: S311  reproducible, not secret
        self.start = now.replace(minute=0, second=0, microsecond=0)
        self.size = size
        self.nodes: dict[str, Node] = {}
        self.accounts: list[str] = []
        self._next = {
            "ad": 120_200_000_000_000_000,
            "account": 400_000_000,
            "asset": 100_000_000_000_000,
            "post": 10_000,
        }

    def new_id(self, series: str) -> str:
        """Unique digits; series: ad, account, asset, post."""
        self._next[series] += self.random.randint(11, 9_973)
        return str(self._next[series])

    def add(self, node: Node, *, listed_in: tuple[Node, ...] = (), edge: str = "") -> Node:
        self.nodes[node.id] = node
        for above in listed_in:
            above.edges.setdefault(edge, []).append(node.id)
        return node

    def past(self, least_days: float, most_days: float) -> datetime:
        return self.start - timedelta(seconds=int(self.random.uniform(least_days, most_days) * 86_400))

    def touched(self, created: datetime) -> datetime:
        """When an object was last changed: for two of three within the last two days."""
        recent = self.past(0.05, 1.9) if self.random.random() < 2 / 3 else self.past(3, 25)
        return max(created, recent)

    def listed(self, node: Node, edge: str) -> Iterator[Node]:
        for node_id in node.edges.get(edge, ()):
            yield self.nodes[node_id]
