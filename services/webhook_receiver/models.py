"""What webhook_receiver works with: apps, deliveries as they arrive, deliveries being processed, what came of them."""

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Any, Final
from uuid import UUID

from libs.platforms.base import Change, Webhooks
from libs.security.sealing import SealedSecret
from libs.vocabulary import ConnectionStatus, PlatformName, Role, WebhookStatus

SOURCE: Final = "platformbus/webhook_receiver"
TOPIC: Final = "webhooks.events"
SHARDS: Final = 8


@dataclass(frozen=True, slots=True)
class App:
    """An app that a platform pushes to, ready to verify. The repr shows no secret."""

    platform: PlatformName
    app: str
    secrets: tuple[bytes, ...] = field(repr=False)
    """Every one that is active now; any of them may have signed."""
    verify_tokens: tuple[bytes, ...] = field(repr=False)
    webhooks: Webhooks


@dataclass(slots=True)
class Arrival:
    """One delivery with a true signature, as the edge keeps it before it answers."""

    id: UUID
    """Version 7."""
    received_at: datetime
    platform: str
    app: str
    shard: int
    signature: str | None
    headers: str
    """A JSON object; headers that carry credentials are left out."""
    raw: bytes = field(repr=False)
    source_ip: str | None
    user_agent: str | None
    traceparent: str | None


@dataclass(frozen=True, slots=True)
class Refusal:
    """A delivery whose signature is not true, as a sample of them is kept."""

    arrival: Arrival
    """With the beginning of the body."""
    reason: str
    body_bytes: int
    """Of the whole body, as the hash is."""
    body_hash: bytes


@lru_cache(maxsize=4_096)
def shard_of(platform: str, app: str) -> int:
    """Give the shard of an app's deliveries: stable for ever, since one process at a time must work on an app."""
    return zlib.crc32(f"{platform}/{app}".encode()) % SHARDS


@dataclass(frozen=True, slots=True)
class Actor:
    """Who does it, for the audit log; without a key it is a job of ours."""

    key_id: UUID | None
    role: Role | None


@dataclass(frozen=True, slots=True)
class SecretRow:
    """A secret of an app, as people may see it."""

    id: UUID
    hint: str
    """Its last four characters."""
    status: str
    kek_id: str | None
    """None: it was retired, and what was sealed is gone."""
    created_at: datetime
    retired_at: datetime | None


@dataclass(frozen=True, slots=True)
class AppRow:
    """An app as people may see it."""

    id: UUID
    platform: PlatformName
    app: str
    name: str
    kek_id: str
    created_at: datetime
    updated_at: datetime
    secrets: tuple[SecretRow, ...]
    """Oldest first, retired ones too."""


@dataclass(frozen=True, slots=True)
class SealedApp:
    """An app with what is sealed."""

    id: UUID
    platform: str
    app: str
    verify_token: SealedSecret
    secrets: dict[UUID, SealedSecret]
    """The active ones by their ids, the newest first."""


@dataclass(frozen=True, slots=True)
class NewApp:
    """What an operator asks for. The repr shows no secret."""

    platform: PlatformName
    app: str
    name: str
    secret: str = field(repr=False)
    verify_token: str | None = field(repr=False)
    """None: one is made."""


@dataclass(frozen=True, slots=True)
class ConnectionRow:
    """A connection as its newest state says."""

    connection_id: UUID
    org_id: UUID
    platform: PlatformName
    status: ConnectionStatus
    created_at: datetime | None
    """None: the state does not say it."""
    accounts: tuple[tuple[str, str], ...]
    """Pairs of type and id."""
    version: int


@dataclass(frozen=True, slots=True)
class Due:
    """A delivery that waits, without its body."""

    id: UUID
    received_at: datetime
    shard: int
    seq: int
    status: WebhookStatus
    attempts: int
    max_attempts: int
    body_bytes: int
    locked_by: str | None
    """Who claimed it last, unless that came to an end: one start of one process."""

    @property
    def is_left_over(self) -> bool:
        """Whether somebody claimed it and did not come to an end."""
        return self.status is WebhookStatus.PROCESSING


@dataclass(frozen=True, slots=True)
class Delivery:
    """A delivery that this process claimed."""

    id: UUID
    received_at: datetime
    seq: int
    """Order of arrival."""
    platform: str
    app: str
    shard: int
    raw: bytes | None = field(repr=False)
    attempts: int
    """This one counts."""
    max_attempts: int
    replays: int
    traceparent: str | None


