"""Meta's part of the world: people, businesses, pages, posts and ad accounts, made from a seed.

Ids, names and numbers depend on the seed and the size only; moments lie relative to the start of the world. Accounts
are made at once, what lies below them when somebody looks at it (`families.py`). Who writes uses `create`, `change`
and `remove`: they keep what was before (`as_of`), and tell those who wait for writes.
"""

import random
from bisect import bisect_right, insort
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import chain
from typing import TYPE_CHECKING, Any

from services.sandbox.clock import Clock
from services.sandbox.meta.agenda import Agenda
from services.sandbox.meta.briefs import Brief, Row
from services.sandbox.meta.families import Family, Run
from services.sandbox.meta.journal import Entry, Journal
from services.sandbox.meta.listings import Listing
from services.sandbox.meta.node import Late, Moment, Node, Ref, Values
from services.sandbox.settings import Size

if TYPE_CHECKING:
    from services.sandbox.meta.comments import CommentIds
    from services.sandbox.meta.series import Series

__all__ = ["Late", "Listing", "Moment", "Node", "Ref", "Values", "World"]

MAX_HELD = 20_000
"""Objects of families that are kept for the next look; each takes about two kilobytes."""
_FIRST_IDS = {
    "account": 400_000_000,
    "post": 122_000_000_000_000,
    "asset": 100_000_000_000_000,
    "instagram": 17_841_400_000_000_000,
    "media": 17_900_000_000_000_000,
    "threads_post": 18_000_000_000_000_000,
    "ad": 120_200_000_000_000_000,
}
"""Series of ids; their ranges never meet."""

OnWrite = Callable[[str, Node], None]
"""Gets `create`, `change` or `remove`, and the object after the write."""
Finder = Callable[[str], Node | None]


