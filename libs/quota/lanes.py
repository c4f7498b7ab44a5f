"""Who goes first when a budget runs low: a lane may use a budget up to its ceiling, the rest is for those before it."""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final


class Lane(StrEnum):
    """What a call is for, most urgent first."""

    INTERACTIVE = "interactive"
    SCHEDULED = "scheduled"
    SYNC = "sync"
    BACKFILL = "backfill"


CEILINGS: Final[Mapping[Lane, float]] = MappingProxyType(
    {Lane.INTERACTIVE: 1.0, Lane.SCHEDULED: 0.95, Lane.SYNC: 0.85, Lane.BACKFILL: 0.6}
)
"""Share of a budget that a lane may bring its use to. Other clients of Meta's pause at 85 % and for longer at 95 %
(third party, read 2026-11); the last is our choice: it leaves half a day's work to whatever is more urgent."""

_LAST_PRIORITY: Final = ((2, Lane.INTERACTIVE), (5, Lane.SCHEDULED), (8, Lane.SYNC))


def lane_of(priority: int) -> Lane:
    """Give the lane of a request's priority 1..10: 1-2 interactive, 3-5 scheduled, 6-8 sync, 9-10 backfill."""
    return next((lane for last, lane in _LAST_PRIORITY if priority <= last), Lane.BACKFILL)
