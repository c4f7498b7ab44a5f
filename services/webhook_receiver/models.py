"""What webhook_receiver works with: apps, deliveries as they arrive, deliveries being processed, what came of them."""

import zlib
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final
from uuid import UUID

from libs.security.sealing import SealedSecret
from libs.vocabulary import PlatformName, Role

SOURCE: Final = "platformbus/webhook_receiver"
TOPIC: Final = "webhooks.events"
SHARDS: Final = 8


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
