"""When a job runs next, and what a declaration may not say."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import pytest

from libs.jobs import Job
from libs.postgres import Database

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


async def nothing(_: Database) -> Mapping[str, int]:
    return {}


def test_an_interval_counts_on_from_the_planned_time_without_drifting() -> None:
    job = Job("j", nothing, interval_seconds=60)
    assert job.next_after(NOON) == NOON + timedelta(seconds=60)
    assert job.next_after(NOON, due_at=NOON - timedelta(seconds=7)) == NOON + timedelta(seconds=53)


def test_missed_times_are_not_made_up_for() -> None:
    job = Job("j", nothing, interval_seconds=60)
    assert job.next_after(NOON, due_at=NOON - timedelta(hours=5, seconds=10)) == NOON + timedelta(seconds=50)
    assert job.next_after(NOON, due_at=NOON - timedelta(seconds=60)) == NOON + timedelta(seconds=60)


def test_a_planned_time_in_the_future_is_no_start_to_count_from() -> None:
    job = Job("j", nothing, interval_seconds=60)
    assert job.next_after(NOON, due_at=NOON + timedelta(hours=1)) == NOON + timedelta(seconds=60)


def test_cron_times_are_utc() -> None:
    job = Job("j", nothing, cron="0 4 * * *")
    following = job.next_after(NOON)
    assert following == datetime(2026, 3, 2, 4, 0, tzinfo=UTC)
    assert following.utcoffset() == timedelta(0)
    assert Job("j", nothing, cron="0 5 * * 0").next_after(NOON) == datetime(2026, 3, 8, 5, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({}, "either interval_seconds or cron"),
        ({"interval_seconds": 5, "cron": "* * * * *"}, "either interval_seconds or cron"),
        ({"interval_seconds": 0}, "above 0"),
        ({"cron": "every day"}, "not a cron expression"),
        ({"interval_seconds": 5, "time_limit_seconds": 0}, "time_limit_seconds must be above 0"),
    ],
)
def test_a_declaration_that_means_nothing_is_refused(wrong: dict[str, float | str], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Job("j", nothing, **wrong)  # type: ignore[arg-type]
