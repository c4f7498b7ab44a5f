"""Words that every part shares: names, ids and value types. Nothing here does work."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NewType
from uuid import UUID

OrgId = NewType("OrgId", UUID)
ConnectionId = NewType("ConnectionId", UUID)
RequestId = NewType("RequestId", UUID)
CallId = NewType("CallId", UUID)
KeyId = NewType("KeyId", UUID)
EventId = NewType("EventId", str)


class PlatformName(StrEnum):
    """The platforms that have a folder under `libs/platforms`."""

    META = "meta"


class Role(StrEnum):
    """What a key or a user may do, strongest first. Kept from the analytics system's six roles."""

    SUPER_ADMIN = "super_admin"
    ADMIN = "admin"
    EDITOR = "editor"
    ANALYST = "analyst"
    API_USER = "api_user"
    ARTIST = "artist"


class RequestKind(StrEnum):
    """What an internal system can ask for."""

    API_REQUEST = "api_request"


class ConnectionStatus(StrEnum):
    """State of a connection's credential."""

    HEALTHY = "healthy"
    EXPIRING = "expiring"
    EXPIRED = "expired"
    REVOKED = "revoked"
    ERROR = "error"
    DISCONNECTED = "disconnected"


class WebhookStatus(StrEnum):
    """State of a delivery of a platform's webhook; a change within it ends as processed, ignored or duplicate."""

    RECEIVED = "received"
    PROCESSING = "processing"
    PROCESSED = "processed"
    FAILED = "failed"
    IGNORED = "ignored"
    DUPLICATE = "duplicate"


@dataclass(frozen=True, slots=True, order=True)
class AccountRef:
    """An account on a platform: what things happen to and belong to."""

    type: str
    """Our word, one of the platform's `account_types`: page, instagram, ad_account ..."""
    id: str
    """The platform's id, in the form in which its other calls take it, e.g. `act_4711` of an ad account."""

    def __str__(self) -> str:
        return f"{self.type}:{self.id}"


@dataclass(frozen=True, slots=True)
class QuotaScope:
    """One budget that a platform keeps for us, e.g. Meta's `ads_management` of one ad account."""

    platform: PlatformName
    name: str
    """The platform's word for the budget, e.g. `app`, `ads_management`."""
    subject: str
    """Whose budget: app id, ad account id, page id, user id."""
    limit_units: int
    """Units that one window holds, as far as the platform documents it; a conservative number where it does not."""
    window_seconds: int


@dataclass(frozen=True, slots=True)
class QuotaUse:
    """What one planned call will cost in one scope."""

    scope: QuotaScope
    units: int
    """0: it costs nothing there, but must not be made while the platform serves nobody in that scope."""


@dataclass(frozen=True, slots=True)
class UsageReading:
    """What a platform's answer said of a scope."""

    scope: QuotaScope
    used_fraction: float
    """0.0 is untouched, 1.0 is used up; can exceed 1."""
    regain_after_seconds: float = 0.0
    """The platform's own estimate of when calls are served again; 0 when it says nothing."""
    resets_at: datetime | None = None
    """When the window that is used starts anew, by the platform's word; None when it says nothing."""
