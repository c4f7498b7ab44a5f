"""One row of ads insights before its fields are chosen, and how its numbers are written.

Counts are texts, money is text in the currency's major unit, rates have up to six digits (O samples, digits T).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import ROUND_HALF_UP, Decimal

from services.sandbox.meta.insights.combinations import HOURLY
from services.sandbox.meta.statistics import Numbers
from services.sandbox.meta.world import Node

MICROS = 1_000_000
_SIX_DIGITS = Decimal("0.000001")


@dataclass(frozen=True, slots=True)
class RowContext:
    """One row before its fields are chosen."""

    numbers: Numbers
    gives_reach: bool
    """False where people are not given for such a query."""
    objects: Mapping[str, Node]
    """The object of each level down to the row's own."""
    level: str
    date_start: date
    date_stop: date
    split: Mapping[str, str]
    """Breakdown -> the part that the row is about."""
    windows: Sequence[str]
    action_breakdowns: Sequence[str]
    action_types: Callable[[str], bool]
    """Which kinds of actions a filter lets through."""
    devices: Mapping[str, Numbers] = field(default_factory=dict)
    """The same numbers by device, where actions are parted by it."""

    def count(self, name: str) -> int:
        return int(getattr(self.numbers, name))

    @property
    def reach(self) -> int | None:
        """People, each counted once; None where they are not given. In this world people of other days are others."""
        return self.numbers.reach if self.gives_reach else None

    @property
    def spend(self) -> Decimal:
        """In the currency's major unit."""
        return Decimal(self.numbers.spend_micros) / MICROS

    @property
    def is_hourly(self) -> bool:
        return bool(HOURLY & self.split.keys())


def money(micros: int) -> str:
    """Exact, without zeros at the end: `5339.5` (O sample)."""
    return _plain(Decimal(micros) / MICROS)


def rate(above: int | Decimal, below: int) -> str | None:
    if below <= 0:
        return None
    return _plain((Decimal(above) / Decimal(below)).quantize(_SIX_DIGITS, ROUND_HALF_UP))


def _plain(number: Decimal) -> str:
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
