"""Lists as the world keeps them: rows that are written down, then rows by arithmetic."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import overload

from services.sandbox.meta.briefs import Brief, Row
from services.sandbox.meta.families import Run, Stretch
from services.sandbox.meta.node import Node


class Listing(Sequence[Node]):
    """What an edge lists, in its order. A slice makes no more objects than it has rows.

    `written`: ids that come first. `stretch`: what comes behind them.
    """

    def __init__(
        self, find: Callable[[str], Node], written: Sequence[str], stretch: Stretch | None, *, everything: bool
    ) -> None:
        self._find = find
        self._written = written
        self._stretch = stretch
        self._everything = everything

    def __len__(self) -> int:
        behind = self._stretch.count(everything=self._everything) if self._stretch else 0
        return len(self._written) + behind

    @overload
    def __getitem__(self, place: int) -> Node: ...

    @overload
    def __getitem__(self, place: slice) -> list[Node]: ...

    def __getitem__(self, place: int | slice) -> Node | list[Node]:
        if isinstance(place, slice):
            start, stop, step = place.indices(len(self))
            if step < 1:
                return [self[number] for number in range(start, stop, step)]
            return [self._find(node_id) for node_id in islice(self._ids(start), 0, max(0, stop - start), step)]
        number = place + len(self) if place < 0 else place
        if not 0 <= number < len(self):
            raise IndexError(place)
        return self._find(next(self._ids(number)))

    def __iter__(self) -> Iterator[Node]:
        return map(self._find, self._ids(0))

    def ids(self) -> Iterator[str]:
        return self._ids(0)

    def briefs(self, start: int = 0) -> Iterator[Row]:
        """Rows from a place on, in brief where their family has an outline: to look at a whole list is cheap then."""
        stretch = self._stretch
        if not isinstance(stretch, Run) or stretch.family.outline is None:
            yield from map(self._find, self._ids(start))
            return
        yield from map(self._find, self._written[start:])
        family, outline = stretch.family, stretch.family.outline
        for index in stretch.indexes(max(0, start - len(self._written)), everything=self._everything):
            if family.is_written(index):
                yield self._find(family.node_id(index))
            else:
                yield Brief(family, outline, index, self._find)

    def position(self, node_id: str) -> int | None:
        """The place of an object; None where it is not listed (any more)."""
        if node_id in self._written:
            return self._written.index(node_id)
        if self._stretch is None:
            return None
        behind = self._stretch.position(node_id, everything=self._everything)
        return None if behind is None else behind + len(self._written)

    def _ids(self, start: int) -> Iterator[str]:
        yield from self._written[start:]
        if self._stretch is not None:
            yield from self._stretch.ids(max(0, start - len(self._written)), everything=self._everything)


def written_listing(nodes: Iterable[Node]) -> Listing:
    """A list of objects at hand."""
    by_id = {node.id: node for node in nodes}
    return Listing(by_id.__getitem__, list(by_id), None, everything=True)
