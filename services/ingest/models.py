"""What ingest works with: an ask as it came, what is known of the world, and what became of the ask."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Literal
from uuid import UUID

from libs.events.envelope import Envelope
from libs.events.problem import Problem
from libs.events.webhooks_events import WebhookReceived
from libs.vocabulary import AccountRef, ConnectionId, ConnectionStatus, KeyId, OrgId, PlatformName, RequestId, Role


class RequestStatus(StrEnum):
    """Where a request stands."""

    ACCEPTED = "accepted"
    COMPLETED = "completed"
    FAILED = "failed"
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True)
class Places:
    """How the two ways in call the same parts of a request, for the `where` of a problem."""

    body: str
    """JSON pointer of the request; empty when the body is the request."""
    object_key: str
    idempotency_key: str


ON_KAFKA = Places(body="", object_key="key", idempotency_key="header:ce_idempotencykey")


@dataclass(frozen=True, slots=True)
class Ask:
    """One request as it came, from either way in."""

    org_id: OrgId
    source: str
    kind: str
    object_key: str
    payload: Mapping[str, Any]
    idempotency_key: str | None
    """None, over HTTP only: never the same as another ask."""
    via: Literal["http", "kafka"]
    places: Places
    key_id: KeyId | None = None
    cause: Envelope | None = None
    """The asking event, on Kafka."""


@dataclass(frozen=True, slots=True)
class KnownProducer:
    """What a source may ask for."""

    org_ids: frozenset[UUID]
    """Empty: all."""
    kinds: frozenset[str]
    active: bool


@dataclass(frozen=True, slots=True)
class KnownConnection:
    """What admission needs of a connection."""

    platform: str
    status: ConnectionStatus


@dataclass(frozen=True, slots=True)
class World:
    """What is known of everything that a number of asks name."""

    organizations: frozenset[UUID]
    """The active ones."""
    connections: Mapping[tuple[UUID, UUID], KnownConnection]
    """By organization and connection."""
    producers: Mapping[str, KnownProducer] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PlannedRead:
    """A valid `api_request`, made canonical."""

    platform: PlatformName
    connection_id: ConnectionId
    request_type: str
    params: Mapping[str, Any]
    priority: int
    max_wait_seconds: float | None


@dataclass(frozen=True, slots=True)
class Accepted:
    """The ask was recorded and announced."""

    request_id: RequestId


@dataclass(frozen=True, slots=True)
class Duplicate:
    """The same was asked before; this is what it was."""

    request_id: RequestId
    status: RequestStatus


@dataclass(frozen=True, slots=True)
class Refused:
    """The ask did nothing."""

    problem: Problem


Decision = Accepted | Duplicate | Refused


@dataclass(frozen=True, slots=True)
class NewRequest:
    """A row to be written: accepted with `read`, rejected with `problem`."""

    request_id: RequestId
    ask: Ask
    content_hash: bytes
    read: PlannedRead | None = None
    problem: Problem | None = None


@dataclass(frozen=True, slots=True)
class Former:
    """The request that holds an idempotency key."""

    request_id: RequestId
    status: RequestStatus
    content_hash: bytes


@dataclass(frozen=True, slots=True)
class Ending:
    """How a request ended, as a row is changed by it. Texts are JSON."""

    request_id: RequestId
    org_id: OrgId
    status: Literal[RequestStatus.COMPLETED, RequestStatus.FAILED]
    ended_at: datetime
    call_id: UUID | None
    http_status: int | None = None
    result: str | None = None
    result_bytes: int | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class ResultPart:
    """One part of a result that came in several."""

    request_id: RequestId
    org_id: OrgId
    part: int
    parts: int
    chunk: str | None
    """None of a whole that is surely too large to be kept."""
    chunk_bytes: int


@dataclass(frozen=True, slots=True)
class RequestFilter:
    """Which requests a list shows; None does not narrow."""

    status: RequestStatus | None = None
    object_key: str | None = None
    connection_id: UUID | None = None
    before: UUID | None = None
    """Only those with a smaller id: the next page."""


@dataclass(frozen=True, slots=True)
class NewWebhook:
    """A change that a platform told of, to be kept."""

    event_id: str
    event: WebhookReceived
    value: str
    """The event's value as JSON."""


@dataclass(frozen=True, slots=True)
class WebhookFilter:
    """Which webhooks of an organization are asked for."""

    platform: PlatformName | None = None
    connection_id: UUID | None = None
    change_type: str | None = None
    account: AccountRef | None = None
    webhook_id: UUID | None = None
    before: str | None = None
    """Only those with a smaller id: the next page."""


@dataclass(frozen=True, slots=True)
class Actor:
    """Who does something that the audit log keeps."""

    key_id: KeyId
    role: Role
