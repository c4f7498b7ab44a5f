"""What a platform offers, as seen by the services: one record, a Protocol per ability, neutral value types."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from libs.platforms.errors import PlatformError
from libs.vocabulary import PlatformName, QuotaUse, UsageReading


class InvalidParams(ValueError):  # noqa: N818
    """The caller's request cannot become a call. `errors` are (JSON pointer, what, how to mend it)."""

    def __init__(self, errors: Sequence[tuple[str, str, str]]) -> None:
        super().__init__("; ".join(f"{where}: {what}" for where, what, _ in errors))
        self.errors = tuple(errors)


@dataclass(frozen=True, slots=True)
class Credential:
    """An opened access token, for the time of one call. Its repr does not show the token."""

    access_token: str = field(repr=False)
    app_id: str | None = None
    app_secret: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class PlannedCall:
    """One read that can share an HTTP request with others of the same connection."""

    request_type: str
    request_key: str
    """SHA-256 hex over platform, request type and canonical params: equal reads have equal keys."""
    params: Mapping[str, Any]
    """Canonical: defaults filled in, lists without order sorted."""


@dataclass(frozen=True, slots=True)
class ItemDone:
    """The platform answered this item."""

    http_status: int
    body: Any


@dataclass(frozen=True, slots=True)
class ItemFailed:
    """This item was refused or not done; the branch of `error` decides what next."""

    error: PlatformError


@dataclass(frozen=True, slots=True)
class BatchOutcome:
    """How one bulk call went: an outcome per item in the order asked, and what the answer said of our quotas."""

    items: tuple[ItemDone | ItemFailed, ...]
    http_calls: int
    usage: tuple[UsageReading, ...] = ()


class Batching(Protocol):
    """Reads that the platform can answer many at a time."""

    @property
    def max_items(self) -> int:
        """Most items that one bulk call takes."""

    @property
    def flush_interval_seconds(self) -> int:
        """How long a read without a deadline may wait for company."""

    @property
    def request_types(self) -> Sequence[str]:
        """Request types that `plan` knows, sorted."""

    def plan(self, request_type: str, params: Mapping[str, Any]) -> PlannedCall:
        """Check and canonicalize one read. Raises InvalidParams. No I/O."""

    def quota_uses(self, credential: Credential, calls: Sequence[PlannedCall]) -> Sequence[QuotaUse]:
        """What the calls will cost, per scope; with 0 units, a scope that only must not be blocked. No I/O."""

    async def execute(self, credential: Credential, calls: Sequence[PlannedCall]) -> BatchOutcome:
        """Send the calls as one bulk call. Raises a PlatformError when the whole call failed."""


@dataclass(frozen=True, slots=True)
class TokenFacts:
    """What the platform says of a token."""

    valid: bool
    kind: str
    app_id: str | None
    scopes: tuple[str, ...]
    expires_at_unix: int | None
    """None: does not expire."""
    owner_id: str | None


class Tokens(Protocol):
    """Looking at a token before it is kept."""

    async def inspect(self, credential: Credential) -> TokenFacts:
        """Ask the platform about the token. Raises a PlatformError."""


@dataclass(frozen=True, slots=True)
class Platform:
    """A platform and its abilities; None means that it has no such ability here yet."""

    name: PlatformName
    api_version: str
    batching: Batching | None = None
    tokens: Tokens | None = None
