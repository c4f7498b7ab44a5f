"""Daily numbers of an account and of everything below it: a row of impressions a day, cut into stretches.

Objects of a family stand side by side: the older ones follow the newer, and each has the next stretch of the day's
row. So what hangs below a campaign has one stretch together, and every level adds up to the one above, exactly.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta, tzinfo
from datetime import time as clock_time

from services.sandbox.meta.dice import Dice, mix
from services.sandbox.meta.families import Family

POST_DAYS = 30
"""A post is seen on so many days, that of its publication included."""
_SPREAD = 1000
_SHIFT = 700
"""Out of _SPREAD: nobody goes without at least a third of an even share."""
_WEEK = (105, 100, 98, 102, 110, 95, 90)
"""Percent of an average day, from Monday."""


@dataclass(frozen=True, slots=True)
class Day:
    """One day of an account. Ranks from `first` to below `last` have a part of its `total` impressions."""

    first: int
    last: int
    total: int
    phase: int
    """Where in the pattern the day's row begins."""
    impression_micros: int
    """What each impression costs that is charged; the prices of a day are whole cents."""
    click_micros: int
    purchase_micros: int


@dataclass(slots=True, eq=False)
class Series:
    """The days of one account. `sort`: ads or posts, whose pattern it follows."""

    sort: str
    family: Family
    seed: int
    zone: tzinfo
    now: Callable[[], datetime]
    least: int
    """Impressions of an object on an average day, at least and at most."""
    most: int
    _days: dict[date, Day] = field(default_factory=dict)

    def yesterday(self) -> date:
        """The last day with numbers."""
        return self.now().astimezone(self.zone).date() - timedelta(days=1)

    def day_of(self, moment: datetime) -> date:
        return moment.astimezone(self.zone).date()

    def day(self, on: date) -> Day:
        found = self._days.get(on)
        if found is None:
            found = self._days[on] = self._make(on)
        return found

    def stretch(self, on: date, low: int, high: int) -> tuple[int, int]:
        """The part of the day's row that members `low` to below `high` of the family have."""
        day = self.day(on)
        ranks = self.family.rank(low), self.family.rank(high)
        begin, end = (day.phase + self._before(on, day, rank) for rank in ranks)
        return begin, end

    def _before(self, on: date, day: Day, rank: int) -> int:
        """How many impressions of the day go to lower ranks: 0 for the first, all of them behind the last."""
        place, among = rank - day.first, day.last - day.first
        if place <= 0 or among == 0:
            return 0
        if place >= among:
            return day.total
        # Unequal shares whose sum needs no adding up: borders shifted by chance from their even places.
        border = place * _SPREAD + mix(self.seed, on.toordinal(), rank) % _SHIFT
        whole = among * _SPREAD
        if self.sort == "posts":
            # Newer posts, which come first, have the most.
            return day.total * (whole * whole - (whole - border) ** 2) // (whole * whole)
        return day.total * border // whole

    def _make(self, on: date) -> Day:
        first = self._rank_before(on + timedelta(days=1))
        last = self.family.shown
        if self.sort == "posts":
            last = self._rank_before(on - timedelta(days=POST_DAYS - 1))
        dice = Dice(self.seed, on.toordinal())
        usual = Dice(self.seed).between(self.least, self.most)
        percent = _WEEK[on.weekday()] * dice.between(80, 120)
        return Day(
            first,
            last,
            (last - first) * usual * percent // 10_000,
            dice.below(4096),
            dice.between(1, 2) * 10_000,
            dice.between(6, 24) * 10_000,
            dice.between(2_000, 9_000) * 10_000,
        )

    def _rank_before(self, on: date) -> int:
        return self.family.first_rank_created_by(datetime.combine(on, clock_time(), self.zone))
