"""Families: rows of like objects below one account that are made when somebody looks at them.

A family knows the id, the age and the place in every list of each of its members by arithmetic, so that a world of a
million objects starts at once and a page of a list costs no more than its rows. Members are counted from the newest,
index 0, to the oldest. Every `GONE_EVERY`-th member of a family with deleted ones is archived or deleted at the start.
"""

from bisect import bisect_left, insort
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Protocol

from services.sandbox.meta.dice import mix

if TYPE_CHECKING:
    from services.sandbox.meta.briefs import Outline
    from services.sandbox.meta.world import Node

GONE_EVERY = 12
ID_STEP = 7_919
"""Ids of neighbours lie this far apart at most, so that none can be guessed from another."""
MAX_MOMENTS = 1_000
"""Moments that are kept at hand, of each family."""
_FRACTION = 1 << 20


@dataclass(slots=True, eq=False)
class Family:
    """One row of like objects. `shown`: how many a list shows by default at the start of the world."""

    kind: str
    owner: str
    """Id of the account that all of them belong to."""
    shown: int
    seed: int
    start: datetime
    newest_days: float
    oldest_days: float
    base: int
    """Ids lie in `[base, base + total * ID_STEP)`."""
    prefix: str = ""
    """What every id begins with, e.g. `{page}_`."""
    has_gone: bool = False
    not_before: "Callable[[int], datetime] | None" = None
    """Lower bound of a member's creation; never grows with the index."""
    make: "Callable[[int], Node] | None" = None
    outline: "Outline | None" = None
    """What is known of members without making them."""
    total: int = field(init=False)
    """With those that are gone at the start."""
    _created: dict[int, datetime] = field(default_factory=dict)
    """Neighbours ask for the same moments: those of their parents."""
    _removed: list[int] = field(default_factory=list)
    _no_longer_shown: list[int] = field(default_factory=list)
    _shown_again: list[int] = field(default_factory=list)
    _written: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.total = self.at_rank(self.shown - 1) + 1 if self.shown else 0

    def is_gone(self, index: int) -> bool:
        """Archived or deleted at the start of the world."""
        return self.has_gone and index % GONE_EVERY == GONE_EVERY - 1

    def rank(self, index: int) -> int:
        """How many members before `index` were shown at the start."""
        return index - index // GONE_EVERY if self.has_gone else index

    def at_rank(self, rank: int) -> int:
        """The index of the member that was shown at this place at the start."""
        return rank + rank // (GONE_EVERY - 1) if self.has_gone else rank

    def first_with(self, rank: int) -> int:
        """The lowest index of that rank: members that are gone come just before the shown one."""
        if not self.has_gone or rank <= 0:
            return max(rank, 0)
        return rank + (rank - 1) // (GONE_EVERY - 1)

    def node_id(self, index: int) -> str:
        """Later objects have higher ids."""
        slot = self.total - 1 - index
        return f"{self.prefix}{self.base + slot * ID_STEP + mix(self.seed, slot) % ID_STEP}"

    def index_of(self, node_id: str) -> int | None:
        """None: no member has this id."""
        digits = node_id[len(self.prefix) :]
        if not node_id.startswith(self.prefix) or not digits.isascii() or not digits.isdigit() or len(digits) > 18:
            return None
        slot = (int(digits) - self.base) // ID_STEP
        index = self.total - 1 - slot
        return index if 0 <= index < self.total and self.node_id(index) == node_id else None

    def created_at(self, index: int) -> datetime:
        """Never later than that of the member before."""
        found = self._created.get(index)
        if found is None:
            if len(self._created) >= MAX_MOMENTS:
                self._created.clear()
            found = self._created[index] = self._created_at(index)
        return found

    def _created_at(self, index: int) -> datetime:
        place = (index + (mix(self.seed, index, 1) % _FRACTION) / _FRACTION) / max(self.total, 1)
        days = self.newest_days + (self.oldest_days - self.newest_days) * place
        own = self.start - timedelta(seconds=int(days * 86_400))
        return max(own, self.not_before(index)) if self.not_before else own

    def updated_at(self, index: int) -> datetime:
        """Within the last two days for two of three members."""
        drawn = mix(self.seed, index, 2)
        hours = 2 + drawn % 44 if index % 3 != 2 else 80 + drawn % 500
        return max(self.created_at(index), self.start - timedelta(hours=hours, seconds=drawn % 3_000))

    def first_rank_created_by(self, moment: datetime) -> int:
        """Rank of the newest shown member that existed before `moment`; `shown` if there is none."""
        low, high = 0, self.shown
        while low < high:
            middle = (low + high) // 2
            if self.created_at(self.at_rank(middle)) < moment:
                high = middle
            else:
                low = middle + 1
        return low

    def is_written(self, index: int) -> bool:
        """Somebody has written to it: what it is now follows from no arithmetic."""
        return index in self._written

    def note_write(self, index: int) -> None:
        self._written.add(index)

    def is_removed(self, index: int) -> bool:
        return _holds(self._removed, index)

    def left_of(self, low: int, high: int) -> Iterator[tuple[int, int]]:
        """Stretches of `[low, high)` without the members that are removed."""
        for index in self._removed[bisect_left(self._removed, low) : bisect_left(self._removed, high)]:
            if low < index:
                yield low, index
            low = index + 1
        if low < high:
            yield low, high

    def remove(self, index: int) -> None:
        """From every list and from the world."""
        self.set_hidden(index, hidden=True)
        insort(self._removed, index)

    def set_hidden(self, index: int, *, hidden: bool) -> None:
        """From or into the lists that are given by default."""
        gone = self.is_gone(index)
        if hidden and gone:
            _drop(self._shown_again, index)
        elif hidden and not _holds(self._no_longer_shown, index):
            insort(self._no_longer_shown, index)
        elif not hidden and not gone:
            _drop(self._no_longer_shown, index)
        elif not hidden and gone and not _holds(self._shown_again, index):
            insort(self._shown_again, index)

    def listed_before(self, index: int, *, everything: bool) -> int:
        """How many members before `index` a list has now."""
        if everything:
            return index - bisect_left(self._removed, index)
        came, went = bisect_left(self._shown_again, index), bisect_left(self._no_longer_shown, index)
        return self.rank(index) + came - went

    def is_listed(self, index: int, *, everything: bool) -> bool:
        if everything:
            return not _holds(self._removed, index)
        if self.is_gone(index):
            return _holds(self._shown_again, index)
        return not _holds(self._no_longer_shown, index)


