"""What waits for Kafka."""

from datetime import UTC, datetime

from fastapi import APIRouter

from libs.runtime.admin.frame import AdminDeps, Answer
from libs.runtime.outbox_state import blocked_keys, waiting_topics


class WaitingOut(Answer):
    """Events of one topic that wait for Kafka."""

    topic: str
    rows: int
    oldest_at: datetime


class BlockedOut(Answer):
    """A key whose next event the broker refuses."""

    topic: str
    key: str
    reason: str
    attempts: int
    blocked_at: datetime
    next_try_at: datetime


class OutboxOut(Answer):
    """State of a service's outbox."""

    service: str
    pending_rows: int
    oldest_age_seconds: float
    topics: list[WaitingOut]
    blocked_keys: list[BlockedOut]


def add_outbox(router: APIRouter, deps: AdminDeps) -> None:
    """Add the routes."""

    @router.get("/outbox")
    async def get_outbox() -> OutboxOut:
        """What waits for Kafka, per topic, and which keys the broker refuses."""
        async with deps.database.acquire() as connection:
            topics = await waiting_topics(connection)
            blocked = await blocked_keys(connection)
        oldest = min((topic.oldest_at for topic in topics), default=None)
        return OutboxOut(
            service=deps.service,
            pending_rows=sum(topic.rows for topic in topics),
            oldest_age_seconds=max(0.0, (datetime.now(UTC) - oldest).total_seconds()) if oldest else 0.0,
            topics=[WaitingOut.model_validate(topic) for topic in topics],
            blocked_keys=[BlockedOut.model_validate(key) for key in blocked],
        )
