"""Topic `assets.connections`: the state of every connection, with its sealed access token."""

from datetime import datetime
from typing import ClassVar
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from libs.events.model import Event
from libs.vocabulary import AccountRef, ConnectionStatus, PlatformName


class SealedSecret(BaseModel):
    """A secret under a data key, the data key under a key-encryption key. All bytes are base64."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    kek_id: str
    """Names the key-encryption key; an old one may go when no table or topic names it."""
    wrapped_key: str
    """12-byte nonce and the data key sealed by the key-encryption key."""
    ciphertext: str
    """12-byte nonce and the secret sealed by the data key; the AAD is bound to the owner and is not stored."""


class Connection(Event):
    """State of a connection; key `<org_id>/<connection_id>`. A tombstone ends it."""

    event_type: ClassVar[str] = "connection.v1"
    topic: ClassVar[str] = "assets.connections"

    connection_id: UUID
    org_id: UUID
    platform: PlatformName
    name: str
    app_id: str | None
    status: ConnectionStatus
    scopes: tuple[str, ...]
    expires_at: datetime | None
    sealed_access_token: SealedSecret
    updated_at: datetime
    accounts: tuple[AccountRef, ...] = ()
    """Accounts whose webhooks belong to the connection."""
    created_at: datetime | None = None
    """None on records of older writers."""