class Stretch(Protocol):
    """The part of a list that is not written down: its ids follow from something else."""

    def count(self, *, everything: bool) -> int: ...

    def ids(self, start: int, *, everything: bool) -> Iterator[str]:
        """Ids from a place on."""

    def position(self, node_id: str, *, everything: bool) -> int | None: ...


@dataclass(frozen=True, slots=True)
class Run:
    """Members `low` to below `high` of a family: what a campaign has of the ad sets of its account."""

    family: Family
    low: int
    high: int

    def count(self, *, everything: bool) -> int:
        before = self.family.listed_before
        return before(self.high, everything=everything) - before(self.low, everything=everything)

    def ids(self, start: int, *, everything: bool) -> Iterator[str]:
        return map(self.family.node_id, self.indexes(start, everything=everything))

    def indexes(self, start: int, *, everything: bool) -> Iterator[int]:
        """Places in the family, from a place of the list on."""
        for index in range(self._find(start, everything=everything), self.high):
            if self.family.is_listed(index, everything=everything):
                yield index

    def position(self, node_id: str, *, everything: bool) -> int | None:
        index = self.family.index_of(node_id)
        if index is None or not self.low <= index < self.high:
            return None
        if not self.family.is_listed(index, everything=everything):
            return None
        before = self.family.listed_before
        return before(index, everything=everything) - before(self.low, everything=everything)

    def has(self, node_id: str) -> bool:
        """Whether the object is one of these, listed or not."""
        index = self.family.index_of(node_id)
        return index is not None and self.low <= index < self.high

    def _find(self, place: int, *, everything: bool) -> int:
        """The index of the member at a place of the list."""
        wanted = self.family.listed_before(self.low, everything=everything) + place
        low, high = self.low, self.high
        while low < high:
            middle = (low + high) // 2
            if self.family.listed_before(middle + 1, everything=everything) > wanted:
                high = middle
            else:
                low = middle + 1
        return low


def whole(family: Family) -> Run:
    return Run(family, 0, family.total)


def below(children: Family, parents: int, rank: int) -> Run:
    """Which children hang below the parent of that rank, when `parents` of them share the children evenly."""
    low = -(-rank * children.shown // parents)
    high = -(-(rank + 1) * children.shown // parents)
    last = rank == parents - 1
    return Run(children, children.first_with(low), children.total if last else children.first_with(high))


def rank_above(children: Family, index: int, parents: int) -> int:
    """The rank of the parent of a child: the other way round of `below`."""
    return min(children.rank(index), children.shown - 1) * parents // children.shown


def _holds(ordered: list[int], number: int) -> bool:
    place = bisect_left(ordered, number)
    return place < len(ordered) and ordered[place] == number


def _drop(ordered: list[int], number: int) -> None:
    if _holds(ordered, number):
        ordered.pop(bisect_left(ordered, number))
