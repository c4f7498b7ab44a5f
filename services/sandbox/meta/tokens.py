"""Apps and access tokens: which exist, what they may see, whether they still hold.

Kinds and lives as in the documents: user tokens about 60 days, page and system-user tokens without an end, app tokens
`id|secret` (O; the 60 days of a system-user token are opt-in, T). appsecret_proof as the SDK computes it (S); the
timed variant T. Meta has no refresh tokens.
"""

import hashlib
import hmac
import random
import string
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from services.sandbox.clock import Clock, rfc3339
from services.sandbox.meta.assets import Cast
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

USER_TOKEN_DAYS = 60
PROOF_TIME_SECONDS = 300  # how long a timed proof holds is not documented
ALL_SCOPES = (
    "public_profile", "email", "business_management", "ads_read", "ads_management", "pages_show_list",
    "pages_read_engagement", "instagram_basic",
)  # fmt: skip
PAGE_TOKEN_SCOPES = ("pages_show_list", "pages_read_engagement", "instagram_basic")
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


class Tokens:
    """All tokens by their secret text."""

    def __init__(self, cast: Cast, rng: random.Random, clock: Clock) -> None:
        self._random = rng
        self._clock = clock
        self._cast = cast
        self._by_secret: dict[str, Token] = {}
        self.apps = self._make_apps()
        self._make_tokens()

    def all(self) -> list[Token]:
        return list(self._by_secret.values())

    def find(self, secret: str) -> Token | None:
        return self._by_secret.get(secret)

    def authenticate(self, secret: str | None, params: Mapping[str, str], *, about_me: bool = False) -> Token:
        """The valid token of a call. Raises: GraphError 104, 2500, 190 or 100."""
        if not secret:
            raise no_token(about_me=about_me)
        token = self._by_secret.get(secret)
        if token is None:
            raise unreadable_token()
        token.check(self._clock.now())
        self._check_proof(token, params)
        return token

    def page_token(self, page_id: str) -> str | None:
        """What a page's `access_token` field shows to those who manage it."""
        for token in self._by_secret.values():
            if token.kind == "page" and token.owner == ("page", page_id) and token.revoked_subcode is None:
                return token.secret
        return None

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

    def _make_apps(self) -> dict[str, App]:
        apps: dict[str, App] = {}
        for part, tier, users, proof in (
            ("main", "standard_access", 5_000, False),
            ("limited", "development_access", 20, False),
            ("strict", "standard_access", 1_000, True),
        ):
            secret = "".join(self._random.choices("0123456789abcdef", k=32))
            app_id = str(self._random.randint(10**14, 10**15 - 1))
            apps[part] = App(app_id, f"Platformbus {part}", secret, tier, users, proof)
        return apps

    def _make_tokens(self) -> None:
        cast, now = self._cast, self._clock.now()
        first = _accounts(cast, "first", ("busy", "quiet", "empty"))
        second = _accounts(cast, "second", ("second",))
        both = (*first, *second)
        main, limited, strict = self.apps["main"], self.apps["limited"], self.apps["strict"]
        person, other, newcomer = cast.users["first"], cast.users["second"], cast.users["newcomer"]
        day = timedelta(days=1)
        soon = now + USER_TOKEN_DAYS * day
        add = self._add
        add("user_main", "user", main, person, first, ALL_SCOPES, now - 5 * day, soon - 5 * day)
        add("user_second", "user", main, other, second, ALL_SCOPES, now - 9 * day, soon - 9 * day)
        add("user_limited", "user", limited, person, first, ALL_SCOPES, now - 2 * day, soon - 2 * day)
        add("user_strict", "user", strict, person, first, ALL_SCOPES, now - 2 * day, soon - 2 * day)
        pages_only = tuple(node for node in first if node.kind == "page")
        add(
            "user_narrow",
            "user",
            main,
            person,
            pages_only,
            ("public_profile", "pages_show_list"),
            now - day,
            soon - day,
        )
        add("user_newcomer", "user", main, newcomer, (), ALL_SCOPES, now - day, soon - day)
        add("user_expired", "user", main, person, first, ALL_SCOPES, now - 63 * day, now - 3 * day)
        add("user_revoked", "user", main, person, first, ALL_SCOPES, now - 20 * day, soon - 20 * day, revoked=460)
        robot, agency = cast.users["system"], cast.users["agency"]
        add("system_main", "system_user", main, robot, first, ALL_SCOPES, now - 200 * day, None)
        add("system_agency", "system_user", main, agency, both, ALL_SCOPES, now - 200 * day, None)
        add("system_limited", "system_user", limited, robot, first, ALL_SCOPES, now - 200 * day, None)
        add("system_strict", "system_user", strict, robot, first, ALL_SCOPES, now - 200 * day, None)
        add("system_revoked", "system_user", main, robot, first, ALL_SCOPES, now - 90 * day, None, revoked=458)
        for part in ("busy", "quiet", "empty", "second"):
            page = cast.pages[part]
            sees = (page, cast.instagram[part])
            add(f"page_{part}", "page", main, page, sees, PAGE_TOKEN_SCOPES, now - 5 * day, None)
        busy = cast.pages["busy"]
        add("page_revoked", "page", main, busy, (busy,), PAGE_TOKEN_SCOPES, now - 90 * day, None, revoked=492)
        for part, app in self.apps.items():
            secret = f"{app.id}|{app.secret}"
            token = Token(f"app_{part}", "app", app, secret, ("app", app.id), (), now - 400 * day, None)
            self._by_secret[secret] = token

    def _add(
        self,
        token_id: str,
        kind: str,
        app: App,
        owner: Node,
        sees: tuple[Node, ...],
        scopes: tuple[str, ...],
        issued_at: datetime,
        expires_at: datetime | None,
        revoked: int | None = None,
    ) -> None:
        secret = "EAA" + "".join(self._random.choices(_SIGNS, k=120))
        seen = frozenset({owner.id, *(node.id for node in sees)})
        self._by_secret[secret] = Token(
            token_id, kind, app, secret, (owner.kind, owner.id), scopes, issued_at, expires_at, seen, revoked
        )


