"""Days of a report: named ranges, slices, and what an account calls today.

Names of ranges S (facebook-business 26, AdsInsights.DatePreset). Whether `last_7d` counts today is not written; it
does not in what clients report (T), `this_*` ends today (S, `this_week_mon_today`). Weeks begin as the name says.
"""

import calendar
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

HISTORY_MONTHS = 37
"""Ads insights reach back so far (O, error 3018)."""
MAX_INCREMENT_DAYS = 90  # O
_MONDAY, _SUNDAY = 0, 6


@dataclass(frozen=True, slots=True)
class Period:
    """Days from `since` to `until`, both inclusive."""

    since: date
    until: date

    def days(self) -> Iterator[date]:
        for number in range((self.until - self.since).days + 1):
            yield self.since + timedelta(days=number)

    def __len__(self) -> int:
        return (self.until - self.since).days + 1


def today_in(zone: str, now: datetime) -> date:
    """The day that it is in a zone; UTC where the zone is unknown."""
    try:
        return now.astimezone(ZoneInfo(zone)).date()
    except (ZoneInfoNotFoundError, ValueError):
        return now.date()


def months_before(day: date, months: int) -> date:
    """The same day of an earlier month, or that month's last day."""
    year, month = divmod(day.year * 12 + day.month - 1 - months, 12)
    return date(year, month + 1, min(day.day, calendar.monthrange(year, month + 1)[1]))


def preset_period(name: str, today: date, earliest: date) -> Period:
    """A named range. `earliest`: the first day that `maximum` begins with. Raises: KeyError for an unknown name."""
    yesterday = today - timedelta(days=1)
    if name in {"maximum", "data_maximum"}:
        return Period(min(max(earliest, months_before(today, HISTORY_MONTHS)), today), today)
    if name.startswith("last_") and name.endswith("d"):
        return Period(today - timedelta(days=_LAST_DAYS[name]), yesterday)
    return _NAMED[name](today)


def increment_periods(period: Period, increment: int | str) -> list[Period]:
    """A range as slices: `all_days`, `monthly`, or so many days each; the last one may be shorter."""
    if increment == "all_days":
        return [period]
    found = []
    since = period.since
    while True:
        if increment == "monthly":
            last = since.replace(day=calendar.monthrange(since.year, since.month)[1])
        else:
            last = since + timedelta(days=min(int(increment) - 1, (period.until - since).days))
        found.append(Period(since, min(last, period.until)))
        if last >= period.until:
            return found
        since = last + timedelta(days=1)


def _week(today: date, first: int) -> date:
    return today - timedelta(days=(today.weekday() - first) % 7)


def _last_week(today: date, first: int) -> Period:
    begin = _week(today, first) - timedelta(days=7)
    return Period(begin, begin + timedelta(days=6))


def _quarter(day: date) -> date:
    return date(day.year, (day.month - 1) // 3 * 3 + 1, 1)


def _before(begin: date, first_of_last: date) -> Period:
    return Period(first_of_last, begin - timedelta(days=1))


_LAST_DAYS = {
    "last_3d": 3,
    "last_7d": 7,
    "last_14d": 14,
    "last_28d": 28,
    "last_30d": 30,
    "last_90d": 90,
}
_NAMED = {
    "today": lambda today: Period(today, today),
    "yesterday": lambda today: Period(today - timedelta(days=1), today - timedelta(days=1)),
    "this_week_mon_today": lambda today: Period(_week(today, _MONDAY), today),
    "this_week_sun_today": lambda today: Period(_week(today, _SUNDAY), today),
    "last_week_mon_sun": lambda today: _last_week(today, _MONDAY),
    "last_week_sun_sat": lambda today: _last_week(today, _SUNDAY),
    "this_month": lambda today: Period(today.replace(day=1), today),
    "last_month": lambda today: _before(today.replace(day=1), months_before(today.replace(day=1), 1)),
    "this_quarter": lambda today: Period(_quarter(today), today),
    "last_quarter": lambda today: _before(_quarter(today), months_before(_quarter(today), 3)),
    "this_year": lambda today: Period(date(today.year, 1, 1), today),
    "last_year": lambda today: Period(date(today.year - 1, 1, 1), date(today.year - 1, 12, 31)),
}
PRESETS = ("maximum", "data_maximum", *_LAST_DAYS, *_NAMED)
