"""What a platform offers, as seen by the services: one record, a Protocol per ability, neutral value types."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, Protocol

from libs.platforms.errors import OutcomeUnknown, PlatformError, Retryable
from libs.vocabulary import AccountRef, PlatformName, QuotaUse, UsageReading


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
    login: str | None = None
    """Which of the platform's logins gave the token, where it has several, each with a host of its own; None: the
    main one."""


@dataclass(frozen=True, slots=True)
class PlannedCall:
    """One read that can share an HTTP request with others of the same connection."""

    request_type: str
    request_key: str
    """SHA-256 hex over platform, request type and canonical params: equal reads have equal keys."""
    params: Mapping[str, Any]
    """Canonical: defaults filled in, lists without order sorted."""


@dataclass(frozen=True, slots=True)
class OwnedCall:
    """A read with the credential that it is made with: for calls of several connections in one request."""

    credential: Credential
    call: PlannedCall


Outcome = Literal["done", "rejected", "unknown", "not_attempted"]
"""What became of one item: `rejected` was refused and did nothing, `unknown` may have happened, `not_attempted` did not
happen and can be asked again."""


@dataclass(frozen=True, slots=True)
class ItemDone:
    """The platform answered this item."""

    http_status: int
    body: Any

    @property
    def outcome(self) -> Outcome:
        """Always `done`."""
        return "done"


@dataclass(frozen=True, slots=True)
class ItemFailed:
    """This item was refused or not done; the branch of `error` decides what next."""

    error: PlatformError

    @property
    def outcome(self) -> Outcome:
        """What became of the item, by the branch of its error."""
        if isinstance(self.error, OutcomeUnknown):
            return "unknown"
        return "not_attempted" if isinstance(self.error, Retryable) else "rejected"


@dataclass(frozen=True, slots=True)
class BatchOutcome:
    """How one bulk call went: an outcome per item in the order asked, and what the answer said of our quotas."""

    items: tuple[ItemDone | ItemFailed, ...]
    http_calls: int
    usage: tuple[UsageReading, ...] = ()
    refusal: PlatformError | None = None
    """Why the call failed as a whole; every item says for itself what that means for it."""


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

    async def execute_each(self, calls: Sequence[OwnedCall]) -> BatchOutcome:
        """Send calls of several connections, each with its own credential, as one bulk call; raise nothing of it.

        More than `max_items` where the platform lets some of them share an item. Raises ValueError for too many.
        """


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
    issued_at_unix: int | None = None
    data_access_expires_at_unix: int | None = None
    """From when on the owner's data is closed to us though the token lives; None: never, or not told."""
    targets: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Scopes that reach certain objects only, with their ids; a scope that is not named reaches all."""
    problem: str | None = None
    """Of a token that is not valid: the `code` of the error that a call with it would raise."""


@dataclass(frozen=True, slots=True)
class CodeGrant:
    """What a login sent to our redirect address, to be exchanged once. Its repr does not show the code."""

    app_id: str
    code: str = field(repr=False)
    redirect_uri: str
    """Exactly as the login was asked with it."""
    login: str | None = None
    """As in `Credential`."""


@dataclass(frozen=True, slots=True)
class IssuedToken:
    """A token that did not exist before; whoever gets it keeps it before using it. Its repr does not show it."""

    access_token: str = field(repr=False)
    kind: str
    expires_in_seconds: int | None
    """From when the platform answered; None: it named no end."""
    scopes: tuple[str, ...] = ()
    """Empty: not told."""
    owner_id: str | None = None
    refresh_token: str | None = field(default=None, repr=False)
    """None: the platform has none, the access token itself is exchanged."""


@dataclass(frozen=True, slots=True)
class AssetCredential:
    """A token of an asset of its own, as pages have one; kept apart from what is public. Its repr does not show it."""

    asset: AccountRef
    access_token: str = field(repr=False)
    app_id: str | None


class Tokens(Protocol):
    """What a platform does with tokens. It returns them; the caller stores.

    Refreshing: the caller keeps the new token before it uses it, and never asks twice at once for one connection
    (`libs.platforms.single_flight`).
    """

    async def inspect(self, credential: Credential) -> TokenFacts:
        """Ask the platform about the token, before it is kept or from time to time. Raises a PlatformError."""

    async def exchange_code(self, grant: CodeGrant) -> IssuedToken:
        """Turn a login's code into a token of the longest life that the platform gives without a person.

        A code counts once: after OutcomeUnknown the person must log in again. Raises a PlatformError.
        """

    async def refresh(self, credential: Credential, *, kind: str = "user") -> IssuedToken:
        """Ask for a token that lives longer than this one; `kind` is as TokenFacts or IssuedToken told it.

        Raises a PlatformError; AuthExpired when it is too late, Rejected for kinds that are never refreshed.
        """

    async def asset_credential(self, credential: Credential, asset: AccountRef) -> AssetCredential:
        """Ask for the asset's own token. Raises a PlatformError; Rejected for an asset that can have none."""


Ownership = Literal["owned", "client", "personal"]
Access = Literal["read", "write", "admin"]


@dataclass(frozen=True, slots=True)
class Asset:
    """Something on the platform that a connection reaches: an account, a page, a pixel ..."""

    ref: AccountRef
    """Our word for its type, and the platform's id as its other calls take it."""
    name: str | None
    """None: the platform gave none."""
    data: Mapping[str, Any]
    """The platform's own fields of it, public ones only: never a credential."""
    parent: AccountRef | None = None
    """The asset directly above, where the platform says so."""
    business_id: str | None = None
    ownership: Ownership | None = None
    """How the business has it; `personal`: it is under no business; None: not known."""
    roles: tuple[str, ...] = ()
    """What the connection's owner may do with it, in the platform's words; empty: not told."""
    access: tuple[Access, ...] = ()
    """The same in ours, weakest first."""
    usable: bool = True
    """False: the platform itself has closed or suspended it."""


@dataclass(frozen=True, slots=True)
class AssetRelation:
    """Two assets that have to do with each other; either may lie outside of what the connection reaches."""

    parent: AccountRef
    child: AccountRef
    kind: str
    """`page_owns_instagram`, `business_owns_page`, `business_manages_page` ..."""


@dataclass(frozen=True, slots=True)
class AssetPage:
    """One page of one listing of a discovery, or why it could not be read."""

    listing: str
    """Which: stable, without a credential, e.g. `me/accounts`."""
    type: str
    """Of the assets that it lists."""
    assets: tuple[Asset, ...] = ()
    relations: tuple[AssetRelation, ...] = ()
    credentials: tuple[AssetCredential, ...] = ()
    """The assets' own tokens."""
    error: PlatformError | None = None
    """Something of this listing could not be read: what it lacks may still exist."""
    last: bool = False
    """Nothing more comes of this listing."""
    usage: tuple[UsageReading, ...] = ()
    """What the answer said of our quotas."""


class Assets(Protocol):
    """Finding what a token reaches."""

    @property
    def types(self) -> Sequence[str]:
        """Types that discovery can find, each one of `Platform.account_types`."""

    def discover(self, credential: Credential, *, kind: str = "user") -> AsyncIterator[AssetPage]:
        """Yield what the token reaches, page by page, as the answers come.

        An asset can come again when more became known of it: then the later one replaces the earlier. What did not
        come is known to be gone only when no listing had an error that lists its type, or what stands above that.
        `kind` is `TokenFacts.kind`. Safe to call again: reads only.
        Raises a PlatformError when nothing more can be learned (the token is dead, no answer at all).
        """


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
    assets: Assets | None = None
    webhooks: Webhooks | None = None
    webhook_drill: WebhookDrill | None = None
