"""The clock without a process."""

from datetime import UTC, datetime, timedelta

import pytest

from services.sandbox.clock import Clock, ClockRefused, rfc3339


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


def test_times_are_written_in_utc_with_milliseconds() -> None:
    assert rfc3339(datetime(2026, 11, 21, 10, 0, tzinfo=UTC)) == "2026-11-21T10:00:00.000Z"
