"""Named ranges, slices and days of accounts."""

from datetime import UTC, date, datetime

import pytest

from services.sandbox.meta.insights.days import (
    PRESETS,
    Period,
    increment_periods,
    months_before,
    preset_period,
    today_in,
)

SATURDAY = date(2026, 11, 21)
EARLIEST = date(2026, 1, 5)


@pytest.mark.parametrize(
    ("name", "since", "until"),
    [
        ("today", "2026-11-21", "2026-11-21"),
        ("yesterday", "2026-11-20", "2026-11-20"),
        ("last_3d", "2026-11-18", "2026-11-20"),
        ("last_30d", "2026-10-22", "2026-11-20"),
        ("this_week_mon_today", "2026-11-16", "2026-11-21"),
        ("this_week_sun_today", "2026-11-15", "2026-11-21"),
        ("last_week_mon_sun", "2026-11-09", "2026-11-15"),
        ("last_week_sun_sat", "2026-11-08", "2026-11-14"),
        ("this_month", "2026-11-01", "2026-11-21"),
        ("last_month", "2026-10-01", "2026-10-31"),
        ("this_quarter", "2026-10-01", "2026-11-21"),
        ("last_quarter", "2026-07-01", "2026-09-30"),
        ("this_year", "2026-01-01", "2026-11-21"),
        ("last_year", "2025-01-01", "2025-12-31"),
        ("maximum", "2026-01-05", "2026-11-21"),
    ],
)
def test_a_named_range_has_its_days(name: str, since: str, until: str) -> None:
    period = preset_period(name, SATURDAY, EARLIEST)
    assert (period.since.isoformat(), period.until.isoformat()) == (since, until)


def test_every_name_gives_a_range_on_every_day_of_two_years() -> None:
    for number in range(730):
        today = date.fromordinal(date(2027, 1, 1).toordinal() + number)
        for name in PRESETS:
            period = preset_period(name, today, EARLIEST)
            assert period.since <= period.until <= today


def test_the_longest_range_begins_37_months_ago_at_most() -> None:
    assert preset_period("maximum", SATURDAY, date(2010, 1, 1)).since == date(2023, 10, 21)


@pytest.mark.parametrize("increment", [1, 3, 7, 90, "monthly", "all_days"])
def test_slices_have_every_day_once_and_in_order(increment: int | str) -> None:
    whole = Period(date(2026, 1, 17), date(2026, 5, 3))
    slices = increment_periods(whole, increment)
    assert [day for part in slices for day in part.days()] == list(whole.days())


@pytest.mark.parametrize("increment", [1, 90, "monthly"])
def test_slices_end_with_the_calendar(increment: int | str) -> None:
    slices = increment_periods(Period(date(9999, 10, 5), date.max), increment)
    assert slices[-1].until == date.max


def test_slices_of_months_end_with_the_month() -> None:
    slices = increment_periods(Period(date(2026, 1, 17), date(2026, 3, 3)), "monthly")
    assert [(part.since.day, part.until.day) for part in slices] == [(17, 31), (1, 28), (1, 3)]


def test_a_month_before_a_long_one_ends_earlier() -> None:
    assert months_before(date(2026, 3, 31), 1) == date(2026, 2, 28)
    assert months_before(date(2026, 1, 15), 13) == date(2024, 12, 15)


def test_today_is_that_of_the_accounts_zone() -> None:
    late = datetime(2026, 11, 21, 3, 0, tzinfo=UTC)
    assert today_in("America/New_York", late) == date(2026, 11, 20)
    assert today_in("Nowhere/Else", late) == date(2026, 11, 21)
