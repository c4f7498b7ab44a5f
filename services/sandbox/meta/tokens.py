"""Apps and access tokens: which exist, what they may see, whether they still hold.

Kinds and lives as in the documents: user tokens about 60 days, page and system-user tokens without an end, app tokens
`id|secret` and `TH|id|secret` (O; the 60 days of a system-user token are opt-in, T). Instagram Login and Threads have
apps and tokens of their own, which hold on their own hosts only (O). appsecret_proof as the SDK computes it (S); the
timed variant T. Meta has no refresh tokens.
"""

import hashlib
import hmac
import random
import string
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from services.sandbox.clock import Clock, rfc3339
from services.sandbox.meta.catalog import Kind
from services.sandbox.meta.errors import (
    expired_token,
    missing_proof,
    no_token,
    revoked_token,
    unreadable_token,
    wrong_proof,
)
from services.sandbox.meta.world import Node

PROOF_TIME_SECONDS = 300  # how long a timed proof holds is not documented
DATA_ACCESS = timedelta(days=90)  # after the last login (M)
FACEBOOK, INSTAGRAM, THREADS = "facebook", "instagram", "threads"
FAMILIES: Mapping[str, str] = {"graph.instagram.com": INSTAGRAM, "graph.threads.net": THREADS}
"""Hosts whose tokens are their own; every other host takes Facebook's (O)."""
HOSTS = {FACEBOOK: "graph.facebook.com", INSTAGRAM: "graph.instagram.com", THREADS: "graph.threads.net"}
_PREFIXES = {FACEBOOK: "EAA", INSTAGRAM: "IGAA", THREADS: "THAA"}  # T
MAX_CODES = 10_000
MAX_ISSUED = 20_000
"""Of tokens that were asked for, the oldest go: a long soak must not grow without end."""
PageKey = tuple[str, str, str, datetime | None]
"""App, person, page and end of a page token."""
_SIGNS = string.ascii_letters + string.digits


@dataclass(frozen=True, slots=True)
class App:
    """A registered app. `tier` is the value that usage headers show (O)."""

    id: str
    name: str
    secret: str
    tier: str
    daily_users: int
    requires_proof: bool = False
    family: str = FACEBOOK

    @property
    def token(self) -> str:
        """The app's own access token: no secret is made for it (O)."""
        return f"TH|{self.id}|{self.secret}" if self.family == THREADS else f"{self.id}|{self.secret}"


@dataclass(slots=True)
class Token:
    """One access token."""

    id: str
    kind: str
    app: App
    secret: str
    owner: tuple[str, str]
    scopes: tuple[str, ...]
    issued_at: datetime
    expires_at: datetime | None
    sees: frozenset[str] = field(default_factory=frozenset)
    revoked_subcode: int | None = None
    granter: str | None = None
    """Of a page token: the person or system user who manages the page."""
    login_at: datetime | None = None
    """When the person last logged in; exchanged tokens keep it. None: with the token."""
    long_lived: bool = True

    def state(self, now: datetime) -> str:
        if self.revoked_subcode is not None:
            return "revoked"
        return "expired" if self.expires_at is not None and self.expires_at <= now else "valid"

    def may(self, kind: Kind) -> bool:
        return not kind.scopes or any(scope in self.scopes for scope in kind.scopes)

    def check(self, now: datetime) -> None:
        """Raises: GraphError 190 with the subcode that says why."""
        if self.revoked_subcode is not None:
            raise revoked_token(self.revoked_subcode, self.app.id)
        if self.expires_at is not None and self.expires_at <= now:
            raise expired_token(self.expires_at, now)

    @property
    def person(self) -> str:
        """Id of whoever stands behind the token."""
        return self.granter or self.owner[1]


@dataclass(slots=True)
class Code:
    """What a dialog sent back: good once, for one app and one address."""

    app: App
    person: tuple[str, str]
    scopes: tuple[str, ...]
    redirect_uri: str
    expires_at: datetime
    used: bool = False


