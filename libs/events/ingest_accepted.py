"""Topic `ingest.accepted`: what ingest made of the requests it got."""

from datetime import datetime
from typing import Any, ClassVar
from uuid import UUID

from pydantic import Field

from libs.events.model import Event
from libs.events.problem import Problem
from libs.vocabulary import PlatformName


class ApiRequestAccepted(Event):
    """A read of a platform's API was accepted and waits to be batched."""

    event_type: ClassVar[str] = "api_request.accepted.v1"
    topic: ClassVar[str] = "ingest.accepted"

    request_id: UUID
    org_id: UUID
    source: str
    object_key: str
    """The caller's own id of the object; with the organization it is the record's key."""
    platform: PlatformName
    connection_id: UUID
    request_type: str
    params: dict[str, Any]
    priority: int = Field(ge=1, le=10)
    """1 goes first; 5 is usual."""
    max_wait_seconds: float | None = Field(default=None, ge=0)
    """Send at the latest after this time; 0 sends at once; None leaves it to the platform's schedule."""
    accepted_at: datetime


class RequestRejected(Event):
    """A request that could be read but is refused, with the words that the HTTP answer would have."""

    event_type: ClassVar[str] = "request.rejected.v1"
    topic: ClassVar[str] = "ingest.accepted"

    request_id: UUID
    org_id: UUID
    source: str
    object_key: str
    event_id: str
    """The `ce_id` of the refused request."""
    kind: str
    problem: Problem
    rejected_at: datetime
