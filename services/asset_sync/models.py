"""What asset_sync works with: connections without and with their sealed token."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Final
from uuid import UUID

from libs.events.assets_connections import SealedSecret
from libs.vocabulary import AccountRef, ConnectionId, ConnectionStatus, OrgId, PlatformName, Role

TOKEN_FIELD: Final = "access_token"  # noqa: S105  the name that the seal is bound to; the batcher opens it by the same
SOURCE: Final = "platformbus/asset_sync"
TOPIC: Final = "assets.connections"


@dataclass(frozen=True, slots=True)
class ConnectionRow:
    """A connection as everybody of its organization may see it."""

    id: ConnectionId
    org_id: OrgId
    platform: PlatformName
    name: str
    app_id: str | None
    owner_user_id: str | None
    token_kind: str
    token_hint: str
    token_expires_at: datetime | None
    scopes: tuple[str, ...]
    status: ConnectionStatus
    kek_id: str
    version: int
    created_at: datetime
    updated_at: datetime
    disconnected_at: datetime | None
    accounts: tuple[AccountRef, ...]


@dataclass(frozen=True, slots=True)
class SealedRow:
    """The same with its sealed token, as only the worker reads it."""

    row: ConnectionRow
    sealed: SealedSecret


@dataclass(frozen=True, slots=True)
class EndedRow:
    """A connection that was deleted: what its tombstone says."""

    id: ConnectionId
    org_id: OrgId
    version: int


@dataclass(frozen=True, slots=True)
class KnownToken:
    """A token that the platform vouched for. The repr does not show it."""

    text: str = field(repr=False)
    kind: str
    app_id: str | None
    owner_user_id: str | None
    scopes: tuple[str, ...]
    expires_at: datetime | None

    @property
    def hint(self) -> str:
        """The last four characters."""
        return self.text[-4:]


@dataclass(frozen=True, slots=True)
class NewConnection:
    """What an administrator asks for. The repr does not show the token."""

    platform: PlatformName
    name: str
    app_id: str | None
    access_token: str = field(repr=False)
    accounts: tuple[AccountRef, ...] = ()


@dataclass(frozen=True, slots=True)
class Actor:
    """Who does it, for the audit log; without a key it is a job of ours."""

    key_id: UUID | None
    role: Role | None


@dataclass(frozen=True, slots=True)
class Replay:
    """An idempotency key that was used before."""

    content_hash: bytes
    connection_id: ConnectionId


@dataclass(frozen=True, slots=True)
class ListFilter:
    """Which connections of an organization, in which part of the list."""

    platform: PlatformName | None = None
    status: ConnectionStatus | None = None
    expires_before: datetime | None = None
    after: UUID | None = None
    limit: int = 50


@dataclass(frozen=True, slots=True)
class ResealCount:
    """What one pass of resealing did."""

    resealed: int
    failed: int
    last_id: UUID | None
    """Where the next pass goes on; None when there is nothing more."""
