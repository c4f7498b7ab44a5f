"""When a post goes out."""

from datetime import UTC, datetime, timedelta

import pytest

from services.sandbox.meta.errors import GraphError
from services.sandbox.meta.publishing.schedule import LATEST, SOONEST, Plan, check_moment, read_plan

NOW = datetime(2026, 11, 21, 12, 0, 0, 700_000, UTC)


def unix(at: datetime) -> str:
    return str(int(at.timestamp()))


@pytest.mark.parametrize(
    ("params", "plan"),
    [
        ({}, Plan(is_public=True)),
        ({"published": "true"}, Plan(is_public=True)),
        ({"published": "0"}, Plan(is_public=False)),
        ({"unpublished_content_type": "DRAFT"}, Plan(is_public=False, kind="DRAFT")),
        ({"unpublished_content_type": "PUBLISHED"}, Plan(is_public=True, kind="PUBLISHED")),
    ],
)
def test_a_post_without_a_moment_is_public_or_a_draft(params: dict[str, str], plan: Plan) -> None:
    assert read_plan(params, NOW) == plan


def test_the_window_is_kept_to_the_second() -> None:
    # Unix seconds cannot tell the parts of a second that the clock shows.
    for at in (NOW + SOONEST, NOW + LATEST):
        params = {"published": "false", "scheduled_publish_time": unix(at)}
        assert read_plan(params, NOW) == Plan(is_public=False, at=at.replace(microsecond=0), kind="SCHEDULED")
    for at in (NOW + SOONEST - timedelta(seconds=1), NOW + LATEST + timedelta(seconds=1)):
        with pytest.raises(GraphError, match="scheduled publish time is invalid"):
            check_moment(at, NOW)


@pytest.mark.parametrize(
    "params",
    [
        {"scheduled_publish_time": unix(NOW + timedelta(hours=1))},
        {"published": "true", "scheduled_publish_time": unix(NOW + timedelta(hours=1))},
        {"published": "false", "scheduled_publish_time": "whenever"},
        {"published": "false", "unpublished_content_type": "SECRET"},
    ],
)
def test_a_plan_that_contradicts_itself_is_refused(params: dict[str, str]) -> None:
    with pytest.raises(GraphError) as refused:
        read_plan(params, NOW)
    assert refused.value.code == 100