@dataclass(frozen=True, slots=True)
class Claimed:
    """What a round works on."""

    deliveries: tuple[Delivery, ...] = ()
    """In order of arrival."""
    given_up: int = 0
    """How many had no attempt left: whoever worked on them ended each time."""


@dataclass(frozen=True, slots=True)
class Split:
    """A delivery and what happened according to it."""

    delivery: Delivery
    changes: tuple[Change, ...]


@dataclass(frozen=True, slots=True)
class Key:
    """A change on its way to an organization."""

    org_id: UUID
    platform: str
    external_event_id: str
    connection_id: UUID
    event_id: UUID
    """The delivery's."""
    position: int
    outbox_event_id: str

    @property
    def identity(self) -> tuple[UUID, str, str]:
        """What happens once."""
        return self.org_id, self.platform, self.external_event_id


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a change came to."""

    delivery: Delivery
    position: int
    change: Change
    status: WebhookStatus
    reason: str | None


@dataclass(frozen=True, slots=True)
class Ending:
    """How a delivery ended."""

    delivery: Delivery
    status: WebhookStatus
    reason: str | None
    forgets: bool
    """Its body goes."""


@dataclass(frozen=True, slots=True)
class Ended:
    """What a round came to."""

    endings: tuple[Ending, ...]
    outcomes: tuple[Outcome, ...]


@dataclass(frozen=True, slots=True)
class State:
    """What waits, for the gauges."""

    rows_by_status: Mapping[str, int]
    oldest_age_seconds: float
    default_partition_rows: int


@dataclass(frozen=True, slots=True)
class Filter:
    """Which deliveries; None does not narrow."""

    platform: PlatformName | None = None
    app: str | None = None
    status: WebhookStatus | None = None
    signature_valid: bool | None = None
    retryable: bool | None = None
    """True: failed, and tried again by itself."""
    since: datetime | None = None
    until: datetime | None = None
    """Not at that time itself any more."""

    @property
    def is_empty(self) -> bool:
        """Whether it means every delivery."""
        return self == Filter()


@dataclass(frozen=True, slots=True)
class DeliveryRow:
    """A delivery as operators see it, without its body."""

    id: UUID
    received_at: datetime
    platform: PlatformName
    app: str
    status: WebhookStatus
    reason: str | None
    error: str | None
    signature_valid: bool
    body_bytes: int
    has_body: bool
    attempts: int
    max_attempts: int
    next_attempt_at: datetime | None
    processed_at: datetime | None
    replays: int
    source_ip: str | None
    user_agent: str | None


@dataclass(frozen=True, slots=True)
class ChangeRow:
    """What a change came to."""

    position: int
    external_event_id: str
    object: str
    field: str
    change_type: str
    account_type: str
    account_id: str
    occurred_at: datetime | None
    status: WebhookStatus
    reason: str | None


@dataclass(frozen=True, slots=True)
class PublicationRow:
    """Who got a change, and as which event."""

    org_id: UUID
    connection_id: UUID
    position: int
    external_event_id: str
    outbox_event_id: str
    published_at: datetime


@dataclass(frozen=True, slots=True)
class DeedRow:
    """Who did what."""

    at: datetime
    actor_key_id: UUID | None
    actor_role: str | None
    action: str
    details: Any


@dataclass(frozen=True, slots=True)
class WholeDelivery:
    """Everything that is kept of a delivery."""

    row: DeliveryRow
    signature: str | None
    headers: Any
    raw: bytes | None = field(repr=False)
    body_hash: bytes
    traceparent: str | None
    changes: tuple[ChangeRow, ...]
    publications: tuple[PublicationRow, ...]
    deeds: tuple[DeedRow, ...]


@dataclass(frozen=True, slots=True)
class StatRow:
    """How many deliveries of an app ended in which way."""

    platform: PlatformName
    app: str
    status: WebhookStatus
    signature_valid: bool
    rows: int
    oldest_at: datetime


@dataclass(frozen=True, slots=True)
class ReplayPage:
    """What became of a part of what shall be replayed."""

    matched: int
    replayed: int
    refused: tuple[tuple[UUID, str], ...]
    """Pairs of delivery and reason."""
    last_id: UUID | None
    """Where the next part begins; None: this was the last."""
