"""The clock without a process."""

from datetime import UTC, datetime, timedelta

import pytest

from services.sandbox.clock import END, Clock, ClockRefused, rfc3339


class Ticks:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_it_starts_with_the_machine_and_runs_at_its_rate() -> None:
    ticks = Ticks()
    clock = Clock(ticks)
    start = clock.now()
    assert abs(start - datetime.now(UTC)) < timedelta(seconds=5)
    ticks.now += 10
    assert clock.now() - start == timedelta(seconds=10)
    clock.set_rate(60)
    ticks.now += 1
    assert clock.now() - start == timedelta(seconds=70)
    clock.set_rate(0)
    ticks.now += 1000
    assert clock.now() - start == timedelta(seconds=70)


def test_it_never_goes_back() -> None:
    clock = Clock(Ticks())
    start = clock.now()
    with pytest.raises(ClockRefused):
        clock.move_to(start - timedelta(seconds=1))
    with pytest.raises(ClockRefused):
        clock.advance(-1)
    with pytest.raises(ClockRefused):
        clock.move_to(datetime(2100, 1, 1))  # noqa: DTZ001  the point of the test
    assert clock.now() == start


def test_it_ends_before_moments_ahead_of_it_can_no_longer_be_written() -> None:
    ticks = Ticks()
    clock = Clock(ticks)
    clock.set_rate(1_000_000)
    ticks.now += 1_000_000
    assert clock.now() == END
    with pytest.raises(ClockRefused):
        clock.advance(1)


def test_who_waits_is_told_when_it_is_moved_and_how_long_it_will_take() -> None:
    ticks = Ticks()
    clock = Clock(ticks)
    told: list[float | None] = []
    goal = clock.now() + timedelta(seconds=120)
    clock.on_move(lambda: told.append(clock.seconds_until(goal)))
    clock.set_rate(60)
    clock.advance(60)
    clock.set_rate(0)
    clock.advance(60)
    assert told == [2.0, 1.0, None, 0.0]


def test_times_are_written_in_utc_with_milliseconds() -> None:
    assert rfc3339(datetime(2026, 11, 21, 10, 0, tzinfo=UTC)) == "2026-11-21T10:00:00.000Z"
