"""When a post goes out: at once, at a moment of its own, or not by itself.

A post is a draft (unpublished), scheduled, published or deleted. What is scheduled is published by the sandbox's clock.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from services.sandbox.meta import inputs
from services.sandbox.meta.moments import read_moment
from services.sandbox.meta.params import Params
from services.sandbox.meta.publishing import refusals

SOONEST = timedelta(minutes=10)  # O, pages-api/posts
LATEST = timedelta(days=30)  # O, pages-api/posts
UNPUBLISHED_KINDS = (
    "ADS_POST", "DRAFT", "INLINE_CREATED", "PUBLISHED", "PUBLISH_PENDING", "REVIEWABLE_BRANDED_CONTENT", "SCHEDULED",
    "SCHEDULED_RECURRING",
)  # fmt: skip
"""S. Whoever names one other than PUBLISHED wants no publication now (M)."""


@dataclass(frozen=True, slots=True)
class Plan:
    """`at` None and not public: a draft, until somebody publishes it."""

    is_public: bool
    at: datetime | None = None
    kind: str | None = None


NOW = Plan(is_public=True)


def read_plan(params: Params, now: datetime, latest: timedelta = LATEST) -> Plan:
    """Raises: GraphError 100 for a moment outside the window, or for one beside `published=true`."""
    kind = inputs.choice(params, "unpublished_content_type", UNPUBLISHED_KINDS)
    published = inputs.flag(params, "published")
    at = read_moment(params, "scheduled_publish_time", now)
    if published is None:
        published = kind in {None, "PUBLISHED"}
    if at is not None:
        if published:
            raise refusals.scheduled_though_published()
        check_moment(at, now, latest)
    return Plan(published, at, kind or ("SCHEDULED" if at is not None else None))


def check_moment(at: datetime, now: datetime, latest: timedelta = LATEST) -> None:
    """To the second, as Unix times are. Raises: GraphError 100."""
    if not now.replace(microsecond=0) + SOONEST <= at <= now + latest:
        raise refusals.wrong_schedule()