def _accounts(cast: Cast, business: str, parts: tuple[str, ...]) -> tuple[Node, ...]:
    groups = (cast.pages, cast.instagram, cast.ad_accounts)
    return (cast.businesses[business], *(group[part] for group in groups for part in parts))


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
            {"type": node.kind, "id": node.id} for node in seen if node.kind != "user" and token.revoked_subcode is None
        ],
    }


_DEBUG_TYPES = {"user": "USER", "page": "PAGE", "system_user": "SYSTEM_USER", "app": "APP"}


def debug_data(token: Token | None, now: datetime) -> dict[str, Any]:
    """`data` of debug_token (shape T; `profile_id` and `error` M). 0 means never."""
    if token is None:
        text = "The access token could not be decrypted"
        return {"error": {"code": 190, "message": text}, "is_valid": False, "scopes": []}
    state = token.state(now)
    data: dict[str, Any] = {
        "app_id": token.app.id,
        "type": _DEBUG_TYPES[token.kind],
        "application": token.app.name,
        "data_access_expires_at": int((token.issued_at + timedelta(days=90)).timestamp())
        if token.kind == "user"
        else 0,
        "expires_at": int(token.expires_at.timestamp()) if token.expires_at else 0,
        "is_valid": state == "valid",
        "issued_at": int(token.issued_at.timestamp()),
        "scopes": list(token.scopes),
    }
    if token.kind == "page":
        data["profile_id"] = token.owner[1]
    if token.kind in {"user", "system_user"}:
        data["user_id"] = token.owner[1]
    if state == "expired":
        data["error"] = {"code": 190, "message": "Error validating access token: Session has expired.", "subcode": 463}
    elif token.revoked_subcode is not None:
        text = "Error validating access token: The session has been invalidated."
        data["error"] = {"code": 190, "message": text, "subcode": token.revoked_subcode}
    return data