class Tokens:
    """All tokens by their secret text, and who may have what."""

    def __init__(self, rng: random.Random, clock: Clock) -> None:
        self._random = rng
        self._clock = clock
        self._by_secret: dict[str, Token] = {}
        self._declined: dict[tuple[str, str], list[str]] = {}
        self._page_tokens: dict[PageKey, Token] = {}
        self._issued = 0
        self._issued_secrets: deque[str] = deque()
        self.codes: dict[str, Code] = {}
        self.apps: dict[str, App] = {}
        """By the part they play."""
        self.assets: dict[str, frozenset[str]] = {}
        """Person or system user -> accounts that they have."""

    def all(self) -> list[Token]:
        return list(self._by_secret.values())

    def find(self, secret: str) -> Token | None:
        return self._by_secret.get(secret)

    def app(self, app_id: str) -> App | None:
        return next((app for app in self.apps.values() if app.id == app_id), None)

    def authenticate(
        self, secret: str | None, params: Mapping[str, str], *, host: str = "", about_me: bool = False
    ) -> Token:
        """The valid token of a call. Raises: GraphError 104, 2500, 190 or 100."""
        if not secret:
            raise no_token(about_me=about_me)
        token = self._by_secret.get(secret)
        if token is None or token.app.family != FAMILIES.get(host, FACEBOOK):
            raise unreadable_token()
        token.check(self._clock.now())
        self._check_proof(token, params)
        return token

    def add(self, token: Token) -> Token:
        """Register a token; with an empty secret it gets one, in the form of its host (T)."""
        if not token.secret:
            token.secret = _PREFIXES[token.app.family] + self.random_text(120)
        self._by_secret[token.secret] = token
        return token

    def random_text(self, length: int) -> str:
        return "".join(self._random.choices(_SIGNS, k=length))

    def make_code(self, app: App, person: tuple[str, str], scopes: tuple[str, ...], uri: str, life: timedelta) -> str:
        """A code for `uri`; the oldest go when there are too many."""
        text = "AQ" + self.random_text(60)
        self.codes[text] = Code(app, person, scopes, uri, self._clock.now() + life)
        if len(self.codes) > MAX_CODES:
            del self.codes[next(iter(self.codes))]
        return text

    def issue(
        self, like: Token, lifetime: timedelta | None, *, long_lived: bool = True, expires_at: datetime | None = None
    ) -> Token:
        """A new token with another life for the same person, app and scopes; the old one goes on."""
        self._issued += 1
        now = self._clock.now()
        ends = now + lifetime if lifetime else expires_at
        made = replace(
            like,
            id=f"issued_{self._issued}",
            secret="",
            issued_at=now,
            expires_at=ends,
            login_at=like.login_at or like.issued_at,
            long_lived=long_lived,
        )
        self._issued_secrets.append(self.add(made).secret)
        if len(self._issued_secrets) > MAX_ISSUED:
            del self._by_secret[self._issued_secrets.popleft()]
        return made

    def log_in(self, app: App, person: tuple[str, str], scopes: tuple[str, ...], lifetime: timedelta) -> Token:
        """The token of somebody who has just granted an app these scopes, for all that they have."""
        key = (app.id, person[1])
        self._declined[key] = [scope for scope in self.declined(*key) if scope not in scopes]
        sees = frozenset({person[1], app.id}) | self.assets.get(person[1], frozenset())
        seed = Token("", "user", app, "", person, scopes, self._clock.now(), None, sees)
        return self.issue(seed, lifetime, long_lived=False)

    def system_token(self, app: App, robot: str, scopes: tuple[str, ...], lifetime: timedelta | None) -> Token:
        """Another token of a system user."""
        sees = frozenset({robot, app.id}) | self.assets.get(robot, frozenset())
        seed = Token("", "system_user", app, "", ("user", robot), scopes, self._clock.now(), None, sees)
        return self.issue(seed, lifetime)

    def page_token(self, token: Token, page: Node) -> Token | None:
        """What a page's `access_token` field gives: one for each app and person; None where the token may have none.

        From a long-lived token it has no end, from another the same (T).
        """
        if token.kind == "page":
            return token if token.owner == ("page", page.id) else None
        if token.kind not in {"user", "system_user"}:
            return None
        ends = None if token.long_lived else token.expires_at
        key = (token.app.id, token.owner[1], page.id, ends)
        known = self._page_tokens.get(key) or self._first_page_token(key)
        if known is None or known.revoked_subcode is not None or known.secret not in self._by_secret:
            linked = page.values.get("instagram_business_account")
            seen = {page.id, token.app.id, *((str(linked),) if linked in token.sees else ())}
            like = replace(token, kind="page", owner=("page", page.id), sees=frozenset(seen), granter=token.owner[1])
            known = self.issue(like, None, expires_at=ends, long_lived=token.long_lived)
        self._page_tokens[key] = known
        return known

    def _first_page_token(self, key: PageKey) -> Token | None:
        """One that was there from the start."""
        for known in self._by_secret.values():
            found = (known.app.id, known.granter, known.owner[1], known.expires_at)
            if known.kind == "page" and known.revoked_subcode is None and found == key:
                return known
        return None

    def declined(self, app_id: str, person: str) -> list[str]:
        """Scopes that the person has taken back from the app."""
        return self._declined.get((app_id, person), [])

    def decline(self, app_id: str, person: str, scope: str) -> None:
        """Take one scope back: every token of the app for this person loses it at once."""
        for token in self._of(app_id, person):
            token.scopes = tuple(held for held in token.scopes if held != scope)
        self._declined.setdefault((app_id, person), []).append(scope)

    def revoke(self, app_id: str, person: str) -> None:
        """Take everything back: the app's tokens for this person end, those of their pages too (190/458, O)."""
        for token in self._of(app_id, person):
            token.revoked_subcode = token.revoked_subcode or 458
        self._declined.pop((app_id, person), None)

    def _of(self, app_id: str, person: str) -> list[Token]:
        return [token for token in self._by_secret.values() if token.app.id == app_id and token.person == person]

    def _check_proof(self, token: Token, params: Mapping[str, str]) -> None:
        proof = params.get("appsecret_proof")
        if proof is None:
            if token.app.requires_proof:
                raise missing_proof()
            return
        message = token.secret
        moment = params.get("appsecret_time")
        if moment is not None:
            if not moment.isascii() or not moment.isdigit() or not self._is_recent(int(moment)):
                raise wrong_proof()
            message = f"{token.secret}|{moment}"
        expected = hmac.new(token.app.secret.encode(), message.encode(), hashlib.sha256).hexdigest()
        if not hmac.compare_digest(expected.encode(), proof.encode()):
            raise wrong_proof()

    def _is_recent(self, moment: int) -> bool:
        return abs(self._clock.unix() - moment) <= PROOF_TIME_SECONDS


def describe_token(token: Token, nodes: Mapping[str, Node], now: datetime) -> dict[str, Any]:
    """A token as the sandbox's own interface shows it."""
    seen = [nodes[node_id] for node_id in sorted(token.sees)]
    return {
        "id": token.id,
        "kind": token.kind,
        "app": token.app.id,
        "access_token": token.secret,
        "token_secret": None,
        "refresh_token": None,
        "refresh_state": None,
        "scopes": list(token.scopes),
        "issued_at": rfc3339(token.issued_at),
        "expires_at": rfc3339(token.expires_at) if token.expires_at else None,
        "state": token.state(now),
        "owner": {"type": token.owner[0], "id": token.owner[1]},
        "sees": [
            {"type": node.kind, "id": node.id}
            for node in seen
            if node.kind not in {"user", "application"} and token.revoked_subcode is None
        ],
        "host": HOSTS[token.app.family],
        "long_lived": token.long_lived,
    }
