"""Numbers that follow from a seed and a place alone: an object is the same, whenever it is made."""

from collections.abc import Sequence
from typing import TypeVar

_MASK = (1 << 64) - 1
_FIRST, _SECOND, _STEP = 0xD6E8FEB86659FD93, 0xA3B195354A39B70D, 0x9E3779B97F4A7C15
Chosen = TypeVar("Chosen")


def mix(*parts: int) -> int:
    """64 bits that follow from whole numbers and look like chance."""
    state = _STEP
    for part in parts:
        state = ((state ^ part) + _STEP) * _FIRST & _MASK
        state = (state ^ state >> 32) * _SECOND & _MASK
        state ^= state >> 29
    return state


class Dice:
    """A row of draws from one place."""

    __slots__ = ("_state",)

    def __init__(self, *place: int) -> None:
        self._state = mix(*place)

    def below(self, limit: int) -> int:
        self._state = mix(self._state)
        return self._state % limit

    def between(self, least: int, most: int) -> int:
        """Both ends included."""
        return least + self.below(most - least + 1)

    def choice(self, things: Sequence[Chosen]) -> Chosen:
        return things[self.below(len(things))]

    def chance(self, percent: int) -> bool:
        return self.below(100) < percent