class World:
    """All objects by id, and what the core wants to know of them."""

    def __init__(self, seed: int, size: Size, clock: Clock) -> None:
        self.random = random.Random(f"{seed}/meta")  # noqa: S311  reproducible, not secret
        self.clock = clock
        self.start = clock.now().replace(minute=0, second=0, microsecond=0)
        self.size = size
        self.nodes = Nodes()
        self.accounts: list[str] = []
        self.series: dict[str, Series] = {}
        """Daily numbers by the account whose they are."""
        self.comment_ids: dict[str, CommentIds] = {}
        """Ids of what is written below posts, by the account whose posts they are."""
        self.agenda = Agenda()
        self.kept: dict[str, Any] = {}
        """What areas of the API keep beside the objects, by their names: it goes with the world."""
        self._next = dict(_FIRST_IDS)
        self._touched = 0
        self._journal = Journal()
        self._listeners: list[OnWrite] = []
        self._places: dict[str, list[tuple[str, str]]] = {}

    def new_id(self, series: str) -> str:
        """Unique digits; series: a key of `_FIRST_IDS`."""
        self._next[series] += self.random.randint(11, 9_973)
        return str(self._next[series])

    def reserve(self, series: str, ids: int) -> int:
        """The first of so many ids that nothing else gets."""
        first = self._next[series] + self.random.randint(11, 9_973)
        self._next[series] = first + ids
        return first

    def past(self, least_days: float, most_days: float) -> datetime:
        return self.start - timedelta(seconds=int(self.random.uniform(least_days, most_days) * 86_400))

    def touched(self, created: datetime) -> datetime:
        """When an object was last changed: for two of three within the last two days."""
        self._touched += 1
        recent = self.past(3, 25) if self._touched % 3 == 0 else self.past(0.05, 1.9)
        return max(created, recent)

    def add(self, node: Node, *, listed_in: tuple[Node, ...] = (), edge: str = "") -> Node:
        """A part of the world's start: at the end of the lists, in no journal, told to nobody."""
        self.nodes.hold(node)
        for above in listed_in:
            above.edges.setdefault(edge, []).append(node.id)
            self._places.setdefault(node.id, []).append((above.id, edge))
        return node

    def listed(self, node: Node, edge: str, *, as_of: datetime | None = None) -> Listing:
        """Everything that an edge has, deleted and archived objects too. `as_of`: as it was at that moment."""
        return self._listing(node, edge, as_of, everything=True)

    def shown(self, node: Node, edge: str, *, as_of: datetime | None = None) -> Listing:
        """What an edge lists by default. Reading a page of it costs no more than the page."""
        return self._listing(node, edge, as_of, everything=False)

    def create(self, node: Node, *, listed_in: tuple[Node, ...] = (), edge: str = "") -> Node:
        """Put a new object at the head of the lists of those above."""
        self.nodes.hold(node)
        for above in listed_in:
            self.nodes.hold(above).edges.setdefault(edge, []).insert(0, node.id)
            self._places.setdefault(node.id, []).append((above.id, edge))
        self._journal.append(Entry("create", self.clock.now(), node.id, None))
        self._tell("create", node)
        return node

    def change(
        self, node: Node, values: Mapping[str, Any], *, hidden: bool | None = None, status: str | None = None
    ) -> Node:
        """Put values over an object's; `updated_at` and, where its kind shows one, `updated_time` become now.

        `hidden`: out of the lists that are given by default, or into them again. Gives the object that is in force.
        """
        node = self.nodes.hold(node)
        now = self.clock.now()
        self._journal.append(Entry("change", now, node.id, node.copy()))
        node.values.update(values)
        node.updated_at = now
        shown_time = dict.get(node.values, "updated_time")
        if isinstance(shown_time, Moment) and "updated_time" not in values:
            node.values["updated_time"] = Moment.fromtimestamp(now.timestamp(), shown_time.tzinfo)
        if status is not None:
            node.status = status
        if hidden is not None and hidden != node.hidden:
            node.hidden = hidden
            self.nodes.mark(node.id, hidden=hidden)
        self._tell("change", node)
        return node

    def enlist(self, node: Node, above: Node, edge: str) -> None:
        """Put an object at the head of one more list; it is there once at most."""
        written = self.nodes.hold(above).edges.setdefault(edge, [])
        if node.id not in written:
            place = (above.id, edge, written[0] if written else None)
            written.insert(0, node.id)
            self._places.setdefault(node.id, []).append((above.id, edge))
            self._journal.append(Entry("enlist", self.clock.now(), node.id, node.copy(), (place,)))

    def delist(self, node: Node, above: Node, edge: str) -> None:
        """Out of a list that it was put into; members of families stay in those of their family."""
        written = self.nodes.hold(above).edges.get(edge, [])
        if node.id in written:
            self._places[node.id].remove((above.id, edge))
            place = _take_out(written, node.id, above.id, edge)
            self._journal.append(Entry("delist", self.clock.now(), node.id, node.copy(), (place,)))

    def link(self, node: Node, edge: str, ids: Sequence[str]) -> None:
        """Let an edge list just these objects."""
        self.nodes.hold(node).edges[edge] = list(ids)

    def remove(self, node: Node) -> None:
        """Out of every list, and unknown from now on. What hangs below it keeps its own ids."""
        if node.id not in self.nodes:
            return
        node = self.nodes.hold(node)
        places = []
        for above_id, edge in self._places.pop(node.id, ()):
            above = self.nodes.get(above_id)
            written = above.edges.get(edge, []) if above else []
            if node.id in written:
                places.append(_take_out(written, node.id, above_id, edge))
        self._journal.append(Entry("remove", self.clock.now(), node.id, node.copy(), tuple(places)))
        self.nodes.drop(node.id)
        self._tell("remove", node)

    @property
    def writes(self) -> int:
        """How many there were: who has read a part of the world sees by it whether the rest is still that of then."""
        return self._journal.writes

    def on_write(self, listener: OnWrite) -> None:
        """Call `listener` after every create, change and remove, in the order of their coming."""
        self._listeners.append(listener)

    def as_of(self, node: Node, moment: datetime) -> Node | None:
        """The object as it was at that moment; None if it did not exist yet."""
        found: Node | None = node
        for entry in self._journal.since(moment):
            if entry.node_id == node.id:
                found = entry.before
        return found

    def before_last_write(self, node_id: str) -> Node | None:
        """The object as it was before the last write to it; None if it did not exist, or was not written at all."""
        entries = self._journal.since(datetime.min.replace(tzinfo=UTC))
        return next((entry.before for entry in entries if entry.node_id == node_id), None)

    def find(self, node_id: str, as_of: datetime | None = None) -> Node | None:
        """An object by id, also one that was there at that moment and is removed by now."""
        node = self.nodes.get(node_id)
        if as_of is None:
            return node
        is_written = False
        for entry in self._journal.since(as_of):
            is_written = True
            if entry.node_id == node_id:
                node = entry.before
        return node.at(as_of) if node and is_written else node

    def known(self, node_id: str) -> Node | None:
        """An object by id, also one that is removed: a call that names it is still a call for such an object."""
        return self.nodes.get(node_id) or self.before_last_write(node_id)

    def glance(self, node_id: str, as_of: datetime | None = None) -> Row | None:
        """An object by id, in brief where that is enough."""
        if as_of is not None and next(self._journal.since(as_of), None) is not None:
            return self.find(node_id, as_of)
        return self.nodes.glance(node_id)

    def _listing(self, node: Node, edge: str, as_of: datetime | None, *, everything: bool) -> Listing:
        written = node.edges.get(edge, ())
        if as_of is not None and next(self._journal.since(as_of), None) is not None:
            return self._past_listing(node, edge, as_of, everything=everything)
        if not everything:
            written = [node_id for node_id in written if not self.nodes[node_id].hidden]
        return Listing(self.nodes.__getitem__, list(written), node.runs.get(edge), everything=everything)

    def _past_listing(self, node: Node, edge: str, moment: datetime, *, everything: bool) -> Listing:
        """The list before the writes since then are counted: takes the ids of the whole list into the hand."""
        stretch = node.runs.get(edge)
        written = list(node.edges.get(edge, ()))
        ids = list(stretch.ids(0, everything=True)) if stretch else []
        for entry in self._journal.since(moment):
            came_here = (node.id, edge) in {place[:2] for place in entry.places}
            if entry.node_id in written and (entry.kind == "create" or (entry.kind == "enlist" and came_here)):
                written.remove(entry.node_id)
            if entry.kind == "remove" and isinstance(stretch, Run) and stretch.has(entry.node_id):
                ids.insert(_place_by_age(ids, stretch, entry.node_id), entry.node_id)
            for above_id, listed_edge, behind in entry.places:
                if (above_id, listed_edge) == (node.id, edge) and entry.kind != "enlist":
                    written.insert(written.index(behind) if behind in written else len(written), entry.node_id)
        # The oldest of the writes to an object comes last: before it the object was as it was at the moment.
        then = {entry.node_id: entry.before for entry in self._journal.since(moment)}

        def was_listed(node_id: str) -> bool:
            if node_id not in then:
                return everything or not self.nodes.is_hidden(node_id)
            before = then[node_id]
            return before is not None and (everything or not before.hidden)

        def find(node_id: str) -> Node:
            node = then[node_id] if node_id in then else self.nodes[node_id]
            assert node is not None
            return node.at(moment)

        listed = dict.fromkeys(filter(was_listed, chain(written, ids)))
        return Listing(find, list(listed), None, everything=True)

    def _tell(self, kind: str, node: Node) -> None:
        for listener in self._listeners:
            listener(kind, node)


