"""Row and value types of the batcher."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Literal
from uuid import UUID

from libs.platforms.errors import PlatformError
from libs.vocabulary import ConnectionStatus, PlatformName, QuotaScope, QuotaUse, UsageReading
from libs.work_queue import Held, QueueTable

CALLS: Final = QueueTable("calls", waiting="pending", running="processing", done="completed", failed="failed")

HeldFor = Literal["retry", "quota", "connection"]


@dataclass(frozen=True, slots=True)
class Ask:
    """One organization's wish for one read, checked and canonical, ready to be queued."""

    request_id: UUID
    org_id: UUID
    platform: PlatformName
    connection_id: UUID
    request_type: str
    request_key: str
    params: str
    """JSON text."""
    priority: int
    max_wait_seconds: float | None
    wait_seconds: float
    """`max_wait_seconds`, or the platform's flush interval."""
    object_key: str
    event_id: str
    event_source: str
    correlation_id: str | None
    traceparent: str | None
    asked_at: datetime


@dataclass(frozen=True, slots=True)
class EndedAsk:
    """An ask whose end was just written; what its result event needs."""

    request_id: UUID
    org_id: UUID
    platform: PlatformName
    connection_id: UUID
    request_type: str
    call_id: UUID | None
    object_key: str
    event_id: str
    event_source: str
    correlation_id: str | None
    traceparent: str | None
    ended_at: datetime
    queued_at: datetime


@dataclass(frozen=True, slots=True)
class ConnectionRow:
    """What the batcher knows of a connection."""

    connection_id: UUID
    org_id: UUID
    platform: PlatformName
    app_id: str | None
    status: ConnectionStatus
    sealed_access_token: str | None = field(repr=False)
    """JSON text of the sealed token; None when the connection ended."""
    version: int
    refused_version: int | None


@dataclass(frozen=True, slots=True)
class QueuedCall:
    """A claimed call."""

    held: Held
    call_id: UUID
    request_type: str
    request_key: str
    params: Mapping[str, Any]
    priority: int
    attempts: int
    max_attempts: int
    waits_for_connection_version: int | None


@dataclass(frozen=True, slots=True)
class Batch:
    """Calls of one connection, claimed together; `calls` is empty when all that was claimed ended or was put back."""

    platform: PlatformName
    connection: ConnectionRow | None
    calls: tuple[QueuedCall, ...]
    claimed: int
    asks: int
    """Asks that `calls` stand for."""
    traceparents: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Completed:
    """The platform answered."""

    http_status: int
    body: Any


@dataclass(frozen=True, slots=True)
class Failed:
    """It will not be tried again; the words go into the events, so they hold no secret."""

    code: str
    message: str
    platform_code: str | None = None


@dataclass(frozen=True, slots=True)
class TryAgain:
    """It counts as a try and comes back after a growing time; at the last try it fails instead."""

    error: PlatformError


@dataclass(frozen=True, slots=True)
class Hold:
    """It does not count as a try and comes back after `delay_seconds`, or when what it waits for happens."""

    held_for: HeldFor
    delay_seconds: float
    reason: str
    newer_than_version: int | None = None


Verdict = Completed | Failed | TryAgain | Hold


@dataclass(frozen=True, slots=True)
class Report:
    """What happened with a batch."""

    verdicts: Mapping[UUID, Verdict]
    started_at: datetime
    duration_ms: int
    outcome: str
    http_calls: int = 0
    uses: tuple[QuotaUse, ...] = ()
    usage: tuple[UsageReading, ...] = ()
    blocked: tuple[tuple[QuotaScope, float], ...] = ()
    refused_version: int | None = None
