"""Topic `ingest.identities`: who exists and who may ask for what. State: the last record of a key is the truth."""

from datetime import datetime
from typing import ClassVar
from uuid import UUID

from libs.events.model import Event
from libs.vocabulary import Role


class Organization(Event):
    """State of an organization; key `<org_id>`."""

    event_type: ClassVar[str] = "organization.v1"
    topic: ClassVar[str] = "ingest.identities"

    org_id: UUID
    name: str
    active: bool
    created_at: datetime


class ApiKey(Event):
    """State of an API key, without the key; key `<org_id or 'platform'>/<key_id>`."""

    event_type: ClassVar[str] = "api_key.v1"
    topic: ClassVar[str] = "ingest.identities"

    key_id: UUID
    org_id: UUID | None
    """None: a key of the bus's own operators, who see all organizations (role super_admin only)."""
    name: str
    role: Role
    key_hash: str
    """SHA-256 of the whole key, lower-case hex; the key has 256 random bits, so a slow hash gains nothing."""
    hint: str
    """Last four characters, for people."""
    expires_at: datetime | None
    revoked_at: datetime | None
    created_at: datetime


class Producer(Event):
    """State of a producer: a `ce_source` on Kafka and what it may ask; key `producer/<source>`."""

    event_type: ClassVar[str] = "producer.v1"
    topic: ClassVar[str] = "ingest.identities"

    source: str
    org_ids: tuple[UUID, ...]
    """Organizations that it may ask for; empty: all of them."""
    kinds: tuple[str, ...]
    """Request kinds that it may ask for."""
    active: bool