class Nodes(Mapping[str, Node]):
    """Every object by id: those at hand, and those that a family makes when they are asked for."""

    def __init__(self) -> None:
        self._held: dict[str, Node] = {}
        """Accounts, and everything that was written: kept as it is."""
        self._made: dict[str, Node] = {}
        self._bases: list[int] = []
        self._families: dict[int, Family] = {}
        self._finders: list[Finder] = []

    def found(self, family: Family) -> Family:
        """Take up a family: from now on its members can be asked for."""
        if family.total:
            insort(self._bases, family.base)
            self._families[family.base] = family
        return family

    def ask(self, finder: Finder) -> None:
        """Have ids that no family knows looked up by it: it gives the object, or None."""
        self._finders.append(finder)

    def hold(self, node: Node) -> Node:
        """Keep the object as it is; gives the one that is in force."""
        held = self._held.setdefault(node.id, node)
        place = self.place_of(node.id) if held is node else None
        if place:
            place[0].note_write(place[1])
        return held

    def drop(self, node_id: str) -> None:
        del self._held[node_id]
        self._made.pop(node_id, None)
        place = self.place_of(node_id)
        if place:
            place[0].remove(place[1])

    def mark(self, node_id: str, *, hidden: bool) -> None:
        """Tell the object's family whether lists show it."""
        place = self.place_of(node_id)
        if place:
            place[0].set_hidden(place[1], hidden=hidden)

    def glance(self, node_id: str) -> Row | None:
        """In brief where nobody has made the object yet, and its family has an outline."""
        found: Row | None = self._held.get(node_id) or self._made.get(node_id)
        place = None if found else self.place_of(node_id)
        if place and place[0].outline and not place[0].is_removed(place[1]):
            return Brief(place[0], place[0].outline, place[1], self.__getitem__)
        return found or self.get(node_id)

    def is_hidden(self, node_id: str) -> bool:
        """Whether lists leave the object out by default."""
        place = None if node_id in self._held else self.place_of(node_id)
        return self[node_id].hidden if place is None else place[0].is_gone(place[1])

    def place_of(self, node_id: str) -> tuple[Family, int] | None:
        """The family and the index there that an id names."""
        digits = node_id.rpartition("_")[2]
        if not digits.isascii() or not digits.isdigit() or len(digits) > 18:
            return None
        below = bisect_right(self._bases, int(digits))
        family = self._families[self._bases[below - 1]] if below else None
        if family is None or node_id != family.prefix + digits:
            return None
        index = family.index_of(node_id)
        return None if index is None else (family, index)

    def __getitem__(self, node_id: str) -> Node:
        node = self._held.get(node_id) or self._made.get(node_id) or self._make(node_id)
        if node is None:
            raise KeyError(node_id)
        return node

    def __contains__(self, node_id: object) -> bool:
        return isinstance(node_id, str) and self.get(node_id) is not None

    def __iter__(self) -> Iterator[str]:
        yield from self._held
        for family in self._families.values():
            for index in range(family.total):
                if not family.is_removed(index) and family.node_id(index) not in self._held:
                    yield family.node_id(index)

    def __len__(self) -> int:
        """All but what finders know."""
        lazy = sum(family.listed_before(family.total, everything=True) for family in self._families.values())
        return lazy + sum(self.place_of(node_id) is None for node_id in self._held)

    def _make(self, node_id: str) -> Node | None:
        place = self.place_of(node_id)
        if place and place[0].make and not place[0].is_removed(place[1]):
            node: Node | None = place[0].make(place[1])
        else:
            node = next(filter(None, (finder(node_id) for finder in self._finders)), None)
        if node is not None:
            if len(self._made) >= MAX_HELD:
                # Dicts keep the order of insertion: the half that was made first goes.
                for oldest in list(self._made)[: MAX_HELD // 2]:
                    del self._made[oldest]
            self._made[node_id] = node
        return node


def _take_out(written: list[str], node_id: str, above_id: str, edge: str) -> tuple[str, str, str | None]:
    """Out of a list; gives where it stood there, for the journal."""
    place = written.index(node_id)
    behind = written[place + 1] if place + 1 < len(written) else None
    written.pop(place)
    return above_id, edge, behind


def _place_by_age(ids: list[str], run: Run, node_id: str) -> int:
    """Where a member of the run stood among those that are left of it."""
    index = run.family.index_of(node_id) or 0
    for place, other in enumerate(ids):
        if (run.family.index_of(other) or 0) > index:
            return place
    return len(ids)
