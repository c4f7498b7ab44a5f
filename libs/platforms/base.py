"""What a platform offers, as seen by the services: one record, a Protocol per ability, neutral value types."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, Protocol

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


SignatureVerdict = Literal["valid", "missing", "malformed", "wrong_kind", "wrong"]
Headers = Sequence[tuple[bytes, bytes]]
"""As ASGI gives them: names in lower case, values as they came."""


class UnknownShape(ValueError):  # noqa: N818
    """A delivery is not of a shape that we know. The text says what is wrong and where, as a JSON pointer."""


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that happened, split out of a delivery."""

    object: str
    """The platform's word for what it watches."""
    field: str
    """The platform's word for what can change."""
    change_type: str
    """Our word, noun and past participle: post.created, comment.removed, lead.created ...; `other` without one."""
    account_type: str
    """Whose it is, in the words of `Platform.account_types`; else the platform's word, and nobody can own it."""
    account_id: str
    external_event_id: str
    """Natural key: the same for the same change however often it is delivered; at most 200 printable ASCII letters."""
    occurred_at: datetime | None
    value: Any
    """The platform's own JSON of this change; U+0000 in its texts has become U+FFFD, which Postgres can keep."""


class Webhooks(Protocol):
    """Deliveries that the platform pushes to us. No I/O in any of it."""

    def needs_body(self, headers: Headers) -> SignatureVerdict | None:
        """Give the refusal that the headers alone tell (missing, malformed, wrong_kind), before a body is read."""

    def check_signature(
        self, headers: Headers, body: bytes, secrets: Sequence[bytes]
    ) -> tuple[SignatureVerdict, str | None]:
        """Check the body as it came; give the verdict and the header's text, cut to 200 letters, to be kept.

        Every secret is tried whatever the others gave, and compared in constant time. Never raises.
        """

    def answer_handshake(self, query: bytes, verify_tokens: Sequence[bytes]) -> bytes | None:
        """Give the challenge to send back when the query knows one of the tokens, else None: refuse. Never raises."""

    def split(self, body: bytes) -> list[Change]:
        """Give every change of a delivery in its order; the same body gives the same changes. Raises UnknownShape."""


class WebhookDrill(Protocol):
    """Deliveries as the platform would make them: for drills of an installation. No I/O in any of it."""

    @property
    def samples(self) -> Mapping[str, str]:
        """Names of samples, each with the type of the account that it tells of."""

    def sample(self, name: str, account_id: str | None = None) -> bytes:
        """Give the body of a delivery that tells of something new. Raises KeyError for a name that is none."""

    def sign(self, body: bytes, secret: bytes) -> Headers:
        """Give the headers with which the platform would deliver the body."""


@dataclass(frozen=True, slots=True)
class AccountType:
    """A kind of account that a connection can name."""

    id_pattern: str
    """Regular expression that a whole id matches."""
    example: str


@dataclass(frozen=True, slots=True)
class Platform:
    """A platform and its abilities; None means that it has no such ability here yet."""

    name: PlatformName
    api_version: str
    account_types: Mapping[str, AccountType] = field(default_factory=dict)
    """By our word for the type."""
    batching: Batching | None = None
    tokens: Tokens | None = None
    webhooks: Webhooks | None = None
    webhook_drill: WebhookDrill | None = None
